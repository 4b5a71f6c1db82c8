/* SPDX-License-Identifier: Apache-2.0 */
/* The vCPU state that lives in the VMCB, to and from the neutral form. */
#include "lib/print.h"
#include "svm/vmcb.h"
#include "vm/domain.h"
#include "vm/vendor.h"

static struct vmcb *vmcb_of(struct vcpu *v)
{
    return ((struct svm_vcpu *)v->vendor)->vmcb;
}

static struct segment *segment_of(struct vmcb *b, enum segment_name n)
{
    struct segment *const at[SEG_COUNT] = {
        [SEG_ES] = &b->es, [SEG_CS] = &b->cs, [SEG_SS] = &b->ss, [SEG_DS] = &b->ds,
        [SEG_FS] = &b->fs, [SEG_GS] = &b->gs, [SEG_TR] = &b->tr, [SEG_LDTR] = &b->ldtr,
    };

    return at[n];
}

/* VMCB attributes have no gap between the byte of type and that of flags. */
static uint16_t pack_attr(uint16_t attr)
{
    return attr & 0xfff;
}

void svm_get_segment(struct vcpu *v, enum segment_name n, struct segment *s)
{
    *s = *segment_of(vmcb_of(v), n);
    if (n == SEG_SS) /* the CPL is kept beside SS (15.5.1) */
        s->attr = (s->attr & ~0x60) | vmcb_of(v)->cpl << 5;
}

void svm_get_state(struct vcpu *v, struct arch_state *s)
{
    struct vmcb *b = vmcb_of(v);

    s->cr0 = b->cr0 | CR0_ET;
    s->cr2 = b->cr2;
    s->cr3 = b->cr3;
    s->cr4 = b->cr4;
    s->efer = b->efer & ~EFER_SVME;
    s->dr6 = b->dr6;
    s->dr7 = b->dr7;
    for (unsigned int i = 0; i < 4; i++) s->dr[i] = ((struct svm_vcpu *)v->vendor)->dr[i];
    for (unsigned int n = 0; n < SEG_COUNT; n++) svm_get_segment(v, n, &s->seg[n]);
    s->gdt_base = b->gdtr.base;
    s->gdt_limit = b->gdtr.limit;
    s->idt_base = b->idtr.base;
    s->idt_limit = b->idtr.limit;
    s->star = b->star;
    s->lstar = b->lstar;
    s->cstar = b->cstar;
    s->sfmask = b->sfmask;
    s->kernel_gs_base = b->kernel_gs_base;
    s->sysenter_cs = b->sysenter_cs;
    s->sysenter_esp = b->sysenter_esp;
    s->sysenter_eip = b->sysenter_eip;
    s->pending_event = b->event_inject;
    s->pending_error = b->event_inject >> 32;
    s->interrupt_shadow = b->interrupt_shadow & 1;
}

void svm_set_state(struct vcpu *v, const struct arch_state *s)
{
    struct svm_vcpu *sv = v->vendor;
    struct vmcb *b = sv->vmcb;

    b->cr0 = s->cr0 | CR0_ET;
    b->cr2 = s->cr2;
    b->cr3 = s->cr3;
    b->cr4 = s->cr4;
    b->efer = s->efer | EFER_SVME;
    b->dr6 = (uint32_t)s->dr6;
    b->dr7 = (uint32_t)s->dr7;
    for (unsigned int i = 0; i < 4; i++) sv->dr[i] = s->dr[i];
    for (unsigned int n = 0; n < SEG_COUNT; n++) {
        *segment_of(b, n) = s->seg[n];
        segment_of(b, n)->attr = pack_attr(s->seg[n].attr);
    }
    b->cpl = s->seg[SEG_SS].attr >> 5 & 3;
    b->gdtr.base = s->gdt_base;
    b->gdtr.limit = s->gdt_limit;
    b->idtr.base = s->idt_base;
    b->idtr.limit = s->idt_limit;
    b->star = s->star;
    b->lstar = s->lstar;
    b->cstar = s->cstar;
    b->sfmask = s->sfmask;
    b->kernel_gs_base = s->kernel_gs_base;
    b->sysenter_cs = s->sysenter_cs;
    b->sysenter_esp = s->sysenter_esp;
    b->sysenter_eip = s->sysenter_eip;
    b->event_inject =
        s->pending_event & EVENT_VALID ? s->pending_event | (uint64_t)s->pending_error << 32 : 0;
    b->interrupt_shadow = s->interrupt_shadow;
    b->g_pat = v->pat;
    sv->flush = true;
}

/* FS and GS base, the system-call MSRs and the like are not intercepted. */
int svm_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    struct vmcb *b = vmcb_of(v);

    switch (msr) {
    case 0xc0000080: *value = b->efer & ~EFER_SVME; return 0;
    case 0x1d9: *value = b->debugctl; return 0;
    default: return -1;
    }
}

static int write_efer(struct vmcb *b, uint64_t value)
{
    uint64_t allowed = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | BIT(14); /* FFXSR */

    if (value & ~allowed) return -1;
    /* LME cannot change while paging is on; LMA is the processor's. */
    if (b->cr0 & CR0_PG && (value ^ b->efer) & EFER_LME) return -1;
    b->efer = (value & ~EFER_LMA) | (b->efer & EFER_LMA) | EFER_SVME;
    return 0;
}

int svm_write_msr(struct vcpu *v, uint32_t msr, uint64_t value)
{
    struct vmcb *b = vmcb_of(v);

    switch (msr) {
    case 0xc0000080: return write_efer(b, value);
    case 0x277: b->g_pat = value; return 0;
    case 0x1d9: /* no LBR or single-step-on-branch for guests */ return value & ~3ull ? -1 : 0;
    default: return -1;
    }
}
