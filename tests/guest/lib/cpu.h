/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processor as a test sees it: instructions, per-CPU data, traps that a
 * test expects, interrupt handlers, pages, and the local APIC.
 */
#ifndef CPU_H
#define CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_CPUS   8
#define PAGE_SIZE  4096
#define STACK_SIZE 16384

struct regs {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
    uint64_t rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

struct tss {
    uint32_t reserved0;
    uint64_t rsp0, rsp1, rsp2;
    uint64_t reserved1, ist[7], reserved2;
    uint16_t reserved3, iopb;
} __attribute__((packed));

/* At the bottom of each CPU's stack. */
struct cpu {
    uint64_t recover; /* try_call in progress: its RSP   */
    uint64_t user;    /* user_call in progress: its RSP  */
    unsigned int index;
    volatile bool online;
    uint64_t error, cr2, rip; /* of the last trap recovered from */
    struct tss tss;
    void (*volatile job)(void *); /* for cpu_run */
    void *job_arg;
};

static inline struct cpu *this_cpu(void)
{
    uint64_t rsp;

    asm volatile("mov %%rsp, %0" : "=r"(rsp));
    return (struct cpu *)(rsp & ~(uint64_t)(STACK_SIZE - 1));
}

/* Calls fn(arg); returns the vector of the exception that ended it, or -1. */
int try_call(void (*fn)(void *), void *arg);
/* Calls fn in ring 3 and returns its result. */
long user_call(long (*fn)(void), void *stack_top);

typedef void irq_fn(struct regs *r);
/* Sets the handler of an interrupt vector, or of an exception, which is then not
 * recovered from; it runs with interrupts off. */
void set_irq(unsigned int vector, irq_fn *fn);
extern volatile unsigned int irq_count[256]; /* taken, by vector */

/* A zeroed page (4 KiB) from the image's pool; never freed. */
void *page_alloc(void);

static inline void irq_enable(void)
{
    asm volatile("sti" ::: "memory");
}
static inline void irq_disable(void)
{
    asm volatile("cli" ::: "memory");
}
static inline void cpu_halt(void) /* interrupts on, halt, interrupts off */
{
    asm volatile("sti; hlt; cli" ::: "memory");
}
/*
 * In a guest whose IF is off Bochs sees no interrupt of the host's until IF
 * changes.  It does here, and the guest notices nothing: STI holds interrupts
 * back for one instruction.  For loops that others must interrupt.  Not on
 * QEMU, whose VMRUN forgets that interrupts are held back.
 */
extern bool host_waits_for_if;
static inline void let_host_in(void)
{
    if (!host_waits_for_if) return;
    asm volatile("mov %%cs, %%eax; test $3, %%al; jnz 1f; pushf; testl $0x200, (%%rsp); jnz 2f;"
                 "sti; cli; 2: popf; 1:" ::
                     : "eax", "cc", "memory");
}
static inline void cpu_relax(void)
{
    let_host_in();
    asm volatile("pause" ::: "memory");
}
static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;

    asm volatile("rdtsc" : "=a"(lo), "=d"(hi)::"memory");
    return (uint64_t)hi << 32 | lo;
}
static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t lo, hi;

    asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
    return (uint64_t)hi << 32 | lo;
}
static inline void wrmsr(uint32_t msr, uint64_t value)
{
    asm volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}
/* The same, but -1 or the vector of the exception. */
int try_rdmsr(uint32_t msr, uint64_t *value);
int try_wrmsr(uint32_t msr, uint64_t value);

struct cpuid {
    uint32_t a, b, c, d;
};
static inline struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid r;

    asm volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(subleaf));
    return r;
}
static inline void outb(uint16_t port, uint8_t value)
{
    asm volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
    uint8_t value;

    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline void outw(uint16_t port, uint16_t value)
{
    asm volatile("outw %0, %1" ::"a"(value), "Nd"(port));
}
static inline uint16_t inw(uint16_t port)
{
    uint16_t value;

    asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline void outl(uint16_t port, uint32_t value)
{
    asm volatile("outl %0, %1" ::"a"(value), "Nd"(port));
}
static inline uint32_t inl(uint16_t port)
{
    uint32_t value;

    asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* Local APIC (apic.c).  Registers by their xAPIC offset. */
#define APIC_ID       0x20
#define APIC_VERSION  0x30
#define APIC_TPR      0x80
#define APIC_EOI      0xb0
#define APIC_SPIV     0xf0
#define APIC_IRR      0x200
#define APIC_ICR      0x300
#define APIC_ICR2     0x310
#define APIC_LVTT     0x320
#define APIC_TMICT    0x380
#define APIC_TMCCT    0x390
#define APIC_TDCR     0x3e0
#define MSR_APIC_BASE 0x1b
#define MSR_TSC_DL    0x6e0

void apic_enable(bool x2); /* this CPU's, spurious vector 0xff */
uint32_t apic_read(uint32_t reg);
void apic_write(uint32_t reg, uint32_t value);
void ioapic_write(uint32_t reg, uint32_t value);
uint32_t apic_id(void);
void apic_ipi(uint32_t dest, uint32_t icr_low);

/* Starts CPU `index` (APIC id 2 * index) by INIT and SIPI; false if it did
 * not come within a second.  The caller's local APIC is enabled. */
bool cpu_start(unsigned int index);
/* Runs fn(arg) on a started CPU and waits for it to return. */
void cpu_run(unsigned int index, void (*fn)(void *), void *arg);
void cpu_run_async(unsigned int index, void (*fn)(void *), void *arg);
void cpu_wait(unsigned int index);

#endif
