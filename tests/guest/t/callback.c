/* SPDX-License-Identifier: Apache-2.0 */
/* The callback vector: level-like, by IF only, wakes a halted CPU. */
/* run: as=both */
#include "test.h"

static unsigned int left; /* deliveries to leave upcall_pending set for */

static void handler(struct regs *r)
{
    (void)r;
    if (left && left--) return;
    vcpu_info()->evtchn_upcall_pending = 0;
    vcpu_info()->evtchn_pending_sel = 0;
}

static unsigned int taken(void)
{
    unsigned int n = irq_count[EVENT_VECTOR];

    irq_count[EVENT_VECTOR] = 0;
    return n;
}

static void settle(void) /* enough for an exit and a delivery */
{
    irq_enable();
    version_op(XENVER_version, 0);
    irq_disable();
}

void test_main(void)
{
    struct vcpu_set_singleshot_timer t = {0};
    evtchn_port_t ipi = (evtchn_port_t)port_ipi(0);
    evtchn_port_t timer = (evtchn_port_t)port_virq(VIRQ_TIMER, 0);

    events_on();
    set_irq(EVENT_VECTOR, handler);
    vcpu_info()->evtchn_upcall_pending = 0;
    settle();
    taken();

    port_send(ipi);
    settle();
    check_eq(taken(), 0, "masked: nothing");
    port_take(ipi);
    port_unmask(ipi);
    port_send(ipi);
    check_eq(taken(), 0, "IF clear: nothing");
    settle();
    check_eq(taken(), 1, "IF set: once");
    port_take(ipi);
    left = 3;
    port_send(ipi);
    for (unsigned int i = 0; i < 10; i++) settle();
    check_eq(taken(), 4, "again until upcall_pending is cleared");
    port_take(ipi);
    vcpu_info()->evtchn_upcall_mask = 1;
    port_send(ipi);
    settle();
    check_eq(taken(), 1, "upcall_mask has no meaning here");
    port_take(ipi);

    port_unmask(timer);
    t.timeout_abs_ns = now() + 5 * NS_PER_MS;
    check_eq(vcpu_op(VCPUOP_set_singleshot_timer, 0, &t), 0, "timer set");
    cpu_halt();
    check_eq(taken(), 1, "the timer wakes the halted CPU");
    check(now() >= t.timeout_abs_ns, "not before its time");
    port_send(ipi);
    cpu_halt();
    check_eq(taken(), 1, "no halt when an event is pending");
}
