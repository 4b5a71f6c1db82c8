/* SPDX-License-Identifier: Apache-2.0 */
/* Grant tables: the tables themselves, the use of entries, the hypercall. */
#include "hypercall/access.h"
#include "hypercall/grant_table.h"
#include "lib/print.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include "vm/guest.h"
#include "vm/p2m.h"

#define DEFAULT_FRAMES    64
#define MAX_FRAMES        4096
#define DEFAULT_MAPTRACK  1024
#define MAX_MAPTRACK      32768
#define MAPTRACK_PER_PAGE 256u /* as the toolstack counts them */
#define UNSTABLE_TRIES    5    /* for an entry that keeps changing */

static void free_tables(struct grant_table *t)
{
    for (uint32_t i = 0; i < t->frames; i++) {
        core_free_pages(t->entries[i], 1);
        core_free_pages(t->use[i], 1);
    }
    for (uint32_t i = 0; i < t->map_count / MAPS_PER_PAGE; i++) core_free_pages(t->maps[i], 1);
    core_free(t->entries);
    core_free(t->use);
    core_free(t->places);
    core_free(t->maps);
    core_free(t);
}

/* Adds one page of entries; the table is locked, or not yet seen by others. */
static bool grow(struct domain *d)
{
    struct grant_table *t = d->grants;
    void *entries = core_alloc_pages(1), *use = core_alloc_pages(1);

    if (!entries || !use) {
        core_free_pages(entries, 1);
        core_free_pages(use, 1);
        return false;
    }
    t->entries[t->frames] = entries;
    t->use[t->frames] = use;
    __atomic_store_n(&t->frames, t->frames + 1, __ATOMIC_RELEASE);
    __atomic_fetch_add(&d->shared_frames, 1, __ATOMIC_RELAXED);
    return true;
}

int grant_init(struct domain *d, int32_t max_frames, int32_t max_maptrack)
{
    struct grant_table *t;

    max_frames = max_frames < 0 ? DEFAULT_FRAMES : max_frames;
    max_maptrack = max_maptrack < 0 ? DEFAULT_MAPTRACK : max_maptrack;
    if (max_frames < 1 || max_frames > MAX_FRAMES || max_maptrack > MAX_MAPTRACK)
        return -XEN_EINVAL;
    t = core_alloc(sizeof(*t));
    if (!t) return -XEN_ENOMEM;
    spin_init(&t->lock, RANK_GRANT);
    spin_init(&t->map_lock, RANK_MAPTRACK);
    t->max_frames = max_frames;
    t->map_limit = max_maptrack * MAPTRACK_PER_PAGE;
    t->map_free = NO_HANDLE;
    t->entries = core_alloc(max_frames * sizeof(*t->entries));
    t->use = core_alloc(max_frames * sizeof(*t->use));
    t->places = core_alloc(max_frames * sizeof(*t->places));
    d->grants = t;
    if (t->entries && t->use && t->places && grow(d)) return 0;
    free_tables(t);
    d->grants = NULL;
    return -XEN_ENOMEM;
}

void grant_free(struct domain *d)
{
    if (d->grants) free_tables(d->grants);
    d->grants = NULL;
}

uint64_t grant_table_frame(struct domain *d, uint32_t index)
{
    struct grant_table *t = d->grants;
    uint64_t mfn = MFN_INVALID;

    if (index >= t->max_frames) return mfn;
    index = index_nospec(index, t->max_frames);
    spin_lock(&t->lock);
    while (t->frames <= index && grow(d))
        ;
    if (index < t->frames) mfn = core_to_mfn(t->entries[index]);
    spin_unlock(&t->lock);
    return mfn;
}

uint64_t *grant_table_place(struct domain *d, uint32_t index)
{
    return &d->grants->places[index_nospec(index, d->grants->max_frames)];
}

uint32_t grant_table_frames(struct domain *d)
{
    return READ_ONCE(d->grants->frames);
}

uint32_t grant_table_max_frames(struct domain *d)
{
    return d->grants->max_frames;
}

/* --- use of entries --- */

/* Marks an entry as read, and written, by `user` if it grants that. */
static int16_t mark(union grant_entry *e, domid_t user, bool write)
{
    uint32_t head = READ_ONCE(e->head);
    uint32_t add = GTF_reading | (write ? GTF_writing : 0);

    for (unsigned int i = 0; i < UNSTABLE_TRIES; i++) {
        if ((head & GTF_type_mask) != GTF_permit_access || head >> 16 != user ||
            (write && head & GTF_readonly))
            return GNTST_general_error;
        if ((head & add) == add || __atomic_compare_exchange_n(&e->head, &head, head | add, false,
                                                               __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return GNTST_okay;
    }
    return GNTST_general_error;
}

/* Takes back what no use needs any more. */
static void unmark(union grant_entry *e, const struct grant_use *u)
{
    uint32_t drop = u->writers ? 0 : GTF_writing;

    if (!u->writers && !u->readers) drop |= GTF_reading;
    if (drop) __atomic_fetch_and(&e->head, ~drop, __ATOMIC_SEQ_CST);
}

int16_t grant_begin(struct domain *rd, domid_t user, uint32_t ref, bool write, uint64_t *mfn)
{
    struct grant_table *t = rd->grants;
    int16_t status = GNTST_bad_gntref;
    uint64_t count;

    spin_lock(&t->lock);
    count = t->frames * GRANTS_PER_PAGE;
    if (ref < count) {
        uint64_t i = index_nospec(ref, count);
        union grant_entry *e = &t->entries[i / GRANTS_PER_PAGE][i % GRANTS_PER_PAGE];
        struct grant_use *u = &t->use[i / GRANTS_PER_PAGE][i % GRANTS_PER_PAGE];

        status = mark(e, user, write);
        if (status == GNTST_okay) {
            *mfn = p2m_get_frame(rd, READ_ONCE(e->v1.frame), write, false);
            if (*mfn != MFN_INVALID) {
                (*(write ? &u->writers : &u->readers))++;
            } else {
                status = GNTST_bad_page;
                unmark(e, u);
            }
        }
    }
    spin_unlock(&t->lock);
    return status;
}

void grant_end(struct domain *rd, uint32_t ref, bool write)
{
    struct grant_table *t = rd->grants;
    struct grant_use *u;
    uint32_t *count;

    spin_lock(&t->lock);
    u = &t->use[ref / GRANTS_PER_PAGE][ref % GRANTS_PER_PAGE];
    count = write ? &u->writers : &u->readers;
    ASSERT(*count > 0);
    (*count)--;
    unmark(&t->entries[ref / GRANTS_PER_PAGE][ref % GRANTS_PER_PAGE], u);
    spin_unlock(&t->lock);
}

/* --- the hypercall --- */

typedef void batch_fn(struct domain *ld, void *ops, unsigned int n);

/* Runs an array of operations of `size` bytes, some at a time. */
static long batches(struct vcpu *v, const struct hc_args *args, size_t size, batch_fn *fn)
{
    uint64_t ops[GRANT_BATCH * sizeof(struct gnttab_copy) / sizeof(uint64_t)];
    uint64_t at = args->a[1];
    uint32_t left = args->a[2];

    while (left) {
        unsigned int n = MIN(left, GRANT_BATCH);

        if (copy_from_guest(ops, at, n * size)) return -XEN_EFAULT;
        fn(v->domain, ops, n);
        if (copy_to_guest(at, ops, n * size)) return -XEN_EFAULT;
        at += n * size;
        left -= n;
        if (left && hypercall_preempt()) {
            hc_set_arg(v, 1, at);
            hc_set_arg(v, 2, left);
            return HC_CONTINUE;
        }
    }
    return 0;
}

static int16_t domain_status(int rc)
{
    return rc == -XEN_EPERM ? GNTST_permission_denied : GNTST_bad_domain;
}

static long query_size(uint64_t va)
{
    struct gnttab_query_size op;
    struct domain *d;
    int rc;

    if (copy_from_guest(&op, va, sizeof(op))) return -XEN_EFAULT;
    rc = domain_get_controlled(op.dom, &d);
    op.status = rc ? domain_status(rc) : GNTST_okay;
    if (!rc) {
        op.nr_frames = grant_table_frames(d);
        op.max_nr_frames = grant_table_max_frames(d);
        domain_put(d);
    }
    return copy_to_guest(va, &op, sizeof(op));
}

/* Grows the table.  The list of frames is filled with "not mapped": a guest
 * finds its table where it has put it by XENMEM_add_to_physmap. */
static long setup_table(uint64_t va)
{
    struct gnttab_setup_table op;
    xen_pfn_t none = ~0ul;
    struct domain *d;
    int rc;

    if (copy_from_guest(&op, va, sizeof(op))) return -XEN_EFAULT;
    rc = domain_get_controlled(op.dom, &d);
    op.status = rc ? domain_status(rc) : GNTST_okay;
    if (!rc) {
        if (op.nr_frames > grant_table_max_frames(d) ||
            (op.nr_frames && grant_table_frame(d, op.nr_frames - 1) == MFN_INVALID))
            op.status = GNTST_general_error;
        domain_put(d);
    }
    for (uint32_t i = 0; op.status == GNTST_okay && i < op.nr_frames; i++)
        if (guest_write(op.frame_list, i, &none)) return -XEN_EFAULT;
    return copy_to_guest(va, &op, sizeof(op));
}

static long get_version(uint64_t va)
{
    struct gnttab_get_version op;
    struct domain *d;
    int rc;

    if (copy_from_guest(&op, va, sizeof(op))) return -XEN_EFAULT;
    rc = domain_get_controlled(op.dom, &d);
    if (rc) return rc;
    domain_put(d);
    op.version = 1;
    return copy_to_guest(va, &op, sizeof(op));
}

static long set_version(uint64_t va)
{
    struct gnttab_set_version op;

    if (copy_from_guest(&op, va, sizeof(op))) return -XEN_EFAULT;
    if (op.version == 1) return 0;
    return op.version == 2 ? -XEN_EOPNOTSUPP : -XEN_EINVAL;
}

long hc_grant_table_op(struct vcpu *v, const struct hc_args *args)
{
    uint64_t va = args->a[1];

    if ((int32_t)args->a[2] < 0) return -XEN_EINVAL;
    switch ((uint32_t)args->a[0]) {
    case GNTTABOP_map_grant_ref:
        return batches(v, args, sizeof(struct gnttab_map_grant_ref), grant_map_batch);
    case GNTTABOP_unmap_grant_ref:
        return batches(v, args, sizeof(struct gnttab_unmap_grant_ref), grant_unmap_batch);
    case GNTTABOP_copy: return batches(v, args, sizeof(struct gnttab_copy), grant_copy_batch);
    case GNTTABOP_query_size: return (uint32_t)args->a[2] == 1 ? query_size(va) : -XEN_EINVAL;
    case GNTTABOP_setup_table: return (uint32_t)args->a[2] == 1 ? setup_table(va) : -XEN_EINVAL;
    case GNTTABOP_get_version: return get_version(va);
    case GNTTABOP_set_version: return set_version(va);
    default: return -XEN_ENOSYS;
    }
}

void grant_dump(struct domain *d)
{
    struct grant_table *t = d->grants;

    log_info("d%u grants: %u of %u frames, maps %u of others, limit %u", d->id, t->frames,
             t->max_frames, t->map_used, t->map_limit);
    for (uint64_t i = 0; i < t->frames * GRANTS_PER_PAGE; i++) {
        struct grant_use *u = &t->use[i / GRANTS_PER_PAGE][i % GRANTS_PER_PAGE];

        if (u->readers || u->writers)
            log_info("  ref %lu: %u readers %u writers", i, u->readers, u->writers);
    }
}
