/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler.  Up to RUNQ_CPUS processors share a run queue: runnable vCPUs
 * sorted by virtual time, which passes the slower for a vCPU the higher its
 * domain's weight.  Who has had least runs next.  An idle CPU takes from the
 * queues of others.  A domain with a cap has a budget that is refilled every
 * CAP_PERIOD; what it overdraws is missing from the next.
 */
#include "sched/sched.h"
#include "cpu/cpu.h"
#include "cpu/lock.h"
#include "cpu/time.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "vm/domain.h"
#include "vm/guest.h"
#include "vm/vcpu.h"
#include <xen/errno.h>

#define RUNQ_CPUS   16
#define SLICE       (5 * NS_PER_MS)
#define RATELIMIT   (SCHED_RATELIMIT_US * 1000ull)
#define WAKE_CREDIT (2 * NS_PER_MS) /* how far a sleeper may be ahead */
#define CAP_PERIOD  (10 * NS_PER_MS)

struct runq {
    struct spinlock lock; /* guards: queue; struct sched_unit, running_on,
                           * runstate of its vCPUs; current of its CPUs      */
    struct list queue;
    unsigned int waiting;
    uint64_t min_vtime; /* no queued or running vCPU had less, monotonic   */
    struct cpu *cpu[RUNQ_CPUS];
    unsigned int cpus;
};

static struct runq runqs[MAX_CPUS / RUNQ_CPUS];
static struct timer slice_timer[MAX_CPUS];

static inline struct runq *runq_of(const struct cpu *c)
{
    return &runqs[c->id / RUNQ_CPUS];
}

/* A vCPU's queue is that of the CPU it ran on last; it changes only under
 * that queue's lock. */
static struct runq *lock_runq(struct vcpu *v)
{
    for (;;) {
        struct cpu *c = READ_ONCE(v->sched.last_cpu);
        struct runq *rq = runq_of(c);

        spin_lock(&rq->lock);
        if (v->sched.last_cpu == c) return rq;
        spin_unlock(&rq->lock);
    }
}

bool vcpu_runnable(const struct vcpu *v)
{
    return !READ_ONCE(v->holds) && !READ_ONCE(v->domain->pause_count);
}

static bool is_idle(const struct vcpu *v)
{
    return v->domain->id == DOMID_IDLE;
}

static struct vcpu *queued(struct list *p)
{
    return list_entry(p, struct vcpu, sched.link);
}

/* --- accounting; queue lock held --- */

static int runstate_for(const struct vcpu *v, bool running)
{
    if (running) return RUNSTATE_running;
    if (vcpu_runnable(v)) return RUNSTATE_runnable;
    return READ_ONCE(v->holds) & (HOLD_BLOCKED | HOLD_POLL) && !v->domain->pause_count
               ? RUNSTATE_blocked
               : RUNSTATE_offline;
}

static void set_runstate(struct vcpu *v, int state, uint64_t t)
{
    struct vcpu_runstate_info *r = &v->runstate;

    if (t > r->state_entry_time) {
        r->time[r->state] += t - r->state_entry_time;
        r->state_entry_time = t;
    }
    r->state = state;
}

void vcpu_get_runstate(struct vcpu *v, struct vcpu_runstate_info *out)
{
    struct runq *rq = lock_runq(v);

    set_runstate(v, v->runstate.state, now());
    *out = v->runstate;
    spin_unlock(&rq->lock);
}

uint64_t vcpu_run_time(struct vcpu *v)
{
    struct vcpu_runstate_info r;

    vcpu_get_runstate(v, &r);
    return r.time[RUNSTATE_running];
}

/* Charges what v ran since slice_start. */
static void charge(struct runq *rq, struct vcpu *v, uint64_t t)
{
    struct domain *d = v->domain;
    uint64_t ran = t > v->sched.slice_start ? t - v->sched.slice_start : 0;

    v->sched.slice_start = t;
    v->sched.vtime += ran * SCHED_DEFAULT_WEIGHT / d->weight;
    if (v->sched.vtime > rq->min_vtime && list_empty(&rq->queue)) rq->min_vtime = v->sched.vtime;
    if (d->cap) __atomic_fetch_sub(&d->cap_budget, ran, __ATOMIC_SEQ_CST);
}

static bool out_of_budget(const struct domain *d)
{
    return d->cap && (int64_t)READ_ONCE(d->cap_budget) <= 0;
}

static void cap_refill(void *data)
{
    struct domain *d = data;
    struct vcpu *v;
    uint64_t t = now();
    int64_t full, left;

    if (!d->cap) return;
    /* A late timer makes up for the periods that it missed; what a domain did
     * not use is lost. */
    full = CAP_PERIOD * d->cap / 100 * (1 + (t - d->cap_refill) / CAP_PERIOD);
    d->cap_refill += CAP_PERIOD * (1 + (t - d->cap_refill) / CAP_PERIOD);
    left = __atomic_add_fetch(&d->cap_budget, full, __ATOMIC_SEQ_CST);
    if (left > full) __atomic_store_n(&d->cap_budget, full, __ATOMIC_SEQ_CST);
    timer_set(&d->cap_timer, d->cap_refill);
    for_each_vcpu (d, v)
        if (READ_ONCE(v->sched.parked)) sched_wake(v);
}

void sched_init_domain(struct domain *d)
{
    timer_init(&d->cap_timer, cap_refill, d);
}

/* --- the queue; its lock held --- */

static void enqueue(struct runq *rq, struct vcpu *v)
{
    struct list *p;

    for (p = rq->queue.prev; p != &rq->queue; p = p->prev)
        if (queued(p)->sched.vtime <= v->sched.vtime) break;
    list_add(p, &v->sched.link);
    v->sched.queued = true;
    rq->waiting++;
}

static void dequeue(struct runq *rq, struct vcpu *v)
{
    list_del(&v->sched.link);
    v->sched.queued = false;
    rq->waiting--;
}

static bool may_run_on(const struct vcpu *v, const struct cpu *c)
{
    return test_bit(c->id, v->sched.hard);
}

/* The best CPU for a vCPU that has just become runnable: an idle one, soft
 * affinity first, the last one first; or the one whose vCPU has had most (it
 * may go on, but for a slice only). */
static struct cpu *choose_cpu(struct runq *rq, struct vcpu *v)
{
    struct cpu *best = NULL;
    unsigned int best_score = 0;
    uint64_t most = 0;

    for (unsigned int i = 0; i < rq->cpus; i++) {
        struct cpu *c = rq->cpu[i];
        unsigned int score;

        if (!may_run_on(v, c)) continue;
        if (c->current == c->idle && !test_bit(WORK_SCHEDULE, &c->pending)) {
            score = 2 + 4 * test_bit(c->id, v->sched.soft) + (c == v->sched.last_cpu);
            if (score > best_score) {
                best_score = score;
                best = c;
            }
        } else if (!best_score && c->current != c->idle && c->current->sched.vtime >= most) {
            most = c->current->sched.vtime;
            best = c;
        }
    }
    return best;
}

/* An idle CPU of another queue that may run v. */
static struct cpu *idle_elsewhere(const struct runq *rq, struct vcpu *v)
{
    struct cpu *c;

    for_each_cpu (c)
        if (runq_of(c) != rq && may_run_on(v, c) && c->current == c->idle) return c;
    return NULL;
}

/* The rate limit of the one running is over only later. */
static void preempt(struct cpu *c, const struct vcpu *v, uint64_t t)
{
    if (c->current != c->idle && c->current->sched.vtime <= v->sched.vtime &&
        timer_is_set(&slice_timer[c->id]))
        return; /* its slice will end */
    if (c->current == c->idle || t - c->current->sched.slice_start >= RATELIMIT)
        cpu_ask(c, WORK_SCHEDULE);
    else if (c == this_cpu())
        timer_set(&slice_timer[c->id], c->current->sched.slice_start + RATELIMIT);
    else
        cpu_ask(c, WORK_SCHEDULE);
}

/* With nobody waiting the running ones have no slice, and what they have had
 * since they began counts only now: else who wakes would be that far ahead. */
static void advance_min(struct runq *rq, uint64_t t)
{
    uint64_t least = TIME_NEVER;

    for (unsigned int i = 0; i < rq->cpus && list_empty(&rq->queue); i++) {
        const struct vcpu *v = rq->cpu[i]->current;
        uint64_t ran = t - v->sched.slice_start;

        if (!is_idle(v) && t > v->sched.slice_start)
            least = MIN(least, v->sched.vtime + ran * SCHED_DEFAULT_WEIGHT / v->domain->weight);
    }
    if (least != TIME_NEVER) rq->min_vtime = MAX(rq->min_vtime, least);
}

void sched_wake(struct vcpu *v)
{
    struct runq *rq = lock_runq(v);
    struct cpu *c = NULL;
    uint64_t t;

    if (vcpu_runnable(v) && !v->running_on && !v->sched.queued && !out_of_budget(v->domain)) {
        t = now();
        v->sched.parked = false;
        set_runstate(v, RUNSTATE_runnable, t);
        advance_min(rq, t);
        if (v->sched.vtime + WAKE_CREDIT < rq->min_vtime)
            v->sched.vtime = rq->min_vtime - WAKE_CREDIT;
        enqueue(rq, v);
        c = choose_cpu(rq, v);
        if (!c || c->current != c->idle) {
            struct cpu *other = idle_elsewhere(rq, v);

            c = other ? other : c;
        }
        if (c) preempt(c, v, t);
    } else if (vcpu_runnable(v) && !v->running_on && !v->sched.queued) {
        v->sched.parked = true;
    }
    spin_unlock(&rq->lock);
}

void sched_stop(struct vcpu *v)
{
    struct runq *rq = lock_runq(v);

    if (!vcpu_runnable(v)) {
        if (v->sched.queued) dequeue(rq, v);
        if (v->running_on)
            cpu_ask(v->running_on, WORK_SCHEDULE);
        else
            set_runstate(v, runstate_for(v, false), now());
    }
    spin_unlock(&rq->lock);
}

void sched_wait_off_cpu(struct vcpu *v)
{
    while (__atomic_load_n(&v->running_on, __ATOMIC_SEQ_CST)) {
        cpu_poll();
        cpu_relax();
    }
}

void sched_yield(struct vcpu *v)
{
    struct runq *rq = lock_runq(v);

    /* Behind the first that waits, if there is one. */
    if (rq->waiting) {
        struct vcpu *first = queued(rq->queue.next);

        v->sched.vtime = MAX(v->sched.vtime, first->sched.vtime + 1);
        cpu_ask(this_cpu(), WORK_SCHEDULE);
    }
    spin_unlock(&rq->lock);
}

/* --- choosing --- */

static struct vcpu *pick(struct runq *rq, struct cpu *c)
{
    struct list *p, *n;

    list_for_each_safe (p, n, &rq->queue) {
        struct vcpu *v = queued(p);

        if (!may_run_on(v, c)) continue;
        if (out_of_budget(v->domain)) {
            dequeue(rq, v);
            v->sched.parked = true;
            continue;
        }
        return v;
    }
    return NULL;
}

/* Takes a waiting vCPU from another queue for an idle CPU. */
static void steal(struct cpu *c)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(runqs); i++) {
        struct runq *rq = &runqs[i];
        struct vcpu *v;

        if (rq == runq_of(c) || !READ_ONCE(rq->waiting)) continue;
        spin_lock(&rq->lock);
        v = pick(rq, c);
        if (v) {
            dequeue(rq, v);
            /* From here on it belongs to c's queue. */
            v->sched.vtime -= rq->min_vtime;
            WRITE_ONCE(v->sched.last_cpu, c);
        }
        spin_unlock(&rq->lock);
        if (!v) continue;
        rq = runq_of(c);
        spin_lock(&rq->lock);
        v->sched.vtime += rq->min_vtime;
        if (vcpu_runnable(v) && !v->sched.queued && !v->running_on) enqueue(rq, v);
        spin_unlock(&rq->lock);
        return;
    }
}

static void switch_to(struct cpu *c, struct vcpu *prev, struct vcpu *next)
{
    if (prev == next) return;
    if (!is_idle(prev)) {
        vcpu_switch_out(prev);
        __atomic_store_n(&prev->running_on, NULL, __ATOMIC_SEQ_CST);
    }
    if (!is_idle(next)) vcpu_switch_in(next);
    (void)c;
}

/* Tells the guest about its runstate where it asked for it. */
static void publish_runstate(struct vcpu *v)
{
    struct vcpu_runstate_info r = v->runstate;

    if (!v->runstate_va) return;
    guest_access_reset(v);
    if (v->domain->runstate_update_flag) {
        uint64_t entry = r.state_entry_time | XEN_RUNSTATE_UPDATE;

        if (copy_to_guest(v->runstate_va + offsetof(struct vcpu_runstate_info, state_entry_time),
                          &entry, sizeof(entry)))
            return;
    }
    (void)!copy_to_guest(v->runstate_va, &r, sizeof(r));
}

static uint64_t slice_end(struct runq *rq, struct vcpu *v, uint64_t t)
{
    uint64_t slice = TIME_NEVER;

    if (rq->waiting) slice = SLICE;
    if (v->domain->cap) {
        int64_t budget = READ_ONCE(v->domain->cap_budget);

        slice = MIN(slice, (uint64_t)MAX(budget, 100000));
    }
    return slice == TIME_NEVER ? slice : t + slice;
}

void schedule(struct cpu *c)
{
    struct runq *rq = runq_of(c);
    struct vcpu *prev = c->current, *next;
    uint64_t t, end;

    if (is_idle(prev) && !READ_ONCE(rq->waiting)) steal(c);
    spin_lock(&rq->lock);
    t = now();
    if (is_idle(prev)) {
        c->idle_ns += t - prev->sched.slice_start;
    } else {
        charge(rq, prev, t);
        /* Back on the queue, but not for others before it is switched out:
         * the queue's lock is held until then. */
        if (vcpu_runnable(prev) && !out_of_budget(prev->domain))
            enqueue(rq, prev);
        else if (vcpu_runnable(prev))
            prev->sched.parked = true;
    }
    next = pick(rq, c);
    if (next) {
        dequeue(rq, next);
        rq->min_vtime = MAX(rq->min_vtime, next->sched.vtime);
        next->running_on = c;
        next->sched.last_cpu = c;
    } else {
        next = c->idle;
    }
    /* Who waits on may be let run elsewhere at once. */
    if (prev != next && prev->sched.queued) {
        struct cpu *other = choose_cpu(rq, prev);

        if (other && other != c && other->current == other->idle) cpu_ask(other, WORK_SCHEDULE);
    }
    next->sched.slice_start = t;
    end = is_idle(next) ? TIME_NEVER : slice_end(rq, next, t);
    WRITE_ONCE(c->current, next);
    switch_to(c, prev, next);
    if (!is_idle(prev) && prev != next) set_runstate(prev, runstate_for(prev, false), t);
    if (!is_idle(next)) set_runstate(next, RUNSTATE_running, t);
    spin_unlock(&rq->lock);
    if (end == TIME_NEVER)
        timer_stop(&slice_timer[c->id]);
    else
        timer_set(&slice_timer[c->id], end);
    if (!is_idle(next) && next != prev) publish_runstate(next);
}

/* --- set-up and parameters --- */

static void slice_over(void *data)
{
    set_bit(WORK_SCHEDULE, &((struct cpu *)data)->pending);
}

void sched_init(void)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(runqs); i++) {
        spin_init(&runqs[i].lock, RANK_RUNQ);
        list_init(&runqs[i].queue);
    }
}

void sched_add_cpu(struct cpu *c)
{
    struct runq *rq = runq_of(c);

    c->idle = vcpu_create_idle();
    c->idle->running_on = c;
    c->idle->sched.last_cpu = c;
    c->idle->sched.slice_start = now();
    timer_init(&slice_timer[c->id], slice_over, c);
    spin_lock(&rq->lock);
    rq->cpu[rq->cpus++] = c;
    spin_unlock(&rq->lock);
    set_bit(WORK_SCHEDULE, &c->pending);
    __atomic_store_n(&c->current, c->idle, __ATOMIC_RELEASE); /* go */
}

void sched_add_vcpu(struct vcpu *v)
{
    list_init(&v->sched.link);
    memset(v->sched.hard, 0xff, sizeof(v->sched.hard));
    memset(v->sched.soft, 0xff, sizeof(v->sched.soft));
    v->sched.last_cpu = cpus[v->id % cpu_count];
    v->runstate.state = RUNSTATE_offline;
    v->runstate.state_entry_time = now();
    v->sched.vtime = runq_of(v->sched.last_cpu)->min_vtime;
}

void sched_remove_vcpu(struct vcpu *v)
{
    struct runq *rq;

    if (!v->sched.last_cpu) return; /* never added */
    rq = lock_runq(v);
    ASSERT(!v->running_on);
    if (v->sched.queued) dequeue(rq, v);
    spin_unlock(&rq->lock);
}

int sched_set_params(struct domain *d, uint16_t weight, uint16_t cap)
{
    if (!weight || cap > 100 * d->max_vcpus) return -XEN_EINVAL;
    d->weight = weight;
    d->cap = cap;
    if (cap) {
        __atomic_store_n(&d->cap_budget, CAP_PERIOD * cap / 100, __ATOMIC_SEQ_CST);
        d->cap_refill = now() + CAP_PERIOD;
        timer_set(&d->cap_timer, d->cap_refill);
    } else {
        struct vcpu *v;

        timer_stop(&d->cap_timer);
        for_each_vcpu (d, v) sched_wake(v);
    }
    return 0;
}

int sched_set_affinity(struct vcpu *v, const unsigned long *hard, const unsigned long *soft)
{
    struct runq *rq;

    if (hard && find_bit(hard, cpu_count, 0) >= cpu_count) return -XEN_EINVAL;
    rq = lock_runq(v);
    if (hard) memcpy(v->sched.hard, hard, sizeof(v->sched.hard));
    if (soft) memcpy(v->sched.soft, soft, sizeof(v->sched.soft));
    if (v->running_on && !may_run_on(v, v->running_on)) cpu_ask(v->running_on, WORK_SCHEDULE);
    if (v->sched.queued || v->running_on)
        for (unsigned int i = 0; i < rq->cpus; i++)
            if (may_run_on(v, rq->cpu[i])) cpu_ask(rq->cpu[i], WORK_SCHEDULE);
    spin_unlock(&rq->lock);
    return 0;
}

void sched_dump(void)
{
    struct list *p;
    struct cpu *c;

    for_each_cpu (c)
        log_info("CPU%u: d%uv%u, idle %lu ms", c->id, c->current->domain->id, c->current->id,
                 c->idle_ns / NS_PER_MS);
    for (unsigned int i = 0; i < ARRAY_SIZE(runqs) && runqs[i].cpus; i++) {
        struct runq *rq = &runqs[i];

        spin_lock(&rq->lock);
        log_info("run queue %u: %u waiting, min_vtime %lu", i, rq->waiting, rq->min_vtime);
        list_for_each (p, &rq->queue)
            log_info("  d%uv%u vtime %lu", queued(p)->domain->id, queued(p)->id,
                     queued(p)->sched.vtime);
        spin_unlock(&rq->lock);
    }
}
