/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the loader's view of dom0's memory: what is RAM, what must be kept,
 * and where there is room. Only memory from 1 MiB to 4 GiB is given out.
 */
#include "loader.h"

#define LOWEST 0x100000ULL

static uint64_t page_down(uint64_t a)
{
    return a & ~(PAGE_SIZE - 1);
}

static uint64_t page_up(uint64_t a)
{
    return page_down(a + PAGE_SIZE - 1);
}

/* RAM entry i below 4 GiB, empty if it is something else. */
static struct range ram_entry(const struct memory *m, uint32_t i)
{
    const struct hvm_memmap_table_entry *e = &m->map[i];
    struct range r = {0, 0};

    if (e->type != XEN_HVM_MEMMAP_TYPE_RAM || e->addr >= LIMIT_4G) return r;
    r.start = e->addr;
    r.end = e->size < LIMIT_4G - e->addr ? e->addr + e->size : LIMIT_4G;
    return r;
}

const char *memory_keep(struct memory *m, const char *name, uint64_t start, uint64_t size)
{
    if (start > LIMIT_4G || size > LIMIT_4G - start)
        return error("the %s is not below 4 GiB", name);
    if (m->nr_keep == MAX_KEEP) return error("too many modules or kernel segments");
    if (size) m->keep[m->nr_keep++] = (struct keep){{start, start + size}, name};
    return NULL;
}

bool memory_is_ram(const struct memory *m, struct range r)
{
    uint32_t i = 0;

    /* Each RAM entry that holds the start shortens the rest. */
    while (i < m->entries && r.start < r.end) {
        struct range e = ram_entry(m, i);

        if (e.start <= r.start && r.start < e.end) {
            r.start = e.end;
            i = 0;
        } else {
            i++;
        }
    }
    return r.start >= r.end;
}

const char *memory_clash(const struct memory *m, struct range r)
{
    for (unsigned int i = 0; i < m->nr_keep; i++)
        if (overlaps(m->keep[i].range, r)) return m->keep[i].name;
    return NULL;
}

/* The lowest whole pages of RAM at or above from, kept things included. */
static struct range next_ram(const struct memory *m, uint64_t from)
{
    struct range best = {LIMIT_4G, LIMIT_4G};

    for (uint32_t i = 0; i < m->entries; i++) {
        struct range e = ram_entry(m, i);
        uint64_t start = page_up(e.start > from ? e.start : from);
        uint64_t end = page_down(e.end);

        if (start < end && start < best.start) best = (struct range){start, end};
    }
    return best;
}

/* The lowest free pages at or above from; empty at 4 GiB if none are left. */
static struct range next_hole(const struct memory *m, uint64_t from)
{
    struct range hole = next_ram(m, from);
    unsigned int i = 0;

    while (i < m->nr_keep && hole.start < hole.end) {
        struct range k = m->keep[i].range;

        k.start = page_down(k.start);
        if (k.start <= hole.start && hole.start < k.end) {
            hole = next_ram(m, k.end);
            i = 0; /* a new start: look at all of them again */
            continue;
        }
        if (k.start > hole.start && k.start < hole.end) hole.end = k.start;
        i++;
    }
    return hole;
}

uint64_t memory_room(const struct memory *m, uint64_t size)
{
    uint64_t found = 0;
    struct range hole;

    if (size > LIMIT_4G) return 0;
    size = page_up(size);
    for (hole = next_hole(m, LOWEST); hole.start < hole.end; hole = next_hole(m, hole.end))
        if (hole.end - hole.start >= size) found = hole.end - size;
    return found;
}

struct range memory_largest(const struct memory *m)
{
    struct range largest = {0, 0};
    struct range hole;

    for (hole = next_hole(m, LOWEST); hole.start < hole.end; hole = next_hole(m, hole.end))
        if (hole.end - hole.start > largest.end - largest.start) largest = hole;
    return largest;
}
