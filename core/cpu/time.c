/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system clock on the TSC, and timers: per CPU a list sorted by expiry,
 * with the local APIC's timer set to its head.
 */
#include "cpu/time.h"
#include "cpu/arch.h"
#include "cpu/cpu.h"
#include "cpu/irq.h"
#include "cpu/lock.h"
#include "lib/print.h"

struct tsc_scale tsc_scale;
uint32_t tsc_khz;
bool tsc_agrees = true;
static uint64_t boot_tsc;

uint64_t tsc_to_ns(uint64_t tsc)
{
    return ticks_to_ns(&tsc_scale, tsc);
}

uint64_t ns_to_tsc(uint64_t ns)
{
    return ns / 1000000 * tsc_khz + ns % 1000000 * tsc_khz / 1000000;
}

uint64_t now(void)
{
    return tsc_to_ns(read_tsc() - boot_tsc);
}

uint64_t time_boot_tsc(void)
{
    return boot_tsc;
}

/* --- PIT channel 2 as a measure, only at boot --- */

#define PIT_HZ 1193182u

static void pit_start(uint16_t count)
{
    outb(0x61, (inb(0x61) & ~2) | 1); /* gate on, speaker off */
    outb(0x43, 0xb0);                 /* channel 2, mode 0    */
    outb(0x42, count);
    outb(0x42, count >> 8);
}

/* TSC ticks in so many ms, and how many of them may be too many or missing. */
static uint64_t measure(uint32_t ms, uint64_t *unsure)
{
    uint64_t before = read_tsc(), start, last, end;
    unsigned long spins = 0; /* a microsecond each or so */

    pit_start(PIT_HZ * ms / 1000);
    start = end = read_tsc();
    do {
        if (++spins > 1ul << 24) panic("the PIT does not count; cannot measure the TSC");
        last = end;
        end = read_tsc();
    } while (!(inb(0x61) & 0x20)); /* its output */
    *unsure = start - before + read_tsc() - last;
    return end - start;
}

/* A machine that is a guest itself may be interrupted in a measurement. */
void time_boot(void)
{
    const uint32_t ms = 50, tries = 5, good_enough = 10000;
    uint64_t best = ~0ull, ticks = 0;

    for (uint32_t i = 0; i < tries && best > ticks / good_enough; i++) {
        uint64_t unsure, n = measure(ms, &unsure);

        if (unsure >= best) continue;
        best = unsure;
        ticks = n;
    }
    tsc_khz = ticks / ms;
    tsc_scale_set(&tsc_scale, tsc_khz);
    boot_tsc = read_tsc();
    log_info("TSC: %u.%03u MHz, within %lu kHz", tsc_khz / 1000, tsc_khz % 1000, best / ms);
}

void delay_us(unsigned int us)
{
    uint64_t end = read_tsc() + ns_to_tsc(us * 1000ull);

    while ((int64_t)(read_tsc() - end) < 0) cpu_relax();
}

/* --- timers --- */

void timers_init(struct cpu *c)
{
    spin_init(&c->timers.lock, RANK_TIMER);
    list_init(&c->timers.queue);
    c->timers.armed = TIME_NEVER;
}

void timer_init(struct timer *t, void (*fn)(void *data), void *data)
{
    list_init(&t->link);
    t->cpu = NULL;
    t->fn = fn;
    t->data = data;
}

static struct timer *first(struct cpu_timers *q)
{
    return list_empty(&q->queue) ? NULL : list_entry(q->queue.next, struct timer, link);
}

/* Sets the hardware for the head, unless that is due; on q's own CPU, lock held. */
static void arm(struct cpu_timers *q)
{
    struct timer *t = first(q);
    uint64_t when = t ? t->expires : TIME_NEVER;

    if (t && when <= now()) {
        set_bit(WORK_TIMER, &this_cpu()->pending);
    } else if (when != q->armed) {
        q->armed = when;
        apic_set_timer(when);
    }
}

void timer_stop(struct timer *t)
{
    struct cpu *c;

    while ((c = READ_ONCE(t->cpu)) != NULL) {
        spin_lock(&c->timers.lock);
        if (t->cpu == c) {
            list_del(&t->link);
            t->cpu = NULL;
        }
        spin_unlock(&c->timers.lock);
    }
}

void timer_set(struct timer *t, uint64_t expires)
{
    struct cpu *c = this_cpu();
    struct cpu_timers *q = &c->timers;
    struct list *p;

    timer_stop(t);
    spin_lock(&q->lock);
    t->expires = expires;
    t->cpu = c;
    list_for_each (p, &q->queue) {
        if (list_entry(p, struct timer, link)->expires > expires) break;
    }
    list_add_tail(p, &t->link);
    if (q->queue.next == &t->link) arm(q);
    spin_unlock(&q->lock);
}

void timer_interrupt(void)
{
    this_cpu()->timers.armed = TIME_NEVER;
    set_bit(WORK_TIMER, &this_cpu()->pending);
}

/* Some at a time: what else is pending has its turn even where timers come due
 * faster than they run. */
void timers_run(struct cpu *c)
{
    struct cpu_timers *q = &c->timers;
    unsigned int left = 64;
    struct timer *t;

    spin_lock(&q->lock);
    while (left-- && (t = first(q)) != NULL && t->expires <= now()) {
        list_del(&t->link);
        t->cpu = NULL;
        spin_unlock(&q->lock);
        t->fn(t->data);
        spin_lock(&q->lock);
    }
    arm(q);
    spin_unlock(&q->lock);
}
