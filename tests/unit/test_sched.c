/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler on a simulated machine: a clock that jumps to the next timer,
 * CPUs that schedule when they are asked to, vCPUs that run until told to stop.
 */
#define sched_yield core_sched_yield /* the C library has one, and ASan calls it */
#include "../../core/sched/sched.c"
#include "hypercall/evtchn.h"
#include "check.h"
#include "msan.h"
#include <asm/prctl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CPUS    32
#define DOMAINS 8
#define VCPUS   4

unsigned int cpu_count;
struct cpu *cpus[MAX_CPUS];

static struct cpu machine[CPUS];
static struct vcpu idle_vcpu[CPUS], vcpu_of[DOMAINS][VCPUS];
static struct domain domain_of[DOMAINS],
    idle_of_all = {.id = DOMID_IDLE, .weight = SCHED_DEFAULT_WEIGHT};
static struct timer *timers[256];
static unsigned int timer_count, idles;
static uint64_t clock_ns;
static struct {
    struct cpu *self;
} gs; /* what %gs:0 says */

/* --- what the scheduler stands on --- */

uint64_t now(void)
{
    return clock_ns;
}

void timer_init(struct timer *t, void (*fn)(void *data), void *data)
{
    *t = (struct timer){.fn = fn, .data = data};
}

void timer_stop(struct timer *t)
{
    for (unsigned int i = 0; i < timer_count; i++)
        if (timers[i] == t) timers[i--] = timers[--timer_count];
    t->cpu = NULL;
}

void timer_set(struct timer *t, uint64_t expires)
{
    timer_stop(t);
    if (timer_count == ARRAY_SIZE(timers)) abort();
    t->expires = expires;
    t->cpu = this_cpu();
    timers[timer_count++] = t;
}

void cpu_ask(struct cpu *c, enum cpu_work work)
{
    set_bit(work, &c->pending);
}

static void (*others)(void); /* what they do while somebody waits */

void cpu_poll(void)
{
    if (others) others();
}

struct vcpu *vcpu_create_idle(void)
{
    struct vcpu *v = &idle_vcpu[idles++];

    *v = (struct vcpu){.domain = &idle_of_all};
    return v;
}

void vcpu_switch_in(struct vcpu *v)
{
    (void)v;
}

void vcpu_switch_out(struct vcpu *v)
{
    (void)v;
}

void guest_access_reset(struct vcpu *v)
{
    (void)v;
}

int copy_to_guest(uint64_t va, const void *src, size_t n)
{
    TO_GUEST(src, n);
    memcpy((void *)va, src, n);
    return 0;
}

void log_core(enum log_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

_Noreturn void assert_failed(const char *expr, const char *file, int line)
{
    printf("not ok assertion: %s:%d: %s\n", file, line, expr);
    abort();
}

/* --- the machine --- */

static void on_cpu(unsigned int id)
{
    gs.self = &machine[id];
}

static void boot(unsigned int n)
{
    clock_ns = NS_PER_SEC;
    timer_count = idles = cpu_count = 0;
    memset(runqs, 0, sizeof(runqs));
    memset(state, 0, sizeof(state));
    memset(domain_of, 0, sizeof(domain_of));
    memset(vcpu_of, 0, sizeof(vcpu_of));
    syscall(SYS_arch_prctl, ARCH_SET_GS, &gs);
    sched_init();
    for (unsigned int i = 0; i < n; i++) {
        machine[i] = (struct cpu){.self = &machine[i], .id = i, .online = true};
        cpus[i] = &machine[i];
        cpu_count++;
        on_cpu(i);
        sched_add_cpu(&machine[i]);
    }
    on_cpu(0);
}

static struct cpu *stuck; /* does nothing while time passes */

/* Lets ns pass. */
static void run(uint64_t ns)
{
    uint64_t end = clock_ns + ns, next;

    for (;;) {
        for (unsigned int i = 0; i < cpu_count; i++) {
            if (cpus[i] == stuck) continue;
            on_cpu(i);
            if (test_and_clear_bit(WORK_SCHEDULE, &machine[i].pending)) {
                schedule(&machine[i]);
                i = -1u; /* it may have asked others */
            }
        }
        next = end;
        for (unsigned int i = 0; i < timer_count; i++) {
            struct timer *t = timers[i];

            if (t->cpu == stuck) continue;
            next = MIN(next, t->expires);
            if (t->expires > clock_ns) continue;
            on_cpu(t->cpu->id);
            timer_stop(t);
            t->fn(t->data);
            i = -1u;
            next = clock_ns;
        }
        if (next > clock_ns) clock_ns = next;
        if (clock_ns == end && next == end) break;
    }
    for (unsigned int i = 0; i < cpu_count; i++) {
        on_cpu(i);
        if (test_and_clear_bit(WORK_SCHEDULE, &machine[i].pending)) schedule(&machine[i]);
    }
    on_cpu(0);
}

static struct vcpu *add(unsigned int dom, unsigned int id)
{
    struct domain *d = &domain_of[dom];
    struct vcpu *v = &vcpu_of[dom][id];

    if (!d->weight) {
        *d = (struct domain){.id = dom, .weight = SCHED_DEFAULT_WEIGHT, .max_vcpus = VCPUS};
        sched_init_domain(d);
    }
    v->domain = d;
    v->id = id;
    v->holds = HOLD_BLOCKED;
    d->vcpus[id] = v;
    sched_add_vcpu(v);
    return v;
}

static void awake(struct vcpu *v)
{
    v->holds = 0;
    sched_wake(v);
}

static void asleep(struct vcpu *v)
{
    v->holds = HOLD_BLOCKED;
    sched_stop(v);
    run(0);
}

static void pin(struct vcpu *v, unsigned int cpu)
{
    unsigned long mask[BITMAP_WORDS(MAX_CPUS)] = {0}, any[BITMAP_WORDS(MAX_CPUS)];

    memset(any, 0xff, sizeof(any));
    __set_bit(cpu, mask);
    CHECK(sched_set_affinity(v, mask, any) == 0);
}

/* A vCPU that is pinned, and runs. */
static struct vcpu *hog(unsigned int dom, unsigned int id, unsigned int cpu)
{
    struct vcpu *v = add(dom, id);

    pin(v, cpu);
    awake(v);
    return v;
}

/* What v runs of the next ns, in per mille. */
static unsigned int share(struct vcpu *v, uint64_t ns)
{
    uint64_t before = vcpu_run_time(v);

    run(ns);
    return (vcpu_run_time(v) - before) * 1000 / ns;
}

static bool near(unsigned int got, unsigned int want)
{
    bool good = got * 100 >= want * 97 && got * 100 <= want * 103;

    if (!good) printf("# %u per mille, not %u\n", got, want);
    return good;
}

/* --- shares --- */

static void weights_on_one_cpu(void)
{
    struct vcpu *a, *b;

    boot(1);
    a = hog(1, 0, 0);
    b = hog(2, 0, 0);
    CHECK(sched_set_params(a->domain, 512, 0) == 0);
    CHECK(near(share(a, 3 * NS_PER_SEC), 667));
    CHECK(near(share(b, 3 * NS_PER_SEC), 333));
}

static void three_on_two_cpus(void)
{
    struct vcpu *v[3];

    boot(2);
    for (unsigned int i = 0; i < 3; i++) awake(v[i] = add(i + 1, 0));
    for (unsigned int i = 0; i < 3; i++) CHECK(near(share(v[i], 3 * NS_PER_SEC), 667));
}

static void cap_holds(void)
{
    struct vcpu *a;

    boot(2);
    a = hog(1, 0, 0);
    CHECK(sched_set_params(a->domain, 256, 30) == 0);
    CHECK(near(share(a, 3 * NS_PER_SEC), 300));
    CHECK(sched_set_params(a->domain, 256, 0) == 0);
    CHECK(near(share(a, NS_PER_SEC), 1000));
    CHECK(sched_set_params(a->domain, 256, 150) == 0);
    awake(add(1, 1));
    awake(add(1, 2));
    run(NS_PER_SEC);
    CHECK(near(share(a, 3 * NS_PER_SEC) + share(a->domain->vcpus[1], 3 * NS_PER_SEC) +
                   share(a->domain->vcpus[2], 3 * NS_PER_SEC),
               1500));
}

/* What v runs, in per mille, when there is a pause after each `ms` or so. */
static unsigned int share_with_pauses(struct vcpu *v, unsigned int ms, void (*pause)(void))
{
    uint64_t start = clock_ns, before = vcpu_run_time(v);

    for (unsigned int i = 0; i < 50; i++) {
        run((ms + i % 10) * NS_PER_MS);
        pause();
    }
    run(100 * NS_PER_MS);
    return (vcpu_run_time(v) - before) * 1000 / (clock_ns - start);
}

static struct vcpu *hog_with_cap(unsigned int cpu, uint16_t cap)
{
    struct vcpu *v = hog(1, 0, cpu);

    CHECK(sched_set_params(v->domain, 256, cap) == 0);
    run(NS_PER_SEC);
    return v;
}

static void nothing_moves(void)
{
    clock_ns += 30 * NS_PER_MS;
}

/* The machine stands still for a while now and then. */
static void cap_holds_with_late_timers(void)
{
    boot(1);
    CHECK(near(share_with_pauses(hog_with_cap(0, 50), 60, nothing_moves), 500));
}

static void cpu1_is_stuck(void)
{
    stuck = cpus[1];
    run(90 * NS_PER_MS);
    stuck = NULL;
}

/* The CPU of the one that runs stands still now and then, as emulated ones do,
 * the other does not: what was used but is not charged yet is no surplus. */
static void cap_holds_on_a_slow_cpu(void)
{
    boot(2);
    CHECK(near(share_with_pauses(hog_with_cap(1, 50), 200, cpu1_is_stuck), 500));
}

/* --- after a long time without competition --- */

static void new_parameters_of_a_busy_one(void)
{
    struct vcpu *a;

    boot(1);
    a = hog(1, 0, 0);
    run(60 * NS_PER_SEC);
    CHECK(sched_set_params(a->domain, 256, 50) == 0);
    CHECK(near(share(a, NS_PER_SEC), 500)); /* from now on, not for what was */
    CHECK(sched_set_params(a->domain, 256, 0) == 0);
    run(60 * NS_PER_SEC);
    CHECK(sched_set_params(a->domain, 512, 0) == 0);
    hog(2, 0, 0);
    CHECK(near(share(a, 3 * NS_PER_SEC), 667));
}

static void newcomers_after_a_long_time(void)
{
    struct vcpu *v[6];
    uint64_t before[6];

    boot(2);
    for (unsigned int i = 0; i < 6; i++) v[i] = add(i + 1, 0);
    CHECK(sched_set_params(v[0]->domain, 64, 0) == 0);
    awake(v[0]); /* its time passes four times as fast as v[1]'s */
    awake(v[1]);
    run(60 * NS_PER_SEC);
    for (unsigned int i = 2; i < 6; i++) awake(v[i]);
    run(100 * NS_PER_MS);
    for (unsigned int i = 0; i < 6; i++) before[i] = vcpu_run_time(v[i]);
    run(10 * NS_PER_SEC);
    for (unsigned int i = 0; i < 6; i++)
        CHECK(near((vcpu_run_time(v[i]) - before[i]) / (10 * NS_PER_MS), i ? 381 : 95));
}

/* Who is due more than a CPU has one, and the others share the rest by weight. */
static void more_than_one_can_use(void)
{
    struct vcpu *v[3];

    boot(2);
    for (unsigned int i = 0; i < 3; i++) v[i] = add(i + 1, 0);
    CHECK(sched_set_params(v[0]->domain, 4096, 0) == 0);
    CHECK(sched_set_params(v[1]->domain, 128, 0) == 0);
    for (unsigned int i = 0; i < 3; i++) awake(v[i]);
    run(30 * NS_PER_SEC);
    CHECK(near(share(v[0], 3 * NS_PER_SEC), 1000));
    CHECK(near(share(v[1], 3 * NS_PER_SEC), 333));
    CHECK(near(share(v[2], 3 * NS_PER_SEC), 667));
}

static void the_least_weight(void)
{
    struct vcpu *least, *most;
    uint64_t before;

    boot(1);
    least = hog(1, 0, 0);
    CHECK(sched_set_params(least->domain, 1, 0) == 0);
    run(NS_PER_SEC);
    most = hog(2, 0, 0);
    CHECK(sched_set_params(most->domain, 65535, 0) == 0);
    before = vcpu_run_time(least);
    run(20 * NS_PER_SEC);
    CHECK(vcpu_run_time(least) - before < 25 * NS_PER_MS);
}

/* Each is woken by the one before it, which runs: credit before that one must not
 * add up, or who waits meanwhile waits for the square of their number. */
static void woken_in_a_chain(void)
{
    struct vcpu *victim, *v[28];
    uint64_t before, start;

    boot(1);
    victim = hog(7, 0, 0);
    for (unsigned int i = 0; i < 28; i++) v[i] = add(i / VCPUS, i % VCPUS);
    run(NS_PER_SEC);
    start = clock_ns;
    for (unsigned int i = 0; i < 28; i++) {
        awake(v[i]);
        run(RATELIMIT + 1);
    }
    for (before = vcpu_run_time(victim); vcpu_run_time(victim) == before;) run(NS_PER_MS);
    /* A slice and WAKE_CREDIT ahead, each needs two slices; 28 * 28 / 2 ms before. */
    CHECK(clock_ns - start <= 29 * 2 * SLICE);
}

static void asleep_while_paused(void)
{
    struct vcpu_runstate_info r;
    struct vcpu *v;

    boot(1);
    v = hog(1, 0, 0);
    run(NS_PER_MS);
    asleep(v);
    v->domain->pause_count = 1;
    sched_stop(v);
    run(NS_PER_MS);
    v->domain->pause_count = 0;
    sched_wake(v);
    run(NS_PER_SEC);
    vcpu_get_runstate(v, &r);
    CHECK(r.time[RUNSTATE_blocked] == NS_PER_SEC && r.time[RUNSTATE_offline] == NS_PER_MS);
}

static unsigned int looks;

/* CPU 1 waits for a pausing vCPU to be off CPU 0, then its operation ends. */
static void cpu1_pauses(void)
{
    CHECK(++looks < 10);
    if (looks == 1) {
        vcpu_of[1][0].domain->pause_count = 1;
        sched_stop(&vcpu_of[1][0]);
    }
    if (!vcpu_of[1][0].running_on || looks == 10) machine[1].passes++;
}

static void waits_for_one_that_waits(void)
{
    boot(2);
    hog(1, 0, 0);
    run(NS_PER_MS);
    machine[1].passes = 1;
    looks = 0;
    others = cpu1_pauses;
    wait_quiescent();
    others = NULL;
    CHECK(looks == 2 && machine[0].current == machine[0].idle);
}

/* A refill that is about to run as the domain goes. */
static void refill_of_a_dead_domain(void)
{
    struct vcpu *a;

    boot(1);
    a = hog(1, 0, 0);
    CHECK(sched_set_params(a->domain, 256, 50) == 0);
    run(NS_PER_SEC);
    asleep(a);
    clock_ns += CAP_PERIOD;
    sched_remove_domain(a->domain);
    cap_refill(a->domain);
    for (unsigned int i = 0; i < timer_count; i++) CHECK(timers[i] != &a->domain->cap_timer);
}

/* --- those who are pinned together and have had less than others --- */

static void sleeper_among_pinned(void)
{
    struct vcpu *a, *b, *d;

    boot(2);
    d = add(4, 0);
    pin(d, 1);
    hog(3, 0, 0); /* alone on CPU 0: it gets ahead of all on CPU 1 */
    a = hog(1, 0, 1);
    b = hog(2, 0, 1);
    run(10 * NS_PER_SEC);
    asleep(a);
    run(NS_PER_MS);
    awake(a);
    CHECK(near(share(a, NS_PER_SEC), 500));
    awake(d);
    CHECK(near(share(d, NS_PER_SEC), 333));
    CHECK(near(share(b, NS_PER_SEC), 333));
}

static void pinned_to_others(void)
{
    struct vcpu *a, *c;

    boot(2);
    c = hog(3, 0, 0);
    a = hog(1, 0, 1);
    hog(2, 0, 1);
    run(10 * NS_PER_SEC);
    pin(c, 1); /* far ahead of those there */
    CHECK(near(share(c, NS_PER_SEC), 333));
    pin(c, 0);
    run(10 * NS_PER_SEC);
    pin(a, 0); /* far behind */
    CHECK(near(share(c, NS_PER_SEC), 500));
    CHECK(near(share(a, NS_PER_SEC), 500));
}

static void long_sleeper_free_to_move(void)
{
    struct vcpu *c, *v;

    boot(2);
    v = add(4, 0);
    c = hog(3, 0, 0);
    hog(1, 0, 1);
    hog(2, 0, 1);
    run(10 * NS_PER_SEC);
    awake(v); /* it competes with c, whose CPU is the less loaded */
    CHECK(near(share(v, NS_PER_SEC), 500));
    CHECK(near(share(c, NS_PER_SEC), 500));
}

/* Who sleeps most of the time is on at once, and the rest goes on as before. */
static void short_sleeper(void)
{
    struct vcpu *a, *v;
    uint64_t asked, before, worst = 0;

    boot(1);
    a = hog(1, 0, 0);
    hog(2, 0, 0);
    v = add(3, 0);
    run(NS_PER_SEC);
    before = vcpu_run_time(a);
    for (unsigned int i = 0; i < 100; i++) {
        awake(v);
        asked = clock_ns;
        while (v->running_on == NULL && clock_ns < asked + NS_PER_SEC) run(100000);
        worst = MAX(worst, clock_ns - asked);
        run(100000);
        asleep(v);
        run(9900000);
    }
    CHECK(worst <= RATELIMIT + 100000);
    CHECK(near((vcpu_run_time(a) - before) / NS_PER_MS, 500));
}

/* A yield is behind those who wait for the same CPU, no others. */
static void yield_stays_among_its_own(void)
{
    struct vcpu *a, *b;

    boot(3);
    hog(3, 0, 0);
    hog(4, 0, 0);
    run(10 * NS_PER_SEC);
    a = add(1, 0);
    b = add(2, 0);
    pin(a, 1);
    pin(b, 1);
    awake(a);
    run(NS_PER_MS);
    on_cpu(1);
    sched_yield(a);
    run(0);
    awake(b);
    run(0);
    CHECK(near(share(a, NS_PER_SEC), 500));
    on_cpu(a->running_on ? 1 : 0);
    if (a->running_on) {
        sched_yield(a);
        run(0);
        CHECK(b->running_on == &machine[1]);
    }
}

/* --- more than one run queue --- */

static void pinned_to_a_busy_cpu_of_another_queue(void)
{
    struct vcpu *v, *w;

    boot(CPUS);
    hog(1, 0, 20);
    v = add(2, 0);
    awake(v);
    run(NS_PER_SEC);
    CHECK(v->running_on && v->running_on->id < RUNQ_CPUS);
    pin(v, 20); /* while it runs */
    CHECK(near(share(v, NS_PER_SEC), 500));
    w = add(3, 0);
    pin(w, 20); /* while it sleeps */
    awake(w);
    CHECK(near(share(w, NS_PER_SEC), 333));
    pin(w, 1);
    CHECK(near(share(w, NS_PER_SEC), 1000));
    hog(4, 0, 1);
    hog(4, 1, 1);
    run(NS_PER_MS);
    while (!w->sched.queued) run(NS_PER_MS);
    pin(w, 20); /* while it waits */
    CHECK(near(share(w, NS_PER_SEC), 333));
    CHECK(near(share(v, NS_PER_SEC), 333));
}

static void idle_cpus_of_another_queue_help(void)
{
    struct vcpu *v[5 * VCPUS];
    unsigned int n = 0;

    boot(CPUS);
    for (unsigned int d = 0; d < 5; d++)
        for (unsigned int i = 0; i < VCPUS; i++) awake(v[n++] = add(d + 1, i));
    run(NS_PER_MS);
    while (n--) CHECK(v[n]->running_on != NULL);
}

/* --- parameters, accounting --- */

/* The timer's function was about to run when the parameters were set. */
static void refill_after_new_parameters(void)
{
    struct vcpu *a;

    boot(1);
    a = hog(1, 0, 0);
    CHECK(sched_set_params(a->domain, 256, 50) == 0);
    run(15 * NS_PER_MS);
    CHECK(sched_set_params(a->domain, 256, 20) == 0);
    a->domain->cap_timer.fn(a->domain);
    CHECK(near(share(a, NS_PER_SEC), 200));
}

static void woken_without_budget(void)
{
    struct vcpu_runstate_info r;
    struct vcpu *a, *b;

    boot(2);
    a = hog(1, 0, 0);
    b = add(1, 1);
    CHECK(sched_set_params(a->domain, 256, 10) == 0);
    run(5 * NS_PER_MS); /* the budget was 1 ms */
    awake(b);
    vcpu_get_runstate(b, &r);
    CHECK(r.state == RUNSTATE_runnable);
    vcpu_get_runstate(a, &r);
    CHECK(r.state == RUNSTATE_runnable);
    asleep(b);
    vcpu_get_runstate(b, &r);
    CHECK(r.state == RUNSTATE_blocked && r.time[RUNSTATE_running] == 0);
}

static void idle_time_of_a_sleeping_cpu(void)
{
    uint64_t before;

    boot(2);
    hog(1, 0, 0);
    run(NS_PER_SEC);
    before = vcpu_run_time(machine[1].idle);
    run(NS_PER_SEC); /* CPU 1 does not wake in between */
    CHECK(vcpu_run_time(machine[1].idle) - before == NS_PER_SEC);
    before = vcpu_run_time(machine[0].idle);
    run(NS_PER_SEC);
    CHECK(vcpu_run_time(machine[0].idle) == before);
}

/* Nobody is taken off a CPU before the rate limit, from wherever the wake-up is. */
static void rate_limit(void)
{
    struct vcpu *a, *v;
    uint64_t start;

    boot(2);
    a = hog(1, 0, 1);
    v = add(2, 0);
    pin(v, 1);
    run(20 * NS_PER_MS);
    asleep(a);
    run(10 * NS_PER_MS);
    for (unsigned int from = 0; from < 2; from++) {
        awake(a);
        run(0);
        CHECK(a->running_on == &machine[1]);
        start = clock_ns;
        run(RATELIMIT / 2);
        on_cpu(from);
        awake(v);
        run(RATELIMIT / 2 - 1);
        CHECK(a->running_on == &machine[1]);
        while (!v->running_on) run(10000);
        CHECK(clock_ns - start <= SLICE + 10000);
        asleep(v);
        asleep(a);
        run(NS_PER_SEC);
    }
}

int main(void)
{
    RUN(weights_on_one_cpu);
    RUN(three_on_two_cpus);
    RUN(cap_holds);
    RUN(cap_holds_with_late_timers);
    RUN(cap_holds_on_a_slow_cpu);
    RUN(new_parameters_of_a_busy_one);
    RUN(newcomers_after_a_long_time);
    RUN(more_than_one_can_use);
    RUN(the_least_weight);
    RUN(woken_in_a_chain);
    RUN(asleep_while_paused);
    RUN(waits_for_one_that_waits);
    RUN(refill_of_a_dead_domain);
    RUN(sleeper_among_pinned);
    RUN(pinned_to_others);
    RUN(long_sleeper_free_to_move);
    RUN(short_sleeper);
    RUN(yield_stays_among_its_own);
    RUN(pinned_to_a_busy_cpu_of_another_queue);
    RUN(idle_cpus_of_another_queue_help);
    RUN(refill_after_new_parameters);
    RUN(woken_without_budget);
    RUN(idle_time_of_a_sleeping_cpu);
    RUN(rate_limit);
    return CHECK_RESULT();
}
