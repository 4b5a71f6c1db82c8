/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of vCPUs as a stream of records (public hvm/save.h), out for a
 * save and in for a restore or a new domain.  What comes in is checked as if
 * a guest had made it: no state that the processor refuses gets through.
 */
#include "cpu/arch.h"
#include "device/vlapic.h"
#include "hypercall/access.h"
#include "hypercall/control.h"
#include "hypercall/hypercall.h"
#include "lib/print.h"
#include "lib/string.h"
#include "vm/cpu_policy.h"
#include "vm/vcpu.h"
#include "vm/vendor.h"
#include <xen/arch-x86/cpufeatureset.h>
#include <xen/hvm/save.h>

#define FXSAVE_SIZE  512u
#define XSAVE_PREFIX offsetof(struct hvm_hw_cpu_xsave, save_area)
#define MXCSR_OFFSET 24
#define CR0_GUEST    0xe005003full /* the bits that exist */
#define EVENT_VALID  BIT(31)

static const uint8_t gpr_order[] = {0, 3, 1, 2, 5, 6, 7, 4, 8, 9, 10, 11, 12, 13, 14, 15};
static const uint8_t seg_order[] = {SEG_CS, SEG_DS, SEG_ES, SEG_FS,
                                    SEG_GS, SEG_SS, SEG_TR, SEG_LDTR};

#define RUN(hw, ours, bytes)                                                      \
    {                                                                             \
        offsetof(struct hvm_hw_cpu, hw), offsetof(struct arch_state, ours), bytes \
    }
/* What both structures have side by side, from these fields on. */
static const struct {
    uint16_t hw, ours, bytes;
} runs[] = {
    RUN(cr0, cr0, 10 * 8), /* ... DR7 */
    RUN(idtr_limit, idt_limit, 2 * 4),
    RUN(idtr_base, idt_base, 2 * 8),
    RUN(sysenter_cs, sysenter_cs, 4 * 8), /* ... kernel GS base */
    RUN(msr_lstar, lstar, 5 * 8),         /* ... EFER */
};

/* The body of a record that is written or read. */
struct body {
    void *p;
    uint32_t len;
    uint64_t tsc; /* the host's, one value for all vCPUs */
};

/* --- the processor's registers --- */

static void save_cpu(struct vcpu *v, struct body *b)
{
    struct hvm_hw_cpu *c = b->p;
    uint32_t *sel = &c->cs_sel, *limit = &c->cs_limit, *attr = &c->cs_arbytes;
    uint64_t *gpr = &c->rax, *base = &c->cs_base;
    struct arch_state s;

    vendor->get_state(v, &s);
    memcpy(c->fpu_regs, v->fpu, FXSAVE_SIZE);
    for (unsigned int i = 0; i < ARRAY_SIZE(gpr_order); i++) gpr[i] = v->regs.gpr[gpr_order[i]];
    c->rip = v->regs.rip;
    c->rflags = v->regs.rflags;
    for (unsigned int i = 0; i < ARRAY_SIZE(runs); i++)
        memcpy((char *)c + runs[i].hw, (char *)&s + runs[i].ours, runs[i].bytes);
    for (unsigned int i = 0; i < SEG_COUNT; i++) {
        const struct segment *seg = &s.seg[seg_order[i]];

        sel[i] = seg->selector;
        limit[i] = seg->limit;
        attr[i] = seg->attr;
        base[i] = seg->base;
    }
    c->msr_tsc_aux = v->tsc_aux;
    c->tsc = guest_tsc(v, b->tsc);
    if (s.pending_event & EVENT_VALID) {
        c->pending_event = s.pending_event;
        c->error_code = s.pending_error;
    }
    c->flags = XEN_X86_FPU_INITIALISED;
}

/* Control registers fit each other and the policy (APM vol. 2, 15.5.1). */
static bool control_valid(const struct cpu_policy *p, const struct arch_state *s)
{
    const struct segment *cs = &s->seg[SEG_CS];
    bool lma = s->efer & EFER_LMA, paging = s->cr0 & CR0_PG;

    return !(s->cr0 & ~CR0_GUEST) && s->cr0 & CR0_ET && (s->cr0 & CR0_PE || !paging) &&
           (s->cr0 & CR0_CD || !(s->cr0 & CR0_NW)) && !(s->cr4 & ~cpu_policy_cr4(p)) &&
           !(s->efer & ~cpu_policy_efer(p)) && !(s->cr3 >> (p->extd[8].a & 0xff)) &&
           lma == (paging && s->efer & EFER_LME) &&
           (!lma || (s->cr4 & CR4_PAE && ~cs->attr & (SEG_LONG | SEG_BIG))) &&
           (lma || !(s->cr4 & CR4_PCIDE));
}

static bool addresses_valid(const struct arch_state *s)
{
    for (unsigned int i = 0; i < SEG_COUNT; i++)
        if (s->seg[i].attr & ~0xfff || !is_canonical(s->seg[i].base)) return false;
    return is_canonical(s->gdt_base) && is_canonical(s->idt_base) && s->gdt_limit <= 0xffff &&
           s->idt_limit <= 0xffff && is_canonical(s->lstar) && is_canonical(s->cstar) &&
           is_canonical(s->kernel_gs_base) && is_canonical(s->sysenter_esp) &&
           is_canonical(s->sysenter_eip);
}

/* An event to be injected (APM vol. 2, 15.20). */
static bool event_valid(uint32_t e)
{
    unsigned int vector = e & 0xff, type = e >> 8 & 7;

    if (!(e & EVENT_VALID)) return true;
    return !(e & MASK(30, 12)) && (type == 0 || type == 4 || (type == 2 && vector == VEC_NMI) ||
                                   (type == 3 && vector < 32 && vector != VEC_NMI));
}

/* MXCSR bits that XRSTOR takes without #GP (APM vol. 1, 4.2.2): all that there
 * are in long mode, MM with misaligned SSE. */
static bool mxcsr_valid(const struct vcpu *v, const void *area)
{
    bool mm = cpu_policy_has(v->domain->policy, XEN_X86_FEATURE_MISALIGNSSE);
    uint32_t mxcsr;

    memcpy(&mxcsr, (const char *)area + MXCSR_OFFSET, sizeof(mxcsr));
    return !(mxcsr & ~(mm ? 0x2ffffu : 0xffffu));
}

static void unpack_cpu(const struct hvm_hw_cpu *c, struct arch_state *s)
{
    const uint32_t *sel = &c->cs_sel, *limit = &c->cs_limit;
    const uint32_t *attr = &c->cs_arbytes;
    const uint64_t *base = &c->cs_base;

    memset(s, 0, sizeof(*s));
    for (unsigned int i = 0; i < ARRAY_SIZE(runs); i++)
        memcpy((char *)s + runs[i].ours, (char *)c + runs[i].hw, runs[i].bytes);
    for (unsigned int i = 0; i < SEG_COUNT; i++)
        s->seg[seg_order[i]] = (struct segment){sel[i], MIN(attr[i], 0xffffu), limit[i], base[i]};
    s->pending_event = c->pending_event;
    s->pending_error = c->error_code;
    s->dr6 = (s->dr6 & 0xe00f) | 0xffff0ff0;
    s->dr7 = (s->dr7 & 0xffff2fff) | 0x400;
}

static int load_cpu(struct vcpu *v, const struct body *b)
{
    struct hvm_hw_cpu c = {0};
    const uint64_t *gpr = &c.rax;
    struct arch_state s;

    memcpy(&c, b->p, b->len);
    if (b->len == sizeof(struct hvm_hw_cpu_compat)) _hvm_hw_fix_cpu(&c, b->len);
    unpack_cpu(&c, &s);
    if (!control_valid(v->domain->policy, &s) || !addresses_valid(&s) ||
        !event_valid(s.pending_event) || c.msr_tsc_aux >> 32 ||
        c.flags & ~XEN_X86_FPU_INITIALISED || !mxcsr_valid(v, c.fpu_regs))
        return -XEN_EINVAL;
    for (unsigned int i = 0; i < ARRAY_SIZE(gpr_order); i++) v->regs.gpr[gpr_order[i]] = gpr[i];
    v->regs.rip = c.rip;
    v->regs.rflags = (c.rflags & RFLAGS_GUEST) | 2;
    vendor->set_state(v, &s);
    fpu_reset(v);
    if (c.flags & XEN_X86_FPU_INITIALISED) memcpy(v->fpu, c.fpu_regs, FXSAVE_SIZE);
    v->tsc_aux = c.msr_tsc_aux;
    /* 0 comes with a new domain, whose TSCs are in step already. */
    if (c.tsc) v->tsc_offset += c.tsc - guest_tsc(v, b->tsc);
    vendor->tsc_changed(v);
    clock_update_vcpu(v);
    WRITE_ONCE(v->initialised, true);
    vcpu_set_down(v, false);
    return 0;
}

/* --- extended state --- */

static void save_xsave(struct vcpu *v, struct body *b)
{
    const struct cpu_policy *p = v->domain->policy;
    struct hvm_hw_cpu_xsave *x = b->p;

    x->xcr0 = v->xcr0;
    x->xcr0_accum = p->xcr0;
    memcpy(&x->save_area, v->fpu, b->len - XSAVE_PREFIX);
    x->save_area.xsave_hdr.xstate_bv &= p->xcr0;
}

static bool zeros(const void *p, size_t n)
{
    const uint8_t *b = p;

    while (n && !b[n - 1]) n--;
    return n == 0;
}

static int load_xsave(struct vcpu *v, const struct body *b)
{
    const struct cpu_policy *p = v->domain->policy;
    const struct hvm_hw_cpu_xsave *x = b->p;
    const struct hvm_hw_cpu_xsave_hdr *h = &x->save_area.xsave_hdr;
    uint32_t given = b->len - XSAVE_PREFIX;
    uint32_t size = cpu_policy_xsave_size(p, x->xcr0_accum, false);

    if (!xcr0_valid(x->xcr0) || x->xcr0_accum & ~p->xcr0 || x->xcr0 & ~x->xcr0_accum ||
        h->xstate_bv & ~x->xcr0_accum || h->xcomp_bv || !zeros(h->reserved, sizeof(h->reserved)) ||
        !mxcsr_valid(v, &x->save_area))
        return -XEN_EINVAL;
    if (given > size) {
        if (!zeros((const char *)&x->save_area + size, given - size)) return -XEN_EOPNOTSUPP;
        given = size;
    }
    memset(v->fpu, 0, fpu_area_size);
    memcpy(v->fpu, &x->save_area, given);
    v->fpu_cpu = NULL;
    v->xcr0 = x->xcr0;
    return 0;
}

/* --- the rest --- */

static void save_mtrr(struct vcpu *v, struct hvm_hw_mtrr *m)
{
    m->msr_pat_cr = v->pat;
    memcpy(m->msr_mtrr_var, v->mtrr, sizeof(m->msr_mtrr_var));
    memcpy(m->msr_mtrr_fixed, v->mtrr + MTRR_FIXED, sizeof(m->msr_mtrr_fixed));
    m->msr_mtrr_cap = MTRR_CAP_VALUE;
    m->msr_mtrr_def_type = v->mtrr[MTRR_DEF_TYPE];
}

static int load_mtrr(struct vcpu *v, const struct hvm_hw_mtrr *m)
{
    uint64_t mtrr[MTRRS];

    memcpy(mtrr, m->msr_mtrr_var, sizeof(m->msr_mtrr_var));
    memcpy(mtrr + MTRR_FIXED, m->msr_mtrr_fixed, sizeof(m->msr_mtrr_fixed));
    mtrr[MTRR_DEF_TYPE] = m->msr_mtrr_def_type;
    for (unsigned int i = 0; i < MTRRS; i++)
        if (!mtrr_valid(v, i, mtrr[i])) return -XEN_EINVAL;
    if (!pat_valid(m->msr_pat_cr)) return -XEN_EINVAL;
    vendor->set_pat(v, m->msr_pat_cr);
    v->pat = m->msr_pat_cr;
    memcpy(v->mtrr, mtrr, sizeof(mtrr));
    return 0;
}

/* MSRs that are not 0, of those that a guest of ours can have. */
#define MSRS_SIZE (offsetof(struct hvm_msr, msr) + sizeof(((struct hvm_msr *)0)->msr[0]))

static void save_msrs(struct hvm_msr *m)
{
    m->count = 1;
    m->msr[0].index = MSR_MISC_FEATURES;
    m->msr[0].val = MISC_CPUID_FAULTING;
}

static int load_msrs(struct vcpu *v, const struct body *b)
{
    const struct hvm_msr *m = b->p;

    if (b->len != sizeof(*m) + m->count * sizeof(m->msr[0])) return -XEN_EINVAL;
    for (uint32_t i = 0; i < m->count; i++)
        if (m->msr[i]._rsvd || (m->msr[i].index != MSR_MISC_FEATURES && m->msr[i].val) ||
            (m->msr[i].index == MSR_MISC_FEATURES &&
             msr_write(v, MSR_MISC_FEATURES, m->msr[i].val)))
            return -XEN_EOPNOTSUPP;
    return 0;
}

/* --- records --- */

#define SIZE(x) sizeof(struct x), sizeof(struct x)
#define ANY     0, UINT32_MAX

/* What is accepted; what has one length is written, too. */
static const struct record {
    uint16_t type;
    uint32_t min, max; /* length of the body */
} records[] = {
    {HVM_SAVE_CODE(CPU), SIZE(hvm_hw_cpu)},
    {HVM_SAVE_CODE(CPU), SIZE(hvm_hw_cpu_compat)}, /* only read */
    {HVM_SAVE_CODE(LAPIC), SIZE(hvm_hw_lapic)},
    {HVM_SAVE_CODE(LAPIC_REGS), SIZE(hvm_hw_lapic_regs)},
    /* Interrupt wires that Xen writes for every domain; nothing here. */
    {HVM_SAVE_CODE(PCI_IRQ), ANY},
    {HVM_SAVE_CODE(ISA_IRQ), ANY},
    {HVM_SAVE_CODE(PCI_LINK), ANY},
    {HVM_SAVE_CODE(MTRR), SIZE(hvm_hw_mtrr)},
    {CPU_XSAVE_CODE, sizeof(struct hvm_hw_cpu_xsave), UINT32_MAX},
    {HVM_SAVE_CODE(VMCE_VCPU), ANY},
    {HVM_SAVE_CODE(TSC_ADJUST), SIZE(hvm_tsc_adjust)},
    {CPU_MSR_CODE, offsetof(struct hvm_msr, msr), UINT32_MAX},
};

/* Bytes of v's record, 0: it has none. */
static uint32_t record_size(const struct record *r, const struct vcpu *v)
{
    const struct cpu_policy *p = v->domain->policy;

    if (r->max == sizeof(struct hvm_hw_cpu_compat)) return 0;
    if (r->type == HVM_SAVE_CODE(CPU) && READ_ONCE(v->holds) & HOLD_DOWN) return 0;
    if (r->type == CPU_XSAVE_CODE && p->xcr0)
        return XSAVE_PREFIX + cpu_policy_xsave_size(p, p->xcr0, false);
    if (r->type == CPU_MSR_CODE && v->cpuid_faulting) return MSRS_SIZE;
    return r->max != UINT32_MAX ? r->max : 0;
}

static void save_record(struct vcpu *v, uint16_t type, struct body *b)
{
    union {
        struct hvm_hw_lapic lapic;
        struct hvm_hw_lapic_regs regs;
    } other; /* the LAPIC gives both at a time */

    switch (type) {
    case HVM_SAVE_CODE(CPU): save_cpu(v, b); break;
    case HVM_SAVE_CODE(LAPIC): vlapic_save(v, b->p, &other.regs); break;
    case HVM_SAVE_CODE(LAPIC_REGS): vlapic_save(v, &other.lapic, b->p); break;
    case HVM_SAVE_CODE(MTRR): save_mtrr(v, b->p); break;
    case CPU_XSAVE_CODE: save_xsave(v, b); break;
    case HVM_SAVE_CODE(TSC_ADJUST): memcpy(b->p, &v->tsc_adjust, b->len); break;
    case CPU_MSR_CODE: save_msrs(b->p); break;
    }
}

static int load_record(struct vcpu *v, uint16_t type, const struct body *b)
{
    switch (type) {
    case HVM_SAVE_CODE(CPU): return load_cpu(v, b);
    case HVM_SAVE_CODE(LAPIC): return vlapic_load(v, b->p);
    case HVM_SAVE_CODE(LAPIC_REGS): return vlapic_load_regs(v, b->p);
    case HVM_SAVE_CODE(MTRR): return load_mtrr(v, b->p);
    case CPU_XSAVE_CODE: return load_xsave(v, b);
    case HVM_SAVE_CODE(TSC_ADJUST): memcpy(&v->tsc_adjust, b->p, b->len); return 0;
    case CPU_MSR_CODE: return load_msrs(v, b);
    default: return 0; /* nothing here */
    }
}

struct stream {
    uint8_t *buf; /* NULL: only count */
    size_t size, used;
};

/* Room for a body of `len`, zeroed; NULL when only counting or full. */
static void *put(struct stream *s, uint16_t type, uint16_t instance, uint32_t len)
{
    struct hvm_save_descriptor d = {type, instance, len};
    uint8_t *at;

    s->used += sizeof(d) + len;
    if (!s->buf || s->used > s->size) return NULL;
    at = s->buf + s->used - sizeof(d) - len;
    memcpy(at, &d, sizeof(d));
    memset(at + sizeof(d), 0, len);
    return at + sizeof(d);
}

long context_save(struct domain *d, uint8_t *buf, size_t size)
{
    struct stream s = {buf, size, 0};
    struct hvm_save_header header = {
        .magic = HVM_FILE_MAGIC,
        .version = HVM_FILE_VERSION,
        .cpuid = cpu_policy_system(POLICY_HOST)->basic[1].a,
        .gtsc_khz = d->tsc.khz,
    };
    struct body b = {.tsc = read_tsc()};
    struct vcpu *v;

    b.p = put(&s, HVM_SAVE_CODE(HEADER), 0, sizeof(header));
    if (b.p) memcpy(b.p, &header, sizeof(header));
    for (unsigned int i = 0; i < ARRAY_SIZE(records); i++)
        for_each_vcpu (d, v) {
            b.len = record_size(&records[i], v);
            b.p = b.len ? put(&s, records[i].type, v->id, b.len) : NULL;
            if (b.p) save_record(v, records[i].type, &b);
        }
    put(&s, HVM_SAVE_CODE(END), 0, 0);
    return buf && s.used > size ? -XEN_ENOSPC : (long)s.used;
}

/* One that is accepted, with an instance that there is. */
static int check_and_load(struct domain *d, const struct hvm_save_descriptor *h,
                          const struct body *b)
{
    struct vcpu *v = domain_vcpu(d, h->instance);

    for (const struct record *r = records; v && r < records + ARRAY_SIZE(records); r++)
        if (r->type == h->typecode && h->length >= r->min && h->length <= r->max &&
            h->length % 8 == 0)
            return load_record(v, h->typecode, b);
    return -XEN_EINVAL;
}

static bool header_valid(const struct hvm_save_descriptor *h, const struct hvm_save_header *header)
{
    return h->typecode == HVM_SAVE_CODE(HEADER) && h->length == sizeof(*header) &&
           header->magic == HVM_FILE_MAGIC && header->version == HVM_FILE_VERSION;
}

int context_load(struct domain *d, const uint8_t *buf, size_t size)
{
    struct body b = {.tsc = read_tsc()};
    struct hvm_save_descriptor h;
    bool restored = false;
    struct vcpu *v;
    int rc = 0;

    for (size_t at = 0; !rc; at += h.length) {
        if (size - at < sizeof(h)) return -XEN_ENODATA;
        memcpy(&h, buf + at, sizeof(h));
        at += sizeof(h);
        if (h.length > size - at) return at == sizeof(h) ? -XEN_EINVAL : -XEN_ENODATA;
        b.p = (void *)(buf + at);
        b.len = h.length;
        if (at == sizeof(h)) { /* the first */
            if (!header_valid(&h, b.p)) return -XEN_EINVAL;
            for_each_vcpu (d, v) vcpu_set_down(v, true);
            continue;
        }
        if (h.typecode == HVM_SAVE_CODE(END) && !h.length) {
            /* Who ran before expects its new event channels to be masked, as
             * they are where it comes from: Linux unmasks what it uses. */
            if (restored)
                memset(d->shared_info->evtchn_mask, 0xff, sizeof(d->shared_info->evtchn_mask));
            return 0;
        }
        rc = check_and_load(d, &h, &b);
        restored |= h.typecode == HVM_SAVE_CODE(LAPIC);
    }
    log_guest(LOG_WARN, "d%u: context record %u of %u, length %u: %d", d->id, h.typecode,
              h.instance, h.length, rc);
    return rc;
}
