/* SPDX-License-Identifier: Apache-2.0 */
/* The real event channels, and what has to hold of them between hypercalls. */
#include "hypercall/evtchn.c"
#include "hypercall/evtchn_fifo.c"
#include "machine.h"

/* The fuzzer looks for paths of the core, not of these checks. */
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

static void check_joined(struct domain *d, uint32_t port, const struct evtchn *c)
{
    struct domain *found = domain_get(c->remote->id);
    struct evtchn *r = channel(c->remote, c->remote_port);

    INSIST(found == c->remote); /* it is still there */
    domain_put(found);
    INSIST(r && r == c->peer && r->peer == c && r->state == EVTCHNSTAT_interdomain);
    INSIST(r->remote == d && r->remote_port == port);
}

static void check_port(struct domain *d, uint32_t port)
{
    struct evtchn *c = channel(d, port);

    if (!c) {
        INSIST(!test_bit(port, d->evtchns->used));
        return;
    }
    INSIST((c->state != EVTCHNSTAT_closed) == test_bit(port, d->evtchns->used));
    INSIST(c->lock.next == c->lock.serving);
    INSIST(c->vcpu < d->max_vcpus);
    if (c->state == EVTCHNSTAT_interdomain)
        check_joined(d, port, c);
    else
        INSIST(!c->peer && !c->remote);
    if (c->state == EVTCHNSTAT_virq) {
        struct vcpu *v = d->vcpus[virq_global(c->virq) ? 0 : c->vcpu];

        INSIST(v->virq_port[c->virq] == port);
    }
    INSIST(c->state == EVTCHNSTAT_closed || d->dying != DEAD);
}

static void check_fifo(struct domain *d)
{
    const struct fifo *f = d->evtchns->fifo;

    if (!f) return;
    INSIST(f->lock.next == f->lock.serving && f->domain == d && f->vcpus == d->max_vcpus);
    for (unsigned int i = 0; i < ARRAY_SIZE(f->words); i++)
        INSIST((i < f->pages) == (f->words[i] != NULL));
    for (unsigned int i = 0; i < f->vcpus; i++)
        for (unsigned int p = 0; p < EVTCHN_FIFO_MAX_QUEUES; p++) {
            uint32_t tail = f->queues[i].tail[p];

            INSIST(!tail || (f->queues[i].control && tail / WORDS < f->pages));
            INSIST(tail < d->evtchns->limit);
        }
    for (uint32_t port = 1; port < d->evtchns->limit; port++) {
        const struct evtchn *c = channel(d, port);

        if (!c) continue; /* its page was never made */
        INSIST(c->priority <= EVTCHN_FIFO_PRIORITY_MIN && c->linked_vcpu < f->vcpus);
        INSIST(c->linked_priority <= EVTCHN_FIFO_PRIORITY_MIN);
    }
}

void fifo_pins(struct domain *d, void (*pin)(struct domain *d, uint64_t mfn))
{
    const struct fifo *f = d->evtchns ? d->evtchns->fifo : NULL;

    for (unsigned int i = 0; f && i < f->vcpus; i++)
        if (f->queues[i].control) pin(d, f->queues[i].mfn);
    for (unsigned int i = 0; f && i < f->pages; i++) pin(d, f->words_mfn[i]);
}

/* (The lock is for the pointers: another vCPU may reset the domain's events.) */
void fifo_poke(struct domain *d, uint32_t port, uint32_t set, uint32_t clear)
{
    struct fifo *f = fifo_of(d);
    event_word_t *w;

    if (!f || !channel(d, port)) return;
    spin_lock(&f->lock);
    w = word_of(f, port);
    if (w) {
        __atomic_fetch_or(w, set, __ATOMIC_SEQ_CST);
        __atomic_fetch_and(w, ~clear, __ATOMIC_SEQ_CST);
    }
    spin_unlock(&f->lock);
}

static void take_first(struct fifo *f, struct evtchn_fifo_control_block *cb, unsigned int priority)
{
    const event_word_t taken = LINKED | EVTCHN_FIFO_LINK_MASK | PENDING;
    uint32_t port = READ_ONCE(cb->head[priority]), next;
    event_word_t *w = channel(f->domain, port) ? word_of(f, port) : NULL;

    if (!w) return;
    next = __atomic_fetch_and(w, ~taken, __ATOMIC_SEQ_CST) & EVTCHN_FIFO_LINK_MASK;
    WRITE_ONCE(cb->head[priority], next);
    if (!next) __atomic_fetch_and(&cb->ready, ~(1u << priority), __ATOMIC_SEQ_CST);
}

void fifo_take(struct domain *d, unsigned int vcpu, unsigned int priority)
{
    struct fifo *f = fifo_of(d);

    if (!f || vcpu >= f->vcpus) return;
    spin_lock(&f->lock);
    if (f->queues[vcpu].control) take_first(f, f->queues[vcpu].control, priority);
    spin_unlock(&f->lock);
}

/* In the FIFO form: pending, and on a queue unless it is masked. */
static bool fifo_has(struct domain *d, uint32_t port)
{
    struct fifo *f = d->evtchns->fifo;
    const event_word_t *w = word_of(f, port);

    if (!w) return test_bit(port, d->shared_info->evtchn_pending);
    if (!(*w & PENDING)) return false;
    return *w & (MASKED | LINKED) || !f->queues[channel(d, port)->vcpu].control;
}

void check_ports(void)
{
    struct domain *d;
    struct vcpu *v;

    for_each_domain (d) {
        check_fifo(d);
        for (uint32_t port = 1; port < d->evtchns->limit; port++) check_port(d, port);
        for_each_vcpu (d, v) {
            for (unsigned int i = 0; i < NR_VIRQS; i++) {
                struct evtchn *c = v->virq_port[i] ? channel(d, v->virq_port[i]) : NULL;

                INSIST(!v->virq_port[i] || (c && c->state == EVTCHNSTAT_virq && c->virq == i));
            }
        }
    }
}

/* Where a port of *d leads: the domain and port there; NULL: nowhere. */
static struct evtchn *peer_of(struct domain **d, uint32_t *port)
{
    struct evtchn *c = channel(*d, *port);

    if (!c || c->state == EVTCHNSTAT_ipi) return c;
    if (c->state != EVTCHNSTAT_interdomain) return NULL;
    *d = c->remote;
    *port = c->remote_port;
    return c->peer;
}

bool port_peer_set(struct domain *d, uint32_t port)
{
    const event_word_t *w;

    if (!peer_of(&d, &port)) return false;
    w = fifo_of(d) ? word_of(fifo_of(d), port) : NULL;
    return w ? *w & PENDING : test_bit(port, d->shared_info->evtchn_pending);
}

bool port_peer_pending(struct domain *d, uint32_t port)
{
    struct evtchn *c = peer_of(&d, &port);
    struct vcpu *v;

    if (!c) return true; /* it was another that was sent to */
    if (fifo_of(d)) return fifo_has(d, port);
    v = d->vcpus[c->vcpu];
    if (!test_bit(port, d->shared_info->evtchn_pending)) return false;
    return !v || test_bit(port, d->shared_info->evtchn_mask) ||
           test_bit(port / 64, &v->info->evtchn_pending_sel);
}

#pragma clang attribute pop
