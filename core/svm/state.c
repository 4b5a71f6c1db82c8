/* SPDX-License-Identifier: Apache-2.0 */
/* The vCPU state that lives in the VMCB, to and from the neutral form. */
#include "lib/string.h"
#include "svm/vmcb.h"
#include "vm/domain.h"
#include "vm/vendor.h"

/* 64-bit fields that are the same in both. */
#define SAME(name)                                                     \
    {                                                                  \
        offsetof(struct vmcb, name), offsetof(struct arch_state, name) \
    }
static const struct {
    uint16_t vmcb, state;
} same[] = {
    SAME(cr2),         SAME(cr3),          SAME(cr4),          SAME(star),
    SAME(lstar),       SAME(cstar),        SAME(sfmask),       SAME(kernel_gs_base),
    SAME(sysenter_cs), SAME(sysenter_esp), SAME(sysenter_eip),
};

static struct segment *segment_of(struct vmcb *b, enum segment_name n)
{
    static const uint8_t at[SEG_COUNT] = {0, 1, 2, 3, 4, 5, [SEG_LDTR] = 7, [SEG_TR] = 9};

    return &b->segment[at[n]];
}

void svm_get_segment(struct vcpu *v, enum segment_name n, struct segment *s)
{
    struct vmcb *b = vmcb_of(v);

    *s = *segment_of(b, n);
    if (n == SEG_SS) /* the CPL is kept beside SS (15.5.1) */
        s->attr = (s->attr & ~0x60) | b->cpl << 5;
}

void svm_get_state(struct vcpu *v, struct arch_state *s)
{
    struct vmcb *b = vmcb_of(v);

    for (unsigned int i = 0; i < ARRAY_SIZE(same); i++)
        memcpy((char *)s + same[i].state, (char *)b + same[i].vmcb, 8);
    for (unsigned int n = 0; n < SEG_COUNT; n++) svm_get_segment(v, n, &s->seg[n]);
    memcpy(s->dr, ((struct svm_vcpu *)v->vendor)->dr, sizeof(s->dr));
    s->cr0 = b->cr0 | CR0_ET;
    s->efer = b->efer & ~EFER_SVME;
    s->dr6 = b->dr6;
    s->dr7 = b->dr7;
    s->gdt_base = b->gdtr.base;
    s->gdt_limit = b->gdtr.limit;
    s->idt_base = b->idtr.base;
    s->idt_limit = b->idtr.limit;
    s->pending_event = b->event_inject;
    s->pending_error = b->event_inject >> 32;
    s->interrupt_shadow = b->interrupt_shadow & 1;
}

void svm_set_state(struct vcpu *v, const struct arch_state *s)
{
    struct svm_vcpu *sv = v->vendor;
    struct vmcb *b = sv->block;

    for (unsigned int i = 0; i < ARRAY_SIZE(same); i++)
        memcpy((char *)b + same[i].vmcb, (char *)s + same[i].state, 8);
    for (unsigned int n = 0; n < SEG_COUNT; n++) {
        *segment_of(b, n) = s->seg[n];
        segment_of(b, n)->attr &= 0xfff; /* of which the VMCB has no more */
    }
    memcpy(sv->dr, s->dr, sizeof(sv->dr));
    b->cpl = s->seg[SEG_SS].attr >> 5 & 3;
    b->cr0 = s->cr0 | CR0_ET;
    b->efer = s->efer | EFER_SVME;
    b->dr6 = (uint32_t)s->dr6;
    b->dr7 = (uint32_t)s->dr7;
    b->gdtr.base = s->gdt_base;
    b->gdtr.limit = s->gdt_limit;
    b->idtr.base = s->idt_base;
    b->idtr.limit = s->idt_limit;
    b->event_inject =
        s->pending_event & EVENT_VALID ? s->pending_event | (uint64_t)s->pending_error << 32 : 0;
    b->g_pat = v->pat;
    svm_block_nmis(b, false);
    b->interrupt_shadow = s->interrupt_shadow;
    sv->flush = true;
}

void svm_set_efer(struct vcpu *v, uint64_t value)
{
    vmcb_of(v)->efer = value | EFER_SVME;
}

void svm_set_pat(struct vcpu *v, uint64_t value)
{
    vmcb_of(v)->g_pat = value;
}
