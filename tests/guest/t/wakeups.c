/* SPDX-License-Identifier: Apache-2.0 */
/* A halted CPU is woken by each event that another sends, however close the
 * event and its HLT come to each other, and is called up once for each. */
/* As a guest (AS=guest) it may end QEMU 7.2: see "Faults of the emulator" in
 * docs/testing.md. */
/* run: cpus=2 time=120 */
#include "test.h"

#define LIMIT (30 * NS_PER_S)

static evtchn_port_t ping, pong;
static volatile unsigned int got[2], idle_calls[2];
static volatile bool stop;

static void on_event(struct regs *r)
{
    unsigned int me = this_cpu()->index;

    (void)r;
    __atomic_store_n(&vcpu_info()->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST);
    __atomic_exchange_n(&vcpu_info()->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
    if (port_take(me ? ping : pong))
        got[me]++;
    else
        idle_calls[me]++;
}

/* CPU 1 answers each ping. */
static void answer(void *arg)
{
    unsigned int seen = 0;

    (void)arg;
    while (!stop) {
        while (got[1] == seen) cpu_halt();
        seen = got[1];
        port_send(pong);
    }
}

/* Every second round the sender halts, too. */
static bool round(unsigned int n, uint64_t end)
{
    unsigned int seen = got[0];

    port_send(ping);
    if (n & 1) {
        while (got[0] == seen && now() < end) cpu_halt();
        return got[0] != seen;
    }
    irq_enable();
    while (got[0] == seen && now() < end) cpu_relax();
    irq_disable();
    return got[0] != seen;
}

void test_main(void)
{
    unsigned int rounds = 0;
    uint64_t begin, last, longest = 0;
    bool ok = true;

    if (!check(cpu_start(1), "second CPU")) return;
    ping = (evtchn_port_t)port_ipi(1);
    pong = (evtchn_port_t)port_ipi(0);
    events_on();
    set_irq(EVENT_VECTOR, on_event);
    port_unmask(ping);
    port_unmask(pong);
    got[0] = got[1] = idle_calls[0] = idle_calls[1] = 0;
    cpu_run_async(1, answer, NULL);
    begin = last = now();
    while (ok && now() < begin + 5 * NS_PER_S) {
        ok = round(rounds++, last + LIMIT);
        if (now() - last > longest) longest = now() - last;
        last = now();
    }
    print("%u rounds, the longest took %lu us\n", rounds, longest / 1000);
    check(ok, "each event is answered");
    check(rounds >= 10, "rounds enough");
    check_eq(idle_calls[1], 0, "no call without an event (waiting CPU)");
    check_eq(idle_calls[0], 0, "no call without an event (sending CPU)");
    stop = true;
    port_send(ping);
    cpu_wait(1);
}
