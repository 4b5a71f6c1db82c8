/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core's heap: objects of powers of two from 32 to 2048 bytes in pages of
 * one size each.
 */
#include "memory/heap.h"
#include "cpu/lock.h"
#include "lib/list.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/frame.h"
#include "memory/map.h"

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

void heap_boot(void)
{
    for (unsigned int i = 0; i < CLASSES; i++) list_init(&slabs[i]);
    /* From the top, where the chunks come from in which these tables are. */
    for (uint64_t gib = DIV_UP(max_mfn, 1ul << ORDER_1G); gib-- > 0;)
        if (!core_entry(HEAP_BASE + (gib << 30), 2)) panic("no memory for the heap's page tables");
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
        core_free_pages(p, core_pages_at(p));
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
