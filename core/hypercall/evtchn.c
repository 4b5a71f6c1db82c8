/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event channels, in the two-level form: 4096 ports a domain, their pending
 * and mask bits in shared_info.
 *
 * A channel's own lock guards it; both locks are held to join two channels and
 * to part them, so that one of them is enough to read the link.  A channel is
 * never freed before its domain is, and that happens only when every CPU has
 * been outside of any operation: a pointer to the peer stays good until the
 * end of the hypercall, even after the locks are dropped.
 */
#include "hypercall/evtchn.h"
#include "device/vlapic.h"
#include "hypercall/access.h"
#include "hypercall/hypercall.h"
#include "lib/print.h"
#include "memory/heap.h"
#include "sched/sched.h"
#include "vm/guest.h"
#include <xen/event_channel.h>

#define MAX_PORTS  4096u
#define PER_BUCKET 128u

struct evtchn {
    struct spinlock lock; /* guards all below                    */
    uint8_t state;        /* EVTCHNSTAT_*                        */
    uint8_t vcpu;         /* the one that is told                */
    uint8_t virq;
    uint16_t remote_id;   /* unbound: who may join               */
    uint16_t remote_port; /* interdomain: the other end          */
    struct domain *remote;
    struct evtchn *peer;
};

struct evtchn_table {
    struct spinlock lock; /* guards: which ports are taken, new buckets, the
                           * binding of VIRQs */
    uint32_t limit;       /* ports are below it */
    struct evtchn *bucket[MAX_PORTS / PER_BUCKET];
    unsigned long used[BITMAP_WORDS(MAX_PORTS)];    /* atomic          */
    unsigned long polling[BITMAP_WORDS(MAX_VCPUS)]; /* vCPUs; atomic */
};

int evtchn_init(struct domain *d, uint32_t max_port)
{
    struct evtchn_table *t = core_alloc(sizeof(*t));

    if (!t) return -XEN_ENOMEM;
    spin_init(&t->lock, RANK_EVTCHN_TABLE);
    t->limit = max_port < MAX_PORTS ? max_port + 1 : MAX_PORTS;
    __set_bit(0, t->used); /* port 0 means none */
    d->evtchns = t;
    return 0;
}

void evtchn_free(struct domain *d)
{
    struct evtchn_table *t = d->evtchns;

    for (unsigned int i = 0; t && i < ARRAY_SIZE(t->bucket); i++) core_free_pages(t->bucket[i], 1);
    core_free(t);
    d->evtchns = NULL;
}

/* The channel of a port, or NULL where there can be none. */
static struct evtchn *channel(struct domain *d, uint32_t port)
{
    struct evtchn_table *t = d->evtchns;
    struct evtchn *bucket;

    if (port >= t->limit) return NULL;
    port = index_nospec(port, MAX_PORTS);
    bucket = __atomic_load_n(&t->bucket[port / PER_BUCKET], __ATOMIC_ACQUIRE);
    return bucket && port ? &bucket[port % PER_BUCKET] : NULL;
}

/* --- raising --- */

/* Tells v that something is pending. */
static void upcall(struct vcpu *v)
{
    if (__atomic_exchange_n(&v->info->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST)) return;
    if (v->upcall_vector)
        vlapic_set_irq(v, v->upcall_vector, false);
    else
        vcpu_notify(v);
}

static void end_poll(struct vcpu *v)
{
    clear_bit(v->id, v->domain->evtchns->polling);
    __atomic_fetch_and(&v->holds, ~HOLD_POLL, __ATOMIC_SEQ_CST);
}

static void wake_pollers(struct domain *d, uint32_t port)
{
    unsigned long *polling = d->evtchns->polling;
    unsigned int i;

    for (i = find_bit(polling, MAX_VCPUS, 0); i < MAX_VCPUS;
         i = find_bit(polling, MAX_VCPUS, i + 1)) {
        struct vcpu *v = d->vcpus[i];

        if (v->poll_port && v->poll_port != port) continue;
        end_poll(v);
        sched_wake(v);
    }
}

/* Makes a port pending and tells vCPU `id` of d, unless it is masked. */
static void set_pending(struct domain *d, unsigned int id, uint32_t port)
{
    struct shared_info *s = d->shared_info;
    struct vcpu *v = d->vcpus[id];

    if (test_and_set_bit(port, s->evtchn_pending)) return;
    if (v && !test_bit(port, s->evtchn_mask) &&
        !test_and_set_bit(port / 64, &v->info->evtchn_pending_sel))
        upcall(v);
    if (unlikely(d->evtchns->polling[0] | d->evtchns->polling[1])) wake_pollers(d, port);
}

void evtchn_mark_all(struct vcpu *v)
{
    __atomic_store_n(&v->info->evtchn_pending_sel, ~0ul, __ATOMIC_SEQ_CST);
    upcall(v);
}

static bool virq_global(unsigned int virq)
{
    return virq != VIRQ_TIMER && virq != VIRQ_DEBUG && virq != VIRQ_XENOPROF && virq != VIRQ_XENPMU;
}

void virq_raise_vcpu(struct vcpu *v, unsigned int virq)
{
    struct evtchn *c;
    uint32_t port;

    ASSERT(virq < NR_VIRQS);
    port = READ_ONCE(v->virq_port[virq]);
    c = port ? channel(v->domain, port) : NULL;
    if (!c) return;
    spin_lock(&c->lock);
    if (c->state == EVTCHNSTAT_virq && c->virq == virq) set_pending(v->domain, c->vcpu, port);
    spin_unlock(&c->lock);
}

void virq_raise_dom0(unsigned int virq)
{
    struct vcpu *v = dom0 ? READ_ONCE(dom0->vcpus[0]) : NULL;

    if (v) virq_raise_vcpu(v, virq);
}

bool evtchn_poll_begin(struct vcpu *v, const uint32_t *ports, unsigned int n)
{
    struct domain *d = v->domain;

    v->poll_port = n == 1 ? ports[0] : 0;
    __atomic_fetch_or(&v->holds, HOLD_POLL, __ATOMIC_SEQ_CST);
    set_bit(v->id, d->evtchns->polling);
    for (unsigned int i = 0; i < n; i++) {
        if (test_bit(ports[i], d->shared_info->evtchn_pending)) {
            end_poll(v);
            return false;
        }
    }
    return true;
}

void evtchn_poll_end(struct vcpu *v)
{
    end_poll(v);
}

bool evtchn_port_valid(struct domain *d, uint32_t port)
{
    return channel(d, port) != NULL;
}

/* --- opening --- */

/* Takes a free port of d, still in state closed; its table is locked.  A
 * domain that is dying gets none. */
static int take_port(struct domain *d, struct evtchn **out)
{
    struct evtchn_table *t = d->evtchns;
    struct evtchn **b;
    unsigned int port, w = 0;

    if (READ_ONCE(d->dying) != ALIVE) return -XEN_EINVAL;
    while (w < ARRAY_SIZE(t->used) && !~READ_ONCE(t->used[w])) w++;
    if (w == ARRAY_SIZE(t->used)) return -XEN_ENOSPC;
    port = w * 64 + __builtin_ctzl(~READ_ONCE(t->used[w]));
    if (port >= t->limit) return -XEN_ENOSPC;
    b = &t->bucket[port / PER_BUCKET];
    if (!*b) {
        struct evtchn *fresh = core_alloc_pages(1);

        if (!fresh) return -XEN_ENOMEM;
        for (unsigned int i = 0; i < PER_BUCKET; i++) spin_init(&fresh[i].lock, RANK_EVTCHN);
        __atomic_store_n(b, fresh, __ATOMIC_RELEASE);
    }
    set_bit(port, t->used);
    *out = &(*b)[port % PER_BUCKET];
    return port;
}

/* Opens a channel that has no other end (yet); the table is locked. */
static int open_port(struct domain *d, uint8_t state, uint8_t vcpu, uint8_t virq, domid_t remote_id)
{
    struct evtchn *c;
    int port = take_port(d, &c);

    if (port < 0) return port;
    spin_lock(&c->lock);
    c->vcpu = vcpu;
    c->virq = virq;
    c->remote_id = remote_id;
    c->state = state;
    spin_unlock(&c->lock);
    return port;
}

union evtchn_arg {
    struct evtchn_alloc_unbound alloc_unbound;
    struct evtchn_bind_interdomain bind_interdomain;
    struct evtchn_bind_virq bind_virq;
    struct evtchn_bind_ipi bind_ipi;
    struct evtchn_close close;
    struct evtchn_send send;
    struct evtchn_status status;
    struct evtchn_bind_vcpu bind_vcpu;
    struct evtchn_unmask unmask;
    struct evtchn_reset reset;
};

static long op_alloc_unbound(struct vcpu *v, union evtchn_arg *arg)
{
    struct evtchn_alloc_unbound *a = &arg->alloc_unbound;
    domid_t remote = a->remote_dom == DOMID_SELF ? v->domain->id : a->remote_dom;
    struct domain *d;
    int rc = domain_get_controlled(a->dom, &d);

    if (rc) return rc;
    spin_lock(&d->evtchns->lock);
    rc = open_port(d, EVTCHNSTAT_unbound, 0, 0, remote);
    spin_unlock(&d->evtchns->lock);
    domain_put(d);
    if (rc < 0) return rc;
    a->port = rc;
    return 0;
}

/* Joins the taken port of ld to the remote one if that waits for ld. */
static int join(struct domain *ld, struct evtchn *l, uint32_t lport, struct domain *rd,
                uint32_t rport)
{
    struct evtchn *r = channel(rd, rport);
    int rc = -XEN_EINVAL;

    if (!r || r == l) return rc;
    spin_lock_two(&l->lock, &r->lock);
    if (r->state == EVTCHNSTAT_unbound && r->remote_id == ld->id) {
        l->remote = rd;
        l->remote_port = rport;
        l->peer = r;
        l->vcpu = 0;
        l->state = EVTCHNSTAT_interdomain;
        r->remote = ld;
        r->remote_port = lport;
        r->peer = l;
        r->state = EVTCHNSTAT_interdomain;
        /* What was sent before is not lost. */
        set_pending(ld, 0, lport);
        rc = 0;
    }
    spin_unlock_two(&l->lock, &r->lock);
    return rc;
}

static long op_bind_interdomain(struct vcpu *v, union evtchn_arg *arg)
{
    struct evtchn_bind_interdomain *a = &arg->bind_interdomain;
    struct domain *ld = v->domain, *rd = domain_get(a->remote_dom);
    struct evtchn *c;
    int port, rc = -XEN_EPERM;

    if (!rd) return -XEN_ESRCH;
    if (access_allowed(ld, rd)) {
        spin_lock(&ld->evtchns->lock);
        rc = port = take_port(ld, &c);
        if (port > 0) {
            rc = join(ld, c, port, rd, a->remote_port);
            if (rc) clear_bit(port, ld->evtchns->used);
            a->local_port = port;
        }
        spin_unlock(&ld->evtchns->lock);
    }
    domain_put(rd);
    return rc;
}

static long op_bind_virq(struct vcpu *v, union evtchn_arg *arg)
{
    struct evtchn_bind_virq *a = &arg->bind_virq;
    struct domain *d = v->domain;
    struct vcpu *on = domain_vcpu(d, a->vcpu);
    unsigned int virq = a->virq;
    int rc = -XEN_EEXIST;

    if (virq >= NR_VIRQS || (virq_global(virq) && a->vcpu != 0)) return -XEN_EINVAL;
    if (!on) return -XEN_ENOENT;
    virq = index_nospec(virq, NR_VIRQS);
    spin_lock(&d->evtchns->lock);
    if (!on->virq_port[virq]) {
        rc = open_port(d, EVTCHNSTAT_virq, on->id, virq, 0);
        if (rc > 0) WRITE_ONCE(on->virq_port[virq], rc);
    }
    spin_unlock(&d->evtchns->lock);
    if (rc < 0) return rc;
    a->port = rc;
    return 0;
}

static long op_bind_ipi(struct vcpu *v, union evtchn_arg *arg)
{
    struct domain *d = v->domain;
    struct vcpu *on = domain_vcpu(d, arg->bind_ipi.vcpu);
    int rc;

    if (!on) return -XEN_ENOENT;
    spin_lock(&d->evtchns->lock);
    rc = open_port(d, EVTCHNSTAT_ipi, on->id, 0, 0);
    spin_unlock(&d->evtchns->lock);
    if (rc < 0) return rc;
    arg->bind_ipi.port = rc;
    return 0;
}

/* --- closing --- */

/* Makes a port free again; its channel is locked. */
static void shut(struct domain *d, struct evtchn *c, uint32_t port)
{
    if (c->state == EVTCHNSTAT_virq) {
        struct vcpu *v = d->vcpus[virq_global(c->virq) ? 0 : c->vcpu];

        WRITE_ONCE(v->virq_port[c->virq], 0);
    }
    c->state = EVTCHNSTAT_closed;
    c->peer = NULL;
    c->remote = NULL;
    clear_bit(port, d->shared_info->evtchn_pending);
    clear_bit(port, d->evtchns->used);
}

static int close_port(struct domain *d, uint32_t port)
{
    struct evtchn *c = channel(d, port), *r;

    if (!c) return -XEN_EINVAL;
    for (;;) {
        bool same;

        spin_lock(&c->lock);
        r = c->peer;
        if (c->state != EVTCHNSTAT_interdomain) break;
        spin_unlock(&c->lock);
        spin_lock_two(&c->lock, &r->lock);
        same = c->state == EVTCHNSTAT_interdomain && c->peer == r;
        if (same) {
            /* The other end waits for this domain again. */
            r->state = EVTCHNSTAT_unbound;
            r->remote_id = d->id;
            r->peer = NULL;
            r->remote = NULL;
            shut(d, c, port);
        }
        spin_unlock_two(&c->lock, &r->lock);
        if (same) return 0;
    }
    if (c->state == EVTCHNSTAT_closed) {
        spin_unlock(&c->lock);
        return -XEN_EINVAL;
    }
    shut(d, c, port);
    spin_unlock(&c->lock);
    return 0;
}

/* Closes all ports; -ERESTART when there are more to close. */
static int close_all(struct domain *d)
{
    struct evtchn_table *t = d->evtchns;

    for (uint32_t port = find_bit(t->used, t->limit, 1); port < t->limit;
         port = find_bit(t->used, t->limit, port + 1)) {
        (void)close_port(d, port);
        if (hypercall_preempt()) return HC_CONTINUE;
    }
    return 0;
}

int evtchn_release(struct domain *d)
{
    /* Who found the domain alive has opened its port by now. */
    spin_lock(&d->evtchns->lock);
    spin_unlock(&d->evtchns->lock);
    return close_all(d);
}

static long op_close(struct vcpu *v, union evtchn_arg *arg)
{
    return close_port(v->domain, arg->close.port);
}

static long op_reset(struct vcpu *v, union evtchn_arg *arg)
{
    struct domain *d;
    int rc = domain_get_controlled(arg->reset.dom, &d);

    (void)v;
    if (rc) return rc;
    rc = close_all(d);
    domain_put(d);
    return rc;
}

/* --- use --- */

static long op_send(struct vcpu *v, union evtchn_arg *arg)
{
    uint32_t port = arg->send.port;
    struct evtchn *c = channel(v->domain, port);
    long rc = 0;

    if (unlikely(!c)) return -XEN_EINVAL;
    spin_lock(&c->lock);
    if (likely(c->state == EVTCHNSTAT_interdomain))
        set_pending(c->remote, READ_ONCE(c->peer->vcpu), c->remote_port);
    else if (c->state == EVTCHNSTAT_ipi)
        set_pending(v->domain, c->vcpu, port);
    else if (c->state != EVTCHNSTAT_unbound) /* nobody hears it */
        rc = -XEN_EINVAL;
    spin_unlock(&c->lock);
    return rc;
}

static long op_unmask(struct vcpu *v, union evtchn_arg *arg)
{
    struct domain *d = v->domain;
    struct shared_info *s = d->shared_info;
    uint32_t port = arg->unmask.port;
    struct evtchn *c = channel(d, port);
    struct vcpu *to;

    if (!c) return -XEN_EINVAL;
    to = d->vcpus[READ_ONCE(c->vcpu)];
    if (test_and_clear_bit(port, s->evtchn_mask) && test_bit(port, s->evtchn_pending) && to &&
        !test_and_set_bit(port / 64, &to->info->evtchn_pending_sel))
        upcall(to);
    return 0;
}

static long op_bind_vcpu(struct vcpu *v, union evtchn_arg *arg)
{
    struct evtchn_bind_vcpu *a = &arg->bind_vcpu;
    struct evtchn *c = channel(v->domain, a->port);
    struct vcpu *to = domain_vcpu(v->domain, a->vcpu);
    long rc = -XEN_EINVAL;

    if (!to) return -XEN_ENOENT;
    if (!c) return rc;
    spin_lock(&c->lock);
    if (c->state == EVTCHNSTAT_unbound || c->state == EVTCHNSTAT_interdomain ||
        (c->state == EVTCHNSTAT_virq && virq_global(c->virq))) {
        WRITE_ONCE(c->vcpu, to->id);
        rc = 0;
    }
    spin_unlock(&c->lock);
    return rc;
}

static long op_status(struct vcpu *v, union evtchn_arg *arg)
{
    struct evtchn_status *a = &arg->status;
    struct evtchn *c;
    struct domain *d;
    int rc = domain_get_controlled(a->dom, &d);

    (void)v;
    if (rc) return rc;
    c = channel(d, a->port);
    if (c) {
        spin_lock(&c->lock);
        a->status = c->state;
        a->vcpu = c->vcpu;
        if (c->state == EVTCHNSTAT_unbound)
            a->u.unbound.dom = c->remote_id;
        else if (c->state == EVTCHNSTAT_virq)
            a->u.virq = c->virq;
        else if (c->state == EVTCHNSTAT_interdomain) {
            a->u.interdomain.dom = c->remote->id;
            a->u.interdomain.port = c->remote_port;
        }
        spin_unlock(&c->lock);
    } else if (a->port < d->evtchns->limit) {
        a->status = EVTCHNSTAT_closed;
        a->vcpu = 0;
    } else {
        rc = -XEN_EINVAL;
    }
    domain_put(d);
    return rc;
}

static const struct {
    long (*fn)(struct vcpu *v, union evtchn_arg *arg);
    uint8_t size;
    bool out; /* the structure goes back to the guest */
} ops[] = {
#define OP(name, out) [EVTCHNOP_##name] = {op_##name, sizeof(struct evtchn_##name), out}
    OP(bind_interdomain, true), OP(bind_virq, true),     OP(close, false),   OP(send, false),
    OP(status, true),           OP(alloc_unbound, true), OP(bind_ipi, true), OP(bind_vcpu, false),
    OP(unmask, false),          OP(reset, false),
#undef OP
};

/* A port whose number cannot be handed to the guest, because its own memory
 * went away meanwhile, stays open: closing it is the guest's business. */
long hc_event_channel_op(struct vcpu *v, const struct hc_args *args)
{
    uint32_t cmd = args->a[0];
    union evtchn_arg arg;
    long rc;

    if (cmd >= ARRAY_SIZE(ops)) return -XEN_ENOSYS;
    cmd = index_nospec(cmd, ARRAY_SIZE(ops));
    if (!ops[cmd].fn) return -XEN_ENOSYS;
    if (copy_from_guest(&arg, args->a[1], ops[cmd].size)) return -XEN_EFAULT;
    rc = ops[cmd].fn(v, &arg);
    if (!rc && ops[cmd].out && copy_to_guest(args->a[1], &arg, ops[cmd].size)) rc = -XEN_EFAULT;
    return rc;
}

void evtchn_dump(struct domain *d)
{
    static const char *const names[] = {"closed", "unbound", "interdomain", "pirq", "virq", "ipi"};
    struct evtchn_table *t = d->evtchns;

    for (uint32_t port = find_bit(t->used, t->limit, 1); port < t->limit;
         port = find_bit(t->used, t->limit, port + 1)) {
        struct evtchn *c = channel(d, port);

        spin_lock(&c->lock);
        log_info("d%u port %u: %s v%u remote d%d:%u virq %u%s%s", d->id, port, names[c->state],
                 c->vcpu, c->remote ? c->remote->id : -1, c->remote_port, c->virq,
                 test_bit(port, d->shared_info->evtchn_pending) ? " pending" : "",
                 test_bit(port, d->shared_info->evtchn_mask) ? " masked" : "");
        spin_unlock(&c->lock);
    }
}
