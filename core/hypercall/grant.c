/* SPDX-License-Identifier: Apache-2.0 */
/* Grant tables: the tables themselves, the use of entries, the hypercall. */
#include "hypercall/access.h"
#include "hypercall/grant_table.h"
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

void grant_free(struct domain *d)
{
    struct grant_table *t = d->grants;

    if (!t) return;
    for (uint32_t i = 0; i < t->frames; i++) {
        core_free_pages(t->frame[i].entries, 1);
        core_free_pages(t->frame[i].use, 1);
    }
    for (uint32_t i = 0; i < t->map_count / MAPS_PER_PAGE; i++) core_free_pages(t->maps[i], 1);
    core_free(t->frame);
    core_free(t->maps);
    core_free(t);
    d->grants = NULL;
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
    t->frame[t->frames].entries = entries;
    t->frame[t->frames].use = use;
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
    t->frame = core_alloc(max_frames * sizeof(*t->frame));
    d->grants = t;
    if (t->frame && grow(d)) return 0;
    grant_free(d);
    return -XEN_ENOMEM;
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
    if (index < t->frames) mfn = core_to_mfn(t->frame[index].entries);
    spin_unlock(&t->lock);
    return mfn;
}

uint64_t *grant_table_place(struct domain *d, uint32_t index)
{
    return &d->grants->frame[index_nospec(index, d->grants->max_frames)].place;
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
    uint32_t drop = u->count[true] ? 0 : GTF_writing;

    if (!u->count[true] && !u->count[false]) drop |= GTF_reading;
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
        struct grant_frame *f = &t->frame[i / GRANTS_PER_PAGE];
        union grant_entry *e = &f->entries[i % GRANTS_PER_PAGE];
        struct grant_use *u = &f->use[i % GRANTS_PER_PAGE];

        status = mark(e, user, write);
        if (status == GNTST_okay) {
            *mfn = p2m_get_frame(rd, READ_ONCE(e->v1.frame), write, false);
            if (*mfn != MFN_INVALID) {
                u->count[write]++;
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
    struct grant_frame *f = &t->frame[ref / GRANTS_PER_PAGE];
    union grant_entry *e = &f->entries[ref % GRANTS_PER_PAGE];
    struct grant_use *u = &f->use[ref % GRANTS_PER_PAGE];

    /* An entry in use stays as it is, or its granter spoils its own log. */
    if (write) logdirty_mark(rd, READ_ONCE(e->v1.frame));
    spin_lock(&t->lock);
    ASSERT(u->count[write] > 0);
    u->count[write]--;
    unmark(e, u);
    spin_unlock(&t->lock);
}

void grant_mark_dirty(struct domain *d)
{
    for (uint32_t i = 0; i < d->grants->frames; i++) {
        struct grant_frame *f = &d->grants->frame[i];

        for (uint32_t n = 0; n < GRANTS_PER_PAGE; n++)
            if (READ_ONCE(f->use[n].count[true]))
                logdirty_mark(d, READ_ONCE(f->entries[n].v1.frame));
    }
}

/* --- the hypercall --- */

/* Operations that come in arrays; each writes its own status. */
static const struct {
    void (*fn)(struct domain *ld, void *ops, unsigned int n);
    size_t size;
} batches[] = {
    [GNTTABOP_map_grant_ref] = {grant_map_batch, sizeof(struct gnttab_map_grant_ref)},
    [GNTTABOP_unmap_grant_ref] = {grant_unmap_batch, sizeof(struct gnttab_unmap_grant_ref)},
    [GNTTABOP_copy] = {grant_copy_batch, sizeof(struct gnttab_copy)},
};

/* The domain whose table is asked for, or a status. */
static int16_t table_of(domid_t id, struct domain **d)
{
    int rc = domain_get_controlled(id, d);

    return !rc ? GNTST_okay : rc == -XEN_EPERM ? GNTST_permission_denied : GNTST_bad_domain;
}

static long op_query_size(maybe_unused struct domain *caller, void *arg)
{
    struct gnttab_query_size *op = arg;
    struct domain *d;

    op->status = table_of(op->dom, &d);
    if (op->status != GNTST_okay) return 0;
    op->nr_frames = grant_table_frames(d);
    op->max_nr_frames = grant_table_max_frames(d);
    domain_put(d);
    return 0;
}

/* Grows the table.  The list of frames is filled with "not mapped": a guest
 * finds its table where it has put it by XENMEM_add_to_physmap. */
static long op_setup_table(maybe_unused struct domain *caller, void *arg)
{
    struct gnttab_setup_table *op = arg;
    xen_pfn_t none = ~0ul;
    struct domain *d;

    op->status = table_of(op->dom, &d);
    if (op->status != GNTST_okay) return 0;
    if (op->nr_frames && grant_table_frame(d, op->nr_frames - 1) == MFN_INVALID)
        op->status = GNTST_general_error;
    domain_put(d);
    for (uint32_t i = 0; op->status == GNTST_okay && i < op->nr_frames; i++)
        if (guest_write(op->frame_list, i, &none)) return -XEN_EFAULT;
    return 0;
}

static long op_get_version(maybe_unused struct domain *d, void *arg)
{
    ((struct gnttab_get_version *)arg)->version = 1;
    return 0;
}

static long op_set_version(maybe_unused struct domain *d, void *arg)
{
    uint32_t version = ((struct gnttab_set_version *)arg)->version;

    return version == 1 ? 0 : version == 2 ? -XEN_EOPNOTSUPP : -XEN_EINVAL;
}

static const struct subop ops[] = {
#define OP(name, flags) [GNTTABOP_##name] = {op_##name, sizeof(struct gnttab_##name), flags}
    OP(setup_table, SUBOP_OUT),
    OP(query_size, SUBOP_OUT),
    OP(get_version, SUBOP_DOMAIN | SUBOP_OUT),
    OP(set_version, 0),
#undef OP
};

/* (cmd, array, count): a part of the array; what is left stands in the
 * arguments. */
long hc_grant_table_op(struct vcpu *v, const struct hc_args *args)
{
    uint32_t cmd = args->a[0], left = args->a[2];
    uint64_t batch[GRANT_BATCH * sizeof(struct gnttab_copy) / sizeof(uint64_t)];
    uint64_t at = args->a[1];
    unsigned int n = MIN(left, GRANT_BATCH);
    size_t bytes;

    if ((int32_t)left < 0) return -XEN_EINVAL;
    if (cmd >= ARRAY_SIZE(batches) || !batches[index_nospec(cmd, ARRAY_SIZE(batches))].fn) {
        if (left != 1 && (cmd == GNTTABOP_setup_table || cmd == GNTTABOP_query_size))
            return -XEN_EINVAL;
        return subop_call(ops, ARRAY_SIZE(ops), cmd, at);
    }
    cmd = index_nospec(cmd, ARRAY_SIZE(batches));
    bytes = n * batches[cmd].size;
    if (copy_from_guest(batch, at, bytes)) return -XEN_EFAULT;
    batches[cmd].fn(v->domain, batch, n);
    if (copy_to_guest(at, batch, bytes)) return -XEN_EFAULT;
    hc_set_arg(v, 1, at + bytes);
    hc_set_arg(v, 2, left - n);
    return left > n ? HC_CONTINUE : 0;
}
