/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XENMEM_*: giving memory to domains and taking it back; putting pages at
 * addresses that the caller chooses (shared_info, grant table frames, other
 * domains' memory) and taking them away again; memory maps.
 */
#include "hypercall/access.h"
#include "hypercall/control.h"
#include "hypercall/grant.h"
#include "hypercall/hypercall.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include "vm/guest.h"
#include "vm/p2m.h"
#include <xen/memory.h>

/* The first argument: the operation, above it the items done before. */
#define MEMOP_BITS  6
#define MEMOP_MASK  ((1ul << MEMOP_BITS) - 1)
#define MEMOP_BATCH 16u /* items at a time */

static unsigned int op_cmd(void)
{
    return current_vcpu()->regs.rdi & MEMOP_MASK;
}

static uint64_t items_done(void)
{
    return current_vcpu()->regs.rdi >> MEMOP_BITS;
}

/* Goes on with `done` items behind it. */
static long go_on(uint64_t done)
{
    hc_set_arg(current_vcpu(), 0, op_cmd() | done << MEMOP_BITS);
    return HC_CONTINUE;
}

/* --- populate and decrease --- */

static unsigned int populate(struct domain *d, const uint64_t *gfn, unsigned int n,
                             unsigned int order, bool low)
{
    for (unsigned int i = 0; i < n; i++) {
        uint64_t mfn;

        if (p2m_lookup(d, gfn[i]).type != P2M_NONE) return i;
        mfn = frames_alloc(d, order, low);
        if (mfn == MFN_INVALID) return i;
        if (p2m_add(d, gfn[i], mfn, order, P2M_RAM)) {
            p2m_drop_entry(&(struct p2m_entry){mfn, P2M_RAM, order});
            return i;
        }
    }
    return n;
}

/* A large extent that is not mapped by one leaf: page by page.  What is no
 * RAM of the domain's stays. */
static unsigned int decrease_small(struct domain *d, uint64_t gfn, unsigned int order)
{
    uint64_t mfn[1u << ORDER_2M];
    struct p2m_entry old;
    unsigned int n = 0;

    for (uint64_t i = gfn; i < gfn + (1ull << order); i++)
        if (!p2m_remove_noflush(d, i, ORDER_4K, MFN_INVALID, P2M_RAM, &old)) mfn[n++] = old.mfn;
    if (n) p2m_flush(d);
    for (unsigned int k = 0; k < n; k++) frame_put(mfn[k]);
    return n == 1u << order;
}

/* One flush for all of them; only then the frames may go. */
static unsigned int decrease(struct domain *d, const uint64_t *gfn, unsigned int n,
                             unsigned int order)
{
    struct p2m_entry old[MEMOP_BATCH];
    unsigned int i;

    for (i = 0; i < n; i++)
        if (p2m_remove_noflush(d, gfn[i], order, MFN_INVALID, P2M_RAM, &old[i])) break;
    if (i) p2m_flush(d);
    for (unsigned int k = 0; k < i; k++) p2m_drop_entry(&old[k]);
    return order && !i ? decrease_small(d, gfn[0], order) : i;
}

/*
 * The common frame: returns how many extents are done, as the ABI wants, even
 * when that is none.  1 GiB extents would take far longer than an operation
 * may: callers go on with 2 MiB.  Only dom0 may choose where its frames are:
 * the search for low ones is long, and no other knows what it gets.
 */
static long memory_extents(struct domain *caller, void *arg)
{
    const struct xen_memory_reservation *r = arg;
    unsigned int bits = caller->privileged ? XENMEMF_get_address_bits(r->mem_flags) : 0, n, got;
    uint64_t gfn[MEMOP_BATCH], done = items_done();
    struct domain *d;
    int rc;

    if (r->nr_extents > ~0ul >> (MEMOP_BITS + 1) || done >= r->nr_extents ||
        (r->extent_order != ORDER_4K && r->extent_order != ORDER_2M) ||
        r->mem_flags & XENMEMF_populate_on_demand)
        return done;
    n = r->extent_order ? 1 : MIN(MEMOP_BATCH, r->nr_extents - done);
    if (copy_from_guest(gfn, HANDLE(r->extent_start) + done * sizeof(*gfn), n * sizeof(*gfn)))
        return done;
    rc = domain_get_locked(r->domid, &d);
    if (rc) return rc == -XEN_EPERM ? rc : (long)done;
    got = op_cmd() == XENMEM_decrease_reservation
              ? decrease(d, gfn, n, r->extent_order)
              : populate(d, gfn, n, r->extent_order, bits && bits <= 32);
    domain_put_locked(d);
    done += got;
    return got == n && done < r->nr_extents ? go_on(done) : (long)done;
}

/* --- pages at chosen addresses --- */

/* Grants are taken away only by their own hypercalls, devices not at all. */
static bool replaceable(enum p2m_type t)
{
    return t != P2M_GRANT_RW && t != P2M_GRANT_RO && t != P2M_MMIO;
}

static int map_page(struct domain *d, uint64_t gfn, uint64_t mfn, enum p2m_type type)
{
    struct p2m_entry old;
    int rc;

    if (!replaceable(p2m_lookup(d, gfn).type)) return -XEN_EINVAL;
    rc = p2m_replace(d, gfn, mfn, type, &old);
    if (!rc) p2m_drop_entry(&old);
    return rc;
}

/* A page of d's that the core gives it; it moves from its last place. */
static int place_page(struct domain *d, uint64_t gfn, uint64_t mfn, uint64_t *place)
{
    struct p2m_entry old;
    uint64_t before;
    int rc = map_page(d, gfn, mfn, P2M_SHARED);

    if (rc) return rc;
    before = __atomic_exchange_n(place, gfn, __ATOMIC_SEQ_CST);
    if (before != gfn && p2m_remove(d, before, ORDER_4K, mfn, P2M_SHARED, &old) == 0)
        p2m_drop_entry(&old);
    return 0;
}

/* Moves a page of d's RAM. */
static int move_page(struct domain *d, uint64_t from, uint64_t to)
{
    struct p2m_entry e;
    int rc;

    if (from == to) return p2m_lookup(d, from).type == P2M_RAM ? 0 : -XEN_EINVAL;
    if (p2m_remove(d, from, ORDER_4K, MFN_INVALID, P2M_RAM, &e)) return -XEN_EINVAL;
    rc = map_page(d, to, e.mfn, P2M_RAM);
    /* Its table is there, so this cannot fail unless the guest itself has
     * put something else there in the meantime. */
    if (rc && p2m_add(d, from, e.mfn, ORDER_4K, P2M_RAM)) p2m_drop_entry(&e);
    return rc;
}

static int add_page(struct domain *d, unsigned int space, uint64_t idx, uint64_t gfn)
{
    uint64_t mfn;

    switch (space) {
    case XENMAPSPACE_shared_info:
        return idx ? -XEN_EINVAL
                   : place_page(d, gfn, core_to_mfn(d->shared_info), &d->shared_info_gfn);
    case XENMAPSPACE_grant_table:
        mfn = grant_table_frame(d, idx);
        return mfn == MFN_INVALID ? -XEN_EINVAL
                                  : place_page(d, gfn, mfn, grant_table_place(d, idx));
    case XENMAPSPACE_gmfn: return move_page(d, idx, gfn);
    default: return -XEN_EOPNOTSUPP;
    }
}

/* A page of another's RAM into the current domain, dom0. */
static int add_foreign(struct domain *d, struct domain *other, uint64_t idx, uint64_t gfn)
{
    uint64_t mfn = p2m_get_frame(other, idx, true, false);
    int rc;

    if (mfn == MFN_INVALID) return -XEN_EINVAL;
    rc = map_page(d, gfn, mfn, P2M_FOREIGN);
    if (rc) frame_put(mfn);
    return rc;
}

static long memory_add(struct domain *d, void *arg)
{
    const struct xen_add_to_physmap *a = arg;

    return add_page(d, a->space, a->idx, a->gpfn);
}

/* The other domain of a foreign batch; only dom0, for itself. */
static int get_foreign(struct domain *d, domid_t id, struct domain **other)
{
    struct domain *caller = current_domain(), *o;

    if (!caller->privileged) return -XEN_EPERM;
    if (d != caller) return -XEN_EOPNOTSUPP;
    o = id == DOMID_SELF ? NULL : domain_get(id);
    if (!o) return id == DOMID_SELF ? -XEN_EINVAL : -XEN_ESRCH;
    if (o == d || !access_allowed(d, o)) {
        domain_put(o);
        return -XEN_EINVAL;
    }
    *other = o;
    return 0;
}

static long memory_add_batch(struct domain *d, void *arg)
{
    const struct xen_add_to_physmap_batch *b = arg;
    uint64_t idx[MEMOP_BATCH], gfn[MEMOP_BATCH], done = items_done();
    bool foreign = b->space == XENMAPSPACE_gmfn_foreign;
    unsigned int n = done < b->size ? MIN(MEMOP_BATCH, b->size - done) : 0;
    struct domain *other = NULL;
    int err[MEMOP_BATCH], rc;

    if (!foreign && b->u.res0) return -XEN_EOPNOTSUPP;
    if (copy_from_guest(idx, HANDLE(b->idxs) + done * sizeof(*idx), n * sizeof(*idx)) ||
        copy_from_guest(gfn, HANDLE(b->gpfns) + done * sizeof(*gfn), n * sizeof(*gfn)))
        return -XEN_EFAULT;
    rc = foreign ? get_foreign(d, b->u.foreign_domid, &other) : 0;
    if (rc) return rc;
    for (unsigned int i = 0; i < n; i++)
        err[i] =
            other ? add_foreign(d, other, idx[i], gfn[i]) : add_page(d, b->space, idx[i], gfn[i]);
    if (other) domain_put(other);
    if (copy_to_guest(HANDLE(b->errs) + done * sizeof(*err), err, n * sizeof(*err)))
        return -XEN_EFAULT;
    return done + n < b->size ? go_on(done + n) : 0;
}

static long memory_remove(struct domain *d, void *arg)
{
    uint64_t gfn = ((struct xen_remove_from_physmap *)arg)->gpfn;
    struct p2m_entry e = p2m_lookup(d, gfn);
    int rc;

    if (e.type == P2M_NONE) return -XEN_ENOENT;
    if (!replaceable(e.type)) return -XEN_EINVAL;
    rc = p2m_remove(d, gfn, ORDER_4K, e.mfn, e.type, &e);
    if (rc) return rc;
    if (gfn == READ_ONCE(d->shared_info_gfn)) WRITE_ONCE(d->shared_info_gfn, ~0ull);
    p2m_drop_entry(&e);
    return 0;
}

/* Maps frames of another's grant table into dom0.  They are the core's and
 * live as long as their domain: each mapping holds a reference to that. */
static long memory_acquire(struct domain *owner, void *arg)
{
    struct xen_mem_acquire_resource *r = arg;
    struct domain *d = current_domain();
    uint64_t gfn[MEMOP_BATCH];

    if (r->pad) return -XEN_EINVAL;
    if (owner == d || !access_allowed(d, owner)) return -XEN_EPERM;
    if (r->type != XENMEM_resource_grant_table || r->id != XENMEM_resource_grant_table_id_shared)
        return -XEN_EOPNOTSUPP;
    if (HANDLE_NULL(r->frame_list)) {
        if (r->nr_frames) return -XEN_EINVAL;
        r->nr_frames = grant_table_max_frames(owner);
        return 0;
    }
    if (r->nr_frames > MEMOP_BATCH) return -XEN_E2BIG;
    if (copy_from_guest(gfn, HANDLE(r->frame_list), r->nr_frames * sizeof(*gfn)))
        return -XEN_EFAULT;
    for (unsigned int i = 0; i < r->nr_frames; i++) {
        uint64_t mfn = grant_table_frame(owner, r->frame + i);
        struct domain *ref = domain_get(owner->id);
        int rc = mfn == MFN_INVALID ? -XEN_EINVAL : map_page(d, gfn[i], mfn, P2M_RESOURCE);

        if (!rc) continue;
        domain_put(ref);
        return i ? -XEN_EIO : rc;
    }
    return 0;
}

/* --- numbers and maps --- */

static long memory_number(struct domain *d, maybe_unused void *arg)
{
    unsigned int cmd = op_cmd();

    return cmd == XENMEM_current_reservation   ? READ_ONCE(d->tot_pages)
           : cmd == XENMEM_maximum_reservation ? READ_ONCE(d->max_pages)
                                               : READ_ONCE(d->p2m->max_gfn);
}

/* Nothing is ever shared; there is no virtual NUMA (another error than this
 * one stops a save). */
static long memory_nothing(maybe_unused struct domain *d, maybe_unused void *arg)
{
    return op_cmd() == XENMEM_get_vnumainfo ? -XEN_EOPNOTSUPP : 0;
}

/* There is no populate on demand: any target is met. */
static long memory_pod_target(maybe_unused struct domain *caller, void *arg)
{
    struct xen_pod_target *t = arg;
    struct domain *d = domain_get(t->domid);

    if (!d) return -XEN_ESRCH;
    t->tot_pages = READ_ONCE(d->tot_pages);
    t->pod_cache_pages = t->pod_entries = 0;
    domain_put(d);
    return 0;
}

static long memory_get_map(struct domain *d, void *arg)
{
    struct xen_memory_map *m = arg;
    int rc = -XEN_ENOSYS;

    spin_lock(&d->lock);
    if (d->e820) {
        m->nr_entries = MIN(m->nr_entries, d->e820->count);
        rc = copy_to_guest(HANDLE(m->buffer), d->e820->entry,
                           m->nr_entries * sizeof(d->e820->entry[0]));
    }
    spin_unlock(&d->lock);
    return rc;
}

static long memory_set_map(struct domain *d, void *arg)
{
    const struct xen_memory_map *m = &((struct xen_foreign_memory_map *)arg)->map;
    struct e820_map *map, *old;

    if (m->nr_entries > E820_MAX) return -XEN_EINVAL;
    map = core_alloc(sizeof(*map));
    if (!map) return -XEN_ENOMEM;
    map->count = m->nr_entries;
    if (copy_from_guest(map->entry, HANDLE(m->buffer), map->count * sizeof(map->entry[0]))) {
        core_free(map);
        return -XEN_EFAULT;
    }
    spin_lock(&d->lock);
    old = d->e820;
    d->e820 = map;
    spin_unlock(&d->lock);
    core_free(old);
    return 0;
}

static const struct subop ops[] = {
#define OP(cmd, fn, type, flags) [XENMEM_##cmd] = {memory_##fn, sizeof(struct xen_##type), flags}
    OP(decrease_reservation, extents, memory_reservation, 0),
    OP(populate_physmap, extents, memory_reservation, 0),
    OP(current_reservation, number, memory_domain, SUBOP_DOMAIN),
    OP(maximum_reservation, number, memory_domain, SUBOP_DOMAIN),
    OP(maximum_gpfn, number, memory_domain, SUBOP_DOMAIN),
    OP(add_to_physmap, add, add_to_physmap, SUBOP_LOCKED),
    OP(add_to_physmap_batch, add_batch, add_to_physmap_batch, SUBOP_LOCKED),
    OP(remove_from_physmap, remove, remove_from_physmap, SUBOP_LOCKED),
    OP(acquire_resource, acquire, mem_acquire_resource, SUBOP_DOM0 | SUBOP_DOMAIN | SUBOP_OUT),
    OP(memory_map, get_map, memory_map, SUBOP_OUT),
    OP(set_memory_map, set_map, foreign_memory_map, SUBOP_DOMAIN),
    OP(set_pod_target, pod_target, pod_target, SUBOP_DOM0 | SUBOP_OUT),
    OP(get_pod_target, pod_target, pod_target, SUBOP_DOM0 | SUBOP_OUT),
#undef OP
    [XENMEM_get_sharing_freed_pages] = {memory_nothing, 0, 0},
    [XENMEM_get_sharing_shared_pages] = {memory_nothing, 0, 0},
    [XENMEM_get_vnumainfo] = {memory_nothing, 0, 0},
};

/* (cmd, argument); the progress of an earlier run stands above the cmd. */
long hc_memory_op(maybe_unused struct vcpu *v, const struct hc_args *args)
{
    return subop_call(ops, ARRAY_SIZE(ops), args->a[0] & MEMOP_MASK, args->a[1]);
}
