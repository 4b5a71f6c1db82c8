/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machine frames and their allocator, and the core's own pages.
 *
 * One word a frame: references (bits 0-31), owner (32-47), dirty (48).  Free
 * frames are kept by chunks of 2 MiB: a bitmap each, chunks that are wholly
 * free on one list, partly free ones on another.  The core's pages come from
 * chunks that it takes whole and maps; their free frames are for it alone.
 */
#include "memory/frame.h"
#include "cpu/cpu.h"
#include "cpu/lock.h"
#include "lib/list.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "memory/map.h"
#include "memory/window.h"
#include "vm/domain.h"
#include "vm/p2m.h"

#define WORD_OWNER(owner) ((uint64_t)(owner) << 32)
#define WORD_DIRTY        BIT(48)
#define WORD_COUNT_SHIFT  49 /* of the core's pages allocated together */
#define REFS_MAX          0x7fffffffu

#define CHUNK_FRAMES 512ul
struct chunk {
    struct list link; /* of full, partial or core_chunks */
    unsigned long free[BITMAP_WORDS(CHUNK_FRAMES)];
    uint16_t free_count;
    bool core;
};

/* Guards: chunks and their mapping, the lists, frame_counts.free, and words of free
 * and of the core's frames. */
static struct spinlock frames_lock = SPINLOCK(RANK_FRAMES);
static struct list full = LIST_INIT(full), partial = LIST_INIT(partial);
static struct list core_chunks = LIST_INIT(core_chunks);
static unsigned int spare_chunks; /* of core_chunks, those without a page in use */
static uint64_t *const words = (uint64_t *)FRAMES_BASE;
static struct chunk *chunks;
struct frame_counts frame_counts;
uint64_t max_mfn;

/* The GiBs of physical addresses in which there is RAM: for the others there
 * are no words. */
#define MAX_GIBS 16384u /* 16 TiB */
static unsigned long gibs[BITMAP_WORDS(MAX_GIBS)];

static inline bool has_word(uint64_t mfn)
{
    return mfn < max_mfn && test_bit(index_nospec(mfn, max_mfn) >> ORDER_1G, gibs);
}

static inline uint16_t word_owner(uint64_t word)
{
    return word >> 32;
}

uint16_t frame_owner(uint64_t mfn)
{
    if (!has_word(mfn)) return OWNER_RESERVED;
    return word_owner(READ_ONCE(words[index_nospec(mfn, max_mfn)]));
}

bool frame_get(uint64_t mfn, uint16_t owner)
{
    uint64_t *w, old;

    if (!has_word(mfn)) return false;
    w = &words[index_nospec(mfn, max_mfn)];
    old = READ_ONCE(*w);
    do {
        uint32_t refs = old;

        if (word_owner(old) != owner || !refs || refs >= REFS_MAX) return false;
    } while (
        !__atomic_compare_exchange_n(w, &old, old + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    return true;
}

static inline struct chunk *chunk_of(uint64_t mfn)
{
    return &chunks[mfn / CHUNK_FRAMES];
}

static inline uint64_t chunk_mfn(const struct chunk *c)
{
    return (uint64_t)(c - chunks) * CHUNK_FRAMES;
}

/* Puts a chunk on the list that its state asks for.  Lock held. */
static void chunk_file(struct chunk *c)
{
    list_del(&c->link);
    if (c->core)
        list_add(&core_chunks, &c->link);
    else if (c->free_count)
        list_add(c->free_count == CHUNK_FRAMES ? &full : &partial, &c->link);
}

/* A frame becomes free, or no longer is.  Lock held. */
static void mark(uint64_t mfn, bool free)
{
    struct chunk *c = chunk_of(mfn);
    unsigned int before = c->free_count;

    ASSERT(test_bit(mfn % CHUNK_FRAMES, c->free) != free);
    c->free[mfn % CHUNK_FRAMES / BITS_PER_LONG] ^= BIT(mfn % BITS_PER_LONG);
    c->free_count += free ? 1 : -1;
    frame_counts.free += free ? 1 : -1;
    if (!c->core && (before % CHUNK_FRAMES == 0 || c->free_count % CHUNK_FRAMES == 0))
        chunk_file(c);
}

void frame_put(uint64_t mfn)
{
    uint64_t old;
    struct domain *d;

    ASSERT(has_word(mfn));
    old = __atomic_fetch_sub(&words[mfn], 1, __ATOMIC_SEQ_CST);
    ASSERT((uint32_t)old != 0);
    if ((uint32_t)old != 1) return;
    /* The domain lives as long as it has frames: each holds a reference. */
    d = domain_of_owner(word_owner(old));
    window_zero(mfn);
    spin_lock(&frames_lock);
    WRITE_ONCE(words[mfn], WORD_OWNER(OWNER_FREE));
    mark(mfn, true);
    spin_unlock(&frames_lock);
    __atomic_fetch_sub(&d->tot_pages, 1, __ATOMIC_SEQ_CST);
    domain_put(d);
}

static struct chunk *find_chunk(bool low, bool whole)
{
    struct list *heads[] = {&partial, &full}, *p;

    for (unsigned int i = whole; i < 2; i++) {
        list_for_each (p, heads[i]) {
            struct chunk *c = list_entry(p, struct chunk, link);

            if (!low || chunk_mfn(c) < 1ul << 20) return c;
        }
    }
    return NULL;
}

/* A naturally aligned GiB of free chunks, from the top.  Lock held. */
static uint64_t find_gib(bool low)
{
    uint64_t mfn = max_mfn >> ORDER_1G << ORDER_1G;

    while (mfn >= 1ul << ORDER_1G) {
        unsigned int i = 0;

        mfn -= 1ul << ORDER_1G;
        if (low && mfn >= 1ul << 20) continue;
        while (i < 512 && chunk_of(mfn)[i].free_count == CHUNK_FRAMES && !chunk_of(mfn)[i].core)
            i++;
        if (i == 512) return mfn;
    }
    return MFN_INVALID;
}

static uint64_t find_frames(unsigned int order, bool low)
{
    struct chunk *c;

    if (order == ORDER_1G) return find_gib(low);
    c = find_chunk(low, order == ORDER_2M);
    if (!c) return MFN_INVALID;
    return chunk_mfn(c) + find_bit(c->free, CHUNK_FRAMES, 0);
}

/* Counts n more frames for d, or not if that would pass its limit. */
static bool charge(struct domain *d, uint64_t n)
{
    uint64_t before = __atomic_fetch_add(&d->tot_pages, n, __ATOMIC_SEQ_CST);

    if (before + n <= READ_ONCE(d->max_pages)) {
        __atomic_fetch_add(&d->refs, n, __ATOMIC_SEQ_CST);
        return true;
    }
    __atomic_fetch_sub(&d->tot_pages, n, __ATOMIC_SEQ_CST);
    return false;
}

static void uncharge(struct domain *d, uint64_t n)
{
    __atomic_fetch_sub(&d->tot_pages, n, __ATOMIC_SEQ_CST);
    __atomic_fetch_sub(&d->refs, n, __ATOMIC_SEQ_CST);
}

uint64_t frames_alloc(struct domain *d, unsigned int order, bool low)
{
    uint64_t mfn, n = 1ul << order;

    if ((order != ORDER_4K && order != ORDER_2M && order != ORDER_1G) || !charge(d, n))
        return MFN_INVALID;
    spin_lock(&frames_lock);
    mfn = find_frames(order, low);
    if (mfn != MFN_INVALID)
        for (uint64_t i = 0; i < n; i++) mark(mfn + i, false);
    spin_unlock(&frames_lock);
    if (mfn == MFN_INVALID) {
        uncharge(d, n);
        return mfn;
    }
    for (uint64_t i = mfn; i < mfn + n; i++) {
        if (READ_ONCE(words[i]) & WORD_DIRTY) window_zero(i);
        WRITE_ONCE(words[i], WORD_OWNER(d->id) | 1);
    }
    return mfn;
}

bool frames_claim(struct domain *d, uint64_t mfn, uint64_t count)
{
    bool all = mfn + count <= max_mfn && charge(d, count);
    uint64_t i;

    if (!all) return false;
    spin_lock(&frames_lock);
    for (i = mfn; i < mfn + count && all; i++)
        all = frame_owner(i) == OWNER_FREE && !chunk_of(i)->core;
    for (i = mfn; i < mfn + count && all; i++) {
        mark(i, false);
        WRITE_ONCE(words[i], WORD_OWNER(d->id) | 1);
    }
    spin_unlock(&frames_lock);
    if (!all) uncharge(d, count);
    return all;
}

/* --- the core's pages --- */

uint64_t core_to_mfn(const void *p)
{
    uintptr_t a = (uintptr_t)p;

    if (a < HEAP_BASE) {
        ASSERT(a >= (uintptr_t)image_start && a < (uintptr_t)image_end);
        return a >> PAGE_SHIFT;
    }
    ASSERT(a < FRAMES_BASE);
    return (a - HEAP_BASE) >> PAGE_SHIFT;
}

void *core_from_mfn(uint64_t mfn)
{
    return (void *)(HEAP_BASE + (mfn << PAGE_SHIFT));
}

/* The first of n free frames in a row in the core's chunks.  Lock held. */
static uint64_t find_run(unsigned int n)
{
    struct list *p;

    list_for_each (p, &core_chunks) {
        struct chunk *c = list_entry(p, struct chunk, link);
        unsigned int run = 0;

        for (unsigned int i = find_bit(c->free, CHUNK_FRAMES, 0); i < CHUNK_FRAMES; i++) {
            run = test_bit(i, c->free) ? run + 1 : 0;
            if (run == n) return chunk_mfn(c) + i + 1 - n;
        }
    }
    return MFN_INVALID;
}

/* One more chunk for the core; its page tables exist since heap_boot.  Lock
 * held. */
static bool add_core_chunk(void)
{
    struct chunk *c = find_chunk(false, true);
    uint64_t phys;

    if (!c) return false;
    phys = chunk_mfn(c) << PAGE_SHIFT;
    if (!core_map(HEAP_BASE + phys, phys, 2, PTE_DATA)) return false;
    c->core = true;
    spare_chunks++;
    chunk_file(c);
    return true;
}

void *core_alloc_pages(unsigned int count)
{
    uint64_t mfn;

    if (!count || count > CHUNK_FRAMES) return NULL;
    spin_lock(&frames_lock);
    mfn = find_run(count);
    if (mfn == MFN_INVALID && add_core_chunk()) mfn = find_run(count);
    if (mfn != MFN_INVALID) {
        spare_chunks -= chunk_of(mfn)->free_count == CHUNK_FRAMES;
        for (uint64_t i = mfn; i < mfn + count; i++) {
            mark(i, false);
            WRITE_ONCE(words[i], WORD_OWNER(OWNER_CORE) | 1);
        }
        WRITE_ONCE(words[mfn], words[mfn] | (uint64_t)count << WORD_COUNT_SHIFT);
        frame_counts.core += count;
    }
    spin_unlock(&frames_lock);
    return mfn == MFN_INVALID ? NULL : memset(core_from_mfn(mfn), 0, count * PAGE_SIZE);
}

unsigned int core_pages_at(const void *p)
{
    return words[core_to_mfn(p)] >> WORD_COUNT_SHIFT;
}

void core_free_pages(void *p, unsigned int count)
{
    struct chunk *c;
    uint64_t mfn;

    if (!p) return;
    mfn = core_to_mfn(p);
    c = chunk_of(mfn);
    memset(p, 0, count * PAGE_SIZE);
    spin_lock(&frames_lock);
    ASSERT(c->core && core_pages_at(p) == count);
    for (uint64_t i = mfn; i < mfn + count; i++) {
        WRITE_ONCE(words[i], WORD_OWNER(OWNER_FREE));
        mark(i, true);
    }
    frame_counts.core -= count;
    if (c->free_count == CHUNK_FRAMES && ++spare_chunks > 1) { /* one is enough */
        spare_chunks--;
        core_unmap(HEAP_BASE + (chunk_mfn(c) << PAGE_SHIFT), 2);
        flush_core_tlb_all();
        c->core = false;
        chunk_file(c);
    }
    spin_unlock(&frames_lock);
}

/* --- counts and boot --- */

void frames_note_ram(uint64_t start, uint64_t end)
{
    if (end > (uint64_t)MAX_GIBS << 30)
        panic("memory above %u TiB is not supported", MAX_GIBS / 1024);
    for (uint64_t gib = start >> 30; gib < DIV_UP(end, 1ull << 30); gib++) __set_bit(gib, gibs);
    max_mfn = MAX(max_mfn, ROUND_UP(DIV_UP(end, PAGE_SIZE), CHUNK_FRAMES));
    frame_counts.ram += (end - start) >> PAGE_SHIFT;
}

/* Of the chunks' table: from 48 GiB of memory on pages of 2 MiB. */
static size_t chunks_unit(void)
{
    return max_mfn / CHUNK_FRAMES * sizeof(*chunks) > 2 << 20 ? 2 << 20 : PAGE_SIZE;
}

static size_t chunks_bytes(void)
{
    return ROUND_UP(max_mfn / CHUNK_FRAMES * sizeof(*chunks), chunks_unit());
}

size_t frames_table_bytes(void)
{
    return ((size_t)count_bits(gibs, MAX_GIBS) << 21) + chunks_bytes();
}

void frames_init(uint64_t table)
{
    unsigned int gib;

    frame_counts.core = (frames_table_bytes() + (image_end - image_start)) >> PAGE_SHIFT;
    for_each_bit (gib, gibs, MAX_GIBS, 0) {
        uint64_t va = FRAMES_BASE + ((uint64_t)gib << 21);

        if (!core_map(va, table, 2, PTE_DATA))
            panic("too few early page tables for the frame table");
        for (unsigned int i = 0; i < 1u << ORDER_1G; i++)
            words[((uint64_t)gib << ORDER_1G) + i] = WORD_OWNER(OWNER_RESERVED);
        table += 2ull << 20;
    }
    chunks = (struct chunk *)CHUNKS_BASE;
    for (uint64_t at = 0; at < chunks_bytes(); at += chunks_unit())
        if (!core_map(CHUNKS_BASE + at, table + at, chunks_unit() > PAGE_SIZE ? 2 : 1, PTE_DATA))
            panic("too few early page tables for the frame table");
    memset(chunks, 0, chunks_bytes());
    for (uint64_t i = 0; i < max_mfn / CHUNK_FRAMES; i++) list_init(&chunks[i].link);
}

void frames_add_ram(uint64_t start, uint64_t end)
{
    start = ROUND_UP(start, PAGE_SIZE) >> PAGE_SHIFT;
    end = MIN(end >> PAGE_SHIFT, max_mfn);
    spin_lock(&frames_lock);
    for (uint64_t i = start; i < end; i++)
        if (frame_owner(i) == OWNER_RESERVED) {
            WRITE_ONCE(words[i], WORD_OWNER(OWNER_FREE) | WORD_DIRTY);
            mark(i, true);
        }
    spin_unlock(&frames_lock);
}

void frames_dump(void)
{
    struct domain *d;

    log_info("frames: %lu RAM, %lu free, %lu core", frame_counts.ram, frame_counts.free,
             frame_counts.core);
    for_each_domain (d)
        log_info("frames: d%u owns %lu, p2m tables %lu", d->id, d->tot_pages,
                 d->p2m ? d->p2m->tables : 0);
}
