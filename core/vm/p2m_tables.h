/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of a p2m, for vm/p2m.c and vm/logdirty.c only.  Both vendors'
 * nested tables have four levels of 512 entries, "7" in the low bits of a
 * pointer to a table, bit 1 for writable, bit 7 for a large leaf (APM vol. 2,
 * 15.25; SDM vol. 3, 29.3.2).
 *
 * The IOMMU walks the same tables.  VT-d's entries are EPT's.  AMD-Vi ignores
 * bits 1-8 and takes its own from where the processor ignores them: the level
 * below in 9-11 (0: a leaf), read and write in 61 and 62.  52-58 and 63 have to
 * be 0 for it, so the type of a leaf is kept in 8, 59 and 60, which mean nothing
 * to anyone (48882, 2.2.3).
 *
 * Readers take no lock: a table is freed only when no CPU can look at it.
 */
#ifndef VM_P2M_TABLES_H
#define VM_P2M_TABLES_H

#include "iommu/iommu.h"
#include "memory/heap.h"
#include "vm/p2m.h"

#define ENTRY_TABLE     7ull
#define ENTRY_WRITE     BIT(1)
#define ENTRY_PS        BIT(7)
#define ENTRY_LOG       BIT(52) /* of a table: below, log-dirty protects or has split */
#define ENTRY_ADDR      MASK(51, 12)
#define ENTRY_READ_DMA  BIT(61)
#define ENTRY_WRITE_DMA BIT(62)
#define LEVEL_SHIFT(l)  (9 * ((l)-1)) /* of a gfn */
#define LEAF_PAGES(l)   (1ull << LEVEL_SHIFT(l))
#define GFN_LIMIT       (1ull << 36) /* four levels */

static inline enum p2m_type entry_type(uint64_t e)
{
    return ((e >> 8 & 1) | (e >> 58 & 6)) + 1;
}

static inline uint64_t type_bits(enum p2m_type t)
{
    uint64_t n = t - 1; /* P2M_NONE has no leaf */

    _Static_assert(P2M_MMIO <= 8, "three bits");
    return (n & 1) << 8 | (n & 6) << 58;
}

static inline void set_entry(uint64_t *e, uint64_t v)
{
    __atomic_store_n(e, v, __ATOMIC_RELEASE);
    iommu_sync(e, sizeof(*e));
}

/* Maps nothing.  QEMU's AMD-Vi reports a fault only where an entry is not 0. */
static inline uint64_t empty_entry(void)
{
    return iommu.amd_format ? 1 << 9 : 0;
}

/* Protected entries are present, too. */
static inline bool is_present(uint64_t e)
{
    return e & ENTRY_TABLE;
}

static inline bool is_table(uint64_t e, unsigned int level)
{
    return level > 1 && is_present(e) && !(e & ENTRY_PS);
}

static inline uint64_t *table_at(uint64_t e)
{
    return core_from_mfn((e & ENTRY_ADDR) >> PAGE_SHIFT);
}

static inline unsigned int index_at(uint64_t gfn, unsigned int level)
{
    return gfn >> LEVEL_SHIFT(level) & 511;
}

/* The entry that decides about gfn, and its level.  Locked. */
uint64_t *p2m_find(struct p2m *p, uint64_t gfn, unsigned int *level);
/* Puts a table below an entry of `level`; what a large leaf maps is mapped by
 * 512 smaller ones.  False without memory.  Locked. */
bool p2m_split(struct p2m *p, uint64_t *e, unsigned int level) must_use;

#endif
