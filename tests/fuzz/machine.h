/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole machine for the fuzzers and for threads: the real core above the
 * processor (frames, heap, p2m, domains, vCPUs, hypercalls), over RAM in one
 * mapping, a CPU for each thread and a vendor that keeps its state in memory.  Guests run without
 * paging: an address in a hypercall is a guest-physical one.
 */
#ifndef FUZZ_MACHINE_H
#define FUZZ_MACHINE_H

#include "hypercall/hypercall.h"
#include "vm/p2m.h"
#include <stdio.h>
#include <stdlib.h>

#define RAM_FRAMES 1536u
#define DOMAINS    6u /* ids below it exist */
#define GREFS      512u

struct machine {                /* each CPU's */
    unsigned int preempt_every; /* looks at the clock between two answers "yes" */
    unsigned int preempt_calls;
    unsigned int fail_in; /* the n-th allocation from now fails; 0: none */
    uint64_t now;
    bool preempt_due, stopped;
};
extern __thread struct machine machine;

struct machine_shared {
    uint64_t iommu_flushes;
    size_t objects; /* of core_alloc that were not freed */
    bool alone;     /* one thread: TLBs and events are watched */
};
extern struct machine_shared machine_shared;

/* What went wrong, with the place; ends the program. */
#define INSIST(e)                                                                     \
    do {                                                                              \
        if (!(e)) {                                                                   \
            fprintf(stderr, "not ok invariant: %s:%d: %s\n", __FILE__, __LINE__, #e); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

void machine_boot(void);  /* once */
void machine_start(void); /* dom0 with RAM */
/* A createdomain found in memory may leave the id to the core, which counts on. */
void end_others(void);
void machine_end(void); /* all domains die; nothing may be left */
void run_vcpu(struct vcpu *v);
void run_idle(void);
/* The calling thread becomes the next CPU, and stops to be one. */
void cpu_begin(void);
void cpu_end(void);
void reclaim(void); /* what a CPU does on its way to a guest */
/* One hypercall as v; `abandon`: the guest does not go on when it is
 * interrupted.  What it returned. */
long hypercall(struct vcpu *v, unsigned int nr, const uint64_t *args, bool abandon);

/* RAM, by machine and by guest address; false where the guest has no RAM. */
uint8_t *ram(uint64_t mfn);
uint32_t frame_refs(uint64_t mfn); /* as memory/frame.c keeps them */
bool guest_poke(struct domain *d, uint64_t gpa, const void *src, size_t len);

/* --- invariants --- */

/* After each step; `fresh_zero`: no step of the guest's may have written to a
 * frame that it got just now. */
void check_machine(bool fresh_zero);
void check_frame_freed(uint64_t mfn); /* from the fake window_zero */
void check_reset(void);
void check_ports(void);
void check_grants(void);
bool grant_is_live(struct domain *d, uint64_t gfn, uint64_t mfn, bool write);
/* Mappings of its frames that d grants. */
uint32_t grants_held_of(struct domain *d);
/* The domain whose table's frame it is. */
struct domain *grant_frame_owner(uint64_t mfn);
/* Pins of frames for d's events in the FIFO form: calls pin() for each. */
void fifo_pins(struct domain *d, void (*pin)(struct domain *d, uint64_t mfn));
/* A guest changes the word of one of its ports, if there is one. */
void fifo_poke(struct domain *d, uint32_t port, uint32_t set, uint32_t clear);
/* A guest takes the first port off a queue of its vCPU's. */
void fifo_take(struct domain *d, unsigned int vcpu, unsigned int priority);
/* A guest writes an entry of its own table. */
void grant_poke(struct domain *d, uint32_t ref, uint16_t flags, domid_t to, uint32_t frame);
/* What stands where a port leads: it is pending already; what it was sent is seen. */
bool port_peer_set(struct domain *d, uint32_t port);
bool port_peer_pending(struct domain *d, uint32_t port);

#endif
