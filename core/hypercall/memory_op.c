/* SPDX-License-Identifier: Apache-2.0 */
/* XENMEM_*: giving memory to domains and taking it back, and memory maps. */
#include "hypercall/access.h"
#include "hypercall/control.h"
#include "hypercall/memory.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include "vm/guest.h"
#include "vm/p2m.h"
#include <xen/memory.h>

long memory_continue(struct vcpu *v, uint64_t word, uint64_t done)
{
    hc_set_arg(v, 0, (word & MEMOP_MASK) | done << MEMOP_BITS);
    return HC_CONTINUE;
}

int memory_begin(domid_t id, struct domain **out)
{
    struct domain *d;
    int rc = domain_get_controlled(id, &d);

    if (rc) return rc;
    if (d != current_domain()) {
        spin_lock(&d->lock);
        if (d->dying != ALIVE) {
            spin_unlock(&d->lock);
            domain_put(d);
            return -XEN_ESRCH;
        }
    }
    *out = d;
    return 0;
}

void memory_end(struct domain *d)
{
    if (d != current_domain()) spin_unlock(&d->lock);
    domain_put(d);
}

/* --- populate and decrease --- */

static void put_frames(uint64_t mfn, unsigned int order)
{
    for (uint64_t i = 0; i < 1ull << order; i++) frame_put(mfn + i);
}

static unsigned int populate(struct domain *d, const uint64_t *gfn, unsigned int n,
                             unsigned int order, bool low)
{
    for (unsigned int i = 0; i < n; i++) {
        uint64_t mfn;

        if (p2m_lookup(d, gfn[i]).type != P2M_NONE) return i;
        mfn = frames_alloc(d, order, low);
        if (mfn == MFN_INVALID) return i;
        if (p2m_add(d, gfn[i], mfn, order, P2M_RAM)) {
            put_frames(mfn, order);
            return i;
        }
    }
    return n;
}

/* A large extent that is not mapped by one leaf: page by page.  What is no
 * RAM of the domain's stays. */
static unsigned int decrease_small(struct domain *d, uint64_t gfn, unsigned int order)
{
    struct p2m_entry old;
    unsigned int n = 0;

    for (uint64_t i = gfn; i < gfn + (1ull << order); i++) {
        if (p2m_remove(d, i, ORDER_4K, MFN_INVALID, P2M_RAM, &old)) continue;
        p2m_drop_entry(&old);
        n++;
    }
    return n == 1u << order;
}

/* One flush for all of them; only then the frames may go. */
static unsigned int decrease(struct domain *d, const uint64_t *gfn, unsigned int n,
                             unsigned int order)
{
    struct p2m_entry old[MEMOP_BATCH];
    unsigned int i;

    if (order) {
        if (p2m_lookup(d, gfn[0]).type != P2M_RAM) return 0;
        if (!p2m_remove(d, gfn[0], order, MFN_INVALID, P2M_RAM, &old[0]))
            p2m_drop_entry(&old[0]);
        else
            return decrease_small(d, gfn[0], order);
        return 1;
    }
    for (i = 0; i < n; i++)
        if (p2m_remove_noflush(d, gfn[i], ORDER_4K, MFN_INVALID, P2M_RAM, &old[i])) break;
    if (i) p2m_flush(d);
    for (unsigned int k = 0; k < i; k++) p2m_drop_entry(&old[k]);
    return i;
}

/*
 * The common frame: returns how many extents are done, as the ABI wants, even
 * when that is none.  1 GiB extents would take far longer than an operation
 * may: callers go on with 2 MiB.
 */
static long memory_extents(struct vcpu *v, uint64_t word, uint64_t arg)
{
    struct xen_memory_reservation r;
    uint64_t gfn[MEMOP_BATCH];
    uint64_t done = word >> MEMOP_BITS;
    unsigned int n, got, bits;
    struct domain *d;
    int rc;

    if (copy_from_guest(&r, arg, sizeof(r))) return -XEN_EFAULT;
    if (r.nr_extents > ~0ul >> (MEMOP_BITS + 1) || done > r.nr_extents ||
        (r.extent_order != ORDER_4K && r.extent_order != ORDER_2M) ||
        r.mem_flags & XENMEMF_populate_on_demand)
        return done;
    bits = XENMEMF_get_address_bits(r.mem_flags);
    while (done < r.nr_extents) {
        n = r.extent_order ? 1 : MIN(MEMOP_BATCH, r.nr_extents - done);
        if (copy_from_guest(gfn, HANDLE(r.extent_start) + done * sizeof(*gfn), n * sizeof(*gfn)))
            break;
        rc = memory_begin(r.domid, &d);
        if (rc) return rc == -XEN_EPERM ? rc : (long)done;
        got = (word & MEMOP_MASK) == XENMEM_decrease_reservation
                  ? decrease(d, gfn, n, r.extent_order)
                  : populate(d, gfn, n, r.extent_order, bits && bits <= 32);
        memory_end(d);
        done += got;
        if (got < n) break;
        if (done < r.nr_extents && hypercall_preempt()) return memory_continue(v, word, done);
    }
    return done;
}

/* --- numbers --- */

static long memory_number(maybe_unused struct vcpu *v, uint64_t cmd, uint64_t arg)
{
    struct xen_memory_domain m;
    struct domain *d;
    long n;
    int rc;

    if (copy_from_guest(&m, arg, sizeof(m))) return -XEN_EFAULT;
    rc = domain_get_controlled(m.domid, &d);
    if (rc) return rc;
    cmd &= MEMOP_MASK;
    n = cmd == XENMEM_current_reservation   ? d->tot_pages
        : cmd == XENMEM_maximum_reservation ? d->max_pages
                                            : d->p2m->max_gfn;
    domain_put(d);
    return n;
}

/* Nothing is ever shared. */
static long memory_no_sharing(maybe_unused struct vcpu *v, maybe_unused uint64_t word,
                              maybe_unused uint64_t arg)
{
    return 0;
}

/* The answer "no virtual NUMA"; another error stops a save. */
static long memory_no_vnuma(maybe_unused struct vcpu *v, maybe_unused uint64_t word,
                            maybe_unused uint64_t arg)
{
    return -XEN_EOPNOTSUPP;
}

/* There is no populate on demand: any target is met. */
static long memory_pod_target(struct vcpu *v, maybe_unused uint64_t word, uint64_t arg)
{
    struct xen_pod_target t;
    struct domain *d;
    int rc;

    if (!v->domain->privileged) return -XEN_EPERM;
    if (copy_from_guest(&t, arg, sizeof(t))) return -XEN_EFAULT;
    rc = domain_get_controlled(t.domid, &d);
    if (rc) return rc;
    t.tot_pages = d->tot_pages;
    t.pod_cache_pages = 0;
    t.pod_entries = 0;
    domain_put(d);
    return copy_to_guest(arg, &t, sizeof(t));
}

/* --- the memory map --- */

static long memory_get_map(struct vcpu *v, maybe_unused uint64_t word, uint64_t arg)
{
    struct domain *d = v->domain;
    struct xen_memory_map m;
    int rc = -XEN_ENOSYS;

    if (copy_from_guest(&m, arg, sizeof(m))) return -XEN_EFAULT;
    spin_lock(&d->lock);
    if (d->e820) {
        m.nr_entries = MIN(m.nr_entries, d->e820->count);
        rc = copy_to_guest(HANDLE(m.buffer), d->e820->entry,
                           m.nr_entries * sizeof(d->e820->entry[0]));
    }
    spin_unlock(&d->lock);
    return rc ? rc : copy_to_guest(arg, &m, sizeof(m));
}

static long memory_set_map(maybe_unused struct vcpu *v, maybe_unused uint64_t word, uint64_t arg)
{
    struct xen_foreign_memory_map m;
    struct e820_map *map, *old;
    struct domain *d;
    int rc;

    if (copy_from_guest(&m, arg, sizeof(m))) return -XEN_EFAULT;
    if (m.map.nr_entries > E820_MAX) return -XEN_EINVAL;
    map = core_alloc(sizeof(*map));
    if (!map) return -XEN_ENOMEM;
    map->count = m.map.nr_entries;
    rc = copy_from_guest(map->entry, HANDLE(m.map.buffer), map->count * sizeof(map->entry[0]));
    if (!rc) rc = domain_get_controlled(m.domid, &d);
    if (rc) {
        core_free(map);
        return rc;
    }
    spin_lock(&d->lock);
    old = d->e820;
    d->e820 = map;
    spin_unlock(&d->lock);
    core_free(old);
    domain_put(d);
    return 0;
}

static memory_fn *const table[MEMOP_MASK + 1] = {
    [XENMEM_decrease_reservation] = memory_extents,
    [XENMEM_current_reservation] = memory_number,
    [XENMEM_maximum_reservation] = memory_number,
    [XENMEM_populate_physmap] = memory_extents,
    [XENMEM_add_to_physmap] = memory_add,
    [XENMEM_memory_map] = memory_get_map,
    [XENMEM_set_memory_map] = memory_set_map,
    [XENMEM_maximum_gpfn] = memory_number,
    [XENMEM_remove_from_physmap] = memory_remove,
    [XENMEM_set_pod_target] = memory_pod_target,
    [XENMEM_get_pod_target] = memory_pod_target,
    [XENMEM_get_sharing_freed_pages] = memory_no_sharing,
    [XENMEM_get_sharing_shared_pages] = memory_no_sharing,
    [XENMEM_add_to_physmap_batch] = memory_add_batch,
    [XENMEM_get_vnumainfo] = memory_no_vnuma,
    [XENMEM_acquire_resource] = memory_acquire,
};

/* (cmd, argument); the progress of an earlier run stands above the cmd. */
long hc_memory_op(struct vcpu *v, const struct hc_args *args)
{
    memory_fn *fn = table[args->a[0] & MEMOP_MASK];

    return fn ? fn(v, args->a[0], args->a[1]) : -XEN_ENOSYS;
}
