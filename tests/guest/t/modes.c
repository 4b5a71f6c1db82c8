/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A processor's older modes: 32-bit code without paging, with PAE and with
 * two-level tables, each with an exit, a hypercall, a local APIC read (which
 * the hypervisor decodes through that mode's tables) and a page mapped apart;
 * then back to 64-bit mode.
 */
/* QEMU's PAE under nested paging hangs, on stock Xen too. */
/* run: as=both qemu=no */
#include "test.h"

struct seen {
    uint32_t name, version, call, mapped;
};

/* In 32-bit code: `rdi` the results, `rsi` PAE's tables, `rdx` the others,
 * `rcx` where the page mapped apart is. */
void through_modes(struct seen *s, uint64_t pae, uint64_t legacy, uint64_t apart);
asm(".text\n"
    "through_modes:\n"
    "    push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "    mov %rcx, %rbp; mov %cr3, %rax; push %rax\n"
    "    push $8; push $1f; lretq\n"
    ".code32\n"
    "1:  mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
    "    push %edx; mov $0xc0000080, %ecx; rdmsr; and $~0x100, %eax; wrmsr; pop %edx\n"
    "    call look\n"
    "    mov %esi, %cr3; call paging_on; call look; call paging_off\n"
    "    mov %cr4, %eax; and $~0x20, %eax; or $0x10, %eax; mov %eax, %cr4\n"
    "    mov %edx, %cr3; call paging_on; call look; call paging_off\n"
    "    mov %cr4, %eax; or $0x20, %eax; mov %eax, %cr4\n"
    "    mov $0xc0000080, %ecx; rdmsr; or $0x100, %eax; wrmsr\n"
    "    mov (%esp), %eax; mov %eax, %cr3; call paging_on; ljmp $0x10, $2f\n"
    "paging_on:  mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0; ret\n"
    "paging_off: mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0; ret\n"
    "look: push %edx\n"
    "    mov $0x40000000, %eax; xor %ecx, %ecx; cpuid; mov %ebx, (%edi)\n"
    "    mov 0xfee00030, %eax; mov %eax, 4(%edi)\n"
    "    mov $17, %eax; xor %ebx, %ebx; xor %ecx, %ecx; .byte 0x0f, 0x01, 0xc1\n"
    "    mov %eax, 8(%edi); mov (%ebp), %eax; mov %eax, 12(%edi)\n"
    "    add $16, %edi; pop %edx; ret\n"
    ".code64\n"
    "2:  pop %rax; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n");

#define APART 0x7fc00000u /* a page of 4 MiB, or two of 2 */

static void report(const struct seen *s, const char *mode, bool paging)
{
    print("%s: CPUID %x, APIC version %x, hypercall %d, page %x\n", mode, s->name, s->version,
          (int)s->call, s->mapped);
    check_eq(s->name, 0x566e6558, "CPUID names Xen");
    check_eq(s->version & 0xff, 0x14, "the local APIC's version");
    check_eq((int)s->call, -XEN_ENOSYS, "a hypercall is 64-bit code's");
    if (paging) check_eq(s->mapped, 0x600d600d, "the page mapped apart");
}

void test_main(void)
{
    static struct seen seen[3];
    static volatile uint32_t marker = 0x600d600d;
    uint64_t *pdpt = page_alloc(), at = (uint64_t)&marker;
    uint32_t *legacy = page_alloc();

    for (unsigned int i = 0; i < 4; i++) {
        uint64_t *pd = page_alloc();

        pdpt[i] = (uint64_t)pd | 1;
        for (unsigned int k = 0; k < 512; k++) pd[k] = ((uint64_t)i << 30) | k << 21 | 0x83;
        if (i == APART >> 30) {
            pd[APART >> 21 & 511] = (at & ~0x3fffffull) | 0x83;
            pd[(APART >> 21 & 511) + 1] = ((at & ~0x3fffffull) + (2 << 20)) | 0x83;
        }
    }
    for (unsigned int i = 0; i < 1024; i++) legacy[i] = i << 22 | 0x83;
    legacy[APART >> 22] = (uint32_t)(at & ~0x3fffffull) | 0x83;
    irq_disable();
    through_modes(seen, (uint64_t)pdpt, (uint64_t)legacy, APART + (at & 0x3fffff));
    report(&seen[0], "no paging", false);
    report(&seen[1], "PAE", true);
    report(&seen[2], "two levels", true);
    check_eq(cpuid(0x40000000, 0).b, 0x566e6558, "back in 64-bit mode");
}
