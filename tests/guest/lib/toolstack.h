/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest toolstack: what xl would ask the hypervisor for to make a PVH
 * guest.  The guest's image is this same kernel, found as dom0's module 0.
 * For dom0 only.  A step that fails ends the test, unless stated otherwise.
 */
#ifndef TOOLSTACK_H
#define TOOLSTACK_H

#include "hyper.h"

/* Addresses without RAM where dom0 maps what belongs to others. */
#define WINDOW         0x90000000ull
#define WINDOW_PAGE(n) /* below 64: the library's */ ((void *)(WINDOW + 0x100000 + (n)*0x1000ull))

struct guest_config {
    const char *cmdline;               /* "role=NAME ..." runs guest_main(NAME ...) */
    unsigned int vcpus;                /* 0: one                                    */
    unsigned int mib;                  /* 0: 32                                     */
    unsigned int slot;                 /* of the console's window; guests alive at once
                                          have different ones */
    bool empty;                        /* no image, no CPU record: never runs       */
    const xen_domain_handle_t *handle; /* its UUID, NULL: zero */
};

/* Where a guest has the page that it shares with dom0. */
#define MAILBOX ((volatile uint64_t *)0xfeffe000)

struct guest {
    domid_t id;
    unsigned int slot, length;
    char line[256];        /* of the console, not complete yet */
    unsigned int oks, bad; /* lines seen */
    char said[64];         /* the last line that is no result  */
    volatile struct xencons_interface *ring;
    volatile uint64_t *box; /* a page shared with the guest, for guest_call; there: MAILBOX */
};

/* Makes a paused guest. */
void guest_create(struct guest *g, const struct guest_config *config);
/* Only createdomain: the error, or 0 with *id. */
long domain_create(domid_t *id, unsigned int vcpus);
long domain_destroy(domid_t id);
void guest_unpause(struct guest *g);
long domain_pause(domid_t id);
long domain_unpause(domid_t id);
/* Hard affinity: a bit for each of the first eight CPUs. */
long vcpu_pin(domid_t id, unsigned int vcpu, uint8_t mask);
/* Prints what the guest said. */
void guest_drain(struct guest *g);
/* Waits until it has shut down: its SHUTDOWN_* reason, or -1 at the limit. */
long guest_wait(struct guest *g, uint64_t ns);
/* Waits until the guest has said this line. */
bool guest_wait_said(struct guest *g, const char *line, uint64_t ns);
/* Destroys and waits until it is gone; false if something holds it. */
bool guest_destroy(struct guest *g);
/* False when there is no such domain. */
bool domain_info(domid_t id, struct xen_domctl_getdomaininfo *info);
/* Free memory of the machine, in pages: now, and once it stands still. */
uint64_t free_pages(void);
uint64_t free_pages_settled(void);
/* Waits for pages being scrubbed and freed: true when as many are free. */
bool free_pages_return(uint64_t want);

/* Maps n frames of a domain at `at`; the first error. */
long foreign_map(void *at, domid_t d, uint64_t gfn, unsigned int n);
void foreign_unmap(void *at, unsigned int n);
/* Writes to / reads from a guest's memory (below 4 GiB). */
void guest_write(domid_t d, uint64_t gpa, const void *from, size_t n);
void guest_read(domid_t d, uint64_t gpa, void *to, size_t n);

/*
 * A guest with the command line "role=servant" waits for calls: guest_call
 * runs fn(a, b, c) in it.  (Its image is ours, so addresses agree.)  With
 * guest_call_async the caller asks guest_called later.
 */
typedef long remote_fn(long a, long b, long c);
#define SERVANT "role=servant"
long guest_call(struct guest *g, remote_fn *fn, long a, long b, long c);
void guest_call_async(struct guest *g, remote_fn *fn, long a, long b, long c);
bool guest_called(struct guest *g, long *result); /* has it returned? */
/* guest_create, with an unpaused servant, in one. */
void servant_start(struct guest *g, unsigned int slot);
void serve(void) __attribute__((noreturn)); /* the guest's side */

/* A guest says: a line that guest_wait_said of its maker waits for. */
#define say(...) print(__VA_ARGS__)

#endif
