/* SPDX-License-Identifier: Apache-2.0 */
/* The local APIC in both modes: registers, self IPI, priority, mode rules. */
/* run: as=both */
#include "test.h"

#define GP 13

static uint8_t order[8];
static unsigned int taken;

static void handler(struct regs *r)
{
    order[taken++ % 8] = (uint8_t)r->vector;
    apic_write(APIC_EOI, 0);
}

static void settle(void)
{
    irq_enable();
    version_op(XENVER_version, 0);
    irq_disable();
}

static void self_ipi(uint32_t vector)
{
    apic_ipi(0, 0x44000 | vector); /* shorthand: self */
}

static void write_cr8(void *value)
{
    asm volatile("mov %0, %%r12; mov %%r12, %%cr8" ::"r"(value) : "r12", "memory");
}

static uint64_t read_cr8(void)
{
    uint64_t value;

    asm volatile("mov %%cr8, %%r9; mov %%r9, %0" : "=r"(value) : : "r9");
    return value;
}

/* CR8 is the upper half of the TPR. */
static void cr8(const char *mode)
{
    char name[64];

    taken = 0;
    write_cr8((void *)5);
    format(name, sizeof(name), "%s: CR8 is seen in TPR", mode);
    check_eq(apic_read(APIC_TPR), 0x50, name);
    self_ipi(0x41);
    self_ipi(0x71);
    settle();
    format(name, sizeof(name), "%s: CR8 holds back the lower", mode);
    check(taken == 1 && order[0] == 0x71, name);
    apic_write(APIC_TPR, 0x30);
    format(name, sizeof(name), "%s: TPR is seen in CR8", mode);
    check_eq(read_cr8(), 3, name);
    settle();
    format(name, sizeof(name), "%s: and lets the lower come", mode);
    check(taken == 2 && order[1] == 0x41, name);
    format(name, sizeof(name), "%s: CR8 of 16", mode);
    check_eq(try_call(write_cr8, (void *)16), GP, name);
    check_eq(read_cr8(), 3, "and it stays");
    write_cr8(NULL);
}

static void both_modes(const char *mode)
{
    char name[64];

    print("%s\n", mode);
    format(name, sizeof(name), "%s: id", mode);
    check_eq(apic_id(), 0, name);
    format(name, sizeof(name), "%s: version", mode);
    check_in(apic_read(APIC_VERSION) & 0xff, 0x10, 0x15, name);
    taken = 0;
    self_ipi(0x41);
    format(name, sizeof(name), "%s: requested in IRR", mode);
    check_eq(apic_read(APIC_IRR + 0x20), 2, name);
    settle();
    format(name, sizeof(name), "%s: self IPI", mode);
    check(taken == 1 && order[0] == 0x41, name);
    taken = 0;
    self_ipi(0x41);
    self_ipi(0x71);
    settle();
    format(name, sizeof(name), "%s: the higher vector first", mode);
    check(taken == 2 && order[0] == 0x71 && order[1] == 0x41, name);
    taken = 0;
    apic_write(APIC_TPR, 0x50);
    self_ipi(0x41);
    self_ipi(0x71);
    settle();
    format(name, sizeof(name), "%s: TPR holds back the lower", mode);
    check(taken == 1 && order[0] == 0x71, name);
    apic_write(APIC_TPR, 0);
    settle();
    format(name, sizeof(name), "%s: until it is lowered", mode);
    check(taken == 2 && order[1] == 0x41, name);
    cr8(mode);
}

static void x2_rules(void)
{
    uint64_t base = rdmsr(MSR_APIC_BASE);

    taken = 0;
    wrmsr(0x83f, 0x41);
    settle();
    check_eq(taken, 1, "self IPI register");
    check_eq(try_wrmsr(0x80b, 1), GP, "EOI of 1");
    check_eq(try_wrmsr(0x828, 1), GP, "ESR of 1");
    check_eq(try_wrmsr(0x802, 5), GP, "write of the id");
    check_eq(try_rdmsr(0x80b, NULL), GP, "read of EOI");
    check_eq(try_rdmsr(0x801, NULL), GP, "no such register");
    check_eq(try_rdmsr(0x831, NULL), GP, "ICR2 does not exist");
    check_eq(try_wrmsr(0x808, 0x100), GP, "TPR of 0x100");
    check_eq(rdmsr(0x80d), 1, "logical id of APIC 0");
    check_eq(try_wrmsr(MSR_APIC_BASE, base & ~0x400ull), GP, "x2APIC to xAPIC at once");
    check_eq(try_wrmsr(MSR_APIC_BASE, base & ~0x800ull), GP, "x2APIC without enable");
    check_eq(rdmsr(MSR_APIC_BASE), base, "still in x2APIC mode");
}

void test_main(void)
{
    set_irq(0x41, handler);
    set_irq(0x71, handler);
    apic_enable(false);
    check_eq(try_rdmsr(0x802, NULL), GP, "x2APIC register in xAPIC mode");
    both_modes("xAPIC");
    apic_enable(true);
    both_modes("x2APIC");
    x2_rules();
}
