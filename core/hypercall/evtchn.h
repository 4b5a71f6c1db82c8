/* SPDX-License-Identifier: Apache-2.0 */
/* Event channels, for the rest of the core. */
#ifndef HYPERCALL_EVTCHN_H
#define HYPERCALL_EVTCHN_H

#include "lib/base.h"

struct domain;
struct vcpu;

int evtchn_init(struct domain *d, uint32_t max_port) must_use;
/* Closes every port; preemptible (-ERESTART); then evtchn_free frees. */
int evtchn_release(struct domain *d) must_use;
void evtchn_free(struct domain *d);

/* Raises a per-vCPU VIRQ (VIRQ_TIMER, VIRQ_DEBUG); no effect when unbound.
 * Any context, no lock above RANK_EVTCHN held. */
void virq_raise_vcpu(struct vcpu *v, unsigned int virq);
/* Raises a global VIRQ of dom0 (VIRQ_CONSOLE, VIRQ_DOM_EXC). */
void virq_raise_dom0(unsigned int virq);

/* Sets v's upcall_pending again after its vcpu_info moved: all ports. */
void evtchn_mark_all(struct vcpu *v);
/* True when an event is deliverable: pending and v has a way to take it. */
static inline bool evtchn_upcall_pending(const struct vcpu *v);

/* SCHEDOP_poll: holds v (current) with HOLD_POLL until one of its ports is
 * pending; n != 1: until any port of d becomes so.  1 when one is pending
 * already, -EINVAL for a port that cannot be; v is not held then. */
int evtchn_poll_begin(struct vcpu *v, const uint32_t *ports, unsigned int n);
void evtchn_poll_end(struct vcpu *v);

#include "vm/domain.h"
static inline bool evtchn_upcall_pending(const struct vcpu *v)
{
    return READ_ONCE(READ_ONCE(v->info)->evtchn_upcall_pending) != 0;
}

#endif
