/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting pages at addresses that the caller chooses: shared_info, grant
 * table frames, other domains' memory; and taking them away again.
 */
#include "hypercall/access.h"
#include "hypercall/grant.h"
#include "hypercall/memory.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include "vm/guest.h"
#include "vm/p2m.h"
#include <xen/memory.h>

/*
 * Pages of the core that belong to one domain and are mapped by dom0
 * (XENMEM_acquire_resource).  Such a page lives as long as its domain, so
 * each mapping holds a reference to that.  Mappings last for moments only.
 */
#define RESOURCE_MAPS 64
static struct resource_map {
    struct domain *owner; /* NULL: free */
    uint64_t gfn, mfn;
} resources[RESOURCE_MAPS];
/* Guards: resources. */
static struct spinlock resource_lock = SPINLOCK(RANK_MAPTRACK);

static bool resource_note(struct domain *owner, uint64_t gfn, uint64_t mfn)
{
    struct resource_map *r = NULL;

    spin_lock(&resource_lock);
    for (unsigned int i = 0; i < RESOURCE_MAPS && !r; i++)
        if (!resources[i].owner) r = &resources[i];
    if (r) *r = (struct resource_map){domain_get(owner->id), gfn, mfn};
    spin_unlock(&resource_lock);
    return r != NULL;
}

static void resource_forget(uint64_t gfn, uint64_t mfn)
{
    struct domain *owner = NULL;

    spin_lock(&resource_lock);
    for (unsigned int i = 0; i < RESOURCE_MAPS && !owner; i++)
        if (resources[i].gfn == gfn && resources[i].mfn == mfn) {
            owner = resources[i].owner;
            resources[i].owner = NULL;
        }
    spin_unlock(&resource_lock);
    if (owner) domain_put(owner);
}

/* What was at gfn of d is no longer there, for anyone. */
static void drop_entry(struct domain *d, uint64_t gfn, const struct p2m_entry *e)
{
    if (e->type == P2M_SHARED && d->privileged) resource_forget(gfn, e->mfn);
    p2m_drop_entry(e);
}

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
    if (!rc) drop_entry(d, gfn, &old);
    return rc;
}

/* A page of d's that the core gives it; it moves from its last place. */
static int place_page(struct domain *d, uint64_t gfn, uint64_t mfn, uint64_t *place)
{
    uint64_t before = *place;
    struct p2m_entry old;
    int rc = map_page(d, gfn, mfn, P2M_SHARED);

    if (rc) return rc;
    *place = gfn;
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
        mfn = idx <= UINT32_MAX ? grant_table_frame(d, idx) : MFN_INVALID;
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

long memory_add(maybe_unused struct vcpu *v, maybe_unused uint64_t word, uint64_t arg)
{
    struct xen_add_to_physmap a;
    struct domain *d;
    int rc;

    if (copy_from_guest(&a, arg, sizeof(a))) return -XEN_EFAULT;
    rc = memory_begin(a.domid, &d);
    if (rc) return rc;
    rc = add_page(d, a.space, a.idx, a.gpfn);
    memory_end(d);
    return rc;
}

/* --- batches --- */

/* The other domain of a foreign batch; only dom0, for itself. */
static int get_foreign(struct vcpu *v, const struct xen_add_to_physmap_batch *b,
                       struct domain **other)
{
    struct domain *o;

    if (!v->domain->privileged) return -XEN_EPERM;
    if (b->domid != DOMID_SELF && b->domid != v->domain->id) return -XEN_EOPNOTSUPP;
    if (b->u.foreign_domid == DOMID_SELF) return -XEN_EINVAL;
    o = domain_get(b->u.foreign_domid);
    if (!o) return -XEN_ESRCH;
    if (o == v->domain || !access_allowed(v->domain, o)) {
        domain_put(o);
        return -XEN_EINVAL;
    }
    *other = o;
    return 0;
}

/* Entries [done, done + n): reads, carries out, writes the errors. */
static int add_some(struct domain *d, struct domain *other,
                    const struct xen_add_to_physmap_batch *b, uint64_t done, unsigned int n)
{
    uint64_t idx[MEMOP_BATCH], gfn[MEMOP_BATCH];
    int err[MEMOP_BATCH];

    if (copy_from_guest(idx, HANDLE(b->idxs) + done * sizeof(*idx), n * sizeof(*idx)) ||
        copy_from_guest(gfn, HANDLE(b->gpfns) + done * sizeof(*gfn), n * sizeof(*gfn)))
        return -XEN_EFAULT;
    for (unsigned int i = 0; i < n; i++)
        err[i] =
            other ? add_foreign(d, other, idx[i], gfn[i]) : add_page(d, b->space, idx[i], gfn[i]);
    return copy_to_guest(HANDLE(b->errs) + done * sizeof(*err), err, n * sizeof(*err));
}

long memory_add_batch(struct vcpu *v, uint64_t word, uint64_t arg)
{
    struct xen_add_to_physmap_batch b;
    uint64_t done = word >> MEMOP_BITS;
    struct domain *d, *other = NULL;
    int rc = 0;

    if (copy_from_guest(&b, arg, sizeof(b))) return -XEN_EFAULT;
    if (b.space == XENMAPSPACE_gmfn_foreign)
        rc = get_foreign(v, &b, &other);
    else if (b.u.res0)
        rc = -XEN_EOPNOTSUPP;
    while (!rc && done < b.size) {
        unsigned int n = MIN(MEMOP_BATCH, b.size - done);

        rc = memory_begin(b.domid, &d);
        if (rc) break;
        rc = add_some(d, other, &b, done, n);
        memory_end(d);
        done += n;
        if (!rc && done < b.size && hypercall_preempt()) rc = memory_continue(v, word, done);
    }
    if (other) domain_put(other);
    return rc;
}

/* --- the other way --- */

static int remove_page(struct domain *d, uint64_t gfn)
{
    struct p2m_entry e = p2m_lookup(d, gfn);
    int rc;

    if (e.type == P2M_NONE) return -XEN_ENOENT;
    if (!replaceable(e.type)) return -XEN_EINVAL;
    rc = p2m_remove(d, gfn, ORDER_4K, e.mfn, e.type, &e);
    if (rc) return rc;
    if (gfn == d->shared_info_gfn) d->shared_info_gfn = ~0ull;
    drop_entry(d, gfn, &e);
    return 0;
}

long memory_remove(maybe_unused struct vcpu *v, maybe_unused uint64_t word, uint64_t arg)
{
    struct xen_remove_from_physmap r;
    struct domain *d;
    int rc;

    if (copy_from_guest(&r, arg, sizeof(r))) return -XEN_EFAULT;
    rc = memory_begin(r.domid, &d);
    if (rc) return rc;
    rc = remove_page(d, r.gpfn);
    memory_end(d);
    return rc;
}

/* --- resources --- */

static int map_resource(struct domain *d, struct domain *owner, uint64_t frame, uint64_t gfn)
{
    uint64_t mfn = MFN_INVALID;
    int rc;

    if (frame < grant_table_max_frames(owner)) mfn = grant_table_frame(owner, frame);
    if (mfn == MFN_INVALID) return -XEN_EINVAL;
    if (!resource_note(owner, gfn, mfn)) return -XEN_EBUSY;
    rc = map_page(d, gfn, mfn, P2M_SHARED);
    if (rc) resource_forget(gfn, mfn);
    return rc;
}

static int acquire(struct domain *d, struct domain *owner, struct xen_mem_acquire_resource *r,
                   uint64_t arg)
{
    uint64_t gfn[MEMOP_BATCH];
    int rc;

    if (r->type != XENMEM_resource_grant_table || r->id != XENMEM_resource_grant_table_id_shared)
        return -XEN_EOPNOTSUPP;
    if (HANDLE_NULL(r->frame_list)) {
        if (r->nr_frames) return -XEN_EINVAL;
        r->nr_frames = grant_table_max_frames(owner);
        return copy_to_guest(arg, r, sizeof(*r));
    }
    if (r->nr_frames > MEMOP_BATCH) return -XEN_E2BIG;
    if (copy_from_guest(gfn, HANDLE(r->frame_list), r->nr_frames * sizeof(*gfn)))
        return -XEN_EFAULT;
    for (unsigned int i = 0; i < r->nr_frames; i++) {
        rc = map_resource(d, owner, r->frame + i, gfn[i]);
        if (rc) return i ? -XEN_EIO : rc;
    }
    return 0;
}

long memory_acquire(struct vcpu *v, maybe_unused uint64_t word, uint64_t arg)
{
    struct xen_mem_acquire_resource r;
    struct domain *owner;
    int rc;

    if (!v->domain->privileged) return -XEN_EPERM;
    if (copy_from_guest(&r, arg, sizeof(r))) return -XEN_EFAULT;
    if (r.pad) return -XEN_EINVAL;
    owner = domain_get(r.domid);
    if (!owner) return -XEN_ESRCH;
    rc = owner == v->domain || !access_allowed(v->domain, owner)
             ? -XEN_EPERM
             : acquire(v->domain, owner, &r, arg);
    domain_put(owner);
    return rc;
}
