/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler: fair by weight, with caps, hard and soft affinity, work
 * conserving; reported to tools as credit2.
 */
#ifndef SCHED_SCHED_H
#define SCHED_SCHED_H

#include "lib/base.h"

struct cpu;
struct domain;
struct vcpu;

#define SCHED_DEFAULT_WEIGHT 256

/* A vCPU that became another's turn runs on until it ran this long. */
extern uint32_t sched_ratelimit_us;

void sched_init(void);
void sched_add_cpu(struct cpu *c); /* before it enters its run loop */
void sched_init_domain(struct domain *d);
void sched_remove_domain(struct domain *d); /* nobody refers to d any more */
void sched_add_vcpu(struct vcpu *v);        /* v is not runnable yet         */
void sched_remove_vcpu(struct vcpu *v);

/* v may have become runnable: puts it on a queue and finds it a CPU. */
void sched_wake(struct vcpu *v);
/* v may have to stop: makes its CPU look. */
void sched_stop(struct vcpu *v);
/* Returns when v is on no CPU.  v is held or paused; no lock held. */
void sched_wait_off_cpu(struct vcpu *v);
/* Returns when each CPU has been outside of any operation since the call.  From
 * the run loop only, no lock held: it may switch cpu->current. */
void wait_quiescent(void);
bool vcpu_runnable(const struct vcpu *v);

/* Only from the run loop: chooses and switches cpu->current. */
void schedule(struct cpu *c);
/* SCHEDOP_yield: lets others with equal claims go first. */
void sched_yield(struct vcpu *v);

/* -EINVAL for a weight of 0, a cap above 100 per vCPU. */
int sched_set_params(struct domain *d, uint16_t weight, uint16_t cap);
/* -EINVAL when hard has no online CPU. */
int sched_set_affinity(struct vcpu *v, const unsigned long *hard, const unsigned long *soft);
/* ns in state RUNNING so far, exact to the call. */
uint64_t vcpu_run_time(struct vcpu *v);
/* A snapshot of the runstate, exact to the call. */
struct vcpu_runstate_info;
void vcpu_get_runstate(struct vcpu *v, struct vcpu_runstate_info *out);
void sched_dump(void);

#endif
