/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small machine for tests of the hypercall files: RAM in an array, domains
 * with vCPUs that never run, and records of what the core asked of the rest.
 * "Guest virtual addresses" are addresses of the test program.
 */
#ifndef FAKE_VM_H
#define FAKE_VM_H

#include "hypercall/hypercall.h"
#include "vm/p2m.h"
#include <stdio.h>

#define FAKE_FRAMES   256u
#define FAKE_HEAP_MFN 0x10000u  /* the first of the core's pages */
#define FAKE_MANY_MFN 0x100000u /* from here on there is no RAM, but frame_put counts */

struct fake {
    unsigned int notified[8][4]; /* vcpu_notify, by domain and vCPU */
    unsigned int woken[8][4];    /* sched_wake                      */
    unsigned int stopped;        /* sched_stop                      */
    unsigned int yielded;
    unsigned int lapic_irqs; /* vlapic_set_irq                  */
    uint8_t lapic_vector;
    unsigned int flushes;      /* p2m_flush with a generation     */
    unsigned int core_flushes; /* flush_core_tlb_all           */
    void (*core_flush)(void);  /* what it finds                */
    unsigned int leaving;      /* unmapped, not flushed        */
    unsigned int skipped;      /* bytes of instructions           */
    int shutdown_code;         /* domain_shutdown; -1: none       */
    domid_t shutdown_domain;
    uint64_t wall_sec;
    uint32_t wall_nsec;
    uint64_t wall_at;
    char console[8192];
    size_t console_len;
    const char *input;
    unsigned int preempt_every; /* 0: never                        */
    unsigned int continuations; /* hypercalls made again           */
    void (*before_get)(void);   /* what others do before frame_get */
    unsigned int low_allocs;    /* frames_alloc below 4 GiB        */
    unsigned int many_puts;     /* from FAKE_MANY_MFN on           */
    bool no_memory;             /* the heap fails                  */
    uint8_t cpl;                /* at a hypercall */
    bool code32;
    uint64_t now;
    void (*kick)(struct cpu *c); /* cpu_kick, if set                */
};

extern struct fake fake;
extern char fake_ram[FAKE_FRAMES][PAGE_SIZE];

void fake_init(void); /* on each thread            */
struct domain *fake_domain(domid_t id, bool privileged, unsigned int vcpus);
void fake_domain_free(struct domain *d); /* checks that none is held  */
void fake_run(struct vcpu *v);           /* makes it current          */
/* Gives d RAM: frame mfn at gfn. */
void fake_give(struct domain *d, uint64_t gfn, uint64_t mfn);
/* Frames not free now. */
unsigned int fake_frames_used(void);
/* Makes a hypercall through do_hypercall until it is done. */
long fake_call(struct vcpu *v, unsigned int nr, uint64_t a0, uint64_t a1, uint64_t a2);
size_t fake_heap_used(void); /* objects and pages not given back */

/* --- results --- */
extern unsigned int test_failed;
#define CHECK(e)                                             \
    do {                                                     \
        if (!(e)) {                                          \
            test_failed++;                                   \
            printf("# %s:%d: %s\n", __FILE__, __LINE__, #e); \
        }                                                    \
    } while (0)
#define CHECK_EQ(a, b)                                                                 \
    do {                                                                               \
        long long a_ = (long long)(a), b_ = (long long)(b);                            \
        if (a_ != b_) {                                                                \
            test_failed++;                                                             \
            printf("# %s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #a, a_, b_); \
        }                                                                              \
    } while (0)
#define RUN(name)                                              \
    do {                                                       \
        unsigned int before_ = test_failed;                    \
        test_##name();                                         \
        if (test_failed == before_)                            \
            printf("ok %s_%s\n", GROUP, #name);                \
        else                                                   \
            printf("not ok %s_%s: see above\n", GROUP, #name); \
    } while (0)

#endif
