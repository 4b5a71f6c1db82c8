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
static uint64_t boot_tsc;

uint64_t tsc_to_ns(uint64_t tsc)
{
    if (tsc_scale.shift < 0)
        tsc >>= -tsc_scale.shift;
    else
        tsc <<= tsc_scale.shift;
    return (unsigned __int128)tsc * tsc_scale.mul >> 32;
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

/* TSC kHz -> multiplier and shift with the multiplier's top bit set. */
void tsc_scale_set(struct tsc_scale *s, uint32_t khz)
{
    uint64_t ticks = (uint64_t)khz * 1000;
    uint64_t ns = NS_PER_SEC;

    s->shift = 0;
    while (ticks > NS_PER_SEC * 2) {
        ticks >>= 1;
        s->shift--;
    }
    while (ticks <= NS_PER_SEC) {
        ticks <<= 1;
        s->shift++;
    }
    s->mul = (ns << 32) / ticks;
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

void time_boot(void)
{
    const uint32_t ms = 50;
    uint64_t start, ticks;
    unsigned long spins = 0;

    pit_start(PIT_HZ / 1000 * ms);
    start = read_tsc();
    while (!(inb(0x61) & 0x20)) /* its output */
        if (++spins > 1ul << 30) panic("the PIT does not count; cannot measure the TSC");
    ticks = read_tsc() - start;
    tsc_khz = ticks / ms;
    tsc_scale_set(&tsc_scale, tsc_khz);
    boot_tsc = read_tsc();
    log_info("TSC: %u.%03u MHz", tsc_khz / 1000, tsc_khz % 1000);
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

/* Sets the hardware for the head; on q's own CPU, lock held. */
static void arm(struct cpu_timers *q)
{
    struct timer *t = first(q);
    uint64_t when = t ? t->expires : TIME_NEVER;

    if (when != q->armed) {
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

void timers_run(struct cpu *c)
{
    struct cpu_timers *q = &c->timers;
    struct timer *t;

    spin_lock(&q->lock);
    while ((t = first(q)) != NULL && t->expires <= now()) {
        list_del(&t->link);
        t->cpu = NULL;
        spin_unlock(&q->lock);
        t->fn(t->data);
        spin_lock(&q->lock);
    }
    arm(q);
    spin_unlock(&q->lock);
}
