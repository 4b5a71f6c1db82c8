/* SPDX-License-Identifier: Apache-2.0 */
/* HVMOP_set_evtchn_upcall_vector: events by the local APIC, where offered. */
/* run: as=both */
#include "test.h"

#define VECTOR 0xe3

static void handler(struct regs *r)
{
    (void)r;
    vcpu_info()->evtchn_upcall_pending = 0;
    vcpu_info()->evtchn_pending_sel = 0;
    apic_write(APIC_EOI, 0);
}

void test_main(void)
{
    struct xen_hvm_evtchn_upcall_vector op = {.vcpu = 0, .vector = VECTOR};
    evtchn_port_t ipi = (evtchn_port_t)port_ipi(0);

    if (!(cpuid(xen_leaf + 4, 0).a & 64)) {
        skip("upcall vector", "not offered (CPUID)");
        return;
    }
    apic_enable(true);
    set_irq(VECTOR, handler);
    check_eq(hvm_op(HVMOP_set_evtchn_upcall_vector, &op), 0, "set");
    port_unmask(ipi);
    irq_enable();
    version_op(XENVER_version, 0); /* whatever was pending before */
    irq_count[VECTOR] = 0;
    for (unsigned int i = 0; i < 3; i++) {
        port_send(ipi);
        version_op(XENVER_version, 0);
        port_take(ipi);
    }
    irq_disable();
    check_eq(irq_count[VECTOR], 3, "three events, three interrupts");
    op.vector = 15;
    check_eq(hvm_op(HVMOP_set_evtchn_upcall_vector, &op), -XEN_EINVAL, "vector 15");
    op.vector = VECTOR;
    op.vcpu = 200;
    check_eq(hvm_op(HVMOP_set_evtchn_upcall_vector, &op), -XEN_ENOENT, "no such vCPU");
}
