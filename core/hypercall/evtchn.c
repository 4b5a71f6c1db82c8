/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event channels: 4096 ports a domain, their pending and mask bits in
 * shared_info (the two-level form), or in words that the guest gives for them
 * (evtchn_fifo.c).
 *
 * A channel's own lock guards it; both locks are held to join two channels and
 * to part them, so that one of them is enough to read the link.  A channel is
 * never freed before its domain is, and that happens only when every CPU has
 * been outside of any operation: a pointer to the peer stays good until the
 * end of the hypercall, even after the locks are dropped.
 */
#include "hypercall/evtchn.h"
#include "hypercall/evtchn_fifo.h"
#include "device/vlapic.h"
#include "hypercall/access.h"
#include "hypercall/hypercall.h"
#include "memory/heap.h"
#include "sched/sched.h"
#include "vm/guest.h"

#define PAGE_PORTS 64u
_Static_assert(PAGE_PORTS * sizeof(struct evtchn) <= PAGE_SIZE, "a page of channels");

struct evtchn_table {
    struct spinlock lock; /* guards: which ports are taken, the binding of VIRQs */
    uint32_t limit;       /* ports are below it */
    struct fifo *fifo;    /* once made it stays until the domain is freed */
    bool fifo_on;         /* the domain has turned to this form */
    unsigned long used[BITMAP_WORDS(MAX_PORTS)];    /* atomic          */
    unsigned long polling[BITMAP_WORDS(MAX_VCPUS)]; /* vCPUs; atomic */
    struct evtchn *page[MAX_PORTS / PAGE_PORTS];    /* made with their first port */
};

/* Makes the page of closed channels that t lacks, unless another CPU is first.
 * False: no memory. */
static bool make_page(struct evtchn_table *t, unsigned int i)
{
    struct evtchn *page = core_alloc_pages(1), *none = NULL;

    if (!page) return false;
    for (unsigned int k = 0; k < PAGE_PORTS; k++) {
        spin_init(&page[k].lock, RANK_EVTCHN);
        page[k].priority = EVTCHN_FIFO_PRIORITY_DEFAULT;
    }
    if (!__atomic_compare_exchange_n(&t->page[i], &none, page, false, __ATOMIC_RELEASE,
                                     __ATOMIC_RELAXED))
        core_free_pages(page, 1);
    return true;
}

int evtchn_init(struct domain *d, uint32_t max_port)
{
    struct evtchn_table *t = core_alloc(sizeof(*t));

    if (!t) return -XEN_ENOMEM;
    spin_init(&t->lock, RANK_EVTCHN_TABLE);
    t->limit = max_port < MAX_PORTS ? max_port + 1 : MAX_PORTS;
    __set_bit(0, t->used); /* port 0 means none */
    d->evtchns = t;
    /* dom0's are there at once: it lives as long as the machine. */
    for (unsigned int i = 0; d->privileged && i < DIV_UP(t->limit, PAGE_PORTS); i++)
        if (!make_page(t, i)) return -XEN_ENOMEM;
    return 0;
}

void evtchn_free(struct domain *d)
{
    struct evtchn_table *t = d->evtchns;

    if (!t) return;
    for (unsigned int i = 0; i < ARRAY_SIZE(t->page); i++) core_free_pages(t->page[i], 1);
    core_free(t->fifo);
    core_free(t);
    d->evtchns = NULL;
}

static inline bool port_valid(const struct domain *d, uint32_t port)
{
    return port && port < d->evtchns->limit;
}

static inline struct evtchn *page_of(const struct evtchn_table *t, uint32_t port)
{
    return __atomic_load_n(&t->page[port / PAGE_PORTS], __ATOMIC_ACQUIRE);
}

/* The channel of a port; NULL where there can be none, or none was open yet. */
static struct evtchn *channel(struct domain *d, uint32_t port)
{
    struct evtchn_table *t = d->evtchns;
    struct evtchn *page;

    if (unlikely(!port_valid(d, port))) return NULL;
    port = index_nospec(port, t->limit);
    page = page_of(t, port);
    return page ? &page[port % PAGE_PORTS] : NULL;
}

/* The same, which may be closed, of the domain that pays for it; NULL also without
 * memory. */
static struct evtchn *make_channel(struct domain *d, uint32_t port)
{
    struct evtchn_table *t = d->evtchns;
    struct evtchn *c = channel(d, port);

    if (c || !port_valid(d, port)) return c;
    return make_page(t, index_nospec(port, t->limit) / PAGE_PORTS) ? channel(d, port) : NULL;
}

/* One that was taken: it is there. */
static struct evtchn *taken(struct domain *d, uint32_t port)
{
    return &page_of(d->evtchns, port)[port % PAGE_PORTS];
}

/* NULL: the domain has the two-level form. */
static inline struct fifo *fifo_of(const struct domain *d)
{
    return __atomic_load_n(&d->evtchns->fifo_on, __ATOMIC_ACQUIRE) ? d->evtchns->fifo : NULL;
}

static bool is_pending(struct domain *d, uint32_t port)
{
    struct fifo *f = fifo_of(d);

    if (f) return fifo_pending(f, port);
    return test_bit(index_nospec(port, MAX_PORTS), d->shared_info->evtchn_pending);
}

/* --- raising --- */

void evtchn_upcall(struct vcpu *v)
{
    uint8_t vector = READ_ONCE(v->upcall_vector);

    if (__atomic_exchange_n(&READ_ONCE(v->info)->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST))
        return;
    if (vector)
        vlapic_set_upcall(v, vector);
    else
        vcpu_notify(v);
}

void evtchn_poll_end(struct vcpu *v)
{
    clear_bit(v->id, v->domain->evtchns->polling);
    __atomic_fetch_and(&v->holds, ~HOLD_POLL, __ATOMIC_SEQ_CST);
}

static void wake_pollers(struct domain *d, uint32_t port)
{
    unsigned long *polling = d->evtchns->polling;
    unsigned int i;

    for_each_bit (i, polling, MAX_VCPUS, 0) {
        struct vcpu *v = READ_ONCE(d->vcpus[i]);
        uint32_t only = READ_ONCE(v->poll_port);

        if (only && only != port) continue;
        evtchn_poll_end(v);
        sched_wake(v);
    }
}

/* Tells vCPU `id` of d that a port is pending, unless it is masked. */
static void tell(struct domain *d, unsigned int id, uint32_t port)
{
    struct vcpu *v = READ_ONCE(d->vcpus[id]);

    if (v && !test_bit(port, d->shared_info->evtchn_mask) &&
        !test_and_set_bit(port / 64, &READ_ONCE(v->info)->evtchn_pending_sel))
        evtchn_upcall(v);
}

static void set_pending(struct domain *d, unsigned int id, uint32_t port)
{
    const unsigned long *polling = d->evtchns->polling;

    struct fifo *f = fifo_of(d);

    if (f) {
        if (fifo_raise(f, channel(d, port), port)) return;
    } else {
        if (test_and_set_bit(port, d->shared_info->evtchn_pending)) return;
        tell(d, id, port);
    }
    if (unlikely(READ_ONCE(polling[0]) | READ_ONCE(polling[1]))) wake_pollers(d, port);
}

void evtchn_mark_all(struct vcpu *v)
{
    __atomic_store_n(&READ_ONCE(v->info)->evtchn_pending_sel, ~0ul, __ATOMIC_SEQ_CST);
    evtchn_upcall(v);
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

int evtchn_poll_begin(struct vcpu *v, const uint32_t *ports, unsigned int n)
{
    struct domain *d = v->domain;
    bool pending = false;

    for (unsigned int i = 0; i < n; i++)
        if (!port_valid(d, ports[i])) return -XEN_EINVAL;
    WRITE_ONCE(v->poll_port, n == 1 ? ports[0] : 0);
    __atomic_fetch_or(&v->holds, HOLD_POLL, __ATOMIC_SEQ_CST);
    set_bit(v->id, d->evtchns->polling);
    for (unsigned int i = 0; i < n; i++) pending |= is_pending(d, ports[i]);
    if (pending) evtchn_poll_end(v);
    return pending;
}

/* --- opening --- */

/* Takes a free port of d, still in state closed; its table is locked.  A
 * domain that is dying gets none. */
static int take_port(struct domain *d)
{
    struct evtchn_table *t = d->evtchns;
    unsigned int w = 0, port;

    if (READ_ONCE(d->dying) != ALIVE) return -XEN_EINVAL;
    while (w < ARRAY_SIZE(t->used) && !~READ_ONCE(t->used[w])) w++;
    port = w < ARRAY_SIZE(t->used) ? w * 64 + __builtin_ctzl(~READ_ONCE(t->used[w])) : MAX_PORTS;
    if (port >= t->limit) return -XEN_ENOSPC;
    if (!make_channel(d, port)) return -XEN_ENOMEM;
    set_bit(port, t->used);
    return port;
}

/* Opens a channel that has no other end (yet); its number goes to *out.  A
 * VIRQ is bound only once. */
static int open_port(struct domain *d, const struct evtchn *as, uint32_t *out)
{
    uint16_t *bound = NULL;
    int port = -XEN_EEXIST;

    if (as->state == EVTCHNSTAT_virq) bound = &d->vcpus[as->vcpu]->virq_port[as->virq];
    spin_lock(&d->evtchns->lock);
    if (!bound || !READ_ONCE(*bound)) port = take_port(d);
    if (port > 0) {
        struct evtchn *c = taken(d, port);

        spin_lock(&c->lock);
        WRITE_ONCE(c->vcpu, as->vcpu);
        c->virq = as->virq;
        c->remote_id = as->remote_id;
        c->state = as->state;
        if (bound) WRITE_ONCE(*bound, port); /* before anybody closes it */
        spin_unlock(&c->lock);
        *out = port;
    }
    spin_unlock(&d->evtchns->lock);
    return MIN(port, 0);
}

static long op_alloc_unbound(struct domain *d, void *arg)
{
    struct evtchn_alloc_unbound *a = arg;
    domid_t remote = a->remote_dom == DOMID_SELF ? current_domain()->id : a->remote_dom;

    return open_port(d, &(struct evtchn){.state = EVTCHNSTAT_unbound, .remote_id = remote},
                     &a->port);
}

/* Joins a new port of ld to the remote one, if that waits for ld. */
static long op_bind_interdomain(struct domain *ld, void *arg)
{
    struct evtchn_bind_interdomain *a = arg;
    struct domain *rd = domain_get(a->remote_dom);
    struct evtchn *l, *r;
    int port, rc;

    if (!rd) return -XEN_ESRCH;
    spin_lock(&ld->evtchns->lock);
    rc = port = access_allowed(ld, rd) ? take_port(ld) : -XEN_EPERM;
    if (port > 0) {
        rc = -XEN_EINVAL;
        l = taken(ld, port);
        r = channel(rd, a->remote_port);
        if (!r) r = l;
        spin_lock_two(&l->lock, &r->lock);
        /* (l itself is closed) */
        if (r->state == EVTCHNSTAT_unbound && r->remote_id == ld->id) {
            l->remote = rd;
            l->remote_port = a->remote_port;
            WRITE_ONCE(l->peer, r);
            WRITE_ONCE(l->vcpu, 0);
            r->remote = ld;
            r->remote_port = port;
            WRITE_ONCE(r->peer, l);
            l->state = r->state = EVTCHNSTAT_interdomain;
            /* What was sent before is not lost. */
            set_pending(ld, 0, port);
            a->local_port = port;
            rc = 0;
        }
        spin_unlock_two(&l->lock, &r->lock);
        if (rc) clear_bit(port, ld->evtchns->used);
    }
    spin_unlock(&ld->evtchns->lock);
    domain_put(rd);
    return rc;
}

static long op_bind_virq(struct domain *d, void *arg)
{
    struct evtchn_bind_virq *a = arg;
    struct vcpu *on = domain_vcpu(d, a->vcpu);
    struct evtchn as = {.state = EVTCHNSTAT_virq};

    if (a->virq >= NR_VIRQS || (virq_global(a->virq) && a->vcpu != 0)) return -XEN_EINVAL;
    if (!on) return -XEN_ENOENT;
    as.vcpu = on->id;
    as.virq = index_nospec(a->virq, NR_VIRQS);
    return open_port(d, &as, &a->port);
}

static long op_bind_ipi(struct domain *d, void *arg)
{
    struct evtchn_bind_ipi *a = arg;
    struct vcpu *on = domain_vcpu(d, a->vcpu);

    if (!on) return -XEN_ENOENT;
    return open_port(d, &(struct evtchn){.state = EVTCHNSTAT_ipi, .vcpu = on->id}, &a->port);
}

/* --- closing --- */

/* Makes a port free again; its channel is locked. */
static void shut(struct domain *d, struct evtchn *c, uint32_t port)
{
    struct fifo *f = fifo_of(d);

    if (c->state == EVTCHNSTAT_virq) {
        struct vcpu *v = READ_ONCE(d->vcpus[virq_global(c->virq) ? 0 : c->vcpu]);

        WRITE_ONCE(v->virq_port[c->virq], 0);
    }
    c->state = EVTCHNSTAT_closed;
    WRITE_ONCE(c->peer, NULL);
    c->remote = NULL;
    if (f) fifo_close(f, c, port);
    clear_bit(port, d->shared_info->evtchn_pending);
    clear_bit(port, d->evtchns->used);
}

static int close_port(struct domain *d, uint32_t port)
{
    struct evtchn *c = channel(d, port), *r;
    struct spinlock *other;

    if (!c) return -XEN_EINVAL;
    /* Both ends, unless it is another that is there when they are locked. */
    for (;;) {
        r = READ_ONCE(c->peer);
        other = r ? &r->lock : &c->lock;
        spin_lock_two(&c->lock, other);
        if (c->peer == r) break;
        spin_unlock_two(&c->lock, other);
    }
    if (c->state == EVTCHNSTAT_closed) {
        spin_unlock(&c->lock);
        return -XEN_EINVAL;
    }
    if (r) {
        r->state = EVTCHNSTAT_unbound; /* waits for this domain again */
        r->remote_id = d->id;
        WRITE_ONCE(r->peer, NULL);
        r->remote = NULL;
    }
    shut(d, c, port);
    spin_unlock_two(&c->lock, other);
    return 0;
}

/* Closes all ports, back to the two-level form; -ERESTART when there are more
 * to close. */
static int close_all(struct domain *d)
{
    struct evtchn_table *t = d->evtchns;
    unsigned int port;
    struct fifo *f;

    for_each_bit (port, t->used, t->limit, 1) {
        (void)close_port(d, port);
        if (hypercall_preempt()) return HC_CONTINUE;
    }
    __atomic_store_n(&t->fifo_on, false, __ATOMIC_RELEASE);
    f = READ_ONCE(t->fifo);
    if (f) fifo_stop(f);
    return 0;
}

int evtchn_release(struct domain *d)
{
    /* Who found the domain alive has opened its port by now. */
    spin_lock(&d->evtchns->lock);
    spin_unlock(&d->evtchns->lock);
    return close_all(d);
}

static long op_close(struct domain *d, void *arg)
{
    return close_port(d, ((struct evtchn_close *)arg)->port);
}

static long op_reset(struct domain *d, maybe_unused void *arg)
{
    return close_all(d);
}

/* --- use --- */

static long op_send(struct domain *d, void *arg)
{
    uint32_t port = ((struct evtchn_send *)arg)->port;
    struct evtchn *c = channel(d, port);
    long rc = 0;

    if (unlikely(!c)) return -XEN_EINVAL;
    spin_lock(&c->lock);
    if (likely(c->state == EVTCHNSTAT_interdomain))
        set_pending(c->remote, READ_ONCE(c->peer->vcpu), c->remote_port);
    else if (c->state == EVTCHNSTAT_ipi)
        set_pending(d, c->vcpu, port);
    else if (c->state != EVTCHNSTAT_unbound) /* nobody hears it */
        rc = -XEN_EINVAL;
    spin_unlock(&c->lock);
    return rc;
}

static long op_unmask(struct domain *d, void *arg)
{
    uint32_t port = ((struct evtchn_unmask *)arg)->port;
    struct evtchn *c = make_channel(d, port);
    struct fifo *f = fifo_of(d);

    if (!c) return -XEN_EINVAL;
    if (f)
        fifo_unmask(f, c, port);
    else if (test_and_clear_bit(port, d->shared_info->evtchn_mask) &&
             test_bit(port, d->shared_info->evtchn_pending))
        tell(d, READ_ONCE(c->vcpu), port);
    return 0;
}

static long op_bind_vcpu(struct domain *d, void *arg)
{
    struct evtchn_bind_vcpu *a = arg;
    struct evtchn *c = channel(d, a->port);
    struct vcpu *to = domain_vcpu(d, a->vcpu);
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

static long op_status(struct domain *d, void *arg)
{
    struct evtchn_status *a = arg;
    struct evtchn *c = channel(d, a->port);

    if (a->port && !port_valid(d, a->port)) return -XEN_EINVAL;
    a->status = EVTCHNSTAT_closed;
    a->vcpu = 0;
    if (!c) return 0;
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
    return 0;
}

/* --- the FIFO form --- */

/* Queues what is pending on ports that have become able to tell it. */
static void queue_pending(struct domain *d, struct fifo *f)
{
    struct evtchn_table *t = d->evtchns;
    unsigned int port;

    for_each_bit (port, t->used, t->limit, 1) {
        struct evtchn *c = taken(d, port);

        spin_lock(&c->lock);
        if (c->state != EVTCHNSTAT_closed) fifo_check(f, c, port);
        spin_unlock(&c->lock);
    }
}

static long op_init_control(struct domain *d, void *arg)
{
    struct evtchn_init_control *a = arg;
    struct evtchn_table *t = d->evtchns;
    struct vcpu *v = domain_vcpu(d, a->vcpu);
    struct fifo *f;
    int rc;

    if (!v) return -XEN_ENOENT;
    spin_lock(&t->lock);
    if (!t->fifo) __atomic_store_n(&t->fifo, fifo_alloc(d), __ATOMIC_RELEASE);
    f = t->fifo;
    spin_unlock(&t->lock);
    if (!f) return -XEN_ENOMEM;
    rc = fifo_set_control(d, f, v->id, a->control_gfn, a->offset);
    if (rc) return rc;
    __atomic_store_n(&t->fifo_on, true, __ATOMIC_RELEASE);
    queue_pending(d, f);
    a->link_bits = EVTCHN_FIFO_LINK_BITS;
    return 0;
}

static long op_expand_array(struct domain *d, void *arg)
{
    struct fifo *f = fifo_of(d);
    int rc =
        f ? fifo_add_words(d, f, ((struct evtchn_expand_array *)arg)->array_gfn) : -XEN_EOPNOTSUPP;

    if (!rc) queue_pending(d, f);
    return rc;
}

static long op_set_priority(struct domain *d, void *arg)
{
    struct evtchn_set_priority *a = arg;
    struct evtchn *c = make_channel(d, a->port);
    struct fifo *f = fifo_of(d);

    if (!f) return -XEN_ENOSYS;
    if (!c || a->priority > EVTCHN_FIFO_PRIORITY_MIN) return -XEN_EINVAL;
    fifo_set_priority(f, c, a->priority);
    return 0;
}

/* A port whose number cannot be handed to the guest, because its own memory
 * went away meanwhile, stays open: closing it is the guest's business. */
static const struct subop ops[] = {
#define OP(name, flags) [EVTCHNOP_##name] = {op_##name, sizeof(struct evtchn_##name), flags}
    OP(alloc_unbound, SUBOP_DOMAIN | SUBOP_OUT),
    OP(bind_interdomain, SUBOP_OUT),
    OP(bind_virq, SUBOP_OUT),
    OP(bind_ipi, SUBOP_OUT),
    OP(bind_vcpu, 0),
    OP(close, 0),
    OP(send, 0),
    OP(status, SUBOP_DOMAIN | SUBOP_OUT),
    OP(unmask, 0),
    OP(reset, SUBOP_DOMAIN),
    OP(init_control, SUBOP_OUT),
    OP(expand_array, 0),
    OP(set_priority, 0),
#undef OP
};

long hc_event_channel_op(maybe_unused struct vcpu *v, const struct hc_args *args)
{
    return subop_call(ops, ARRAY_SIZE(ops), args->a[0], args->a[1]);
}
