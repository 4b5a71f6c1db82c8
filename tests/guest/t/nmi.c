/* SPDX-License-Identifier: Apache-2.0 */
/* NMIs: by hypercall and by IPI, once each, even with interrupts off. */
/* run: as=both */
#include "test.h"

#define VECTOR 0x51

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

/* An interrupt waits beside the NMI: it comes when it may, without another exit. */
static void send_both(void *arg)
{
    (void)arg;
    apic_ipi(0, VECTOR);
    vcpu_op(VCPUOP_send_nmi, 0, 0);
}

static void beside(void)
{
    int vector;
    unsigned int early;

    irq_disable();
    vector = try_call(send_both, NULL);
    early = irq_count[VECTOR];
    irq_enable();
    for (unsigned int i = 0; i < 100000 && !irq_count[VECTOR]; i++) asm volatile("");
    irq_disable();
    check_eq(irq_count[VECTOR], 1, "an interrupt beside an NMI comes");
    check_eq(early, 0, "when it may");
    check_eq(vector, 2, "after the NMI");
    apic_write(APIC_EOI, 0);
}

/* An NMI that comes in the handler of another waits for its end. */
static unsigned int depth, deepest;

static void handler(struct regs *r)
{
    (void)r;
    depth++;
    if (depth > deepest) deepest = depth;
    if (irq_count[2] == 1) {
        vcpu_op(VCPUOP_send_nmi, 0, 0);
        for (unsigned int i = 0; i < 10; i++) version_op(XENVER_version, 0);
    }
    depth--;
}

static void two_in_a_row(void)
{
    set_irq(2, handler);
    for (unsigned int on = 0; on < 2; on++) {
        irq_count[2] = deepest = 0;
        if (on) irq_enable();
        vcpu_op(VCPUOP_send_nmi, 0, 0);
        for (unsigned int i = 0; i < 100000 && irq_count[2] < 2; i++)
            if (!on) version_op(XENVER_version, 0); /* at the latest there */
        irq_disable();
        check_eq(irq_count[2], 2, on ? "two NMIs" : "two NMIs, interrupts off");
        check_eq(deepest, 1, "one after the other");
    }
    set_irq(2, NULL);
}

void test_main(void)
{
    apic_enable(true);
    check_eq(try_call(send, NULL), 2, "NMI by hypercall");
    check_eq(try_call(send, NULL), 2, "and again");
    check_eq(try_call(send_ipi, NULL), 2, "NMI by IPI");
    beside();
    two_in_a_row();
    check_eq(try_call(send, NULL), 2, "and again");
}
