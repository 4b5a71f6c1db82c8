/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ticket spinlocks.  The core runs with interrupts off, so no variant for
 * interrupt handlers is needed.  While it spins, a CPU serves requests of the
 * others to flush its TLB, so that a holder may wait for such a flush.
 *
 * The order of all locks: one may be taken only while locks of a smaller rank
 * are held (checked in debug builds, DEBUG=y).  Two of one rank are taken by
 * spin_lock_two only.
 */
#ifndef CPU_LOCK_H
#define CPU_LOCK_H

#include "lib/base.h"

enum lock_rank {
    RANK_DOMCTL,       /* one control operation at a time             */
    RANK_DOMAIN,       /* struct domain; the wall clock               */
    RANK_HWDEV,        /* vPCI, vIO-APIC, MSI of dom0                 */
    RANK_GRANT,        /* grant table of one domain                   */
    RANK_MAPTRACK,     /* free list of map handles                    */
    RANK_EVTCHN_TABLE, /* allocation of ports in one domain           */
    RANK_EVTCHN,       /* one channel; two: both ends                 */
    RANK_EVTCHN_FIFO,  /* the queues of one domain's events           */
    RANK_P2M,          /* one p2m                                     */
    RANK_VLAPIC,       /* timer state of one virtual local APIC       */
    RANK_IRQ,          /* host vectors and their handlers             */
    RANK_IOAPIC,       /* host IO-APIC registers                      */
    RANK_IOMMU,        /* commands to IOMMUs, their device tables    */
    RANK_RUNQ,         /* a run queue and its vCPUs' state            */
    RANK_CAP,          /* caps of CPU time, their timers              */
    RANK_TIMER,        /* the timers of one CPU                       */
    RANK_VMAP,         /* single pages mapped for the core            */
    RANK_HEAP,         /* small objects                               */
    RANK_FRAMES,       /* free frames                                 */
    RANK_CONSOLE,      /* console ring and serial port                */
};

struct spinlock {
    uint16_t next, serving;
    uint8_t rank; /* enum lock_rank */
};

#define SPINLOCK(r) \
    {               \
        .rank = (r) \
    }

void spin_init(struct spinlock *l, enum lock_rank rank);
void spin_lock(struct spinlock *l);
bool spin_trylock(struct spinlock *l);
void spin_unlock(struct spinlock *l);

/* Takes two locks of one rank in the order of their addresses; a == b: once. */
void spin_lock_two(struct spinlock *a, struct spinlock *b);
void spin_unlock_two(struct spinlock *a, struct spinlock *b);

#endif
