/* SPDX-License-Identifier: Apache-2.0 */
/* What tests measure that compare costs: t/cost.c, t/cost_smp.c. */
#ifndef COST_H
#define COST_H

#include "test.h"

struct row {
    const char *name;
    void (*fn)(void);
};

static inline void nothing(void)
{
    asm volatile("" ::: "memory");
}

/* TSC ticks of one call, the first left out. */
static inline uint64_t cost_of(void (*fn)(void), unsigned int rounds)
{
    uint64_t start;

    fn();
    start = rdtsc();
    for (unsigned int i = 0; i < rounds; i++) fn();
    return (rdtsc() - start) / rounds;
}

/* Prints them; tests/bochs/run and bench/run look for these lines. */
static inline void show_costs(const struct row *rows, unsigned int n, unsigned int rounds)
{
    uint64_t loop = cost_of(nothing, rounds);

    for (unsigned int i = 0; i < n; i++)
        print("cost %s: %lu\n", rows[i].name, cost_of(rows[i].fn, rounds) - loop);
}

#endif
