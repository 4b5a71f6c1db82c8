/* SPDX-License-Identifier: Apache-2.0 */
/* The local APIC's timer: one-shot, periodic, masked, TSC deadline. */
/* run: as=both */
#include "test.h"

#define VECTOR 0x51

static void handler(struct regs *r)
{
    (void)r;
    apic_write(APIC_EOI, 0);
}

/* Interrupts taken within ns. */
static unsigned int during(uint64_t ns)
{
    uint64_t end = now() + ns;

    irq_count[VECTOR] = 0;
    irq_enable();
    while (now() < end) cpu_relax();
    irq_disable();
    return irq_count[VECTOR];
}

/* Ticks in 20 ms, by counting down. */
static uint32_t ticks_20ms(void)
{
    uint64_t t;
    uint32_t n;

    apic_write(APIC_LVTT, VECTOR | 1u << 16);
    apic_write(APIC_TMICT, ~0u);
    n = apic_read(APIC_TMCCT);
    t = now();
    delay(20 * NS_PER_MS);
    n -= apic_read(APIC_TMCCT);
    t = now() - t; /* more than 20 ms if others ran */
    return (uint32_t)(n * 20 * NS_PER_MS / t);
}

static void deadline(void)
{
    uint64_t khz = cpuid(xen_leaf + 3, 0).c;

    if (!(cpuid(1, 0).c >> 24 & 1)) {
        skip("TSC deadline", "not offered");
        return;
    }
    apic_write(APIC_LVTT, VECTOR | 2u << 17);
    wrmsr(MSR_TSC_DL, rdtsc() + khz * 5);
    check_eq(during(30 * NS_PER_MS), 1, "TSC deadline fires once");
    check_eq(rdmsr(MSR_TSC_DL), 0, "and is cleared");
    wrmsr(MSR_TSC_DL, rdtsc() + khz * 20);
    wrmsr(MSR_TSC_DL, 0);
    check_eq(during(40 * NS_PER_MS), 0, "cleared deadline");
}

void test_main(void)
{
    uint32_t ticks;

    apic_enable(true);
    set_irq(VECTOR, handler);
    apic_write(APIC_TDCR, 0x3); /* by 16 */
    ticks = ticks_20ms();
    check(ticks > 100, "counts down");
    check_eq(during(5 * NS_PER_MS), 0, "masked");

    apic_write(APIC_LVTT, VECTOR);
    apic_write(APIC_TMICT, ticks / 4);
    check_eq(during(50 * NS_PER_MS), 1, "one-shot fires once");
    check_eq(apic_read(APIC_TMCCT), 0, "and stands at zero");

    apic_write(APIC_LVTT, VECTOR | 1u << 17);
    apic_write(APIC_TMICT, ticks / 4);
    check_in(during(100 * NS_PER_MS), 4, 25, "periodic, 5 ms, in 100 ms");
    apic_write(APIC_TMICT, 0);
    during(NS_PER_MS);
    check_eq(during(30 * NS_PER_MS), 0, "count 0 stops it");
    deadline();
}
