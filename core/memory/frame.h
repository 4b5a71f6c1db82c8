/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machine frames: who owns each and how many references it has.  A frame is
 * named by its number (mfn).  Every frame has one owner; it returns to the
 * allocator, scrubbed, when its last reference is dropped.
 */
#ifndef MEMORY_FRAME_H
#define MEMORY_FRAME_H

#include "lib/base.h"

#define ORDER_4K    0
#define ORDER_2M    9
#define ORDER_1G    18
#define MFN_INVALID (~0ull)

/* Owners that are no domain. */
#define OWNER_FREE     0xffff
#define OWNER_CORE     0xfffe
#define OWNER_RESERVED 0xfffd /* not RAM, or RAM that nobody may use */

struct domain;

extern uint64_t max_mfn; /* one above the highest RAM frame */

/* The owner of a frame; OWNER_RESERVED for one that is no RAM. */
uint16_t frame_owner(uint64_t mfn);

/*
 * Takes a reference to a frame, if `owner` owns it and it is in use.  This is
 * the only way to hold on to a frame found in a p2m.  Any caller, no lock.
 */
bool frame_get(uint64_t mfn, uint16_t owner) must_use;
/*
 * Drops a reference; the last one gives the frame back to the allocator.  The
 * caller has flushed every TLB that may hold a translation to it.
 */
void frame_put(uint64_t mfn);

/*
 * Allocates 2^order frames (0, 9, 18), naturally aligned, zeroed, for a
 * domain, each with one reference; counts them in d->tot_pages.  Returns the
 * first mfn, or MFN_INVALID when there is none of that order or it would pass
 * d->max_pages.  `low`: below 4 GiB.
 */
uint64_t frames_alloc(struct domain *d, unsigned int order, bool low) must_use;
/* As above, for frames given by number (dom0 one to one); false if not free. */
bool frames_claim(struct domain *d, uint64_t mfn, uint64_t count) must_use;

/* How many frames there are: RAM, what an allocation could get, the core's. */
struct frame_counts {
    uint64_t ram, free, core;
};
extern struct frame_counts frame_counts;

/* Boot, in this order: every range of RAM is noted; the table, of
 * frames_table_bytes(), is put at a physical address (2 MiB aligned); every
 * frame is reserved until frames_add_ram() makes the range [start, end) of
 * bytes free. */
void frames_note_ram(uint64_t start, uint64_t end);
size_t frames_table_bytes(void);
void frames_init(uint64_t table);
void frames_add_ram(uint64_t start, uint64_t end);
/* Printed by debug key 'm': counts by owner. */
void frames_dump(void);

#endif
