/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler.  Up to RUNQ_CPUS processors share a run queue: runnable vCPUs
 * sorted by virtual time, which passes the slower for a vCPU the higher its
 * domain's weight.  Who has had least runs next.  An idle CPU takes from the
 * queues of others.  A domain with a cap has a budget that is refilled every
 * CAP_PERIOD; what it overdraws is missing from the next.
 *
 * vCPUs that do not compete for a CPU drift apart in virtual time.  So who
 * comes to a queue, by waking or from elsewhere, starts a little behind the
 * time of those that run on the CPUs that it may use; and who has had a slice of
 * a CPU for which others wait is not let be far from these.
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
#define RATELIMIT   (sched_ratelimit_us * 1000ull)
#define SLICE       MAX(5 * NS_PER_MS, RATELIMIT)
#define WAKE_CREDIT (2 * NS_PER_MS) /* how far a sleeper may be ahead */
#define DRIFT       20              /* slices; see bound() */
#define CAP_PERIOD  (10 * NS_PER_MS)
#define CAP_CARRY   10ul
#define SUITS_IDLE  (1ull << 63) /* see suits() */

struct runq {
    struct spinlock lock; /* guards: queue; struct sched_unit, running_on, runstate
                           * of its vCPUs; current, slice of its CPUs           */
    struct list queue;
    unsigned int waiting;
};

static struct runq runqs[MAX_CPUS / RUNQ_CPUS];
static struct {
    struct timer slice; /* ends the slice of the one that runs                */
    uint64_t vtime;     /* of the one that ran last                           */
} state[MAX_CPUS];
static struct spinlock cap_lock = SPINLOCK(RANK_CAP); /* guards: weight and cap, the refills */
uint32_t sched_ratelimit_us = 1000;

static inline struct runq *runq_of(const struct cpu *c)
{
    return &runqs[c->id / RUNQ_CPUS];
}

static inline unsigned int first_cpu(const struct runq *rq)
{
    return (rq - runqs) * RUNQ_CPUS;
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
    return READ_ONCE(v->holds) & (HOLD_BLOCKED | HOLD_POLL) && !READ_ONCE(v->domain->pause_count)
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

static uint64_t ran(const struct vcpu *v, uint64_t t)
{
    uint64_t start = READ_ONCE(v->sched.slice_start);

    return t > start ? t - start : 0;
}

/* v's virtual time when it runs. */
static uint64_t vtime_at(const struct vcpu *v, uint64_t t)
{
    return v->sched.vtime + ran(v, t) * SCHED_DEFAULT_WEIGHT / READ_ONCE(v->domain->weight);
}

/* Charges what v, which runs on c, ran since slice_start. */
static void charge(struct cpu *c, struct vcpu *v, uint64_t t)
{
    if (READ_ONCE(v->domain->cap))
        __atomic_fetch_sub(&v->domain->cap_budget, ran(v, t), __ATOMIC_SEQ_CST);
    state[c->id].vtime = v->sched.vtime = vtime_at(v, t);
    v->sched.slice_start = t;
}

/* A slice in v's virtual time. */
static uint64_t slice_of(const struct vcpu *v)
{
    return SLICE * SCHED_DEFAULT_WEIGHT / READ_ONCE(v->domain->weight);
}

static bool out_of_budget(const struct domain *d)
{
    return READ_ONCE(d->cap) && (int64_t)READ_ONCE(d->cap_budget) <= 0;
}

static void wake_all(struct domain *d)
{
    struct vcpu *v;

    for_each_vcpu (d, v) sched_wake(v);
}

/* A late timer makes up for the periods that it missed; what a domain did not
 * use in CAP_CARRY of them is lost. */
static void cap_refill(void *data)
{
    struct domain *d = data;
    uint64_t t = now();
    struct vcpu *v;

    spin_lock(&cap_lock);
    /* Or the parameters were set while this was about to run. */
    if (d->cap && t >= d->cap_refill) {
        uint64_t periods = 1 + (t - d->cap_refill) / CAP_PERIOD;
        int64_t full = CAP_PERIOD * d->cap / 100 * periods;
        int64_t most = CAP_PERIOD * d->cap / 100 * MAX(periods, CAP_CARRY);

        for_each_vcpu (d, v)
            if (READ_ONCE(v->running_on)) most += ran(v, t); /* used, not yet charged */
        d->cap_refill += CAP_PERIOD * periods;
        if ((int64_t)__atomic_add_fetch(&d->cap_budget, full, __ATOMIC_SEQ_CST) > most)
            __atomic_store_n(&d->cap_budget, most, __ATOMIC_SEQ_CST);
        timer_set(&d->cap_timer, d->cap_refill);
    }
    spin_unlock(&cap_lock);
    wake_all(d);
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

/*
 * v, which ran on c, competed with those that wait for c.  By what is fair it is
 * ahead by a slice of its own, or behind by one of theirs (more where timers are
 * late); that they drifted apart much further while nobody waited counts no more.
 */
static void bound(const struct runq *rq, const struct cpu *c, struct vcpu *v)
{
    struct list *p;

    list_for_each (p, &rq->queue) {
        const struct vcpu *w = queued(p);
        uint64_t behind = MIN(w->sched.vtime, DRIFT * slice_of(w));

        if (!may_run_on(w, c)) continue;
        v->sched.vtime = MIN(v->sched.vtime, w->sched.vtime + DRIFT * slice_of(v));
        v->sched.vtime = MAX(v->sched.vtime, w->sched.vtime - behind);
    }
}

/* How well c suits v, which has just become runnable: best is an idle CPU, by
 * soft affinity, of its queue, the last one; else, of its queue, the one whose
 * vCPU has had most (it may go on, but for a slice only).  0: not at all. */
static uint64_t suits(const struct cpu *c, const struct runq *rq, const struct vcpu *v, uint64_t t)
{
    bool ours = runq_of(c) == rq;

    if (!may_run_on(v, c)) return 0;
    if (c->current == c->idle && !test_bit(WORK_SCHEDULE, &c->pending))
        return SUITS_IDLE + 4ul * test_bit(c->id, v->sched.soft) + 2ul * ours +
               (c == v->sched.last_cpu);
    return ours ? MIN(2 + vtime_at(c->current, t), SUITS_IDLE - 1) : 1;
}

/* There is one: v's hard affinity has a CPU that exists. */
static struct cpu *choose_cpu(const struct runq *rq, const struct vcpu *v, uint64_t t)
{
    struct cpu *best = v->sched.last_cpu;
    uint64_t most = 0;

    for (unsigned int i = 0; i < cpu_count && (i < RUNQ_CPUS || most < SUITS_IDLE); i++) {
        struct cpu *c = cpus[(first_cpu(rq) + i) % cpu_count];
        uint64_t suit = suits(c, rq, v, t);

        if (suit <= most) continue;
        most = suit;
        best = c;
    }
    return best;
}

/* Lets c look at once if it is idle; else when its vCPU has had its slice, or
 * when the rate limit is over if v should run before. */
static void preempt(struct cpu *c, const struct vcpu *v, uint64_t t)
{
    struct timer *slice = &state[c->id].slice;
    uint64_t end = c->current->sched.slice_start;

    end += vtime_at(c->current, t) <= v->sched.vtime ? SLICE : RATELIMIT;
    if (is_idle(c->current) || t >= end)
        cpu_ask(c, WORK_SCHEDULE);
    else if (!timer_is_set(slice) || slice->expires > end)
        timer_set(slice, end);
}

/* v waits: whoever runs where it may, without end so far, has a slice now. */
static void limit_slices(const struct runq *rq, const struct vcpu *v, uint64_t t)
{
    unsigned int first = first_cpu(rq);

    for (unsigned int i = first; i < MIN(first + RUNQ_CPUS, cpu_count); i++) {
        struct cpu *c = cpus[i];

        if (is_idle(c->current) || timer_is_set(&state[i].slice) || !may_run_on(v, c)) continue;
        timer_set(&state[i].slice, MAX(t, c->current->sched.slice_start + SLICE));
    }
}

/* Gives v, which comes to its queue, no more than WAKE_CREDIT before those that
 * run where it may; what an idle CPU ran last counts, too.  Those that run may be
 * such themselves: so it is a slice more at most before those that wait for c. */
static void lift(const struct runq *rq, const struct cpu *c, struct vcpu *v, uint64_t t)
{
    unsigned int first = first_cpu(rq);
    uint64_t least = 0;
    struct list *p;

    for (unsigned int i = first; i < MIN(first + RUNQ_CPUS, cpu_count); i++)
        if (may_run_on(v, cpus[i]))
            least = MAX(least,
                        is_idle(cpus[i]->current) ? state[i].vtime : vtime_at(cpus[i]->current, t));
    list_for_each (p, &rq->queue) {
        const struct vcpu *w = queued(p);

        if (may_run_on(w, c)) least = MAX(least, w->sched.vtime - MIN(w->sched.vtime, slice_of(w)));
    }
    if (v->sched.vtime + WAKE_CREDIT < least) v->sched.vtime = least - WAKE_CREDIT;
}

/* v, in no queue now, belongs to c's. */
static void move(struct vcpu *v, struct cpu *c)
{
    v->sched.vtime = 0; /* to be lifted there */
    WRITE_ONCE(v->sched.last_cpu, c);
}

void sched_wake(struct vcpu *v)
{
    struct runq *rq = lock_runq(v);
    uint64_t t = now();
    struct cpu *c;

    if (vcpu_runnable(v) && !v->running_on) {
        if (!v->sched.queued) set_runstate(v, RUNSTATE_runnable, t);
        c = choose_cpu(rq, v, t);
        if (out_of_budget(v->domain)) {
            c = NULL; /* until the refill */
        } else if (runq_of(c) != rq) {
            if (v->sched.queued) dequeue(rq, v);
            move(v, c);
            spin_unlock(&rq->lock);
            return sched_wake(v);
        } else if (!v->sched.queued) {
            lift(rq, c, v, t);
            enqueue(rq, v);
        }
        if (c) preempt(c, v, t);
        if (c && !is_idle(c->current)) limit_slices(rq, v, t);
    } else if (!vcpu_runnable(v) && !v->running_on) {
        set_runstate(v, runstate_for(v, false), now()); /* offline, or only blocked now */
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

/* --- choosing --- */

static struct vcpu *pick(struct runq *rq, struct cpu *c)
{
    struct list *p, *n;

    list_for_each_safe (p, n, &rq->queue) {
        struct vcpu *v = queued(p);

        if (!may_run_on(v, c)) continue;
        if (!out_of_budget(v->domain)) return v;
        dequeue(rq, v); /* until the refill */
    }
    return NULL;
}

void sched_yield(struct vcpu *v)
{
    struct runq *rq = lock_runq(v);
    struct vcpu *first = pick(rq, this_cpu());

    if (first) { /* behind it */
        v->sched.vtime = MAX(v->sched.vtime, first->sched.vtime + 1);
        cpu_ask(this_cpu(), WORK_SCHEDULE);
    }
    spin_unlock(&rq->lock);
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
            move(v, c);
        }
        spin_unlock(&rq->lock);
        if (v) {
            sched_wake(v);
            return;
        }
    }
}

static void switch_to(struct vcpu *prev, struct vcpu *next)
{
    if (prev == next) return;
    if (!is_idle(prev)) {
        vcpu_switch_out(prev);
        __atomic_store_n(&prev->running_on, NULL, __ATOMIC_SEQ_CST);
    }
    if (!is_idle(next)) vcpu_switch_in(next);
}

/* Tells the guest of v, which is current, about its runstate where it asked for
 * it; `state` is what it is now or is about to be. */
static void publish_runstate(struct vcpu *v, int state)
{
    uint64_t va = READ_ONCE(v->runstate_va); /* another vCPU may change it */
    struct vcpu_runstate_info r;

    if (!va) return;
    vcpu_get_runstate(v, &r);
    r.state = state;
    guest_access_reset(v);
    if (READ_ONCE(v->domain->runstate_update_flag)) {
        uint64_t entry = r.state_entry_time | XEN_RUNSTATE_UPDATE;

        if (copy_to_guest(va + offsetof(struct vcpu_runstate_info, state_entry_time), &entry,
                          sizeof(entry)))
            return;
    }
    (void)!copy_to_guest(va, &r, sizeof(r));
}

static void set_slice(struct cpu *c, uint64_t t)
{
    const struct domain *d = c->current->domain;
    uint64_t slice = runq_of(c)->waiting ? SLICE : TIME_NEVER;

    if (READ_ONCE(d->cap))
        slice = MIN(slice, (uint64_t)MAX((int64_t)READ_ONCE(d->cap_budget), 100000));
    if (slice == TIME_NEVER || is_idle(c->current))
        timer_stop(&state[c->id].slice);
    else
        timer_set(&state[c->id].slice, t + slice);
}

void schedule(struct cpu *c)
{
    struct runq *rq = runq_of(c);
    struct vcpu *prev = c->current, *next;
    bool leaves; /* or so it seems */
    uint64_t t;

    if (is_idle(prev) && !READ_ONCE(rq->waiting)) steal(c);
    leaves = READ_ONCE(rq->waiting) || !vcpu_runnable(prev);
    if (leaves) publish_runstate(prev, runstate_for(prev, false)); /* its memory is at hand */
    spin_lock(&rq->lock);
    t = now();
    if (!is_idle(prev)) {
        charge(c, prev, t);
        bound(rq, c, prev);
        /* Back on the queue, but not for others before it is switched out:
         * the queue's lock is held until then. */
        if (!may_run_on(prev, c))
            move(prev, c); /* sched_wake finds it another CPU */
        else if (vcpu_runnable(prev) && !out_of_budget(prev->domain))
            enqueue(rq, prev);
    }
    next = pick(rq, c);
    if (next) {
        dequeue(rq, next);
        next->running_on = c;
        next->sched.last_cpu = c;
    } else {
        next = c->idle;
    }
    next->sched.slice_start = t;
    WRITE_ONCE(c->current, next);
    switch_to(prev, next);
    set_runstate(prev, runstate_for(prev, false), t);
    set_runstate(next, RUNSTATE_running, t);
    set_slice(c, t);
    spin_unlock(&rq->lock);
    /* Who waits on may be let run elsewhere at once. */
    if (next != prev && !is_idle(prev) && vcpu_runnable(prev)) sched_wake(prev);
    if (next != prev || leaves) publish_runstate(next, RUNSTATE_running);
}

/* Another CPU may itself wait for the vCPU that is current here
 * (sched_wait_off_cpu): so this one goes on switching. */
void wait_quiescent(void)
{
    struct cpu *self = this_cpu(), *c;
    uint64_t before;

    ASSERT(self->held == 0);
    smp_mb();
    for_each_cpu (c) {
        if (c == self) continue;
        before = READ_ONCE(c->passes);
        /* An even number: idle or in a guest (vm/run.c). */
        while (before & 1 && READ_ONCE(c->passes) == before) {
            if (test_and_clear_bit(WORK_SCHEDULE, &self->pending)) schedule(self);
            cpu_poll();
            cpu_relax();
        }
    }
}

/* --- set-up and parameters --- */

static void slice_over(void *c)
{
    cpu_ask(c, WORK_SCHEDULE);
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
    c->idle = vcpu_create_idle();
    c->idle->running_on = c;
    c->idle->sched.last_cpu = c;
    c->idle->runstate.state_entry_time = now();
    timer_init(&state[c->id].slice, slice_over, c);
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

/* What d's vCPUs ran so far is charged as it was then, and they are to stop and
 * get a slice anew. */
static void charge_all(struct domain *d)
{
    struct vcpu *v;

    for_each_vcpu (d, v) {
        struct runq *rq = lock_runq(v);

        if (v->running_on) {
            charge(v->running_on, v, now());
            cpu_ask(v->running_on, WORK_SCHEDULE);
        }
        spin_unlock(&rq->lock);
    }
}

int sched_set_params(struct domain *d, uint16_t weight, uint16_t cap)
{
    if (!weight || cap > 100 * d->max_vcpus) return -XEN_EINVAL;
    charge_all(d);
    spin_lock(&cap_lock);
    WRITE_ONCE(d->weight, weight);
    WRITE_ONCE(d->cap, cap);
    __atomic_store_n(&d->cap_budget, CAP_PERIOD * cap / 100, __ATOMIC_SEQ_CST);
    d->cap_refill = now() + CAP_PERIOD;
    if (cap) timer_set(&d->cap_timer, d->cap_refill);
    spin_unlock(&cap_lock);
    wake_all(d);
    return 0;
}

void sched_remove_domain(struct domain *d)
{
    spin_lock(&cap_lock);
    WRITE_ONCE(d->cap, 0); /* one that fires just now does not set itself again */
    timer_stop(&d->cap_timer);
    spin_unlock(&cap_lock);
}

int sched_set_affinity(struct vcpu *v, const unsigned long *hard, const unsigned long *soft)
{
    struct runq *rq;

    if (find_bit(hard, cpu_count, 0) >= cpu_count) return -XEN_EINVAL;
    rq = lock_runq(v);
    memcpy(v->sched.hard, hard, sizeof(v->sched.hard));
    memcpy(v->sched.soft, soft, sizeof(v->sched.soft));
    if (!v->running_on) {
        if (v->sched.queued) dequeue(rq, v);
        move(v, v->sched.last_cpu);
    } else if (may_run_on(v, v->running_on)) {
        charge(v->running_on, v, now());
        lift(rq, v->running_on, v, now());
    } else {
        cpu_ask(v->running_on, WORK_SCHEDULE);
    }
    spin_unlock(&rq->lock);
    sched_wake(v);
    return 0;
}

void sched_dump(void)
{
    struct list *p;
    struct cpu *c;

    for_each_cpu (c)
        log_info("CPU%u: d%uv%u, idle %lu ms", c->id, c->current->domain->id, c->current->id,
                 vcpu_run_time(c->idle) / NS_PER_MS);
    for (unsigned int i = 0; i < DIV_UP(cpu_count, RUNQ_CPUS); i++) {
        struct runq *rq = &runqs[i];

        spin_lock(&rq->lock);
        log_info("run queue %u: %u waiting", i, rq->waiting);
        list_for_each (p, &rq->queue)
            log_info("  d%uv%u vtime %lu", queued(p)->domain->id, queued(p)->id,
                     queued(p)->sched.vtime);
        spin_unlock(&rq->lock);
    }
}
