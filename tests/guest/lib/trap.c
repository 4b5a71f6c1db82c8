/* SPDX-License-Identifier: Apache-2.0 */
/* Traps and interrupts: the IDT, the recovery of try_call, the page pool. */
#include "test.h"

#define POOL_PAGES 1024

_Static_assert(offsetof(struct cpu, recover) == 0, "entry.S");
_Static_assert(offsetof(struct cpu, user) == 8, "entry.S");

struct gate {
    uint16_t offset0, selector, flags, offset1;
    uint32_t offset2, reserved;
};

extern char trap_stubs[], try_out[], user_out[];
extern uint64_t gdt_tss[2 * MAX_CPUS];

void trap(struct regs *r);
void trap_init(void);

static struct gate idt[256];
static irq_fn *handler[256];
volatile unsigned int irq_count[256];
static uint8_t pool[POOL_PAGES][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static unsigned int pool_used;

void *page_alloc(void)
{
    if (pool_used == POOL_PAGES) fatal("out of pages");
    return pool[pool_used++];
}

void set_irq(unsigned int vector, irq_fn *fn)
{
    handler[vector] = fn;
}

/* Resumes at `rip` in ring 0 with the stack that was saved there. */
static void resume(struct regs *r, char *rip, uint64_t rsp)
{
    r->rip = (uint64_t)rip;
    r->rsp = rsp;
    r->cs = 0x10;
    r->ss = 0x18;
    r->rflags = 2;
}

void trap(struct regs *r)
{
    struct cpu *c = this_cpu();
    uint64_t cr2;

    if (r->vector == 0x80 && c->user) {
        resume(r, user_out, c->user);
        c->user = 0;
        return;
    }
    if (r->vector >= 32 || handler[r->vector]) {
        __atomic_add_fetch(&irq_count[r->vector], 1, __ATOMIC_SEQ_CST);
        if (handler[r->vector]) handler[r->vector](r);
        return;
    }
    asm volatile("mov %%cr2, %0" : "=r"(cr2));
    if (!c->recover)
        fatal("exception %lu error %lx at %lx, CR2 %lx", r->vector, r->error, r->rip, cr2);
    c->error = r->error;
    c->cr2 = cr2;
    c->rip = r->rip;
    r->rax = r->vector;
    resume(r, try_out, c->recover);
}

static void idt_fill(void)
{
    for (unsigned int i = 0; i < 256; i++) {
        uint64_t at = (uint64_t)trap_stubs + i * 16;

        idt[i] = (struct gate){
            (uint16_t)at,         0x10, i == 0x80 ? 0xee00 : 0x8e00, (uint16_t)(at >> 16),
            (uint32_t)(at >> 32), 0};
    }
}

/* On each CPU, first of all. */
void trap_init(void)
{
    struct cpu *c = this_cpu();
    uint64_t base = (uint64_t)&c->tss;
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) desc = {sizeof(idt) - 1, (uint64_t)idt};
    uint16_t selector = (uint16_t)(0x30 + c->index * 16);

    if (c->index == 0) idt_fill();
    asm volatile("lidt %0" ::"m"(desc));
    c->tss.iopb = sizeof(c->tss);
    /* Far enough below whatever calls user_call. */
    c->tss.rsp0 = (uint64_t)c + STACK_SIZE / 2;
    gdt_tss[2 * c->index] =
        (sizeof(c->tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    gdt_tss[2 * c->index + 1] = base >> 32;
    asm volatile("ltr %0" ::"r"(selector));
}

struct msr_access {
    uint32_t msr;
    uint64_t value;
};

static void do_rdmsr(void *arg)
{
    struct msr_access *a = arg;

    a->value = rdmsr(a->msr);
}

static void do_wrmsr(void *arg)
{
    struct msr_access *a = arg;

    wrmsr(a->msr, a->value);
}

int try_rdmsr(uint32_t msr, uint64_t *value)
{
    struct msr_access a = {msr, 0};
    int vector = try_call(do_rdmsr, &a);

    if (value) *value = a.value;
    return vector;
}

int try_wrmsr(uint32_t msr, uint64_t value)
{
    struct msr_access a = {msr, value};

    return try_call(do_wrmsr, &a);
}
