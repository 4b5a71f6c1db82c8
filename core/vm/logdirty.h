/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log-dirty: which pages of a domain were written since the last look.
 *
 * While it is on, a page of RAM that the guest may write without a fault is in
 * the log.  Everything else is write-protected by the highest table entries
 * that can do it: switching on clears the root's entries only; a write fault
 * moves the protection one level down along its own path (and splits the
 * superpage that it hits).  So each step costs what was written, whatever the
 * size of the guest.
 *
 * The log is a bitmap by gfn, made in pieces where something is dirty, charged
 * to the domain's pool of tables.
 */
#ifndef VM_LOGDIRTY_H
#define VM_LOGDIRTY_H

#include "lib/base.h"

struct domain;
struct log_piece;

struct logdirty { /* guarded by the p2m's lock; next and buffer by the control lock */
    bool on;
    bool failed;               /* something was not logged: no memory      */
    uint32_t faults, dirty;    /* since the last clean                     */
    struct log_piece ***piece; /* [gfn >> 24][gfn >> 15 & 511]             */
    uint64_t next, buffer;     /* progress of a copy, and for which buffer */
};

/*
 * Switches on; off again (-ERESTART: call again), which makes superpages whole
 * where it can.  The caller has paused the domain and holds no lock.
 * logdirty_on: -EINVAL when it is on, -ENOMEM.
 */
int logdirty_on(struct domain *d) must_use;
int logdirty_off(struct domain *d) must_use;

/*
 * Copies the log of [0, pages) to the caller's memory at va, if that is not 0;
 * `clean`: empties it, and the pages are watched again.  -EINVAL when it is
 * off, -ENOMEM when it has holes, -EFAULT, -ERESTART.  The caller has paused
 * the domain and holds no lock but RANK_DOMCTL's.
 */
int logdirty_copy(struct domain *d, uint64_t va, uint64_t pages, bool clean) must_use;

/* A guest's write was refused at gfn: true when that was for the log; the page
 * is writable and logged now. */
bool logdirty_fault(struct domain *d, uint64_t gfn) must_use;

/* 2^order pages were, or may have been, written by the core or another domain,
 * or have come or gone.  Afterwards, not before.  With and without the p2m's
 * lock. */
void logdirty_mark_locked(struct domain *d, uint64_t gfn, unsigned int order);
void logdirty_mark(struct domain *d, uint64_t gfn);

void logdirty_free(struct domain *d);

#endif
