/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Grant tables: the tables themselves, the use of entries; mapping other
 * domains' grants, and the end of a domain that mapped; copies by the core
 * between pages of the caller and granted pages.
 */
#include "hypercall/grant.h"
#include "hypercall/access.h"
#include "hypercall/hypercall.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include "memory/window.h"
#include "vm/guest.h"
#include "vm/p2m.h"
#include <xen/grant_table.h>

#define GRANTS_PER_PAGE (PAGE_SIZE / sizeof(union grant_entry))
#define MAPS_PER_PAGE   (PAGE_SIZE / sizeof(struct grant_map))
#define NO_HANDLE       0xffffffffu
#define GRANT_BATCH     32u /* operations between two looks at the clock */

/* An entry as the granter sees it; flags and domid change together. */
union grant_entry {
    struct grant_entry_v1 v1;
    uint32_t head; /* flags in the low half, domid in the high one */
};

/* How often an entry is in use. */
struct grant_use {
    uint32_t count[2]; /* readers, writers */
};

struct grant_frame {
    union grant_entry *entries; /* a page shared with the guest */
    struct grant_use *use;      /* a page */
    uint64_t place;             /* gfn, see grant.h */
};

/* One mapping that a domain made, named by its handle.  While it is there it
 * holds a reference to the granter and a use of its entry; the reference to
 * the frame is held by the p2m. */
struct grant_map {
    struct domain *granter; /* NULL: free                 */
    uint32_t ref;           /* free: next free handle     */
    bool write, claimed;    /* claimed: being set or undone */
    uint64_t gfn, mfn;
};

struct grant_table {
    struct spinlock lock; /* guards: growing, counts in use[], the flags that
                           * the core sets in entries */
    uint32_t frames, max_frames;
    struct grant_frame *frame; /* [max_frames] */

    struct spinlock map_lock; /* guards all below and the free maps */
    struct grant_map **maps;  /* pages; the array is made at the first map */
    uint32_t map_count, map_limit, map_free;
    uint32_t released; /* progress of grant_release */
};

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
    for (uint32_t i = 0; t->frame && i < t->frames; i++) {
        core_free_pages(t->frame[i].entries, 1);
        core_free_pages(t->frame[i].use, 1);
    }
    for (uint32_t i = 0; t->maps && i < t->map_count / MAPS_PER_PAGE; i++)
        core_free_pages(t->maps[i], 1);
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

uint64_t grant_table_frame(struct domain *d, uint64_t index)
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

void grant_table_unmapped(uint64_t mfn)
{
    struct domain *d;

    for_each_domain (d)
        for (uint32_t i = 0; i < grant_table_frames(d); i++)
            if (core_to_mfn(d->grants->frame[i].entries) == mfn) domain_put(d);
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

/*
 * Begins to use entry `ref` of rd on behalf of domain `user`: marks it in the
 * shared table, and takes a reference to its frame.  GNTST_*.
 */
static int16_t grant_begin(struct domain *rd, domid_t user, uint32_t ref, bool write, uint64_t *mfn)
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

/* Ends it; the frame's reference is dropped by the caller, before. */
static void grant_end(struct domain *rd, uint32_t ref, bool write)
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

/* --- mapping --- */

static struct grant_map *map_at(struct grant_table *t, uint32_t handle)
{
    return &t->maps[handle / MAPS_PER_PAGE][handle % MAPS_PER_PAGE];
}

/* Adds a page of handles to the free ones; locked. */
static bool more_handles(struct grant_table *t)
{
    struct grant_map *page;

    if (t->map_count >= t->map_limit) return false;
    if (!t->maps) /* NOLINTNEXTLINE(bugprone-sizeof-expression): a list of pointers */
        t->maps = core_alloc(DIV_UP(t->map_limit, MAPS_PER_PAGE) * sizeof(*t->maps));
    page = t->maps ? core_alloc_pages(1) : NULL;
    if (!page) return false;
    for (uint32_t i = 0; i < MAPS_PER_PAGE; i++)
        page[i].ref = i + 1 < MAPS_PER_PAGE ? t->map_count + i + 1 : NO_HANDLE;
    t->maps[t->map_count / MAPS_PER_PAGE] = page;
    t->map_free = t->map_count;
    t->map_count += MAPS_PER_PAGE;
    return true;
}

/* A free handle, taken; NO_HANDLE at the limit or without memory. */
static uint32_t take_handle(struct grant_table *t)
{
    uint32_t handle = NO_HANDLE;

    spin_lock(&t->map_lock);
    if (t->map_free != NO_HANDLE || more_handles(t)) {
        handle = t->map_free;
        t->map_free = map_at(t, handle)->ref;
        map_at(t, handle)->claimed = true;
        t->released = MIN(t->released, handle); /* of a soft reset before */
    }
    spin_unlock(&t->map_lock);
    return handle;
}

/* Locked. */
static void give_handle(struct grant_table *t, uint32_t handle)
{
    *map_at(t, handle) = (struct grant_map){.ref = t->map_free};
    t->map_free = handle;
}

/* Claims a handle that stands for a mapping (at gfn, unless that is ~0), so
 * that nobody else undoes it too. */
static int16_t claim(struct grant_table *t, uint32_t handle, uint64_t gfn)
{
    int16_t status = GNTST_bad_handle;

    spin_lock(&t->map_lock);
    if (handle < t->map_count) {
        struct grant_map *m = map_at(t, index_nospec(handle, t->map_count));

        if (m->granter && !m->claimed) {
            status = GNTST_bad_virt_addr;
            if (gfn == ~0ull || m->gfn == gfn) {
                m->claimed = true;
                status = GNTST_okay;
            }
        }
    }
    spin_unlock(&t->map_lock);
    return status;
}

static enum p2m_type map_type(bool write)
{
    return write ? P2M_GRANT_RW : P2M_GRANT_RO;
}

/* Maps a grant of rd; what `m` needs is taken, or nothing. */
static int16_t map_frame(struct domain *ld, struct domain *rd,
                         const struct gnttab_map_grant_ref *op, struct grant_map *m)
{
    bool write = !(op->flags & GNTMAP_readonly);
    uint64_t gfn = op->host_addr >> PAGE_SHIFT, mfn;
    struct p2m_entry old;
    int16_t status;

    if (!access_allowed(ld, rd)) return GNTST_permission_denied;
    if (READ_ONCE(rd->dying) != ALIVE) return GNTST_bad_domain;
    status = grant_begin(rd, ld->id, op->ref, write, &mfn);
    if (status != GNTST_okay) return status;
    if (p2m_replace(ld, gfn, mfn, map_type(write), &old)) {
        frame_put(mfn);
        grant_end(rd, op->ref, write);
        return GNTST_general_error;
    }
    p2m_drop_entry(&old);
    *m = (struct grant_map){rd, op->ref, write, false, gfn, mfn};
    return GNTST_okay;
}

static int16_t map_one(struct domain *ld, struct gnttab_map_grant_ref *op)
{
    struct grant_table *t = ld->grants;
    struct domain *rd;
    uint32_t handle;
    int16_t status = GNTST_no_device_space;
    struct grant_map m;

    if ((op->flags & (GNTMAP_host_map | GNTMAP_device_map | GNTMAP_application_map |
                      GNTMAP_contains_pte)) != GNTMAP_host_map)
        return GNTST_general_error;
    rd = op->dom == DOMID_SELF ? NULL : domain_get(op->dom);
    if (!rd) return GNTST_bad_domain;
    handle = take_handle(t);
    if (handle != NO_HANDLE) {
        status = map_frame(ld, rd, op, &m);
        spin_lock(&t->map_lock);
        if (status == GNTST_okay)
            *map_at(t, handle) = m;
        else
            give_handle(t, handle);
        spin_unlock(&t->map_lock);
    }
    if (status == GNTST_okay)
        op->handle = handle; /* keeps the reference to rd */
    else
        domain_put(rd);
    return status;
}

static void map_batch(struct domain *ld, void *ops, unsigned int n)
{
    struct gnttab_map_grant_ref *op = ops;

    for (unsigned int i = 0; i < n; i++) {
        op[i].dev_bus_addr = 0; /* no machine addresses for guests */
        op[i].status = map_one(ld, &op[i]);
    }
}

/* Claimed mappings on their way out. */
struct unmapping {
    unsigned int n;
    uint32_t handle[GRANT_BATCH];
    struct p2m_entry old[GRANT_BATCH];
};

/* Takes a claimed mapping out of ld's p2m.  Where the guest has put something
 * else, the p2m has dropped the frame already. */
static void begin_unmap(struct domain *ld, struct unmapping *u, uint32_t handle)
{
    struct grant_map *m = map_at(ld->grants, handle);
    struct p2m_entry *old = &u->old[u->n];

    if (p2m_remove_noflush(ld, m->gfn, ORDER_4K, m->mfn, map_type(m->write), old))
        old->type = P2M_NONE;
    u->handle[u->n++] = handle;
}

/* No TLB holds the mappings after the flush: lets their frames go. */
static void end_unmap(struct domain *ld, struct unmapping *u)
{
    struct grant_table *t = ld->grants;

    if (!u->n) return;
    p2m_flush(ld);
    for (unsigned int i = 0; i < u->n; i++) {
        struct grant_map *m = map_at(t, u->handle[i]);

        p2m_drop_entry(&u->old[i]);
        grant_end(m->granter, m->ref, m->write);
        domain_put(m->granter);
    }
    spin_lock(&t->map_lock);
    for (unsigned int i = 0; i < u->n; i++) give_handle(t, u->handle[i]);
    spin_unlock(&t->map_lock);
    u->n = 0;
}

static void unmap_batch(struct domain *ld, void *ops, unsigned int n)
{
    struct gnttab_unmap_grant_ref *op = ops;
    struct unmapping u = {.n = 0};

    for (unsigned int i = 0; i < n; i++) {
        op[i].status = claim(ld->grants, op[i].handle, op[i].host_addr >> PAGE_SHIFT);
        if (op[i].status == GNTST_okay) begin_unmap(ld, &u, op[i].handle);
    }
    end_unmap(ld, &u);
}

int grant_release(struct domain *d)
{
    struct grant_table *t = d->grants;
    struct unmapping u = {.n = 0};

    while (t->released < t->map_count) {
        uint32_t handle = t->released++;

        if (claim(t, handle, ~0ull) == GNTST_okay) begin_unmap(d, &u, handle);
        if (t->released % GRANT_BATCH) continue;
        end_unmap(d, &u);
        if (hypercall_preempt()) return HC_CONTINUE;
    }
    end_unmap(d, &u);
    return 0;
}

/* --- copies --- */

/* A side of one operation that is the same in the next is kept open, at most to
 * the end of the batch. */
struct side {
    bool open, granted, write;
    uint64_t page; /* ref or gfn, as the operation names it */
    domid_t id;
    struct domain *granter;
    uint64_t mfn;
};

static void side_close(struct side *s)
{
    if (!s->open) return;
    frame_put(s->mfn);
    if (s->granted) {
        grant_end(s->granter, s->page, s->write);
        domain_put(s->granter);
    } else if (s->write) {
        logdirty_mark(current_domain(), s->page);
    }
    s->open = false;
}

static int16_t open_granted(struct domain *ld, struct side *s)
{
    int16_t status = GNTST_permission_denied;

    s->granter = domain_get(s->id);
    if (!s->granter) return GNTST_bad_domain;
    if (access_allowed(ld, s->granter))
        status = grant_begin(s->granter, ld->id, s->page, s->write, &s->mfn);
    if (status != GNTST_okay) domain_put(s->granter);
    return status;
}

/* Opens a side, or finds it open. */
static int16_t side_open(struct domain *ld, struct side *s, const struct gnttab_copy_ptr *p,
                         bool granted)
{
    uint64_t page = granted ? p->u.ref : p->u.gmfn;
    int16_t status = GNTST_okay;

    if (s->open && s->page == page && s->id == p->domid && s->granted == granted) return GNTST_okay;
    side_close(s);
    s->page = page;
    s->id = p->domid;
    s->granted = granted;
    if (granted)
        status = open_granted(ld, s);
    else if (p->domid != DOMID_SELF)
        status = GNTST_permission_denied;
    else if ((s->mfn = p2m_get_frame(ld, page, s->write, true)) == MFN_INVALID)
        status = GNTST_bad_page;
    s->open = status == GNTST_okay;
    return status;
}

static int16_t copy_one(struct domain *ld, const struct gnttab_copy *op, struct side *src,
                        struct side *dst)
{
    int16_t status;

    if (op->source.offset + op->len > (int)PAGE_SIZE || op->dest.offset + op->len > (int)PAGE_SIZE)
        return GNTST_bad_copy_arg;
    status = side_open(ld, src, &op->source, op->flags & GNTCOPY_source_gref);
    if (status == GNTST_okay) status = side_open(ld, dst, &op->dest, op->flags & GNTCOPY_dest_gref);
    if (status == GNTST_okay)
        window_copy(dst->mfn, op->dest.offset, src->mfn, op->source.offset, op->len);
    return status;
}

static void copy_batch(struct domain *ld, void *ops, unsigned int n)
{
    struct gnttab_copy *op = ops;
    struct side src = {.write = false}, dst = {.write = true};

    for (unsigned int i = 0; i < n; i++) op[i].status = copy_one(ld, &op[i], &src, &dst);
    side_close(&src);
    side_close(&dst);
}

/* --- the hypercall --- */

/* Operations that come in arrays; each writes its own status. */
static const struct {
    void (*fn)(struct domain *ld, void *ops, unsigned int n);
    size_t size;
} batches[] = {
    [GNTTABOP_map_grant_ref] = {map_batch, sizeof(struct gnttab_map_grant_ref)},
    [GNTTABOP_unmap_grant_ref] = {unmap_batch, sizeof(struct gnttab_unmap_grant_ref)},
    [GNTTABOP_copy] = {copy_batch, sizeof(struct gnttab_copy)},
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
