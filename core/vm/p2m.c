/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest-physical map.  Both vendors' nested tables have four levels of 512
 * entries, "7" in the low bits of a pointer to a table, bit 7 for a large
 * leaf; the type of a leaf is kept in bits 52-55, which both ignore (APM vol.
 * 2, 15.25; SDM vol. 3, 29.3.2).
 *
 * Readers take no lock: tables are never freed before the domain is.
 */
#include "vm/p2m.h"
#include "hypercall/hypercall.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include "vm/domain.h"
#include "vm/vendor.h"

#define ENTRY_TABLE    7ull
#define ENTRY_PS       BIT(7)
#define ENTRY_ADDR     MASK(51, 12)
#define TYPE_SHIFT     52
#define LEVEL_SHIFT(l) (9 * ((l)-1)) /* of a gfn */
#define GFN_LIMIT      (1ull << 36)  /* four levels */

static inline enum p2m_type entry_type(uint64_t e)
{
    return e >> TYPE_SHIFT & 15;
}

static inline bool is_table(uint64_t e, unsigned int level)
{
    return level > 1 && e & ENTRY_TABLE && !(e & ENTRY_PS);
}

static inline uint64_t *table_at(uint64_t e)
{
    return core_from_mfn((e & ENTRY_ADDR) >> PAGE_SHIFT);
}

static inline unsigned int index_at(uint64_t gfn, unsigned int level)
{
    return gfn >> LEVEL_SHIFT(level) & 511;
}

static uint64_t make_leaf(uint64_t mfn, enum p2m_type type, unsigned int level)
{
    return mfn << PAGE_SHIFT | vendor->leaf_bits(type) | (uint64_t)type << TYPE_SHIFT |
           (level > 1 ? ENTRY_PS : 0);
}

int p2m_init(struct domain *d)
{
    struct p2m *p = core_alloc(sizeof(*p));

    if (!p) return -XEN_ENOMEM;
    p->root = core_alloc_pages(1);
    if (!p->root) {
        core_free(p);
        return -XEN_ENOMEM;
    }
    spin_init(&p->lock, RANK_P2M);
    p->domain = d;
    p->tables = 1;
    d->p2m = p;
    return 0;
}

static void free_tables(uint64_t *table, unsigned int level)
{
    for (unsigned int i = 0; level > 1 && i < 512; i++)
        if (is_table(table[i], level)) free_tables(table_at(table[i]), level - 1);
    core_free_pages(table, 1);
}

void p2m_free(struct domain *d)
{
    if (!d->p2m) return;
    free_tables(d->p2m->root, 4);
    core_free(d->p2m);
    d->p2m = NULL;
}

/* The entry that decides about gfn, and its level. */
static uint64_t *find(struct p2m *p, uint64_t gfn, unsigned int *level)
{
    uint64_t *e = &p->root[index_at(gfn, 4)];

    for (*level = 4; is_table(READ_ONCE(*e), *level);)
        e = &table_at(READ_ONCE(*e))[index_at(gfn, --*level)];
    return e;
}

static struct p2m_entry decode(uint64_t e, uint64_t gfn, unsigned int level)
{
    struct p2m_entry r = {MFN_INVALID, P2M_NONE, LEVEL_SHIFT(level)};

    if (e & ENTRY_TABLE) {
        r.mfn = ((e & ENTRY_ADDR) >> PAGE_SHIFT) + (gfn & ((1ull << LEVEL_SHIFT(level)) - 1));
        r.type = entry_type(e);
    }
    return r;
}

struct p2m_entry p2m_lookup(struct domain *d, uint64_t gfn)
{
    unsigned int level;
    uint64_t *e;

    if (gfn >= GFN_LIMIT) return (struct p2m_entry){MFN_INVALID, P2M_NONE, 0};
    e = find(d->p2m, gfn, &level);
    return decode(READ_ONCE(*e), gfn, level);
}

/* Which types may be read and written as memory. */
static bool type_ok(enum p2m_type t, bool write, bool any)
{
    switch (t) {
    case P2M_RAM: return true;
    case P2M_RAM_RO: return !write;
    case P2M_GRANT_RW:
    case P2M_FOREIGN:
    case P2M_SHARED: return any;
    case P2M_GRANT_RO: return any && !write;
    default: return false;
    }
}

uint64_t p2m_get_frame(struct domain *d, uint64_t gfn, bool write, bool any)
{
    /* Who changes the entry all the time loses; the core does not wait. */
    for (unsigned int tries = 0; tries < 16; tries++) {
        struct p2m_entry e = p2m_lookup(d, gfn), again;
        uint16_t owner = d->id;

        if (!type_ok(e.type, write, any)) return MFN_INVALID;
        if (e.type != P2M_RAM && e.type != P2M_RAM_RO) owner = frame_owner(e.mfn);
        if (frame_get(e.mfn, owner)) {
            again = p2m_lookup(d, gfn);
            if (again.mfn == e.mfn && again.type == e.type) return e.mfn;
            frame_put(e.mfn);
            continue;
        }
        /* The entry went away between the look and the reference, or is
         * about to: it is no longer memory. */
        again = p2m_lookup(d, gfn);
        if (again.mfn == e.mfn && again.type == e.type) return MFN_INVALID;
    }
    return MFN_INVALID;
}

/* --- changes; the lock is held in all of the following --- */

static uint64_t *new_table(struct p2m *p)
{
    uint64_t *t;

    if (p->tables >= p->domain->pool_pages) return NULL;
    t = core_alloc_pages(1);
    if (t) p->tables++;
    return t;
}

/* Replaces a large leaf by a table of smaller ones. */
static bool split(struct p2m *p, uint64_t *e, unsigned int level)
{
    uint64_t *t = new_table(p), old = *e;
    uint64_t step = PAGE_SIZE << LEVEL_SHIFT(level - 1);

    if (!t) return false;
    if (level == 2) old &= ~ENTRY_PS;
    for (unsigned int i = 0; i < 512; i++) t[i] = old + i * step;
    __atomic_store_n(e, core_to_phys(t) | ENTRY_TABLE, __ATOMIC_RELEASE);
    return true;
}

/* Walks to gfn's entry of `level`, making tables and splitting leaves. */
static uint64_t *reach(struct p2m *p, uint64_t gfn, unsigned int level)
{
    uint64_t *e = &p->root[index_at(gfn, 4)];

    for (unsigned int l = 4; l > level; l--) {
        if (!(*e & ENTRY_TABLE)) {
            uint64_t *t = new_table(p);

            if (!t) return NULL;
            __atomic_store_n(e, core_to_phys(t) | ENTRY_TABLE, __ATOMIC_RELEASE);
        } else if (!is_table(*e, l) && !split(p, e, l)) {
            return NULL;
        }
        e = &table_at(*e)[index_at(gfn, l - 1)];
    }
    return e;
}

static bool table_empty(const uint64_t *t, unsigned int level)
{
    for (unsigned int i = 0; i < 512; i++) {
        if (!(t[i] & ENTRY_TABLE)) continue;
        if (!is_table(t[i], level) || !table_empty(table_at(t[i]), level - 1)) return false;
    }
    return true;
}

static bool range_empty(struct p2m *p, uint64_t gfn, unsigned int order)
{
    unsigned int level;
    uint64_t *e = find(p, gfn, &level);

    if (*e & ENTRY_TABLE) return false;
    if (LEVEL_SHIFT(level) >= order) return true;
    /* A table stands above the range: look at the one at its level. */
    e = reach(p, gfn, order / 9 + 1);
    return e && (!(*e & ENTRY_TABLE) ||
                 (is_table(*e, order / 9 + 1) && table_empty(table_at(*e), order / 9)));
}

/* Sets an empty range; the tables may fail half-way. */
static int set_range(struct p2m *p, uint64_t gfn, uint64_t mfn, unsigned int order,
                     enum p2m_type type)
{
    unsigned int level = order / 9 + 1;
    uint64_t *e = reach(p, gfn, level);
    int rc = 0;

    if (!e) return -XEN_ENOMEM;
    if (level == 1 || (!(*e & ENTRY_TABLE) && level <= vendor->max_level)) {
        __atomic_store_n(e, make_leaf(mfn, type, level), __ATOMIC_RELEASE);
        return 0;
    }
    for (uint64_t i = 0; i < 512 && !rc; i++)
        rc = set_range(p, gfn + (i << (order - 9)), mfn + (i << (order - 9)), order - 9, type);
    return rc;
}

static void clear_range(struct p2m *p, uint64_t gfn, unsigned int order)
{
    uint64_t end = gfn + (1ull << order);

    while (gfn < end) {
        unsigned int level;
        uint64_t *e = find(p, gfn, &level);

        WRITE_ONCE(*e, 0);
        gfn += 1ull << LEVEL_SHIFT(level);
    }
}

static bool gfn_ok(uint64_t gfn, unsigned int order)
{
    return gfn < GFN_LIMIT && !(gfn & ((1ull << order) - 1)) && order <= ORDER_1G && order % 9 == 0;
}

int p2m_add(struct domain *d, uint64_t gfn, uint64_t mfn, unsigned int order, enum p2m_type type)
{
    struct p2m *p = d->p2m;
    int rc = -XEN_EEXIST;

    if (!gfn_ok(gfn, order) || mfn & ((1ull << order) - 1)) return -XEN_EINVAL;
    spin_lock(&p->lock);
    if (range_empty(p, gfn, order)) {
        rc = set_range(p, gfn, mfn, order, type);
        if (rc)
            clear_range(p, gfn, order);
        else if (type != P2M_MMIO)
            p->max_gfn = MAX(p->max_gfn, gfn + (1ull << order) - 1);
    }
    spin_unlock(&p->lock);
    return rc;
}

/* Takes a leaf of exactly 2^order out if it fits; lock held. */
static int take(struct p2m *p, uint64_t gfn, unsigned int order, uint64_t mfn, enum p2m_type type,
                struct p2m_entry *old)
{
    unsigned int level;
    uint64_t *e = find(p, gfn, &level);

    *old = decode(*e, gfn, level);
    if (old->type == P2M_NONE || (mfn != MFN_INVALID && mfn != old->mfn) ||
        (type != P2M_NONE && type != old->type))
        return -XEN_ENOENT;
    if (LEVEL_SHIFT(level) < order) return -XEN_ENOENT;
    if (LEVEL_SHIFT(level) > order) {
        e = reach(p, gfn, order / 9 + 1);
        if (!e) return -XEN_ENOMEM;
        old->order = order;
    }
    WRITE_ONCE(*e, 0);
    return 0;
}

int p2m_remove_noflush(struct domain *d, uint64_t gfn, uint64_t mfn, enum p2m_type type,
                       struct p2m_entry *old)
{
    int rc;

    if (!gfn_ok(gfn, 0)) return -XEN_ENOENT;
    spin_lock(&d->p2m->lock);
    rc = take(d->p2m, gfn, 0, mfn, type, old);
    spin_unlock(&d->p2m->lock);
    return rc;
}

int p2m_remove(struct domain *d, uint64_t gfn, uint64_t mfn, enum p2m_type type,
               struct p2m_entry *old)
{
    int rc = p2m_remove_noflush(d, gfn, mfn, type, old);

    if (!rc) p2m_flush(d);
    return rc;
}

int p2m_remove_leaf(struct domain *d, uint64_t gfn, unsigned int order, struct p2m_entry *old)
{
    int rc;

    if (!gfn_ok(gfn, order)) return -XEN_ENOENT;
    spin_lock(&d->p2m->lock);
    rc = take(d->p2m, gfn, order, MFN_INVALID, P2M_NONE, old);
    spin_unlock(&d->p2m->lock);
    if (!rc) p2m_flush(d);
    return rc;
}

int p2m_replace(struct domain *d, uint64_t gfn, uint64_t mfn, enum p2m_type type,
                struct p2m_entry *old)
{
    struct p2m *p = d->p2m;
    uint64_t *e;

    if (!gfn_ok(gfn, 0)) return -XEN_EINVAL;
    spin_lock(&p->lock);
    e = reach(p, gfn, 1);
    if (e) {
        *old = decode(*e, gfn, 1);
        __atomic_store_n(e, make_leaf(mfn, type, 1), __ATOMIC_RELEASE);
        p->max_gfn = MAX(p->max_gfn, gfn);
    }
    spin_unlock(&p->lock);
    if (!e) return -XEN_ENOMEM;
    if (old->type != P2M_NONE) p2m_flush(d);
    return 0;
}

void p2m_flush(struct domain *d)
{
    struct cpu *c, *self = this_cpu();

    /* Who enters the guest from now on sees the new number and flushes. */
    __atomic_fetch_add(&d->p2m->generation, 1, __ATOMIC_SEQ_CST);
    for_each_cpu (c) {
        uint64_t before = __atomic_load_n(&c->passes, __ATOMIC_SEQ_CST);

        /* Odd: in the core.  Even: in a guest or idle (vm/run.c). */
        if (c == self || before & 1 || READ_ONCE(c->current)->domain != d) continue;
        cpu_kick(c);
        while (READ_ONCE(c->passes) == before) {
            cpu_poll();
            cpu_relax();
        }
    }
}

void p2m_drop_entry(const struct p2m_entry *e)
{
    switch (e->type) {
    case P2M_RAM:
    case P2M_RAM_RO:
    case P2M_GRANT_RW:
    case P2M_GRANT_RO:
    case P2M_FOREIGN:
        for (uint64_t i = 0; i < 1ull << e->order; i++) frame_put(e->mfn + i);
        break;
    default: break;
    }
}

int p2m_release(struct domain *d)
{
    struct p2m *p = d->p2m;

    while (p->kill_next <= p->max_gfn) {
        unsigned int level;
        uint64_t gfn = p->kill_next, *e;
        struct p2m_entry old;

        spin_lock(&p->lock);
        e = find(p, gfn, &level);
        /* A 1 GiB leaf would take too long in one go. */
        if (level == 3 && *e & ENTRY_TABLE && split(p, e, 3)) e = find(p, gfn, &level);
        old = decode(*e, gfn, level);
        WRITE_ONCE(*e, 0);
        p->kill_next = (gfn | ((1ull << LEVEL_SHIFT(level)) - 1)) + 1;
        spin_unlock(&p->lock);
        if (old.type == P2M_NONE) continue;
        p2m_drop_entry(&old);
        if (hypercall_preempt()) return -XEN_ERESTART;
    }
    return 0;
}
