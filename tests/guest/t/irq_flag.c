/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An interrupt is delivered once, and only where IF is set, whatever other
 * CPUs do.  (QEMU's SVM delivers an interrupt of the event-injection field
 * again when another CPU stops all of them, as it does for a locked access
 * across cache lines: the core must not use the field for interrupts there.)
 */
/* run: as=both cpus=2 */
#include "test.h"

static volatile bool stop;
static volatile unsigned int inside, bad_flag, nested, taken;

static void handler(struct regs *r)
{
    if (!(r->rflags & 0x200)) bad_flag++;
    if (inside) nested++;
    inside++;
    taken++;
    vcpu_info()->evtchn_upcall_pending = 0;
    vcpu_info()->evtchn_pending_sel = 0;
    for (unsigned int i = 0; i < 2000; i++) cpu_relax();
    inside--;
}

static void disturb(void *arg)
{
    static uint8_t lines[128] __attribute__((aligned(64)));
    uint64_t *across = (uint64_t *)(lines + 60);

    (void)arg;
    while (!stop) __asm__ volatile("lock incq %0" : "+m"(*across));
}

void test_main(void)
{
    evtchn_port_t ipi = (evtchn_port_t)port_ipi(0);
    unsigned int sent = 0;
    uint64_t begin;

    if (!check(cpu_start(1), "second CPU")) return;
    events_on();
    set_irq(EVENT_VECTOR, handler);
    port_unmask(ipi);
    irq_enable();
    cpu_run_async(1, disturb, NULL);
    taken = 0;
    begin = now();
    while (now() < begin + 2 * NS_PER_S || (sent < 100 && now() < begin + 20 * NS_PER_S)) {
        port_take(ipi);
        port_send(ipi);
        sent++;
    }
    stop = true;
    cpu_wait(1);
    irq_disable();
    check(sent >= 100, "events were sent");
    /* Each is sent with the one before handled; the last may still be due. */
    check(taken + 1 >= sent, "none is lost");
    check(taken <= sent, "none comes twice");
    check_eq(bad_flag, 0, "none comes with IF clear");
    check_eq(nested, 0, "none comes while another is handled");
}
