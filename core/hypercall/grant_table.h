/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of the grant tables only. */
#ifndef HYPERCALL_GRANT_TABLE_H
#define HYPERCALL_GRANT_TABLE_H

#include "hypercall/grant.h"
#include "hypercall/hypercall.h"
#include <xen/grant_table.h>

#define GRANTS_PER_PAGE (PAGE_SIZE / sizeof(union grant_entry))
#define MAPS_PER_PAGE   (PAGE_SIZE / sizeof(struct grant_map))
#define NO_HANDLE       0xffffffffu
#define GRANT_BATCH     32u /* operations between two looks at the clock */

/* An entry as the granter sees it; flags and domid change together. */
union grant_entry {
    struct grant_entry_v1 v1;
    uint32_t head; /* flags in the low half, domid in the high one */
};

/* How often an entry is in use. */
struct grant_use {
    uint32_t count[2]; /* readers, writers */
};

struct grant_frame {
    union grant_entry *entries; /* a page shared with the guest */
    struct grant_use *use;      /* a page */
    uint64_t place;             /* gfn, see grant.h */
};

/* One mapping that a domain made, named by its handle.  While it is there it
 * holds a reference to the granter and a use of its entry; the reference to
 * the frame is held by the p2m. */
struct grant_map {
    struct domain *granter; /* NULL: free                 */
    uint32_t ref;           /* free: next free handle     */
    bool write, claimed;    /* claimed: being set or undone */
    uint64_t gfn, mfn;
};

struct grant_table {
    struct spinlock lock; /* guards: growing, counts in use[], the flags that
                           * the core sets in entries */
    uint32_t frames, max_frames;
    struct grant_frame *frame; /* [max_frames] */

    struct spinlock map_lock; /* guards all below and the free maps */
    struct grant_map **maps;  /* pages; the array is made at the first map */
    uint32_t map_count, map_limit, map_free;
    uint32_t released; /* progress of grant_release */
};

/*
 * Begins to use entry `ref` of rd on behalf of domain `user`: marks it in the
 * shared table, and takes a reference to its frame.  GNTST_*.
 */
int16_t grant_begin(struct domain *rd, domid_t user, uint32_t ref, bool write,
                    uint64_t *mfn) must_use;
/* Ends it; the frame's reference is dropped by the caller, before. */
void grant_end(struct domain *rd, uint32_t ref, bool write);

/* One batch, at most GRANT_BATCH; status and results go into the array. */
void grant_map_batch(struct domain *ld, void *ops, unsigned int n);
void grant_unmap_batch(struct domain *ld, void *ops, unsigned int n);
void grant_copy_batch(struct domain *ld, void *ops, unsigned int n);

#endif
