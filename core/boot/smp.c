/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing up the other CPUs (APM vol. 2, 15.27 and 16.5: INIT, SIPI, SIPI). */
#include "boot/acpi.h"
#include "boot/boot.h"
#include "cpu/arch.h"
#include "cpu/cpu.h"
#include "cpu/irq.h"
#include "cpu/time.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "memory/map.h"
#include "memory/window.h"
#include "sched/sched.h"
#include "vm/vendor.h"

/* A page below 1 MiB that firmware leaves alone. */
#define TRAMPOLINE 0x8000ul

/* boot/entry.S; it tells a new CPU who it is by the two variables. */
extern const char trampoline[], trampoline_end[];
struct cpu *volatile smp_starting;
void *volatile smp_stack;

/* Where a new CPU comes in, with its stack and %gs. */
_Noreturn void smp_cpu_main(struct cpu *c);

/* Neither before what precedes it nor after what follows. */
static uint64_t ordered_tsc(void)
{
    uint32_t lo, hi;

    __asm__ volatile("mfence; lfence; rdtsc; lfence" : "=a"(lo), "=d"(hi) : : "memory");
    return (uint64_t)hi << 32 | lo;
}

/* A new CPU writes its TSC down whenever it finds 0 (the first time perhaps before it
 * is asked).  A value out of bounds is a real difference. */
static void check_tsc(struct cpu *c)
{
    int64_t off = 0;

    for (unsigned int i = 0; i < 50; i++) {
        uint64_t before = ordered_tsc(), seen, after;

        WRITE_ONCE(c->op_start, 0);
        while (!(seen = READ_ONCE(c->op_start))) cpu_relax();
        after = ordered_tsc();
        if (i) off = MAX(off, MAX((int64_t)(before - seen), (int64_t)(seen - after)));
    }
    tsc_agrees &= !off;
    if (off)
        log_warn("CPU%u: its TSC is off by %lu ticks: clocks go wrong; try maxcpus=1", c->id, off);
}

_Noreturn void smp_cpu_main(struct cpu *c)
{
    descriptors_init(c);
    apic_init_cpu();
    fpu_init_cpu();
    mitigate_init_cpu();
    if (vendor->cpu_init(c)) panic("CPU%u: %s does not start", c->id, vendor->name);
    __atomic_store_n(&c->online, true, __ATOMIC_SEQ_CST);
    while (!READ_ONCE(c->current)) { /* the boot CPU adds it to the scheduler */
        if (!READ_ONCE(c->op_start)) WRITE_ONCE(c->op_start, ordered_tsc());
        cpu_relax(); /* where CPUs take turns, the other's */
    }
    run_loop();
}

/* Over room in which nothing is mapped: an overflow is a #DF. */
static void *new_stack(unsigned int id)
{
    char *pages = core_alloc_pages(STACK_SIZE / PAGE_SIZE);
    uint64_t at = STACKS_BASE + (2ull * id + 1) * STACK_SIZE;

    for (uint64_t i = 0; i < STACK_SIZE; i += PAGE_SIZE)
        if (!pages || !core_map(at + i, core_to_phys(pages + i), 1, PTE_DATA)) return NULL;
    return (void *)(at + STACK_SIZE);
}

static struct cpu *new_cpu(unsigned int id, uint32_t apic)
{
    struct cpu *c = core_alloc(sizeof(*c));

    if (!c || !(c->stack_top = new_stack(id))) panic("no memory for CPU%u", id);
    c->self = c;
    c->id = id;
    c->apic_id = apic;
    if (!windows_init(c)) panic("no memory for CPU%u", id);
    timers_init(c);
    return c;
}

static bool start(struct cpu *c)
{
    smp_starting = c;
    smp_stack = c->stack_top;
    smp_mb();
    apic_send(c->apic_id, ICR_INIT);
    delay_us(10000);
    for (unsigned int i = 0; i < 2 && !READ_ONCE(c->online); i++) {
        apic_send(c->apic_id, ICR_STARTUP | TRAMPOLINE >> PAGE_SHIFT);
        for (unsigned int ms = 0; ms < 200 && !READ_ONCE(c->online); ms++) delay_us(1000);
    }
    return READ_ONCE(c->online);
}

/* How many low bits of an APIC id tell the threads of a core apart (SDM vol. 3,
 * 9.9.3; Zen 1: APM vol. 3, Fn8000_001E). */
static unsigned int thread_bits(void)
{
    struct cpuid_regs r = {0};
    unsigned int bits = 0;

    if (cpuid(0, 0).a >= 0xb) r = cpuid(0xb, 0);
    if (r.b & 0xffff && (r.c >> 8 & 255) == 1) return r.a & 31;
    if (cpuid(0x80000000, 0).a < 0x8000001e || !(cpuid(0x80000001, 0).c & BIT(22))) return 0;
    for (r = cpuid(0x8000001e, 0); (r.b >> 8 & 255) >> bits;) bits++;
    return bits;
}

static bool has_sibling(uint32_t apic, unsigned int bits)
{
    struct cpu *c;

    for_each_cpu (c)
        if (c->apic_id >> bits == apic >> bits) return true;
    return false;
}

void smp_boot(void)
{
    unsigned int limit = options.maxcpus ? options.maxcpus : MAX_CPUS;
    unsigned int bits = thread_bits(), siblings = 0;
    bool smt = options.smt < 0 ? !siblings_leak : options.smt;

    if (acpi.cpus < 2 || limit < 2) return;
    if (!core_map(TRAMPOLINE, TRAMPOLINE, 1, PTE_P | PTE_RW | PTE_A | PTE_D))
        panic("no memory for the trampoline");
    memcpy((char *)TRAMPOLINE, trampoline, trampoline_end - trampoline);
    for (unsigned int i = 0; i < acpi.cpus && cpu_count < limit; i++) {
        struct cpu *c;

        if (acpi.cpu_apic_ids[i] == cpu0.apic_id) continue;
        if (has_sibling(acpi.cpu_apic_ids[i], bits)) {
            siblings++;
            if (!smt) continue;
        }
        c = new_cpu(cpu_count, acpi.cpu_apic_ids[i]);
        if (!start(c))
            panic("CPU with APIC id %u does not start; try maxcpus=%u", c->apic_id, cpu_count);
        check_tsc(c);
        cpus[cpu_count] = c;
        smp_mb();
        cpu_count++;
        sched_add_cpu(c);
    }
    core_unmap(TRAMPOLINE, 1);
    flush_core_tlb_all();
    log_info("CPUs: %u", cpu_count);
    if (siblings && smt && siblings_leak)
        log_warn("smt=1: what a thread works on leaks to its sibling in this processor");
    else if (siblings && !smt)
        log_warn("%u threads are left off%s", siblings,
                 siblings_leak ? ": here they leak to their siblings (smt=1: on)" : "");
}
