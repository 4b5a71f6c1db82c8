/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's CPUs: per-CPU data, instructions that C lacks, and messages
 * between CPUs.  In the core interrupts are off, except in the run loop's
 * window and in idle; nothing is preempted.
 */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include "cpu/arch.h"
#include "cpu/msr.h"
#include "cpu/time.h"
#include "lib/base.h"
#include "lib/bitops.h"

#define MAX_CPUS 256

struct vcpu;
struct timer;

/* What a CPU is asked to do before it enters a guest again (cpu->pending). */
enum cpu_work {
    WORK_SCHEDULE,   /* choose who runs                          */
    WORK_TIMER,      /* run timers that are due                  */
    WORK_FLUSH_CORE, /* flush the core's own translations        */
    WORK_RECLAIM,    /* free dead domains (CPU 0)                */
    WORK_DUMP,       /* print what runs here                     */
    WORK_NMI,        /* tell of an NMI, which may not take locks */
};

struct cpu {
    struct cpu *self; /* %gs:0 */
    unsigned int id;
    uint32_t apic_id;
    bool online;
    unsigned long pending; /* bits of enum cpu_work, set atomically     */
    struct vcpu *current;  /* never NULL once scheduling: idle included */
    struct vcpu *idle;
    uint64_t xcr0;          /* what the register holds                   */
    struct vcpu *fpu_owner; /* whose FPU state is in the registers       */
    uint16_t predicted_by;  /* domain that trained the branch predictors */
    uint64_t passes;        /* odd: in the core; even: in a guest, idle  */
    uint64_t flushed;       /* the last request that a core flush served */
    uint64_t op_start;      /* TSC when the hypercall first looked at it */
    void *stack_top;
    void *vendor;          /* host save area and the like               */
    uint64_t *window_ptes; /* see memory/window.h                       */
    unsigned int windows;  /* how many are open                         */
    struct cpu_timers timers;
    struct cpu_arch arch;
    unsigned int held; /* locks held now (debug)                    */
    uint8_t held_rank[16];
};

extern struct cpu *cpus[MAX_CPUS]; /* by id; [0 .. cpu_count) exist */
extern unsigned int cpu_count;     /* CPUs online, ids are dense    */

#define for_each_cpu(c) \
    for (unsigned int c##_i = 0; c##_i < cpu_count && ((c) = cpus[c##_i], true); c##_i++)

static inline struct cpu *this_cpu(void)
{
    struct cpu *c;

    __asm__("mov %%gs:0, %0" : "=r"(c));
    return c;
}

/* Marks work for a CPU and interrupts it if it is in a guest or idle. */
void cpu_ask(struct cpu *c, enum cpu_work work);
/* Interrupts a CPU so that it passes its run loop. */
void cpu_kick(struct cpu *c);
/* Serves requests that cannot wait for the run loop (called by spinners). */
void cpu_poll(void);
/* Stops the other CPUs for good wherever they are, by an NMI; the console takes no
 * lock then.  Of several callers one returns, with true the first time. */
bool stop_others(void);
_Noreturn void cpu_stop(void);
/* Returns when no CPU holds a translation of the core's that was removed
 * before the call.  Callable with locks held. */
void flush_core_tlb_all(void);

static inline void write_msr(uint32_t msr, uint64_t v)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}

static inline uint64_t read_msr(uint32_t msr)
{
    uint32_t lo, hi;

    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (uint64_t)hi << 32 | lo;
}

/* Reads an MSR that may not exist: false then. */
bool read_msr_safe(uint32_t msr, uint64_t *v);
/* Writes an MSR, or a value, that may not be allowed: false then. */
bool write_msr_safe(uint32_t msr, uint64_t v);

struct cpuid_regs {
    uint32_t a, b, c, d;
};

static inline struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_regs r;

    __asm__ volatile("cpuid"
                     : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
                     : "a"(leaf), "c"(subleaf));
    return r;
}

static inline uint64_t read_tsc(void)
{
    uint32_t lo, hi;

    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}

/* I/O of 1, 2 or 4 bytes. */
static inline uint32_t port_in(uint16_t port, unsigned int size)
{
    uint32_t v = 0;

    if (size == 1)
        __asm__ volatile("inb %1, %b0" : "+a"(v) : "Nd"(port));
    else if (size == 2)
        __asm__ volatile("inw %1, %w0" : "+a"(v) : "Nd"(port));
    else
        __asm__ volatile("inl %1, %0" : "+a"(v) : "Nd"(port));
    return v;
}

static inline void port_out(uint16_t port, unsigned int size, uint32_t v)
{
    if (size == 1)
        __asm__ volatile("outb %b0, %1" : : "a"(v), "Nd"(port));
    else if (size == 2)
        __asm__ volatile("outw %w0, %1" : : "a"(v), "Nd"(port));
    else
        __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
    return port_in(port, 1);
}

static inline void outb(uint16_t port, uint8_t v)
{
    port_out(port, 1, v);
}

static inline void outl(uint16_t port, uint32_t v)
{
    port_out(port, 4, v);
}

#endif
