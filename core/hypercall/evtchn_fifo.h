/* SPDX-License-Identifier: Apache-2.0 */
/* One event channel; and the FIFO form of pending events, for evtchn.c only. */
#ifndef HYPERCALL_EVTCHN_FIFO_H
#define HYPERCALL_EVTCHN_FIFO_H

#include "cpu/lock.h"
#include "vm/domain.h"
#include <xen/event_channel.h>

#define MAX_PORTS 4096u

struct evtchn {
    struct spinlock lock; /* guards all to `peer`                */
    uint8_t state;        /* EVTCHNSTAT_*                        */
    uint8_t vcpu;         /* the one that is told                */
    uint8_t virq;
    uint16_t remote_id;   /* unbound: who may join               */
    uint16_t remote_port; /* interdomain: the other end          */
    struct domain *remote;
    struct evtchn *peer;
    /* The FIFO's lock guards these. */
    uint8_t priority;
    uint8_t linked_vcpu, linked_priority; /* the queue that it was put on last */
};

struct fifo;

/* NULL without memory. */
struct fifo *fifo_alloc(struct domain *d) must_use;
/* Takes a page of d as vCPU id's control block, or as the next page of event
 * words: 0, -EINVAL, -ENOMEM. */
int fifo_set_control(struct domain *d, struct fifo *f, unsigned int id, uint64_t gfn,
                     unsigned int offset) must_use;
int fifo_add_words(struct domain *d, struct fifo *f, uint64_t gfn) must_use;
/* Gives all pages back; no channel is open. */
void fifo_stop(struct fifo *f);

/* Sets a port pending, or unmasks it, or neither; when it is pending then it is
 * put on the queue of its vCPU, which is told.  fifo_raise: was it before? */
bool fifo_raise(struct fifo *f, struct evtchn *c, uint32_t port);
void fifo_unmask(struct fifo *f, struct evtchn *c, uint32_t port);
void fifo_check(struct fifo *f, struct evtchn *c, uint32_t port);
bool fifo_pending(struct fifo *f, uint32_t port);
/* The port is closed: not pending, of default priority. */
void fifo_close(struct fifo *f, struct evtchn *c, uint32_t port);
void fifo_set_priority(struct fifo *f, struct evtchn *c, unsigned int priority);

/* evtchn.c: tells a vCPU that something is pending. */
void evtchn_upcall(struct vcpu *v);

#endif
