/* SPDX-License-Identifier: Apache-2.0 */
/* The core's own page tables. */
#include "memory/map.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/heap.h"

uint64_t core_l4[512] __attribute__((aligned(4096)));

/* Tables made before there is a heap: 43 where memory ends at 16 TiB. */
static uint64_t pool[48][512] __attribute__((aligned(4096)));
static unsigned int pool_used;
static bool heap_ready;

static uint64_t *table_at(uint64_t entry)
{
    uint64_t phys = entry & PTE_ADDR;

    if (phys < (uintptr_t)image_end) return (uint64_t *)phys;
    return (uint64_t *)(HEAP_BASE + phys);
}

static uint64_t *table_alloc(void)
{
    if (pool_used < ARRAY_SIZE(pool)) return pool[pool_used++];
    return heap_ready ? core_alloc_pages(1) : NULL;
}

uint64_t *core_entry(uint64_t va, unsigned int level)
{
    uint64_t *table = core_l4;

    for (unsigned int l = 4; l > level; l--) {
        uint64_t *e = &table[va >> (12 + 9 * (l - 1)) & 511];

        if (!(*e & PTE_P)) {
            uint64_t *new = table_alloc();

            if (!new) return NULL;
            *e = core_to_phys(new) | PTE_P | PTE_RW;
        }
        table = table_at(*e);
    }
    return &table[va >> (12 + 9 * (level - 1)) & 511];
}

bool core_map(uint64_t va, uint64_t phys, unsigned int level, uint64_t flags)
{
    uint64_t *e = core_entry(va, level);

    if (!e) return false;
    ASSERT(!(*e & PTE_P));
    WRITE_ONCE(*e, phys | flags | (level > 1 ? PTE_PS : 0));
    return true;
}

void core_unmap(uint64_t va, unsigned int level)
{
    uint64_t *e = core_entry(va, level);

    ASSERT(e && *e & PTE_P);
    WRITE_ONCE(*e, 0);
}

static void map_image(const char *from, const char *to, uint64_t flags)
{
    for (uintptr_t a = (uintptr_t)from; a < (uintptr_t)to; a += PAGE_SIZE)
        if (!core_map(a, a, 1, flags)) panic("too few early page tables for the image");
}

extern char boot_guard[]; /* boot/entry.S */

void map_init(void)
{
    map_image(image_start, text_end, PTE_P | PTE_A);
    map_image(text_end, rodata_end, PTE_P | PTE_A | PTE_NX);
    map_image(rodata_end, boot_guard, PTE_DATA);
    map_image(boot_guard + PAGE_SIZE, image_end, PTE_DATA);
    __asm__ volatile("mov %0, %%cr3" : : "r"(core_l4) : "memory");
    heap_ready = true;
}
