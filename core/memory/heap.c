/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core's heap: pages in chunks of its own, and objects of powers of two
 * from 32 to 2048 bytes in pages of one size each.
 */
#include "memory/heap.h"
#include "cpu/cpu.h"
#include "cpu/lock.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/chunk.h"
#include "memory/frame.h"
#include "memory/map.h"

/* Guards: core_chunks, spare and the mapping of chunks. */
static struct spinlock pages_lock = SPINLOCK(RANK_HEAP);
static struct list core_chunks = LIST_INIT(core_chunks);
static unsigned int empty_chunks;

#define SMALLEST 5 /* 2^5 bytes */
#define CLASSES  7 /* up to 2^11 */

/* The head of a page of small objects; the objects follow. */
struct slab {
    struct list link; /* on its class' list while it has a free object */
    void *free;
    uint16_t used, class;
    uint32_t magic;
};
#define SLAB_MAGIC 0x51ab51ab
#define SLAB_HEAD  64

/* Guards: slabs of every class. */
static struct spinlock slab_lock = SPINLOCK(RANK_HEAP);
static struct list slabs[CLASSES];

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

/* The first of n free frames in a row, or CHUNK_FRAMES. */
static unsigned int find_run(const struct chunk *c, unsigned int n)
{
    unsigned int i = find_bit(c->free, CHUNK_FRAMES, 0);

    while (i + n <= CHUNK_FRAMES) {
        unsigned int k = 1;

        while (k < n && test_bit(i + k, c->free)) k++;
        if (k == n) return i;
        i = find_bit(c->free, CHUNK_FRAMES, i + k);
    }
    return CHUNK_FRAMES;
}

/* A new chunk on core_chunks; its tables exist since heap_boot. */
static bool add_chunk(void)
{
    struct chunk *c = chunk_take_for_core();
    uint64_t phys;

    if (!c) return false;
    phys = chunk_first_mfn(c) << PAGE_SHIFT;
    if (!core_map(HEAP_BASE + phys, phys, 2, PTE_DATA)) {
        chunk_give_back(c);
        return false;
    }
    spin_lock(&pages_lock);
    list_add(&core_chunks, &c->link);
    empty_chunks++;
    spin_unlock(&pages_lock);
    return true;
}

static void *take_pages(unsigned int count)
{
    struct list *p;
    void *page = NULL;

    spin_lock(&pages_lock);
    list_for_each (p, &core_chunks) {
        struct chunk *c = list_entry(p, struct chunk, link);
        unsigned int at;

        if (c->free_count < count) continue;
        at = find_run(c, count);
        if (at == CHUNK_FRAMES) continue;
        empty_chunks -= c->free_count == CHUNK_FRAMES;
        chunk_mark(c, at, count, true);
        page = core_from_mfn(chunk_first_mfn(c) + at);
        break;
    }
    spin_unlock(&pages_lock);
    return page;
}

void *core_alloc_pages(unsigned int count)
{
    void *p;

    if (!count || count > CHUNK_FRAMES) return NULL;
    p = take_pages(count);
    if (!p && add_chunk()) p = take_pages(count);
    if (p) memset(p, 0, count * PAGE_SIZE);
    return p;
}

void core_free_pages(void *p, unsigned int count)
{
    struct chunk *c;
    uint64_t mfn;
    bool give_back = false;

    if (!p) return;
    mfn = core_to_mfn(p);
    c = chunk_from_mfn(mfn);
    memset(p, 0, count * PAGE_SIZE);
    spin_lock(&pages_lock);
    ASSERT(c->core && chunk_run(mfn) == count);
    chunk_mark(c, mfn % CHUNK_FRAMES, count, false);
    if (c->free_count == CHUNK_FRAMES && ++empty_chunks > 1) {
        /* One empty chunk is enough in reserve. */
        empty_chunks--;
        list_del(&c->link);
        core_unmap(HEAP_BASE + (chunk_first_mfn(c) << PAGE_SHIFT), 2);
        give_back = true;
    }
    spin_unlock(&pages_lock);
    if (give_back) {
        flush_core_tlb_all();
        chunk_give_back(c);
    }
}

void heap_boot(void)
{
    for (unsigned int i = 0; i < CLASSES; i++) list_init(&slabs[i]);
    if (!add_chunk()) panic("no 2 MiB of memory in a row for the core's heap");
    for (uint64_t at = 0; at < max_mfn; at += 1ul << ORDER_1G)
        if (!core_entry(HEAP_BASE + (at << PAGE_SHIFT), 2))
            panic("no memory for the heap's page tables");
}

static struct slab *new_slab(unsigned int class)
{
    struct slab *s = core_alloc_pages(1);
    size_t size = 1ul << (class + SMALLEST);

    if (!s) return NULL;
    list_init(&s->link);
    s->class = class;
    s->magic = SLAB_MAGIC;
    for (size_t at = MAX(size, (size_t)SLAB_HEAD); at + size <= PAGE_SIZE; at += size) {
        void **object = (void **)((char *)s + at);

        *object = s->free;
        s->free = object;
    }
    return s;
}

/* Takes one object; lock held. */
static void *take_object(struct slab *s)
{
    void **object = s->free;

    s->free = *object;
    s->used++;
    if (!s->free) list_del(&s->link);
    return object;
}

void *core_alloc(size_t size)
{
    unsigned int class = 0;
    struct slab *s;
    void *p;

    if (size > 1ul << (CLASSES - 1 + SMALLEST)) return core_alloc_pages(DIV_UP(size, PAGE_SIZE));
    while (size > 1ul << (class + SMALLEST)) class ++;
    spin_lock(&slab_lock);
    if (list_empty(&slabs[class])) {
        spin_unlock(&slab_lock);
        s = new_slab(class);
        if (!s) return NULL;
        spin_lock(&slab_lock);
        list_add(&slabs[class], &s->link);
    }
    s = list_entry(slabs[class].next, struct slab, link);
    p = take_object(s);
    spin_unlock(&slab_lock);
    memset(p, 0, 1ul << (class + SMALLEST));
    return p;
}

void core_free(void *p)
{
    struct slab *s = (struct slab *)((uintptr_t)p & PAGE_MASK);
    bool empty;

    if (!p) return;
    if (p == (void *)s) {
        core_free_pages(p, chunk_run(core_to_mfn(p)));
        return;
    }
    ASSERT(s->magic == SLAB_MAGIC);
    memset(p, 0, 1ul << (s->class + SMALLEST));
    spin_lock(&slab_lock);
    if (!s->free) list_add(&slabs[s->class], &s->link);
    *(void **)p = s->free;
    s->free = p;
    empty = --s->used == 0;
    if (empty) list_del(&s->link);
    spin_unlock(&slab_lock);
    if (empty) core_free_pages(s, 1);
}
