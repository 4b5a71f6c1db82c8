/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core's own page tables: one set for all CPUs.
 *
 *   0x200000              the image, one to one
 *   HEAP_BASE + physical  chunks of the core's heap
 *   FRAMES_BASE           the frame table, where there is RAM; CHUNKS_BASE
 *   VMAP_BASE             single pages mapped for long
 *   WINDOW_BASE           windows, eight a CPU
 *   STACKS_BASE           stacks of the CPUs but the first, as far apart as they are large
 */
#ifndef MEMORY_MAP_H
#define MEMORY_MAP_H

#include "lib/base.h"

#define HEAP_BASE   0x300000000000ull /* of 16 TiB, as memory/frame.c counts */
#define FRAMES_BASE 0x480000000000ull
#define CHUNKS_BASE 0x490000000000ull
#define VMAP_BASE   0x500000000000ull
#define VMAP_END    (VMAP_BASE + (32768 << 12))
#define WINDOW_BASE 0x600000000000ull
#define STACKS_BASE 0x610000000000ull

#define PTE_P    BIT(0)
#define PTE_RW   BIT(1)
#define PTE_PWT  BIT(3)
#define PTE_PCD  BIT(4)
#define PTE_A    BIT(5)
#define PTE_D    BIT(6)
#define PTE_PS   BIT(7)
#define PTE_NX   BIT(63)
#define PTE_DATA (PTE_P | PTE_RW | PTE_A | PTE_D | PTE_NX)
#define PTE_ADDR MASK(51, 12)

extern uint64_t core_l4[512];
extern char image_start[], text_end[], rodata_end[], image_end[];

/* Maps one page (level 1: 4 KiB, 2: 2 MiB); tables are made as needed.  False
 * without memory.  Callers: boot, heap and vmap under their locks. */
bool core_map(uint64_t va, uint64_t phys, unsigned int level, uint64_t flags) must_use;
/* Removes one; the caller flushes. */
void core_unmap(uint64_t va, unsigned int level);
/* The entry of level 1 or 2 for va, its tables made as needed; NULL: no
 * memory. */
uint64_t *core_entry(uint64_t va, unsigned int level);
static inline uint64_t *core_pte(uint64_t va)
{
    return core_entry(va, 1);
}

/* Boot: builds the tables for the image, but for the page below the stack, and
 * switches to them. */
void map_init(void);

static inline void invlpg(uint64_t va)
{
    __asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

#endif
