/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ways for the core to reach memory that it does not keep mapped.
 *
 * A *window* is a mapping private to one CPU that is open for one access and
 * closed after it, in reverse order of opening.  A *shared page* stays mapped
 * (vmap) while it is registered: vcpu_info, device registers.
 */
#ifndef MEMORY_WINDOW_H
#define MEMORY_WINDOW_H

#include "lib/base.h"

#define WINDOWS_PER_CPU 8

struct cpu;
bool windows_init(struct cpu *c) must_use; /* of each CPU; false: no memory */

/* Maps a frame; the caller holds a reference to it or owns it otherwise. */
void *window_open(uint64_t mfn);
/* The same for device registers, uncached. */
void *window_open_device(uint64_t mfn);
/* Closes the window opened last; p is any address inside. */
void window_close(const void *p);

void window_zero(uint64_t mfn);
void window_copy(uint64_t dst_mfn, unsigned int dst_off, uint64_t src_mfn, unsigned int src_off,
                 unsigned int len);

/* Maps a frame for long; NULL when there is no room. */
void *vmap(uint64_t mfn) must_use;
/* The same for device registers, uncached and for good. */
void *vmap_device(uint64_t phys, size_t size) must_use;
/* Undoes vmap(), returns when no CPU's TLB holds it. */
void vunmap(void *p);
/* The same for many pages: the first for each, flush_core_tlb_all(), the second for each. */
void vunmap_begin(void *p);
void vunmap_end(void *p);
/* Printed by a debug key: all that is mapped beside image and heap. */
void vmap_dump(void);

#endif
