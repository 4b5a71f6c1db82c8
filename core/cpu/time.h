/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time: the system clock, in nanoseconds since boot, the same on every CPU,
 * and timers.  Wall-clock time belongs to the domains (vm/clock.c).
 */
#ifndef CPU_TIME_H
#define CPU_TIME_H

#include "cpu/lock.h"
#include "lib/base.h"
#include "lib/list.h"

#define NS_PER_SEC 1000000000ul
#define NS_PER_MS  1000000ul
#define TIME_NEVER (~0ul)

/* TSC to ns: ns = (tsc << shift) * mul >> 32, shift may be negative. */
struct tsc_scale {
    uint32_t mul;
    int8_t shift;
};

extern struct tsc_scale tsc_scale; /* the host's */
extern uint32_t tsc_khz;
extern bool tsc_agrees; /* on all CPUs */

uint64_t now(void);               /* ns since boot, never goes back  */
uint64_t time_boot_tsc(void);     /* the TSC when that was 0 */
uint64_t tsc_to_ns(uint64_t tsc); /* a host TSC value, or a length   */
uint64_t ticks_to_ns(const struct tsc_scale *s, uint64_t ticks);
void tsc_scale_set(struct tsc_scale *s, uint32_t khz); /* not 0 */
uint64_t ns_to_tsc(uint64_t ns);                       /* a length in ns, in TSC ticks    */
void delay_us(unsigned int us);                        /* busy wait                       */

/*
 * A timer fires once at or after `expires`, on the CPU that set it, with
 * interrupts off and no lock held.  It may be set again by its function.
 */
struct timer {
    struct list link;
    uint64_t expires; /* ns; valid while set */
    struct cpu *cpu;  /* whose list it is on, NULL when not set */
    void (*fn)(void *data);
    void *data;
};

struct cpu_timers {       /* of each CPU */
    struct spinlock lock; /* guards: queue and its timers' link, expires, cpu */
    struct list queue;    /* by expiry */
    uint64_t armed;       /* what the hardware is set to                    */
};

void timer_init(struct timer *t, void (*fn)(void *data), void *data);
void timer_set(struct timer *t, uint64_t expires);
/* After it the function does not start; it may still be running elsewhere
 * unless the caller excludes that by its own lock. */
void timer_stop(struct timer *t);
static inline bool timer_is_set(const struct timer *t)
{
    return READ_ONCE(t->cpu) != NULL;
}

#endif
