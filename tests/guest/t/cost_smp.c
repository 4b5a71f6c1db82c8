/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it costs to reach another vCPU, which is halted, on another CPU, and to be
 * reached by it: see cost.c.  Bochs' CPUs take turns of a few instructions, and its
 * TSC counts those of one.
 */
/* run: bochs=bochs-vmx,bochs-svm cpus=2 time=150 */
#include "cost.h"

#define ROUNDS 200
#define VECTOR 0x61

static uint32_t ids[2];
static long there, back;
static volatile unsigned int hits[MAX_CPUS];

static void taken(struct regs *r)
{
    (void)r;
    hits[this_cpu()->index]++;
    apic_write(APIC_EOI, 0);
}

/* --- the other vCPU, as often as cost_of() calls the row --- */

static void enable(void *arg)
{
    (void)arg;
    apic_enable(true);
    ids[this_cpu()->index] = apic_id();
}

static void answer_ipis(void *arg)
{
    (void)arg;
    for (unsigned int n = 1; n <= ROUNDS + 1; n++) {
        while (hits[1] < n) cpu_halt();
        apic_ipi(ids[0], VECTOR);
    }
}

static void answer_events(void *arg)
{
    (void)arg;
    for (unsigned int n = 0; n <= ROUNDS; n++) {
        while (!port_wait((evtchn_port_t)there, NS_PER_S)) continue;
        port_send((evtchn_port_t)back);
    }
}

/* --- rows --- */

static void ipis(void)
{
    unsigned int before = hits[0];

    apic_ipi(ids[1], VECTOR);
    while (hits[0] == before) continue;
}

static void events(void)
{
    port_send((evtchn_port_t)there);
    if (!port_wait((evtchn_port_t)back, NS_PER_S)) fatal("no reply");
}

static void measure(const char *name, void (*fn)(void), void (*answer)(void *))
{
    cpu_run_async(1, answer, NULL);
    show_costs(&(struct row){name, fn}, 1, ROUNDS);
    cpu_wait(1);
}

void test_main(void)
{
    enable(NULL);
    if (!check(cpu_start(1), "second CPU")) return;
    cpu_run(1, enable, NULL);
    set_irq(VECTOR, taken);
    irq_enable();
    measure("IPI to another vCPU and one back", ipis, answer_ipis);
    irq_disable();
    check(hits[0] == ROUNDS + 1 && hits[1] == ROUNDS + 1, "each IPI was taken");
    there = port_ipi(1);
    back = port_ipi(0);
    check(there > 0 && back > 0, "ports");
    measure("event to another vCPU and its reply", events, answer_events);
}
