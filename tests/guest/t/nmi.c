/* SPDX-License-Identifier: Apache-2.0 */
/* NMIs: by hypercall and by IPI, once each, even with interrupts off. */
/* run: as=both */
#include "test.h"

static void send(void *arg)
{
    (void)arg;
    vcpu_op(VCPUOP_send_nmi, 0, 0);
    for (unsigned int i = 0; i < 10; i++) version_op(XENVER_version, 0);
}

static void send_ipi(void *arg)
{
    (void)arg;
    apic_ipi(0, 0x4400); /* NMI, to APIC 0 */
    for (unsigned int i = 0; i < 10; i++) version_op(XENVER_version, 0);
}

void test_main(void)
{
    apic_enable(true);
    check_eq(try_call(send, NULL), 2, "NMI by hypercall");
    check_eq(try_call(send, NULL), 2, "and again");
    check_eq(try_call(send_ipi, NULL), 2, "NMI by IPI");
}
