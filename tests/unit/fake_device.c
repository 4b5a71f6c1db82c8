/* SPDX-License-Identifier: Apache-2.0 */
/* See fake_device.h.  The locks are the real ones. */
#define _GNU_SOURCE
#include "fake_device.h"
#include "lib/print.h"
#include "memory/heap.h"
#include "msan.h"
#include "sched/sched.h"
#include "vm/vcpu.h"
#include <asm/prctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct fake_device fake;
struct domain *dom0, *fake_guest;
struct cpu *cpus[MAX_CPUS];
unsigned int cpu_count;
uint32_t tsc_khz = 1000000;
struct tsc_scale tsc_scale = {1u << 31, 1}; /* 1 ns */

static struct cpu all_cpus[2];
static struct domain domains[2];
static struct vcpu vcpus[2][8];
static struct list timers = LIST_INIT(timers);

void fake_init(unsigned int count)
{
    memset(&fake, 0, sizeof(fake));
    memset(domains, 0, sizeof(domains));
    memset(vcpus, 0, sizeof(vcpus));
    list_init(&timers);
    fake.exception = -1;
    fake.now = 1000 * NS_PER_MS;
    cpu_count = 2;
    for (unsigned int i = 0; i < 2; i++) {
        cpus[i] = &all_cpus[i];
        cpus[i]->self = cpus[i];
        cpus[i]->apic_id = 4 * i;
        domains[i].id = i;
        domains[i].max_vcpus = count;
        tsc_init(&domains[i], 0);
        for (unsigned int n = 0; n < count; n++) {
            domains[i].vcpus[n] = &vcpus[i][n];
            vcpus[i][n].domain = &domains[i];
            vcpus[i][n].id = n;
            vcpus[i][n].sched.last_cpu = &all_cpus[n % 2];
        }
    }
    dom0 = &domains[0];
    dom0->privileged = dom0->pci = true;
    fake_guest = &domains[1];
    syscall(SYS_arch_prctl, ARCH_SET_GS, &all_cpus[0]);
}

uint32_t fake_random(void)
{
    static uint64_t x = 0x9e3779b97f4a7c15ull;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x >> 16;
}

/* --- the core around --- */

_Noreturn void assert_failed(const char *expr, const char *file, int line)
{
    printf("not ok assertion: %s:%d: %s\n", file, line, expr);
    abort();
}

__attribute__((weak)) void log_core(enum log_level l, const char *fmt, ...)
{
    (void)l;
    (void)fmt;
    fake.logged++;
}

__attribute__((weak)) void log_guest(enum log_level l, const char *fmt, ...)
{
    (void)l;
    (void)fmt;
    fake.logged++;
}

__attribute__((weak)) void panic(const char *fmt, ...)
{
    printf("not ok panic: %s\n", fmt);
    abort();
}

void cpu_poll(void)
{
}

void *core_alloc(size_t size)
{
    fake.objects++;
    return calloc(1, size);
}

void core_free(void *p)
{
    fake.objects -= p != NULL;
    free(p);
}

void vcpu_notify(struct vcpu *v)
{
    void (*fn)(void) = fake.on_notify;

    fake.notified[v->domain->id][v->id]++;
    fake.on_notify = NULL;
    if (fn) fn();
}

void vcpu_set_down(struct vcpu *v, bool down)
{
    v->holds = down ? v->holds | HOLD_DOWN : v->holds & ~HOLD_DOWN;
}

void vcpu_reset(struct vcpu *v)
{
    memset(&v->regs, 0, sizeof(v->regs));
    memset(&fake.state, 0, sizeof(fake.state));
}

void sched_stop(struct vcpu *v)
{
    (void)v;
}

/* --- time --- */

uint64_t now(void)
{
    return fake.now;
}

void clock_update_vcpu(struct vcpu *v)
{
    (void)v;
}

uint64_t tsc_to_ns(uint64_t tsc)
{
    return tsc;
}

uint64_t time_boot_tsc(void)
{
    return 0;
}

void timer_init(struct timer *t, void (*fn)(void *data), void *data)
{
    *t = (struct timer){.fn = fn, .data = data};
    list_init(&t->link);
}

void timer_stop(struct timer *t)
{
    list_del(&t->link);
    t->cpu = NULL;
}

void timer_set(struct timer *t, uint64_t expires)
{
    timer_stop(t);
    t->expires = expires;
    t->cpu = cpus[0];
    list_add(&timers, &t->link);
}

static struct timer *earliest(void)
{
    struct timer *best = NULL;
    struct list *p;

    list_for_each (p, &timers) {
        struct timer *t = list_entry(p, struct timer, link);

        if (!best || t->expires < best->expires) best = t;
    }
    return best;
}

unsigned int fake_run_until(uint64_t ns)
{
    unsigned int fired = 0;
    struct timer *t;

    while ((t = earliest()) != NULL && t->expires <= ns) {
        fake.now = MAX(fake.now, t->expires);
        timer_stop(t);
        t->fn(t->data);
        fired++;
    }
    fake.now = MAX(fake.now, ns);
    return fired;
}

/* --- the vendor --- */

static void get_state(struct vcpu *v, struct arch_state *s)
{
    (void)v;
    *s = fake.state;
}

static void set_state(struct vcpu *v, const struct arch_state *s)
{
    (void)v;
    TO_GUEST(s, sizeof(*s));
    fake.state = *s;
}

static void get_segment(struct vcpu *v, enum segment_name n, struct segment *s)
{
    (void)v;
    *s = fake.state.seg[n];
}

static uint64_t get_efer(struct vcpu *v)
{
    (void)v;
    return fake.state.efer;
}

static void inject_exception(struct vcpu *v, uint8_t vector, int error)
{
    (void)v;
    (void)error;
    fake.exception = vector;
}

static void skip_insn(struct vcpu *v, unsigned int len)
{
    v->regs.rip += len;
    fake.skipped += len;
}

static unsigned int get_cpl(struct vcpu *v)
{
    (void)v;
    return fake.state.seg[SEG_SS].attr >> 5 & 3;
}

static const struct vendor_ops ops = {
    .get_state = get_state,
    .set_state = set_state,
    .get_segment = get_segment,
    .get_cpl = get_cpl,
    .get_efer = get_efer,
    .inject_exception = inject_exception,
    .skip_insn = skip_insn,
};
const struct vendor_ops *vendor = &ops;
