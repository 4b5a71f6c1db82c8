/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core's own memory.  Pages come from 2 MiB chunks that only the core
 * uses; these chunks and the image are the only RAM that is always mapped.
 */
#ifndef MEMORY_HEAP_H
#define MEMORY_HEAP_H

#include "lib/base.h"

/* Objects, zeroed, 16-byte aligned (page aligned from PAGE_SIZE on); NULL when
 * memory is short.  Any size up to 2 MiB. */
void *core_alloc(size_t size) must_use;
void core_free(void *p); /* NULL is fine */

/* Boot: after frames_init. */
void heap_boot(void);

/* Whole zeroed pages (memory/frame.c). */
void *core_alloc_pages(unsigned int count) must_use;
void core_free_pages(void *p, unsigned int count);
unsigned int core_pages_at(const void *p); /* how many were allocated together */

/* For pages of the two kinds above. */
uint64_t core_to_mfn(const void *p);
static inline uint64_t core_to_phys(const void *p)
{
    return core_to_mfn(p) << PAGE_SHIFT | ((uintptr_t)p & (PAGE_SIZE - 1));
}
void *core_from_mfn(uint64_t mfn);

#endif
