/* SPDX-License-Identifier: Apache-2.0 */
/* The real event channels, and what has to hold of them between hypercalls. */
#include "hypercall/evtchn.c"
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

void check_ports(void)
{
    struct domain *d;
    struct vcpu *v;

    for_each_domain (d) {
        for (uint32_t port = 1; port < d->evtchns->limit; port++) check_port(d, port);
        for_each_vcpu (d, v) {
            for (unsigned int i = 0; i < NR_VIRQS; i++) {
                struct evtchn *c = v->virq_port[i] ? channel(d, v->virq_port[i]) : NULL;

                INSIST(!v->virq_port[i] || (c && c->state == EVTCHNSTAT_virq && c->virq == i));
            }
        }
    }
}

bool port_peer_pending(struct domain *d, uint32_t port)
{
    struct evtchn *c = channel(d, port);
    struct vcpu *v;
    uint32_t at;

    if (!c) return true; /* it was another that was sent to */
    if (c->state == EVTCHNSTAT_ipi) {
        at = port;
    } else if (c->state == EVTCHNSTAT_interdomain) {
        at = c->remote_port;
        d = c->remote;
        c = c->peer;
    } else {
        return true;
    }
    v = d->vcpus[c->vcpu];
    if (!test_bit(at, d->shared_info->evtchn_pending)) return false;
    return !v || test_bit(at, d->shared_info->evtchn_mask) ||
           test_bit(at / 64, &v->info->evtchn_pending_sel);
}

#pragma clang attribute pop
