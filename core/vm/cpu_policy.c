/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID and MSR policies: what the host has, what a guest may have at most,
 * what it gets by default, and what the toolstack chose for it.  A feature or
 * field that is not on a list here is not shown.  CPUID as a guest sees it: its
 * policy, and what changes while it runs.
 */
#include "vm/cpu_policy.h"
#include "cpu/arch.h"
#include "hypercall/hypercall.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "vm/guest.h"
#include "vm/vcpu.h"
#include "vm/vendor.h"
#include <xen/arch-x86/cpufeatureset.h>
#include <xen/arch-x86/cpuid.h>
#include <xen/domctl.h>

#define F(name)  XEN_X86_FEATURE_##name
#define FX(name) XEN_X86_FEATURE_3##name /* 3DNow! */

#define XEN_LEAVES_MAX 5u

static struct cpu_policy host, max_policy, default_policy;

/* Where each feature word is: leaf, subleaf, register. */
static const struct {
    uint32_t leaf;
    uint8_t subleaf, reg;
} word_at[FEATURE_WORDS - 2] = {
    {1, 0, 3},          {1, 0, 2}, {0x80000001, 0, 3}, {0x80000001, 0, 2},
    {0xd, 1, 0},        {7, 0, 1}, {7, 0, 2},          {0x80000007, 0, 3},
    {0x80000008, 0, 1}, {7, 0, 3}, {7, 1, 0},          {0x80000021, 0, 0},
    {7, 1, 1},          {7, 2, 3}, {7, 1, 2},          {7, 1, 3},
};

/* Features for every guest, where the host has them. */
/* clang-format off */
static const uint16_t allowed[] = {
    F(FPU), F(VME), F(DE), F(PSE), F(TSC), F(MSR), F(PAE), F(CX8), F(APIC), F(SEP), F(MTRR), F(PGE),
    F(CMOV), F(PAT), F(PSE36), F(CLFLUSH), F(MMX), F(FXSR), F(SSE), F(SSE2), F(SS), F(HTT), F(SSE3),
    F(PCLMULQDQ), F(SSSE3), F(FMA), F(CX16), F(PCID), F(SSE4_1), F(SSE4_2), F(X2APIC), F(MOVBE),
    F(POPCNT), F(TSC_DEADLINE), F(AESNI), F(XSAVE), F(AVX), F(F16C), F(RDRAND), F(HYPERVISOR),
    F(SYSCALL), F(NX), F(MMXEXT), F(FFXSR), F(PAGE1GB), F(RDTSCP), F(LM), FX(DNOWEXT), FX(DNOW),
    F(LAHF_LM), F(CMP_LEGACY), F(ABM), F(SSE4A), F(MISALIGNSSE), FX(DNOWPREFETCH), F(XOP), F(FMA4),
    F(TBM), F(XSAVEOPT), F(XSAVEC), F(XGETBV1), F(FSGSBASE), F(TSC_ADJUST), F(BMI1), F(AVX2),
    F(FDP_EXCP_ONLY), F(SMEP), F(BMI2), F(ERMS), F(INVPCID), F(NO_FPU_SEL), F(AVX512F), F(AVX512DQ),
    F(RDSEED), F(ADX), F(SMAP), F(AVX512_IFMA), F(CLFLUSHOPT), F(CLWB), F(AVX512CD), F(SHA),
    F(AVX512BW), F(AVX512VL), F(PREFETCHWT1), F(AVX512_VBMI), F(UMIP), F(PKU), F(AVX512_VBMI2),
    F(GFNI), F(VAES), F(VPCLMULQDQ), F(AVX512_VNNI), F(AVX512_BITALG), F(AVX512_VPOPCNTDQ),
    F(RDPID), F(CLDEMOTE), F(CLZERO), F(RSTR_FP_ERR_PTRS), F(NO_LMSL), F(SSB_NO), F(BTC_NO),
    F(FSRM), F(MD_CLEAR), F(SERIALIZE), F(AVX_VNNI), F(AVX512_BF16), F(FZRM), F(FSRS), F(FSRCS),
    F(LFENCE_DISPATCH), F(NSCB), F(SRSO_NO),
};
/* clang-format on */

/* Only when the toolstack asks for them; machine checks for guests that come from
 * stock Xen, which has them. */
static const uint16_t on_request[] = {F(ITSC), F(MOVDIRI), F(MOVDIR64B), F(MCE), F(MCA)};

/* The core gives these, whatever the host has. */
static const uint16_t emulated[] = {F(APIC), F(X2APIC), F(TSC_DEADLINE), F(HYPERVISOR)};

/* The tools and stock Xen set these whether the processor has them or not: how CPUs
 * are counted, and of what no care is needed. */
static const uint16_t made_up[] = {F(HTT),  F(CMP_LEGACY), F(NO_LMSL), F(LFENCE_DISPATCH),
                                   F(NSCB), F(BTC_NO),     F(SRSO_NO)};

/* Each row: a feature, then those that need it, whose own rows come below. */
/* clang-format off */
static const uint16_t needs[][9] = {
    {F(FXSR), F(SSE)}, {F(SSE), F(SSE2)}, {F(PAE), F(LM), F(NX)},
    {F(SSE2), F(LM), F(SSE3), F(AESNI), F(PCLMULQDQ), F(SHA), F(GFNI), F(AVX)},
    {F(LM), F(LAHF_LM), F(PAGE1GB), F(FSGSBASE), F(PCID)}, {F(PCID), F(INVPCID)},
    {F(XSAVE), F(XSAVEOPT), F(XSAVEC), F(XGETBV1), F(PKU), F(AVX)},
    {F(AVX), F(FMA), F(F16C), F(XOP), F(FMA4), F(AVX2), F(VAES), F(VPCLMULQDQ)},
    {F(AVX2), F(AVX_VNNI), F(AVX512F)},
    {F(AVX512F), F(AVX512DQ), F(AVX512_IFMA), F(AVX512CD), F(AVX512BW), F(AVX512VL),
     F(AVX512_VNNI), F(AVX512_VPOPCNTDQ)},
    {F(AVX512BW), F(AVX512_VBMI), F(AVX512_VBMI2), F(AVX512_BITALG), F(AVX512_BF16)},
    {F(TSC), F(ITSC), F(TSC_ADJUST), F(RDTSCP)},
};
/* clang-format on */

/* Fields other than features that are shown, as masks, from leaf to leaf. */
static const struct {
    uint32_t first, last;
    uint32_t mask[4];
} fields[] = {
    {0, 0, {~0u, 0, 0, 0}},
    {1, 1, {0x0fff0fff, 0x00ffffff, 0, 0}}, /* family and model, CLFLUSH, count */
    {2, 2, {~0u, ~0u, ~0u, ~0u}},           /* caches (Intel)                   */
    {0x80000000, 0x80000000, {~0u, ~0u, ~0u, ~0u}},
    {0x80000001, 0x80000001, {0x0fff0fff, 0, 0, 0}},
    {0x80000002, 0x80000006, {~0u, ~0u, ~0u, ~0u}},           /* name; caches, TLBs (AMD) */
    {0x80000008, 0x80000008, {0x0000ffff, 0, 0x0000f0ff, 0}}, /* address widths, cores */
    {0x80000019, 0x80000019, {~0u, ~0u, 0, 0}},               /* TLBs of 1 GiB pages */
    {0x8000001a, 0x8000001a, {~0u, 0, 0, 0}},                 /* performance hints   */
};

/* --- leaves --- */

/* Which leaves there are, and where: numbers of entries in a policy.  The
 * last range that names a leaf has it. */
#define AT(member) offsetof(struct cpu_policy, member) / sizeof(struct cpuid_regs)
static const struct range {
    uint32_t leaf;
    bool subleaves; /* one leaf of several subleaves; else: several leaves */
    uint8_t first, count;
} ranges[] = {
    {0, false, AT(basic), POLICY_BASIC},    {4, true, AT(cache), POLICY_CACHE},
    {7, true, AT(feat), POLICY_FEAT},       {0xb, true, AT(topo), POLICY_TOPO},
    {0xd, true, AT(xstate), POLICY_XSTATE}, {0x40000000, false, AT(names[0]), 1},
    {0x40000100, false, AT(names[1]), 1},   {0x80000000, false, AT(extd), POLICY_EXTD},
};

/* The place of a leaf; subleaf is ignored for those that have none. */
static struct cpuid_regs *slot(const struct cpu_policy *p, uint32_t leaf, uint32_t sub)
{
    for (unsigned int k = ARRAY_SIZE(ranges); k--;) {
        const struct range *r = &ranges[k];
        uint32_t i = leaf - r->leaf;

        if (i >= (r->subleaves ? 1 : r->count)) continue;
        if (r->subleaves) i = sub;
        return i < r->count ? (struct cpuid_regs *)p + r->first + index_nospec(i, r->count) : NULL;
    }
    return NULL;
}

static uint32_t *word_of(const struct cpu_policy *p, unsigned int w)
{
    return (uint32_t *)slot(p, word_at[w].leaf, word_at[w].subleaf) + word_at[w].reg;
}

uint32_t cpu_policy_word(const struct cpu_policy *p, unsigned int w)
{
    return w < ARRAY_SIZE(word_at) ? *word_of(p, w) : 0;
}

static void put_feature(struct cpu_policy *p, unsigned int f, bool on)
{
    uint32_t *w = word_of(p, f / 32), bit = 1u << f % 32;

    *w = on ? *w | bit : *w & ~bit;
}

/* --- extended state --- */

/* SDM vol. 1, 13.4: after 512 bytes of legacy area and 64 of header. */
uint32_t cpu_policy_xsave_size(const struct cpu_policy *p, uint64_t xcr0, bool compacted)
{
    uint32_t size = 576;

    for (uint64_t m = xcr0 & p->xcr0 & ~3ull; m; m &= m - 1) {
        const struct cpuid_regs *r = &p->xstate[__builtin_ctzll(m)];

        if (!compacted)
            size = MAX(size, r->b + r->a);
        else
            size = (r->c & 2 ? ROUND_UP(size, 64u) : size) + r->a;
    }
    return size;
}

static void set_xstate(struct cpu_policy *p)
{
    uint64_t avx = cpu_policy_has(p, F(AVX)) ? BIT(2) : 0;
    uint64_t avx512 = cpu_policy_has(p, F(AVX512F)) ? MASK(7, 5) : 0;
    uint64_t pku = cpu_policy_has(p, F(PKU)) ? BIT(9) : 0;
    uint32_t size;

    if (!cpu_policy_has(p, F(XSAVE))) return;
    p->xcr0 = (3 | avx | avx512 | pku) & fpu_host_xcr0;
    for (unsigned int i = 2; i < POLICY_XSTATE; i++)
        if (p->xcr0 >> i & 1) p->xstate[i] = host.xstate[i];
    size = cpu_policy_xsave_size(p, p->xcr0, false);
    p->xstate[0] = (struct cpuid_regs){p->xcr0, size, size, p->xcr0 >> 32};
}

uint64_t cpu_policy_cr4(const struct cpu_policy *p)
{
    static const struct {
        uint16_t feature;
        uint8_t bit;
    } bits[] = {
        {F(VME), 0},   {F(VME), 1},       {F(TSC), 2},   {F(DE), 3},     {F(PSE), 4},
        {F(PAE), 5},   {F(MCE), 6},       {F(PGE), 7},   {F(FXSR), 9},   {F(SSE), 10},
        {F(UMIP), 11}, {F(FSGSBASE), 16}, {F(PCID), 17}, {F(XSAVE), 18}, {F(SMEP), 20},
        {F(SMAP), 21}, {F(PKU), 22},
    };
    uint64_t m = BIT(8); /* PCE */

    for (unsigned int i = 0; i < ARRAY_SIZE(bits); i++)
        if (cpu_policy_has(p, bits[i].feature)) m |= BIT(bits[i].bit);
    return m;
}

uint64_t cpu_policy_efer(const struct cpu_policy *p)
{
    return EFER_LMA | (cpu_policy_has(p, F(SYSCALL)) ? EFER_SCE : 0) |
           (cpu_policy_has(p, F(LM)) ? EFER_LME : 0) | (cpu_policy_has(p, F(NX)) ? EFER_NXE : 0) |
           (cpu_policy_has(p, F(FFXSR)) ? EFER_FFXSE : 0);
}

/* --- making policies --- */

static void read_host(void)
{
    uint32_t basic = cpuid(0, 0).a, extd = cpuid(0x80000000, 0).a;

    for (const struct range *r = ranges; r < ranges + ARRAY_SIZE(ranges); r++)
        for (uint32_t i = 0; i < r->count; i++) {
            uint32_t leaf = r->leaf + (r->subleaves ? 0 : i);

            if (leaf <= (leaf >> 31 ? extd : basic))
                ((struct cpuid_regs *)&host)[r->first + i] = cpuid(leaf, r->subleaves ? i : 0);
        }
    host.basic[0].a = MIN(basic, POLICY_BASIC - 1);
    host.feat[0].a = MIN(host.feat[0].a, POLICY_FEAT - 1);
    host.extd[0].a = MIN(extd, 0x80000000 + POLICY_EXTD - 1);
    host.xcr0 = fpu_host_xcr0;
}

/* Address widths: at most what the p2m covers and four levels reach. */
static uint32_t clip_widths(uint32_t a, uint32_t limit)
{
    uint32_t phys = MIN(MIN(a & 0xff, limit & 0xff), 48u);
    uint32_t linear = MIN(MIN(a >> 8 & 0xff, limit >> 8 & 0xff), 48u);

    return MAX(phys, 32u) | MAX(linear, 32u) << 8;
}

/* Brings p to what the core can give: features of `limit` at most, the fields
 * that are shown, and what follows from these. */
static void finish(struct cpu_policy *p, const struct cpu_policy *limit)
{
    struct cpu_policy old = *p;

    memset(p, 0, sizeof(*p));
    memcpy(p->cache, old.cache, sizeof(p->cache));
    p->faulting = old.faulting;
    p->basic[0] = host.basic[0];
    for (unsigned int i = 0; i < ARRAY_SIZE(fields); i++)
        for (uint32_t leaf = fields[i].first; leaf <= fields[i].last; leaf++)
            for (unsigned int r = 0; r < 4; r++)
                if (fields[i].mask[r])
                    (&slot(p, leaf, 0)->a)[r] = (&slot(&old, leaf, 0)->a)[r] & fields[i].mask[r];
    p->feat[0].a = MIN(old.feat[0].a, limit->feat[0].a);
    for (unsigned int w = 0; w < ARRAY_SIZE(word_at); w++)
        *word_of(p, w) |= *word_of(&old, w) & *word_of(limit, w);
    for (unsigned int i = 0; i < ARRAY_SIZE(needs); i++)
        for (unsigned int k = 1; k < ARRAY_SIZE(needs[i]) && needs[i][k]; k++)
            if (!cpu_policy_has(p, needs[i][0])) put_feature(p, needs[i][k], false);
    set_xstate(p);
    p->extd[8].a = clip_widths(p->extd[8].a, limit->extd[8].a);
    /* AMD repeats word 0 in leaf 0x80000001 (APM vol. 3, E.4.2). */
    if (host.extd[0].b) p->extd[1].d |= p->basic[1].d & 0x0183f3ff;
}

static void add_features(struct cpu_policy *p, const uint16_t *list, size_t n)
{
    for (size_t i = 0; i < n; i++) put_feature(p, list[i], true);
}

void cpu_policy_boot(void)
{
    /* The limit of the maximum: what the lists above name. */
    static struct cpu_policy limit;

    read_host();
    limit.feat[0].a = host.feat[0].a;
    limit.extd[8].a = host.extd[8].a;
    add_features(&limit, allowed, ARRAY_SIZE(allowed));
    default_policy = host;
    default_policy.faulting = true; /* emulated */
    add_features(&default_policy, emulated, ARRAY_SIZE(emulated));
    max_policy = default_policy;
    finish(&default_policy, &limit);
    add_features(&limit, on_request, ARRAY_SIZE(on_request));
    finish(&max_policy, &limit);
    log_info("CPUID: basic %x, extended %x, xcr0 %lx, %u address bits", default_policy.basic[0].a,
             default_policy.extd[0].a, default_policy.xcr0, default_policy.extd[8].a & 0xff);
}

const struct cpu_policy *cpu_policy_system(enum system_policy which)
{
    return which == POLICY_HOST ? &host : which == POLICY_MAX ? &max_policy : &default_policy;
}

int cpu_policy_init(struct domain *d)
{
    d->policy = core_alloc(sizeof(*d->policy));
    if (!d->policy) return -XEN_ENOMEM;
    *d->policy = default_policy;
    /* dom0 stays on this machine. */
    if (d->privileged && cpu_policy_has(&max_policy, F(ITSC)))
        put_feature(d->policy, F(ITSC), true);
    return 0;
}

/* --- as a guest sees them --- */

static void tsc_leaf(struct vcpu *v, uint32_t sub, struct cpuid_regs *r)
{
    const struct guest_tsc *t = &v->domain->tsc;
    uint64_t offset = guest_tsc(v, time_boot_tsc());
    uint32_t flags = t->exits | 2 | cpu_policy_has(v->domain->policy, F(RDTSCP)) << 2;

    if (sub == 0)
        *r = (struct cpuid_regs){flags, t->mode, t->khz, t->incarnation};
    else if (sub == 1)
        *r = (struct cpuid_regs){offset, offset >> 32, t->scale.mul, (uint8_t)t->scale.shift};
    else if (sub == 2)
        r->a = tsc_khz;
}

/* The leaves that say "Xen" (public arch-x86/cpuid.h). */
static void xen_leaf(struct vcpu *v, uint32_t leaf, uint32_t sub, struct cpuid_regs *r)
{
    switch (leaf) {
    case 0:
        *r = (struct cpuid_regs){XEN_CPUID_FIRST_LEAF + XEN_LEAVES_MAX, XEN_CPUID_SIGNATURE_EBX,
                                 XEN_CPUID_SIGNATURE_ECX, XEN_CPUID_SIGNATURE_EDX};
        break;
    case 1: r->a = XEN_VERSION; break;
    case 2:
        *r = (struct cpuid_regs){1, 0x40000000, 0, 0}; /* hypercall pages: MSR */
        break;
    case 3: tsc_leaf(v, sub, r); break;
    case 4:
        if (sub == 0)
            *r = (struct cpuid_regs){XEN_HVM_CPUID_VCPU_ID_PRESENT | XEN_HVM_CPUID_DOMID_PRESENT,
                                     v->id, v->domain->id, 0};
        break;
    }
}

void cpuid_guest(struct vcpu *v, uint32_t leaf, uint32_t sub, struct cpuid_regs *r)
{
    const struct cpu_policy *p = v->domain->policy;
    uint32_t last = leaf >> 31 ? p->extd[0].a : p->basic[0].a;
    const struct cpuid_regs *stored = leaf <= last ? slot(p, leaf, sub) : NULL;

    *r = stored ? *stored : (struct cpuid_regs){0};
    if (leaf - XEN_CPUID_FIRST_LEAF <= XEN_LEAVES_MAX)
        xen_leaf(v, leaf - XEN_CPUID_FIRST_LEAF, sub, r);
    if (leaf > last) return;
    switch (leaf) {
    case 1:
        r->b |= v->id << 25; /* APIC id: twice the number */
        if (vendor->get_cr(v, 4) & CR4_OSXSAVE) r->c |= BIT(27);
        break;
    case 7:
        if (sub == 0 && vendor->get_cr(v, 4) & CR4_PKE) r->c |= BIT(4); /* OSPKE */
        break;
    case 0xb: /* goes with x2APIC, so on AMD too */
        r->c |= sub & 0xff;
        r->d = v->id * 2;
        break;
    case 0xd: /* sizes for what XCR0 enables now (SDM vol. 1, 13.2) */
        if (!p->xcr0) break;
        fpu_read_xcr0(v);
        if (sub == 0 || (sub == 1 && r->a & BIT(1))) /* XSAVEC */
            r->b = cpu_policy_xsave_size(p, v->xcr0, sub);
        break;
    }
}

/* --- to and from the toolstack --- */

static int write_leaves(const struct cpu_policy *p, uint64_t va, uint32_t *n)
{
    uint32_t room = *n;

    *n = 0;
    for (const struct range *r = ranges; r < ranges + ARRAY_SIZE(ranges); r++)
        for (uint32_t i = 0; i < r->count; i++) {
            const struct cpuid_regs *c = (const struct cpuid_regs *)p + r->first + i;
            struct xen_cpuid_leaf l = {r->leaf, i, c->a, c->b, c->c, c->d};

            if (!r->subleaves) {
                l.leaf += i;
                l.subleaf = XEN_CPUID_NO_SUBLEAF;
            }
            /* Elsewhere, or above all components of extended state: the tools
             * write those below it back, whether they are there or not. */
            if (slot(p, l.leaf, i) != c || (l.leaf == 0xd && i > 1 && !(p->xcr0 >> i))) continue;
            if (*n >= room) return -XEN_ENOBUFS;
            if (copy_to_guest(va + (*n)++ * sizeof(l), &l, sizeof(l))) return -XEN_EFAULT;
        }
    return 0;
}

int cpu_policy_write(const struct cpu_policy *p, uint64_t leaves_va, uint32_t *leaves,
                     uint64_t msrs_va, uint32_t *msrs)
{
    struct xen_msr_entry m[POLICY_MSRS] = {
        {.idx = MSR_PLATFORM_INFO, .val = p->faulting ? PLATFORM_FAULTING : 0},
        {.idx = MSR_ARCH_CAPS}, /* no guest has a bit of it set */
    };
    uint32_t room = *msrs;
    int rc = 0;

    *msrs = POLICY_MSRS;
    if (leaves_va)
        rc = write_leaves(p, leaves_va, leaves);
    else
        *leaves = POLICY_LEAVES;
    if (!rc && msrs_va && room < POLICY_MSRS) return -XEN_ENOBUFS;
    return rc || !msrs_va ? rc : copy_to_guest(msrs_va, m, sizeof(m));
}

static int take_leaf(struct cpu_policy *p, const struct xen_cpuid_leaf *l)
{
    struct cpuid_regs *r = slot(p, l->leaf, l->subleaf);
    bool sub = l->subleaf != XEN_CPUID_NO_SUBLEAF, limit = l->leaf == 7 && !l->subleaf;

    /* A subleaf of a leaf without, or none of one that has them. */
    if (!r || (sub && slot(p, l->leaf, XEN_CPUID_NO_SUBLEAF))) return -XEN_ERANGE;
    /* More leaves than any guest can have: dropping them would mislead. */
    if ((limit || !(l->leaf & ~BIT(31))) && l->a > slot(&max_policy, l->leaf, 0)->a)
        return -XEN_EINVAL;
    *r = (struct cpuid_regs){l->a, l->b, l->c, l->d};
    return 0;
}

static int read_leaves(struct cpu_policy *p, struct xen_domctl_cpu_policy *op)
{
    struct xen_cpuid_leaf l;
    int rc = 0;

    for (uint32_t i = 0; i < op->nr_leaves && !rc; i++) {
        if (guest_read(&l, op->leaves, i)) return -XEN_EFAULT;
        rc = take_leaf(p, &l);
    }
    if (rc) {
        op->err_leaf = l.leaf;
        op->err_subleaf = l.subleaf;
    }
    return rc;
}

static int read_msrs(struct cpu_policy *p, struct xen_domctl_cpu_policy *op)
{
    struct xen_msr_entry m;

    for (uint32_t i = 0; i < op->nr_msrs; i++) {
        if (guest_read(&m, op->msrs, i)) return -XEN_EFAULT;
        op->err_msr = m.idx;
        if (m.idx != MSR_PLATFORM_INFO && m.idx != MSR_ARCH_CAPS) return -XEN_ERANGE;
        if (m.flags || m.val & ~(m.idx == MSR_PLATFORM_INFO ? PLATFORM_FAULTING : 0))
            return -XEN_EINVAL;
        if (m.idx == MSR_PLATFORM_INFO) p->faulting = m.val;
    }
    op->err_msr = ~0u;
    return 0;
}

/* A guest that comes from another machine may use all that it was shown there: the
 * features that the core would give it and this processor lacks. */
static int check_features(const struct domain *d, struct cpu_policy *p,
                          struct xen_domctl_cpu_policy *op)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(made_up); i++)
        if (!cpu_policy_has(&max_policy, made_up[i])) put_feature(p, made_up[i], false);
    for (unsigned int i = 0; i < ARRAY_SIZE(allowed); i++) {
        unsigned int f = allowed[i], w = f / 32;

        if (!cpu_policy_has(p, f) || cpu_policy_has(&max_policy, f)) continue;
        op->err_leaf = word_at[w].leaf;
        op->err_subleaf = word_at[w].subleaf;
        log_warn("d%u is not given CPUID feature %u of leaf %x, register %u: this processor "
                 "has it not",
                 d->id, f % 32, word_at[w].leaf, word_at[w].reg);
        return -XEN_EINVAL;
    }
    return 0;
}

int cpu_policy_merge(struct domain *d, struct xen_domctl_cpu_policy *op)
{
    struct cpu_policy *p;
    struct vcpu *v;
    int rc;

    op->err_leaf = op->err_subleaf = op->err_msr = ~0u;
    if (op->nr_leaves > POLICY_LEAVES || op->nr_msrs > POLICY_MSRS) return -XEN_E2BIG;
    p = core_alloc(sizeof(*p));
    if (!p) return -XEN_ENOMEM;
    *p = *d->policy;
    rc = read_leaves(p, op);
    if (!rc) rc = read_msrs(p, op);
    if (!rc) rc = check_features(d, p, op);
    if (!rc) {
        finish(p, &max_policy);
        *d->policy = *p;
        for_each_vcpu (d, v)
            if (vendor->policy_changed) vendor->policy_changed(v);
    }
    core_free(p);
    return rc;
}
