/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest-physical map (p2m) of a domain: gfn -> frame and type, as nested
 * page tables with leaves of 4 KiB, 2 MiB and 1 GiB.
 *
 * A present entry of P2M_RAM holds the reference that came with the frame's
 * allocation; P2M_GRANT_* and P2M_FOREIGN hold a reference of their own on
 * another's frame; P2M_SHARED is a page of the core's (shared_info, grant
 * table), P2M_RESOURCE one of another domain's, to which it holds a reference; P2M_MMIO is no RAM.
 */
#ifndef VM_P2M_H
#define VM_P2M_H

#include "cpu/lock.h"
#include "lib/base.h"
#include "vm/logdirty.h"

struct domain;

enum p2m_type {
    P2M_NONE,
    P2M_RAM,
    P2M_RAM_RO,
    P2M_SHARED,
    P2M_RESOURCE,
    P2M_GRANT_RW,
    P2M_GRANT_RO,
    P2M_FOREIGN,
    P2M_MMIO, /* uncached, identity */
};

struct p2m_entry {
    uint64_t mfn; /* of this gfn, MFN_INVALID for P2M_NONE */
    enum p2m_type type;
    unsigned int order; /* of the leaf, or of the hole           */
};

struct p2m {
    struct spinlock lock; /* guards all changes to the tables          */
    struct domain *domain;
    uint64_t *root;      /* top table, a core page                    */
    uint64_t tables;     /* pages of tables                           */
    uint64_t max_gfn;    /* highest gfn ever mapped                   */
    uint64_t generation; /* grows before what was mapped is given back */
    bool dma;            /* it has devices: IOMMUs walk the tables    */
    uint64_t kill_next;  /* progress of p2m_release                   */
    struct logdirty log;
    /* What p2m_release took out and has not dropped yet. */
    struct p2m_entry kill_rest;
};

int p2m_init(struct domain *d) must_use;
void p2m_free(struct domain *d);

/* Looks a gfn up.  No lock: the answer may be old when it arrives. */
struct p2m_entry p2m_lookup(struct domain *d, uint64_t gfn);

/*
 * Looks up a gfn of guest RAM and takes a reference to its frame, so that it
 * stays until frame_put(mfn).  `write`: it must be writable.  Accepts P2M_RAM,
 * and P2M_GRANT_* / P2M_FOREIGN / P2M_SHARED when `any` is set.  MFN_INVALID
 * when it is not.
 */
uint64_t p2m_get_frame(struct domain *d, uint64_t gfn, bool write, bool any) must_use;

/*
 * Sets an empty range [gfn, gfn + 2^order) to frames from mfn on.  The
 * reference of each frame passes from the caller to the p2m.  -EEXIST when
 * something is mapped there, -ENOMEM (also for the domain's table limit),
 * -EINVAL for a gfn beyond the guest's address width.  Nothing changed on
 * error.
 */
int p2m_add(struct domain *d, uint64_t gfn, uint64_t mfn, unsigned int order,
            enum p2m_type type) must_use;

/*
 * Empties [gfn, gfn + 2^order), if one leaf covers it and what is there is
 * `mfn` (MFN_INVALID: whatever) and of `type` (P2M_NONE: any); flushes every
 * TLB and hands the old entry and its reference to the caller (drop it with
 * p2m_drop_entry).  -ENOENT, -ENOMEM (a superpage had to be split).
 */
int p2m_remove(struct domain *d, uint64_t gfn, unsigned int order, uint64_t mfn, enum p2m_type type,
               struct p2m_entry *old) must_use;
/* The same without the flush: end a batch of them with p2m_flush(d), then
 * drop the entries. */
int p2m_remove_noflush(struct domain *d, uint64_t gfn, unsigned int order, uint64_t mfn,
                       enum p2m_type type, struct p2m_entry *old) must_use;
/* Returns when no CPU holds a translation removed before the call.  May be
 * called with locks held. */
void p2m_flush(struct domain *d);

/*
 * Puts one 4 KiB page at gfn whatever was there; the old entry and its
 * reference go to the caller.  For XENMEM_add_to_physmap and grant maps.
 */
int p2m_replace(struct domain *d, uint64_t gfn, uint64_t mfn, enum p2m_type type,
                struct p2m_entry *old) must_use;

/* After a fetch from the domain's own RAM faulted: splits a superpage that may not
 * be executed.  False without memory. */
bool p2m_allow_fetch(struct domain *d, uint64_t gfn) must_use;

/* The table of the lowest 512 GiB, for IOMMUs with three levels; 0: no memory. */
uint64_t p2m_low_table(struct domain *d);

/* Drops what a removed entry referred to: frame_put, for each frame of the
 * leaf, where the type holds one. */
void p2m_drop_entry(const struct p2m_entry *e);

/* Removes everything, some at a time; -ERESTART or 0.  Only of a dying domain
 * whose vCPUs do not run. */
int p2m_release(struct domain *d) must_use;

#endif
