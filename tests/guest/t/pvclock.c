/* SPDX-License-Identifier: Apache-2.0 */
/* The paravirtual clock: monotonic on and across CPUs, of the right rate. */
/* run: as=both cpus=2 */
#include "test.h"

static volatile uint64_t latest;
static volatile unsigned int backwards;

/* Takes the clock and compares it with the latest that any CPU published. */
static void race(void *arg)
{
    (void)arg;
    for (unsigned int i = 0; i < 20000; i++) {
        uint64_t before = __atomic_load_n(&latest, __ATOMIC_SEQ_CST);
        uint64_t t = now();

        if (t < before) backwards++;
        while (t > before && !__atomic_compare_exchange_n(&latest, &before, t, false,
                                                          __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            ;
    }
}

void test_main(void)
{
    uint64_t khz = cpuid(xen_leaf + 3, 0).c, t0, c0, t1, c1;

    race(NULL);
    check_eq(backwards, 0, "monotonic on one CPU");
    t0 = now(), c0 = rdtsc();
    delay(50 * NS_PER_MS);
    t1 = now(), c1 = rdtsc();
    check_in((long)((t1 - t0) * khz / 1000000 * 1000 / (c1 - c0)), 990, 1010,
             "TSC rate of CPUID (per mille)");
    check(!(vcpu_info()->time.version & 1), "version even");
    apic_enable(true);
    if (!check(cpu_start(1), "second CPU")) return;
    backwards = 0;
    cpu_run_async(1, race, NULL);
    race(NULL);
    cpu_wait(1);
    check_eq(backwards, 0, "monotonic across CPUs");
}
