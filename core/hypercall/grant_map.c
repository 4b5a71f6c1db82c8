/* SPDX-License-Identifier: Apache-2.0 */
/* Mapping other domains' grants: handles, map, unmap, and the end of a domain
 * that mapped. */
#include "hypercall/access.h"
#include "hypercall/grant_table.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include "vm/p2m.h"

static struct grant_map *map_at(struct grant_table *t, uint32_t handle)
{
    return &t->maps[handle / MAPS_PER_PAGE][handle % MAPS_PER_PAGE];
}

/* Adds a page of handles to the free ones; locked. */
static bool more_handles(struct grant_table *t)
{
    struct grant_map *page;

    if (t->map_count >= t->map_limit) return false;
    if (!t->maps) t->maps = core_alloc(DIV_UP(t->map_limit, MAPS_PER_PAGE) * sizeof(*t->maps));
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
    m->ref = op->ref;
    m->write = write;
    m->gfn = gfn;
    m->mfn = mfn;
    m->granter = rd;
    return GNTST_okay;
}

static int16_t map_one(struct domain *ld, struct gnttab_map_grant_ref *op)
{
    struct grant_table *t = ld->grants;
    struct domain *rd;
    uint32_t handle;
    int16_t status;

    if ((op->flags & (GNTMAP_host_map | GNTMAP_device_map | GNTMAP_application_map |
                      GNTMAP_contains_pte)) != GNTMAP_host_map)
        return GNTST_general_error;
    rd = op->dom == DOMID_SELF ? NULL : domain_get(op->dom);
    if (!rd) return GNTST_bad_domain;
    handle = take_handle(t);
    if (handle == NO_HANDLE) {
        domain_put(rd);
        return GNTST_no_device_space;
    }
    status = map_frame(ld, rd, op, map_at(t, handle));
    spin_lock(&t->map_lock);
    if (status == GNTST_okay)
        map_at(t, handle)->claimed = false;
    else
        give_handle(t, handle);
    spin_unlock(&t->map_lock);
    if (status == GNTST_okay)
        op->handle = handle; /* keeps the reference to rd */
    else
        domain_put(rd);
    return status;
}

void grant_map_batch(struct domain *ld, void *ops, unsigned int n)
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

void grant_unmap_batch(struct domain *ld, void *ops, unsigned int n)
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
