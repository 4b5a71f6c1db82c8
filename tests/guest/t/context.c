/* SPDX-License-Identifier: Apache-2.0 */
/* The HVM context of a running guest: true, and taken back it goes on. */
#include "test.h"
#include "toolstack.h"

extern char image_start[], image_end[], pml4[];
static uint8_t buf[65536];
static uint32_t size;

void guest_main(const char *role)
{
    volatile uint64_t *box = MAILBOX;

    (void)role;
    apic_enable(true);
    wrmsr(0xc0000082, 0x123456);
    asm volatile("mov %0, %%dr2" ::"r"(0x5678ull));
    asm volatile("1: sti; cli; incq %0; mov $0x7777, %%r13d; jmp 1b" : "+m"(box[8])::"r13");
}

/* The body of the first record of a type, or NULL. */
static void *record(unsigned int type, uint32_t length)
{
    for (uint32_t at = 0; at + sizeof(struct hvm_save_descriptor) <= size;) {
        struct hvm_save_descriptor *d = (void *)(buf + at);

        if (d->typecode == type) return d->length >= length ? d + 1 : NULL;
        at += (uint32_t)sizeof(*d) + d->length;
    }
    return NULL;
}

static void look(void)
{
    struct hvm_hw_cpu *c = record(HVM_SAVE_CODE(CPU), HVM_SAVE_LENGTH(CPU));
    struct hvm_hw_lapic *l = record(HVM_SAVE_CODE(LAPIC), HVM_SAVE_LENGTH(LAPIC));
    struct hvm_save_header *h = record(HVM_SAVE_CODE(HEADER), 24);

    if (!check(c && l && h, "header, CPU, LAPIC")) return;
    check(record(HVM_SAVE_CODE(MTRR), HVM_SAVE_LENGTH(MTRR)) != NULL, "MTRR");
    check(record(HVM_SAVE_CODE(LAPIC_REGS), HVM_SAVE_LENGTH(LAPIC_REGS)) != NULL, "LAPIC_REGS");
    check_eq(h->magic, HVM_FILE_MAGIC, "magic");
    check(c->rip >= (uint64_t)image_start && c->rip < (uint64_t)image_end, "RIP");
    check_eq(c->r13, 0x7777, "R13");
    check_eq(c->cr3, (uint64_t)pml4, "CR3");
    check_eq(c->cr0, 0x80010033, "CR0");
    check_eq(c->cr4, 0x620, "CR4");
    check_eq(c->msr_efer, 0x500, "EFER, without SVME");
    check_eq(c->msr_lstar, 0x123456, "LSTAR");
    check_eq(c->dr2, 0x5678, "DR2");
    check_eq(c->cs_arbytes & 0x2ff, 0x29b, "CS: 64-bit code");
    check_eq(l->apic_base_msr & 0xfff, 0xd00, "APIC_BASE: x2APIC");
}

static bool runs(volatile uint64_t *count)
{
    uint64_t before = *count;

    nap(50 * NS_PER_MS);
    return *count != before;
}

void test_main(void)
{
    struct xen_domctl op = {0};
    struct guest g;

    guest_create(&g, &(struct guest_config){.cmdline = "role=count"});
    guest_unpause(&g);
    check(runs(&g.box[8]), "runs");
    domain_pause(g.id);
    op.u.hvmcontext.size = sizeof(buf);
    set_xen_guest_handle(op.u.hvmcontext.buffer, buf);
    check_eq(domctl(&op, XEN_DOMCTL_gethvmcontext, g.id), 0, "get");
    size = op.u.hvmcontext.size;
    look();
    check_eq(domctl(&op, XEN_DOMCTL_sethvmcontext, g.id), 0, "set");
    check(!runs(&g.box[8]), "still paused");
    domain_unpause(g.id);
    check(runs(&g.box[8]), "goes on");
    check(guest_destroy(&g), "destroyed");
}
