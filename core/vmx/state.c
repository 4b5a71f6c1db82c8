/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a vCPU, to and from the neutral form. */
#include "cpu/cpu.h"
#include "lib/string.h"
#include "vm/domain.h"
#include "vm/guest.h"
#include "vm/vendor.h"
#include "vmx/vmx.h"

/* The order of struct vmx_vcpu's msr and of struct arch_state from kernel_gs_base on. */
static const uint32_t switched[] = {MSR_KERNEL_GS_BASE, MSR_LSTAR, MSR_STAR, MSR_CSTAR, MSR_SFMASK};
_Static_assert(offsetof(struct arch_state, sfmask) ==
                   offsetof(struct arch_state, kernel_gs_base) + 4 * sizeof(uint64_t),
               "MSRs");
_Static_assert(ARRAY_SIZE(switched) == ARRAY_SIZE(((struct vmx_vcpu *)0)->msr), "MSRs");

void vmx_load_live(struct vmx_vcpu *x)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(switched); i++) write_msr(switched[i], x->msr[i]);
    __asm__ volatile("mov %0, %%cr2" : : "r"(x->cr2));
    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr1; mov %2, %%dr2; mov %3, %%dr3; mov %4, %%dr6"
                     :
                     : "r"(x->dr[0]), "r"(x->dr[1]), "r"(x->dr[2]), "r"(x->dr[3]), "r"(x->dr6));
}

void vmx_save_live(struct vmx_vcpu *x)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(switched); i++) x->msr[i] = read_msr(switched[i]);
    __asm__ volatile("mov %%cr2, %0" : "=r"(x->cr2));
    __asm__ volatile("mov %%dr0, %0; mov %%dr1, %1; mov %%dr2, %2; mov %%dr3, %3; mov %%dr6, %4"
                     : "=r"(x->dr[0]), "=r"(x->dr[1]), "=r"(x->dr[2]), "=r"(x->dr[3]),
                       "=r"(x->dr6));
}

/* --- segments: a gap of four bits and "unusable" in the VMCS (24.4.1) --- */

static void get_segment(enum segment_name n, struct segment *s)
{
    uint32_t attr = vmread(GUEST_ATTR + 2 * n);

    s->selector = vmread(GUEST_SELECTOR + 2 * n);
    s->limit = vmread(GUEST_LIMIT + 2 * n);
    s->base = vmread(GUEST_BASE + 2 * n);
    s->attr = (attr & 0xff) | (attr >> 4 & 0xf00);
    if (attr & ATTR_UNUSABLE) s->attr &= ~0x80; /* not present */
}

static void set_segment(enum segment_name n, const struct segment *s)
{
    uint32_t attr = (s->attr & 0xff) | (s->attr & 0xf00u) << 4;

    if (!(s->attr & 0x80)) attr |= ATTR_UNUSABLE;
    if (s->attr & 0x10) attr |= 1; /* code and data: accessed */
    vmwrite(GUEST_SELECTOR + 2 * n, s->selector);
    vmwrite(GUEST_LIMIT + 2 * n, s->limit);
    vmwrite(GUEST_BASE + 2 * n, s->base);
    vmwrite(GUEST_ATTR + 2 * n, attr);
}

void vmx_get_segment(struct vcpu *v, enum segment_name n, struct segment *s)
{
    struct vmx_vcpu *before = vmx_get(v);

    get_segment(n, s);
    vmx_put(before);
}

unsigned int vmx_get_cpl(struct vcpu *v)
{
    struct vmx_vcpu *before = vmx_get(v);
    unsigned int cpl = vmread(GUEST_ATTR + 2 * SEG_SS) >> 5 & 3;

    vmx_put(before);
    return cpl;
}

/* --- control registers --- */

static uint64_t get_cr0(void)
{
    return (vmread(GUEST_CR0) & ~CR0_OWNED) | (vmread(CR0_SHADOW) & CR0_OWNED) | CR0_ET;
}

uint64_t vmx_get_cr(struct vcpu *v, unsigned int n)
{
    struct vmx_vcpu *x = vmx_of(v), *before = vmx_get(v);
    uint64_t value;

    if (n == 2 && x->live)
        __asm__ volatile("mov %%cr2, %0" : "=r"(value));
    else
        value = n == 0   ? get_cr0()
                : n == 2 ? x->cr2
                : n == 3 ? vmread(GUEST_CR3)
                         : (vmread(GUEST_CR4) & ~CR4_SET) | (vmread(CR4_SHADOW) & CR4_MCE);
    vmx_put(before);
    return value;
}

uint64_t vmx_get_efer(struct vcpu *v)
{
    struct vmx_vcpu *before = vmx_get(v);
    uint64_t value = vmread(GUEST_EFER);

    vmx_put(before);
    return value;
}

/* The processor keeps the four pointers of PAE paging (26.3.2.4). */
static void load_pdptes(struct vcpu *v, const struct arch_state *s)
{
    uint64_t pdpte[4] = {0};

    if (!(s->cr0 & CR0_PG) || !(s->cr4 & CR4_PAE) || s->efer & EFER_LMA ||
        copy_from_gpa(v->domain, pdpte, s->cr3 & 0xffffffe0, sizeof(pdpte)))
        return;
    for (unsigned int i = 0; i < 4; i++) vmwrite(GUEST_PDPTE0 + 2 * i, pdpte[i]);
}

static void set_control(struct vcpu *v, const struct arch_state *s)
{
    vmwrite(GUEST_CR0, (s->cr0 & ~(CR0_CD | CR0_NW)) | CR0_NE);
    vmwrite(CR0_SHADOW, s->cr0);
    vmwrite(GUEST_CR3, s->cr3);
    vmwrite(GUEST_CR4, s->cr4 | CR4_SET);
    vmwrite(CR4_SHADOW, s->cr4 & CR4_MCE);
    vmwrite(GUEST_EFER, s->efer);
    vmwrite(ENTRY_CONTROLS, vmx_caps.entry | (s->efer & EFER_LMA ? ENTRY_64 : 0));
    load_pdptes(v, s);
}

/* --- all of it --- */

void vmx_get_state(struct vcpu *v, struct arch_state *s)
{
    struct vmx_vcpu *x = vmx_of(v), *before = vmx_get(v);

    if (x->live) vmx_save_live(x);
    s->cr0 = get_cr0();
    s->cr2 = x->cr2;
    s->cr3 = vmread(GUEST_CR3);
    s->cr4 = vmx_get_cr(v, 4);
    s->efer = vmread(GUEST_EFER);
    s->dr6 = x->dr6;
    s->dr7 = vmread(GUEST_DR7);
    for (unsigned int i = 0; i < 4; i++) s->dr[i] = x->dr[i];
    for (unsigned int n = 0; n < SEG_COUNT; n++) get_segment(n, &s->seg[n]);
    s->gdt_base = vmread(GUEST_GDT_BASE);
    s->gdt_limit = vmread(GUEST_GDT_LIMIT);
    s->idt_base = vmread(GUEST_IDT_BASE);
    s->idt_limit = vmread(GUEST_IDT_LIMIT);
    memcpy(&s->kernel_gs_base, x->msr, sizeof(x->msr));
    s->sysenter_cs = vmread(GUEST_SYSENTER_CS);
    s->sysenter_esp = vmread(GUEST_SYSENTER_ESP);
    s->sysenter_eip = vmread(GUEST_SYSENTER_EIP);
    s->pending_event = x->event;
    s->pending_error = x->error;
    s->interrupt_shadow = vmread(GUEST_BLOCKING) & (BLOCKING_STI | BLOCKING_MOV_SS);
    vmx_put(before);
}

static void set_tables(const struct arch_state *s)
{
    for (unsigned int n = 0; n < SEG_COUNT; n++) set_segment(n, &s->seg[n]);
    vmwrite(GUEST_GDT_BASE, s->gdt_base);
    vmwrite(GUEST_GDT_LIMIT, s->gdt_limit);
    vmwrite(GUEST_IDT_BASE, s->idt_base);
    vmwrite(GUEST_IDT_LIMIT, s->idt_limit);
}

void vmx_set_state(struct vcpu *v, const struct arch_state *s)
{
    struct vmx_vcpu *x = vmx_of(v), *before = vmx_get(v);

    set_control(v, s);
    set_tables(s);
    x->cr2 = s->cr2;
    x->dr6 = (uint32_t)s->dr6;
    for (unsigned int i = 0; i < 4; i++) x->dr[i] = s->dr[i];
    vmwrite(GUEST_DR7, (uint32_t)s->dr7);
    memcpy(x->msr, &s->kernel_gs_base, sizeof(x->msr));
    vmwrite(GUEST_SYSENTER_CS, (uint32_t)s->sysenter_cs);
    vmwrite(GUEST_SYSENTER_ESP, s->sysenter_esp);
    vmwrite(GUEST_SYSENTER_EIP, s->sysenter_eip);
    x->event = s->pending_event & EVENT_VALID ? s->pending_event : 0;
    x->error = s->pending_error;
    vmwrite(GUEST_BLOCKING, s->interrupt_shadow ? BLOCKING_MOV_SS : 0);
    vmwrite(GUEST_PENDING_DB, 0);
    vmwrite(GUEST_PAT, v->pat);
    x->flush = true;
    if (x->live) vmx_load_live(x);
    vmx_put(before);
}

/* --- MSRs that the VMCS switches and that exit --- */

void vmx_set_efer(struct vcpu *v, uint64_t value)
{
    struct vmx_vcpu *before = vmx_get(v);

    vmwrite(GUEST_EFER, value);
    vmx_of(v)->flush = true;
    vmx_put(before);
}

void vmx_set_pat(struct vcpu *v, uint64_t value)
{
    struct vmx_vcpu *before = vmx_get(v);

    vmwrite(GUEST_PAT, value);
    vmx_put(before);
}
