/* SPDX-License-Identifier: Apache-2.0 */
/* Grant tables (version 1), for the rest of the core. */
#ifndef HYPERCALL_GRANT_H
#define HYPERCALL_GRANT_H

#include "lib/base.h"

struct domain;

/* frames < 0: the default (64 grant frames, 1024 maptrack frames). */
int grant_init(struct domain *d, int32_t max_frames, int32_t max_maptrack) must_use;
/* Unmaps all that d mapped of others; preemptible. */
int grant_release(struct domain *d) must_use;
/* After the last reference to d: frees the tables. */
void grant_free(struct domain *d);

/*
 * Frame `index` of d's shared grant table (XENMAPSPACE_grant_table,
 * XENMEM_resource_grant_table), growing the table to it: its mfn, or
 * MFN_INVALID beyond the limit or without memory.  The page is the core's and
 * lives as long as d.  Map it as P2M_SHARED in d; in another as P2M_RESOURCE,
 * with a reference to d that grant_table_unmapped, called by the p2m, drops.
 */
uint64_t grant_table_frame(struct domain *d, uint64_t index);
void grant_table_unmapped(uint64_t mfn);
/* Where d itself has mapped it last; of a frame that exists.  Guarded by who
 * maps it (memory_op.c). */
uint64_t *grant_table_place(struct domain *d, uint32_t index);
uint32_t grant_table_frames(struct domain *d);     /* now */
uint32_t grant_table_max_frames(struct domain *d); /* limit */
/* Logs as dirty what others have mapped and may write (vm/logdirty.h). */
void grant_mark_dirty(struct domain *d);

#endif
