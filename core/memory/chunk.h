/* SPDX-License-Identifier: Apache-2.0 */
/* Between the frame allocator and the heap: chunks of 2 MiB. */
#ifndef MEMORY_CHUNK_H
#define MEMORY_CHUNK_H

#include "lib/bitops.h"
#include "lib/list.h"

#define CHUNK_FRAMES 512u

struct chunk {
    struct list link; /* full or partial list; the heap's while core      */
    unsigned long free[BITMAP_WORDS(CHUNK_FRAMES)];
    uint16_t free_count;
    bool core; /* its free frames are for the heap only            */
};

/* A wholly free chunk for the heap, or NULL. */
struct chunk *chunk_take_for_core(void);
void chunk_give_back(struct chunk *c);
/* Marks frames of a core chunk used or free. */
void chunk_mark(struct chunk *c, unsigned int first, unsigned int n, bool used);
/* How many frames from mfn on were marked used together. */
unsigned int chunk_run(uint64_t mfn);
struct chunk *chunk_from_mfn(uint64_t mfn);
uint64_t chunk_first_mfn(const struct chunk *c);

#endif
