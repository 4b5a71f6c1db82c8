/* SPDX-License-Identifier: Apache-2.0 */
/* The local APIC in both modes, and starting other CPUs with it. */
#include "test.h"

#define AP_PAGE 0x8000ull /* where the trampoline goes */

extern char ap_start[], ap_end[];
char *ap_stack;
unsigned int ap_index;
static uint8_t stacks[MAX_CPUS][STACK_SIZE] __attribute__((aligned(STACK_SIZE)));
static bool x2apic;

void ap_main(struct cpu *c);

void apic_enable(bool x2)
{
    uint64_t base = rdmsr(MSR_APIC_BASE) | 0x800;

    wrmsr(MSR_APIC_BASE, base);
    if (x2) wrmsr(MSR_APIC_BASE, base | 0x400);
    x2apic = x2;
    apic_write(APIC_SPIV, 0x1ff);
}

uint32_t apic_read(uint32_t reg)
{
    if (x2apic) return (uint32_t)rdmsr(0x800 + reg / 16);
    return *(volatile uint32_t *)(0xfee00000ull + reg);
}

void apic_write(uint32_t reg, uint32_t value)
{
    if (x2apic)
        wrmsr(0x800 + reg / 16, value);
    else
        *(volatile uint32_t *)(0xfee00000ull + reg) = value;
}

void ioapic_write(uint32_t reg, uint32_t value)
{
    *(volatile uint32_t *)0xfec00000 = reg;
    *(volatile uint32_t *)0xfec00010 = value;
}

uint32_t apic_id(void)
{
    return x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

void apic_ipi(uint32_t dest, uint32_t icr_low)
{
    if (x2apic) {
        wrmsr(0x830, (uint64_t)dest << 32 | icr_low);
        return;
    }
    apic_write(APIC_ICR2, dest << 24);
    apic_write(APIC_ICR, icr_low);
}

static struct cpu *cpu_of(unsigned int index)
{
    return (struct cpu *)stacks[index];
}

/* Where a started CPU waits for work. */
void ap_main(struct cpu *c)
{
    c->online = true;
    for (;;) {
        if (!__atomic_load_n(&c->job, __ATOMIC_ACQUIRE)) {
            sched_op(SCHEDOP_yield, 0);
            continue;
        }
        c->job(c->job_arg);
        __atomic_store_n(&c->job, NULL, __ATOMIC_RELEASE);
    }
}

bool cpu_start(unsigned int index)
{
    struct cpu *c = cpu_of(index);
    uint64_t end;

    memcpy((void *)AP_PAGE, ap_start, (size_t)(ap_end - ap_start));
    ap_stack = (char *)stacks[index] + STACK_SIZE;
    ap_index = index;
    c->online = false;
    c->job = NULL;
    apic_ipi(2 * index, 0x4500); /* INIT */
    delay(NS_PER_MS);
    apic_ipi(2 * index, 0x4600 | AP_PAGE >> 12); /* SIPI */
    end = now() + NS_PER_S;
    while (!c->online && now() < end) cpu_relax();
    return c->online;
}

void cpu_run_async(unsigned int index, void (*fn)(void *), void *arg)
{
    struct cpu *c = cpu_of(index);

    c->job_arg = arg;
    __atomic_store_n(&c->job, fn, __ATOMIC_RELEASE);
}

void cpu_wait(unsigned int index)
{
    uint64_t end = now() + 20 * NS_PER_S;

    while (__atomic_load_n(&cpu_of(index)->job, __ATOMIC_ACQUIRE)) {
        if (now() > end) fatal("CPU %u does not come back", index);
        cpu_relax();
    }
}

void cpu_run(unsigned int index, void (*fn)(void *), void *arg)
{
    cpu_run_async(index, fn, arg);
    cpu_wait(index);
}
