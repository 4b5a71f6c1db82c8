/* SPDX-License-Identifier: Apache-2.0 */
/* Log-dirty: see the header. */
#include "vm/logdirty.h"
#include "cpu/cpu.h"
#include "hypercall/hypercall.h"
#include "lib/bitops.h"
#include "lib/string.h"
#include "vm/domain.h"
#include "vm/guest.h"
#include "vm/p2m_tables.h"
#include "vm/vendor.h"
#include <xen/errno.h>

#define PIECE_SHIFT 15 /* gfns in a piece: its bits fill a page */
#define PIECE_WORDS 512u
#define PIECE_PAGES 2u
#define DIR_SHIFT   24
#define DIR_LIMIT   (1ull << (DIR_SHIFT + 9)) /* gfns */
#define CLEAN_WORDS 16u                       /* of pages protected with the lock held */

struct log_piece {
    unsigned long bits[PIECE_WORDS];
    unsigned long words[PIECE_WORDS / 64]; /* which of them have a bit set */
};

/* --- the log; locked --- */

/* An empty log, on if it has a directory; who looks whether it is on may have
 * no lock. */
static void make_empty(struct logdirty *l, struct log_piece ***dir)
{
    l->failed = false;
    l->faults = l->dirty = 0;
    l->next = l->buffer = 0;
    l->piece = dir;
    WRITE_ONCE(l->on, dir != NULL);
}

static void *charged_alloc(struct p2m *p, unsigned int pages)
{
    void *m =
        p->tables + pages <= READ_ONCE(p->domain->pool_pages) ? core_alloc_pages(pages) : NULL;

    if (m) p->tables += pages;
    return m;
}

/* The piece for gfn, or NULL: there is none, or with `make`, no memory. */
static struct log_piece *piece_of(struct p2m *p, uint64_t gfn, bool make)
{
    struct log_piece ***dir, **slot;

    if (gfn >= DIR_LIMIT) return NULL;
    dir = &p->log.piece[gfn >> DIR_SHIFT];
    if (!*dir && make) *dir = charged_alloc(p, 1);
    if (!*dir) return NULL;
    slot = &(*dir)[gfn >> PIECE_SHIFT & 511];
    if (!*slot && make) *slot = charged_alloc(p, PIECE_PAGES);
    return *slot;
}

/* Sets n bits from gfn on, all within one word, or n = 64 and aligned. */
static void set_bits(struct p2m *p, uint64_t gfn, unsigned int n)
{
    struct log_piece *l = piece_of(p, gfn, true);
    unsigned int word = gfn / 64 % PIECE_WORDS;
    unsigned long mask = n == 64 ? ~0ul : ((1ul << n) - 1) << gfn % 64;

    if (!l) {
        p->log.failed = true;
        return;
    }
    for (unsigned long new = mask & ~l->bits[word]; new; new &= new - 1) p->log.dirty++;
    l->bits[word] |= mask;
    __set_bit(word, l->words);
}

void logdirty_mark_locked(struct domain *d, uint64_t gfn, unsigned int order)
{
    uint64_t n = 1ull << order;

    for (uint64_t i = 0; d->p2m->log.on && i < n; i += 64) set_bits(d->p2m, gfn + i, MIN(n, 64ul));
}

void logdirty_mark(struct domain *d, uint64_t gfn)
{
    if (likely(!READ_ONCE(d->p2m->log.on)) || gfn >= GFN_LIMIT) return;
    spin_lock(&d->p2m->lock);
    logdirty_mark_locked(d, gfn, 0);
    spin_unlock(&d->p2m->lock);
}

void logdirty_free(struct domain *d)
{
    struct log_piece ***dir = d->p2m->log.piece;

    for (unsigned int i = 0; dir && i < 512; i++) {
        for (unsigned int j = 0; dir[i] && j < 512; j++) {
            if (!dir[i][j]) continue;
            core_free_pages(dir[i][j], PIECE_PAGES);
            d->p2m->tables -= PIECE_PAGES;
        }
        if (!dir[i]) continue;
        core_free_pages(dir[i], 1);
        d->p2m->tables--;
    }
    core_free_pages(dir, 1);
    make_empty(&d->p2m->log, NULL);
}

/* --- protection; locked --- */

static bool writable_type(enum p2m_type t)
{
    return vendor->leaf_bits(t) & ENTRY_WRITE;
}

/* Moves the protection of a table to its entries. */
static void push_down(uint64_t *e)
{
    uint64_t *t = table_at(*e);

    for (unsigned int i = 0; i < 512; i++)
        if (t[i] & ENTRY_WRITE) WRITE_ONCE(t[i], t[i] & ~ENTRY_WRITE);
    WRITE_ONCE(*e, *e | ENTRY_WRITE | ENTRY_LOG);
}

/* Makes the path to gfn writable, splits the superpage of RAM there: the leaf,
 * which may still be protected, and its level.  NULL without memory. */
static uint64_t *open_path(struct p2m *p, uint64_t gfn, unsigned int *level)
{
    uint64_t *e = &p->root[index_at(gfn, 4)];

    for (*level = 4; *level > 1; e = &table_at(*e)[index_at(gfn, --*level)]) {
        if (!is_table(*e, *level)) {
            if (!is_present(*e) || *e & ENTRY_WRITE || entry_type(*e) != P2M_RAM) break;
            if (!p2m_split(p, e, *level)) return NULL;
        } else if (!(*e & ENTRY_WRITE)) {
            push_down(e);
        }
    }
    return e;
}

bool logdirty_fault(struct domain *d, uint64_t gfn)
{
    struct p2m *p = d->p2m;
    bool ours = false, stale = false;
    unsigned int level;
    uint64_t *e;

    if (likely(!READ_ONCE(p->log.on)) || gfn >= GFN_LIMIT) return false;
    spin_lock(&p->lock);
    e = p->log.on ? open_path(p, gfn, &level) : p2m_find(p, gfn, &level);
    if (!e) { /* the guest goes on, the log has a hole */
        p->log.failed = true;
        e = p2m_find(p, gfn, &level);
    }
    if (is_present(*e) && writable_type(entry_type(*e))) {
        ours = true;
        stale = *e & ENTRY_WRITE;
        WRITE_ONCE(*e, *e | ENTRY_WRITE);
        p->log.faults++;
        if (entry_type(*e) == P2M_RAM && level == 1) logdirty_mark_locked(d, gfn, 0);
    }
    spin_unlock(&p->lock);
    /* Another vCPU was first, or log-dirty ended: only this TLB is old. */
    if (stale) p2m_flush(d);
    return ours;
}

int logdirty_on(struct domain *d)
{
    struct p2m *p = d->p2m;
    struct log_piece ***dir = core_alloc_pages(1);
    int rc = dir ? 0 : -XEN_ENOMEM;

    spin_lock(&p->lock);
    if (!rc && p->log.on) rc = -XEN_EINVAL;
    if (!rc) {
        make_empty(&p->log, dir);
        for (unsigned int i = 0; i < 512; i++)
            if (is_present(p->root[i])) WRITE_ONCE(p->root[i], p->root[i] & ~ENTRY_WRITE);
    }
    spin_unlock(&p->lock);
    if (rc)
        core_free_pages(dir, 1);
    else
        p2m_flush(d);
    return rc;
}

/* --- copying --- */

/* Takes the writable bit from the dirty pages of one word, which lie in one
 * table; logdirty_off finds them by the marks on their way. */
static void protect_word(struct p2m *p, uint64_t gfn, unsigned long bits)
{
    uint64_t *e = &p->root[index_at(gfn, 4)];
    unsigned int level = 4;

    for (; is_table(*e, level); e = &table_at(*e)[index_at(gfn, --level)])
        if (!(*e & ENTRY_LOG)) WRITE_ONCE(*e, *e | ENTRY_LOG);
    if (level > 1) bits = 1; /* a superpage */
    for (; bits; bits &= bits - 1) {
        uint64_t *page = e + __builtin_ctzl(bits);

        if (is_present(*page)) WRITE_ONCE(*page, *page & ~ENTRY_WRITE);
    }
}

/* Copies the log of *n gfns of one piece to buf, as whole words; `clean` stops
 * early when much was protected: *n becomes the number of gfns done.  False,
 * and nothing in buf: none of them is dirty. */
static bool gather(struct p2m *p, uint64_t gfn, unsigned int *n, unsigned long *buf, bool clean)
{
    unsigned int first = gfn / 64 % PIECE_WORDS, end = first + DIV_UP(*n, 64u), protected = 0;
    struct log_piece *l;
    bool dirty;

    spin_lock(&p->lock);
    l = piece_of(p, gfn, false);
    dirty = l && find_bit(l->words, end, first) < end;
    if (dirty) memcpy(buf, &l->bits[first], (end - first) * 8ul);
    for (unsigned int w = first; dirty && clean && (w = find_bit(l->words, end, w)) < end; w++) {
        if (protected ++ == CLEAN_WORDS) {
            end = w;
            break;
        }
        protect_word(p, (gfn >> PIECE_SHIFT << PIECE_SHIFT) + w * 64ul, l->bits[w]);
        l->bits[w] = 0;
        __clear_bit(w, l->words);
    }
    spin_unlock(&p->lock);
    *n = MIN(*n, (end - first) * 64);
    return dirty;
}

/* May a copy begin or go on?  The control lock keeps it on. */
static int check(struct p2m *p)
{
    int rc = 0;

    spin_lock(&p->lock);
    if (!p->log.on)
        rc = -XEN_EINVAL;
    else if (p->log.failed)
        rc = -XEN_ENOMEM;
    spin_unlock(&p->lock);
    return rc;
}

/* The log was emptied; on an error what was taken last is lost. */
static void cleaned(struct p2m *p, int rc)
{
    spin_lock(&p->lock);
    if (rc)
        p->log.failed = true;
    else
        p->log.faults = p->log.dirty = 0;
    spin_unlock(&p->lock);
}

int logdirty_copy(struct domain *d, uint64_t va, uint64_t pages, bool clean)
{
    static unsigned long buf[PIECE_WORDS]; /* guarded by the control lock */
    static const unsigned long clear[PIECE_WORDS];
    struct p2m *p = d->p2m;
    uint64_t gfn;
    int rc = check(p);

    if (rc) return rc;
    if (pages > GFN_LIMIT) return -XEN_EINVAL;
    gfn = p->log.buffer == va ? p->log.next : 0;
    while (gfn < pages && !rc) {
        unsigned int n = MIN(pages - gfn, (1ull << PIECE_SHIFT) - gfn % (1ull << PIECE_SHIFT));
        bool dirty = gather(p, gfn, &n, buf, clean);

        if (va && copy_to_guest(va + gfn / 8, dirty ? buf : clear, DIV_UP(n, 8u))) rc = -XEN_EFAULT;
        gfn += n;
        if (!rc && gfn < pages && hypercall_preempt()) rc = -XEN_ERESTART;
    }
    p->log.next = rc == -XEN_ERESTART ? gfn : 0;
    p->log.buffer = va;
    if (clean && rc != -XEN_ERESTART) cleaned(p, rc);
    if (clean) p2m_flush(d);
    return rc;
}

/* --- off --- */

/* Tables that no path leads to any more; freed when nobody reads them. */
struct retired {
    uint64_t *table[32];
    unsigned int n, seen; /* of all tables: no more at a time */
};

static void free_retired(struct p2m *p, struct retired *r)
{
    p2m_flush(p->domain);
    flush_core_tlb_all(); /* who answers is in no table (cpu/cpu.c) */
    for (unsigned int i = 0; i < r->n; i++) core_free_pages(r->table[i], 1);
    spin_lock(&p->lock);
    p->tables -= r->n;
    spin_unlock(&p->lock);
    r->n = r->seen = 0;
}

/* All 512 entries of a table at `level` are leaves of one stretch: the leaf
 * that stands for them, else 0. */
static uint64_t whole_leaf(const uint64_t *t, unsigned int level)
{
    uint64_t step = PAGE_SIZE << LEVEL_SHIFT(level), first = t[0];

    if (level + 1 > vendor->max_level || !is_present(first) || is_table(first, level) ||
        entry_type(first) != P2M_RAM || (first & ENTRY_ADDR) & (step * 512 - 1))
        return 0;
    for (unsigned int i = 1; i < 512; i++)
        if (t[i] != first + i * step) return 0;
    return (first & ~vendor->small_bits) | ENTRY_PS;
}

/* Ends the protection below the table that *e (of level + 1) points to.  The
 * table is done when true: the mark at *e is gone. */
static bool restore(struct p2m *p, uint64_t *e, unsigned int level, struct retired *r)
{
    uint64_t *t = table_at(*e), leaf;

    if (r->seen++ == ARRAY_SIZE(r->table)) return false;
    for (unsigned int i = 0; i < 512; i++) {
        uint64_t old = t[i];

        if (is_table(old, level)) {
            if (old & ENTRY_LOG && !restore(p, &t[i], level - 1, r)) return false;
            WRITE_ONCE(t[i], t[i] | ENTRY_WRITE);
        } else if (is_present(old) && writable_type(entry_type(old))) {
            WRITE_ONCE(t[i], old | ENTRY_WRITE);
        }
    }
    leaf = level < 4 ? whole_leaf(t, level) : 0;
    if (leaf) r->table[r->n++] = t;
    WRITE_ONCE(*e, leaf ? leaf : *e & ~ENTRY_LOG);
    return true;
}

int logdirty_off(struct domain *d)
{
    struct p2m *p = d->p2m;
    struct retired r = {.seen = 0};
    bool done = false;

    while (p->log.on && !done) {
        uint64_t root = core_to_phys(p->root) | ENTRY_TABLE;

        spin_lock(&p->lock);
        done = restore(p, &root, 4, &r);
        if (done) logdirty_free(d);
        spin_unlock(&p->lock);
        free_retired(p, &r);
        if (!done && hypercall_preempt()) return -XEN_ERESTART;
    }
    return 0;
}
