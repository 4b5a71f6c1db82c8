/* SPDX-License-Identifier: Apache-2.0 */
/* The guest-physical map. */
#include "vm/p2m.h"
#include "hypercall/grant.h"
#include "hypercall/hypercall.h"
#include "memory/frame.h"
#include "vm/domain.h"
#include "vm/p2m_tables.h"
#include "vm/vendor.h"

/* Sets of types: the domain's own, those that may be written and read as
 * memory, those that hold a reference to their frames. */
#define OWN (BIT(P2M_RAM) | BIT(P2M_RAM_RO))
#define WRITABLE \
    (BIT(P2M_RAM) | BIT(P2M_SHARED) | BIT(P2M_RESOURCE) | BIT(P2M_GRANT_RW) | BIT(P2M_FOREIGN))
#define READABLE (WRITABLE | BIT(P2M_RAM_RO) | BIT(P2M_GRANT_RO))
#define COUNTED  (READABLE & ~(BIT(P2M_SHARED) | BIT(P2M_RESOURCE)))

static uint64_t make_leaf(uint64_t mfn, enum p2m_type type, unsigned int level)
{
    uint64_t bits = vendor->leaf_bits(type) & ~(level > 1 ? vendor->small_bits : 0);

    if (iommu.amd_format) {
        bits &= ~BIT(63);
        if (type != P2M_SHARED && type != P2M_RESOURCE) /* the core's */
            bits |= ENTRY_READ_DMA | (bits & ENTRY_WRITE ? ENTRY_WRITE_DMA : 0);
    }
    return mfn << PAGE_SHIFT | bits | type_bits(type) | (level > 1 ? ENTRY_PS : 0);
}

/* What points to a table, in an entry of `level`. */
static uint64_t make_pointer(const uint64_t *table, unsigned int level)
{
    uint64_t dma = ENTRY_READ_DMA | ENTRY_WRITE_DMA | (uint64_t)(level - 1) << 9;

    return core_to_phys(table) | ENTRY_TABLE | (iommu.amd_format ? dma : 0);
}

static uint64_t *new_table(void)
{
    uint64_t *t = core_alloc_pages(1);

    for (unsigned int i = 0; t && i < 512; i++) t[i] = empty_entry();
    if (t) iommu_sync(t, PAGE_SIZE);
    return t;
}

int p2m_init(struct domain *d)
{
    struct p2m *p = core_alloc(sizeof(*p));

    d->p2m = p;
    if (!p || !(p->root = new_table())) return -XEN_ENOMEM;
    spin_init(&p->lock, RANK_P2M);
    p->domain = d;
    p->tables = 1;
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
    if (d->p2m && d->p2m->root) {
        logdirty_free(d);
        free_tables(d->p2m->root, 4);
    }
    core_free(d->p2m);
}

/* Each entry is read once: without the lock, a table may become a leaf meanwhile, or
 * a leaf a table. */
static inline uint64_t *walk(struct p2m *p, uint64_t gfn, unsigned int *level, uint64_t *value)
{
    uint64_t *e = &p->root[index_at(gfn, 4)];

    for (*level = 4; is_table(*value = READ_ONCE(*e), *level);)
        e = &table_at(*value)[index_at(gfn, --*level)];
    return e;
}

uint64_t *p2m_find(struct p2m *p, uint64_t gfn, unsigned int *level)
{
    uint64_t value;

    return walk(p, gfn, level, &value);
}

static struct p2m_entry decode(uint64_t e, uint64_t gfn, unsigned int level)
{
    struct p2m_entry r = {MFN_INVALID, P2M_NONE, LEVEL_SHIFT(level)};

    if (e & ENTRY_TABLE) {
        r.mfn = ((e & ENTRY_ADDR) >> PAGE_SHIFT) + (gfn & (LEAF_PAGES(level) - 1));
        r.type = entry_type(e);
    }
    return r;
}

struct p2m_entry p2m_lookup(struct domain *d, uint64_t gfn)
{
    unsigned int level;
    uint64_t value;

    if (gfn >= GFN_LIMIT) return (struct p2m_entry){MFN_INVALID, P2M_NONE, 0};
    walk(d->p2m, gfn, &level, &value);
    return decode(value, gfn, level);
}

uint64_t p2m_get_frame(struct domain *d, uint64_t gfn, bool write, bool any)
{
    uint64_t *generation = &d->p2m->generation;

    /* Who changes the p2m all the time loses; the core does not wait. */
    for (unsigned int tries = 0; tries < 16; tries++) {
        uint64_t before = __atomic_load_n(generation, __ATOMIC_ACQUIRE);
        struct p2m_entry e = p2m_lookup(d, gfn);
        bool got;

        if (!(BIT(e.type) & (write ? WRITABLE : READABLE) & (any ? ~0ull : OWN)))
            return MFN_INVALID;
        got = frame_get(e.mfn, BIT(e.type) & OWN ? d->id : frame_owner(e.mfn));
        /* No frame that was mapped is given back before the number grows.  No
         * reference to be had: it is about to go. */
        if (__atomic_load_n(generation, __ATOMIC_SEQ_CST) == before)
            return got ? e.mfn : MFN_INVALID;
        if (got) frame_put(e.mfn);
    }
    return MFN_INVALID;
}

/* --- changes; the lock is held in those that take a struct p2m --- */

bool p2m_split(struct p2m *p, uint64_t *e, unsigned int level)
{
    uint64_t *t = p->tables < READ_ONCE(p->domain->pool_pages) ? new_table() : NULL;
    uint64_t first = level == 2 ? *e & ~ENTRY_PS : *e;

    if (!t) return false;
    if (level == 2 && BIT(entry_type(*e)) & OWN) first |= vendor->small_bits;
    p->tables++;
    for (uint64_t i = 0; *e & ENTRY_TABLE && i < 512; i++)
        set_entry(&t[i], first + (i << LEVEL_SHIFT(level - 1) << PAGE_SHIFT));
    set_entry(e, make_pointer(t, level) | (p->log.on ? ENTRY_LOG : 0));
    return true;
}

/* Walks to gfn's entry of `level`, making tables and splitting leaves. */
static uint64_t *reach(struct p2m *p, uint64_t gfn, unsigned int level)
{
    uint64_t *e = &p->root[index_at(gfn, 4)];

    for (unsigned int l = 4; l > level; l--) {
        if (!is_table(*e, l) && !p2m_split(p, e, l)) return NULL;
        e = &table_at(*e)[index_at(gfn, l - 1)];
    }
    return e;
}

/*
 * A TLB that had the large leaf forgets it by the fault, and the others' give no more
 * rights than the small ones (SDM vol. 3, 28.3.3.1).
 */
bool p2m_allow_fetch(struct domain *d, uint64_t gfn)
{
    struct p2m *p = d->p2m;
    unsigned int level;
    bool ok;

    spin_lock(&p->lock);
    ok = !vendor->small_bits || !is_present(*p2m_find(p, gfn, &level)) || reach(p, gfn, 1);
    spin_unlock(&p->lock);
    return ok;
}

/* The first entry that maps something in [*gfn, end), and its level; *gfn is
 * the first gfn of both.  NULL: nothing is mapped before *gfn, which is the end
 * or as many entries on as it may look at. */
static uint64_t *next_leaf(struct p2m *p, uint64_t *gfn, uint64_t end, unsigned int entries,
                           unsigned int *level)
{
    while (*gfn < end && entries--) {
        uint64_t *e = p2m_find(p, *gfn, level);

        if (*e & ENTRY_TABLE) return e;
        *gfn = (*gfn | (LEAF_PAGES(*level) - 1)) + 1;
    }
    return NULL;
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
        set_entry(e, make_leaf(mfn, type, level));
        return 0;
    }
    for (uint64_t i = 0; i < 512 && !rc; i++)
        rc = set_range(p, gfn + (i << (order - 9)), mfn + (i << (order - 9)), order - 9, type);
    return rc;
}

static bool gfn_ok(uint64_t gfn, unsigned int order)
{
    return gfn < GFN_LIMIT && !(gfn & ((1ull << order) - 1)) && order <= ORDER_1G && order % 9 == 0;
}

/* After something was put where nothing was. */
static void flush_empty(struct domain *d)
{
    if (d->p2m->dma && iommu.caches_empty) iommu_flush(d);
}

int p2m_add(struct domain *d, uint64_t gfn, uint64_t mfn, unsigned int order, enum p2m_type type)
{
    struct p2m *p = d->p2m;
    uint64_t at = gfn, end = gfn + (1ull << order), *e;
    unsigned int level;
    int rc = -XEN_EEXIST;

    if (!gfn_ok(gfn, order) || mfn & (end - gfn - 1)) return -XEN_EINVAL;
    spin_lock(&p->lock);
    if (!next_leaf(p, &at, end, ~0u, &level)) {
        rc = set_range(p, gfn, mfn, order, type);
        for (at = gfn; rc && (e = next_leaf(p, &at, end, ~0u, &level));)
            set_entry(e, empty_entry());
        if (!rc && type != P2M_MMIO) WRITE_ONCE(p->max_gfn, MAX(p->max_gfn, end - 1));
        logdirty_mark_locked(d, gfn, order);
    }
    spin_unlock(&p->lock);
    if (!rc) flush_empty(d);
    return rc;
}

int p2m_remove_noflush(struct domain *d, uint64_t gfn, unsigned int order, uint64_t mfn,
                       enum p2m_type type, struct p2m_entry *old)
{
    struct p2m *p = d->p2m;
    unsigned int level;
    uint64_t *e;
    int rc = -XEN_ENOENT;

    if (!gfn_ok(gfn, order)) return rc;
    spin_lock(&p->lock);
    e = p2m_find(p, gfn, &level);
    *old = decode(*e, gfn, level);
    if (old->type != P2M_NONE && old->order >= order && (mfn == MFN_INVALID || mfn == old->mfn) &&
        (type == P2M_NONE || type == old->type)) {
        old->order = order;
        e = reach(p, gfn, order / 9 + 1);
        if (e) set_entry(e, empty_entry());
        logdirty_mark_locked(d, gfn, order);
        rc = e ? 0 : -XEN_ENOMEM;
    }
    spin_unlock(&p->lock);
    return rc;
}

int p2m_remove(struct domain *d, uint64_t gfn, unsigned int order, uint64_t mfn, enum p2m_type type,
               struct p2m_entry *old)
{
    int rc = p2m_remove_noflush(d, gfn, order, mfn, type, old);

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
        set_entry(e, make_leaf(mfn, type, 1));
        WRITE_ONCE(p->max_gfn, MAX(p->max_gfn, gfn));
        logdirty_mark_locked(d, gfn, 0);
    }
    spin_unlock(&p->lock);
    if (!e) return -XEN_ENOMEM;
    if (old->type != P2M_NONE)
        p2m_flush(d);
    else
        flush_empty(d);
    return 0;
}

void p2m_flush(struct domain *d)
{
    struct cpu *c, *self = this_cpu();
    uint64_t before[MAX_CPUS];
    unsigned int end = 0;

    /* Who enters the guest from now on sees the new number and flushes. */
    __atomic_fetch_add(&d->p2m->generation, 1, __ATOMIC_SEQ_CST);
    for_each_cpu (c) {
        before[c_i] = __atomic_load_n(&c->passes, __ATOMIC_SEQ_CST);
        /* Odd: in the core.  Even: in a guest or idle (vm/run.c). */
        if (before[c_i] & 1 || c == self || READ_ONCE(c->current)->domain != d) {
            before[c_i] = 1;
            continue;
        }
        cpu_kick(c);
        end = c_i + 1;
    }
    for (unsigned int i = 0; i < end; i++)
        while (!(before[i] & 1) && READ_ONCE(cpus[i]->passes) == before[i]) {
            cpu_poll();
            cpu_relax();
        }
    if (d->p2m->dma) iommu_flush(d);
}

uint64_t p2m_low_table(struct domain *d)
{
    bool ok;

    spin_lock(&d->p2m->lock);
    ok = reach(d->p2m, 0, 3) != NULL;
    spin_unlock(&d->p2m->lock);
    return ok ? d->p2m->root[0] & ENTRY_ADDR : 0;
}

void p2m_drop_entry(const struct p2m_entry *e)
{
    if (e->type == P2M_RESOURCE) grant_table_unmapped(e->mfn);
    for (uint64_t i = 0; BIT(e->type) & COUNTED && i < 1ull << e->order; i++) frame_put(e->mfn + i);
}

int p2m_release(struct domain *d)
{
    struct p2m *p = d->p2m;
    struct p2m_entry *rest = &p->kill_rest;
    unsigned int level;
    uint64_t *e;

    do {
        if (rest->type == P2M_NONE) {
            spin_lock(&p->lock);
            /* A guest may have left very many empty tables. */
            e = next_leaf(p, &p->kill_next, p->max_gfn + 1, 512, &level);
            if (e) {
                *rest = decode(*e, p->kill_next, level);
                set_entry(e, empty_entry());
            }
            spin_unlock(&p->lock);
            if (!e && p->kill_next > p->max_gfn) return 0;
            __atomic_fetch_add(&p->generation, 1, __ATOMIC_SEQ_CST); /* no TLB has it */
        }
        /* 1 GiB would take too long in one go. */
        p2m_drop_entry(&(struct p2m_entry){rest->mfn, rest->type, MIN(rest->order, ORDER_2M)});
        rest->mfn += 1ull << ORDER_2M;
        if (rest->order < ORDER_1G || rest->mfn % (1ull << ORDER_1G) == 0) rest->type = P2M_NONE;
    } while (!hypercall_preempt());
    return -XEN_ERESTART;
}
