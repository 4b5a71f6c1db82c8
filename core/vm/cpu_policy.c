/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID and MSR policies: what the host has, what a guest may have at most,
 * what it gets by default, and what the toolstack chose for it.  A feature or
 * field that is not on a list here is not shown.
 */
#include "vm/cpu_policy.h"
#include "cpu/arch.h"
#include "hypercall/control.h"
#include "hypercall/hypercall.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "vm/guest.h"
#include "vm/vendor.h"
#include <xen/arch-x86/cpufeatureset.h>

#define F(name)  XEN_X86_FEATURE_##name
#define FX(name) XEN_X86_FEATURE_3##name /* 3DNow! */

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
    F(FPU), F(VME), F(DE), F(PSE), F(TSC), F(MSR), F(PAE), F(CX8), F(APIC),
    F(SEP), F(MTRR), F(PGE), F(CMOV), F(PAT), F(PSE36), F(CLFLUSH), F(MMX),
    F(FXSR), F(SSE), F(SSE2), F(SS), F(HTT), F(SSE3), F(PCLMULQDQ),
    F(SSSE3), F(FMA), F(CX16), F(PCID), F(SSE4_1), F(SSE4_2), F(X2APIC),
    F(MOVBE), F(POPCNT), F(TSC_DEADLINE), F(AESNI), F(XSAVE), F(AVX),
    F(F16C), F(RDRAND), F(HYPERVISOR), F(SYSCALL), F(NX), F(MMXEXT),
    F(FFXSR), F(PAGE1GB), F(RDTSCP), F(LM), FX(DNOWEXT), FX(DNOW),
    F(LAHF_LM), F(CMP_LEGACY), F(ABM), F(SSE4A), F(MISALIGNSSE),
    FX(DNOWPREFETCH), F(XOP), F(FMA4), F(TBM), F(XSAVEOPT), F(XSAVEC),
    F(XGETBV1), F(FSGSBASE), F(TSC_ADJUST), F(BMI1), F(AVX2),
    F(FDP_EXCP_ONLY), F(SMEP), F(BMI2), F(ERMS), F(INVPCID), F(NO_FPU_SEL),
    F(AVX512F), F(AVX512DQ), F(RDSEED), F(ADX), F(SMAP), F(AVX512_IFMA),
    F(CLFLUSHOPT), F(CLWB), F(AVX512CD), F(SHA), F(AVX512BW), F(AVX512VL),
    F(PREFETCHWT1), F(AVX512_VBMI), F(UMIP), F(PKU), F(AVX512_VBMI2),
    F(GFNI), F(VAES), F(VPCLMULQDQ), F(AVX512_VNNI), F(AVX512_BITALG),
    F(AVX512_VPOPCNTDQ), F(RDPID), F(CLDEMOTE), F(CLZERO),
    F(RSTR_FP_ERR_PTRS), F(NO_LMSL), F(SSB_NO), F(BTC_NO), F(FSRM),
    F(MD_CLEAR), F(SERIALIZE), F(AVX_VNNI), F(AVX512_BF16), F(FZRM),
    F(FSRS), F(FSRCS), F(LFENCE_DISPATCH), F(NSCB), F(SRSO_NO),
};
/* clang-format on */

/* Only when the toolstack asks for them. */
static const uint16_t on_request[] = {F(ITSC), F(MOVDIRI), F(MOVDIR64B)};

/* The core gives these, whatever the host has. */
static const uint16_t emulated[] = {F(APIC), F(X2APIC), F(TSC_DEADLINE), F(HYPERVISOR)};

/* The second needs the first. */
/* clang-format off */
static const uint16_t needs[][2] = {
    {F(FXSR), F(SSE)}, {F(SSE), F(SSE2)}, {F(SSE2), F(LM)}, {F(PAE), F(LM)},
    {F(LM), F(LAHF_LM)}, {F(LM), F(PAGE1GB)}, {F(LM), F(FSGSBASE)},
    {F(LM), F(PCID)}, {F(PCID), F(INVPCID)}, {F(PAE), F(NX)},
    {F(SSE2), F(SSE3)}, {F(SSE2), F(AESNI)}, {F(SSE2), F(PCLMULQDQ)},
    {F(SSE2), F(SHA)}, {F(SSE2), F(GFNI)}, {F(XSAVE), F(XSAVEOPT)},
    {F(XSAVE), F(XSAVEC)}, {F(XSAVE), F(XGETBV1)}, {F(XSAVE), F(PKU)},
    {F(XSAVE), F(AVX)}, {F(SSE2), F(AVX)}, {F(AVX), F(FMA)},
    {F(AVX), F(F16C)}, {F(AVX), F(XOP)}, {F(AVX), F(FMA4)}, {F(AVX), F(AVX2)},
    {F(AVX), F(VAES)}, {F(AVX), F(VPCLMULQDQ)}, {F(AVX2), F(AVX_VNNI)},
    {F(AVX2), F(AVX512F)}, {F(AVX512F), F(AVX512DQ)},
    {F(AVX512F), F(AVX512_IFMA)}, {F(AVX512F), F(AVX512CD)},
    {F(AVX512F), F(AVX512BW)}, {F(AVX512F), F(AVX512VL)},
    {F(AVX512F), F(AVX512_VNNI)}, {F(AVX512F), F(AVX512_VPOPCNTDQ)},
    {F(AVX512BW), F(AVX512_VBMI)}, {F(AVX512BW), F(AVX512_VBMI2)},
    {F(AVX512BW), F(AVX512_BITALG)}, {F(AVX512BW), F(AVX512_BF16)},
    {F(TSC), F(ITSC)}, {F(TSC), F(TSC_ADJUST)}, {F(TSC), F(RDTSCP)},
};
/* clang-format on */

/* Fields other than features that are shown, as masks. */
static const struct {
    uint32_t leaf;
    struct cpuid_regs mask;
} fields[] = {
    {0, {~0u, ~0u, ~0u, ~0u}},
    {1, {0x0fff0fff, 0x00ffffff, 0, 0}}, /* family and model, CLFLUSH, count */
    {2, {~0u, ~0u, ~0u, ~0u}},           /* caches (Intel)                   */
    {0x80000000, {~0u, ~0u, ~0u, ~0u}},
    {0x80000001, {0x0fff0fff, 0, 0, 0}},
    {0x80000002, {~0u, ~0u, ~0u, ~0u}}, /* name */
    {0x80000003, {~0u, ~0u, ~0u, ~0u}},
    {0x80000004, {~0u, ~0u, ~0u, ~0u}},
    {0x80000005, {~0u, ~0u, ~0u, ~0u}}, /* caches and TLBs (AMD) */
    {0x80000006, {~0u, ~0u, ~0u, ~0u}},
    {0x80000008, {0x0000ffff, 0, 0x0000f0ff, 0}}, /* address widths, cores */
    {0x80000019, {~0u, ~0u, 0, 0}},               /* TLBs of 1 GiB pages */
    {0x8000001a, {~0u, 0, 0, 0}},                 /* performance hints   */
};

/* --- leaves --- */

/* The place of a leaf; subleaf is ignored for those that have none. */
static inline struct cpuid_regs *slot(struct cpu_policy *p, uint32_t leaf, uint32_t sub)
{
    switch (leaf) {
    case 4: return sub < POLICY_CACHE ? &p->cache[index_nospec(sub, POLICY_CACHE)] : NULL;
    case 7: return sub < POLICY_FEAT ? &p->feat[index_nospec(sub, POLICY_FEAT)] : NULL;
    case 0xb: return sub < POLICY_TOPO ? &p->topo[index_nospec(sub, POLICY_TOPO)] : NULL;
    case 0xd: return sub < POLICY_XSTATE ? &p->xstate[index_nospec(sub, POLICY_XSTATE)] : NULL;
    }
    if (leaf < POLICY_BASIC) return &p->basic[index_nospec(leaf, POLICY_BASIC)];
    leaf -= 0x80000000;
    return leaf < POLICY_EXTD ? &p->extd[index_nospec(leaf, POLICY_EXTD)] : NULL;
}

const struct cpuid_regs *cpu_policy_leaf(const struct cpu_policy *p, uint32_t leaf, uint32_t sub)
{
    if (leaf > p->basic[0].a && (leaf < 0x80000000 || leaf > p->extd[0].a)) return NULL;
    return slot((struct cpu_policy *)p, leaf, sub);
}

static bool has_subleaves(uint32_t leaf)
{
    return leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd;
}

static uint32_t *word_of(struct cpu_policy *p, unsigned int w)
{
    if (w >= ARRAY_SIZE(word_at)) return (uint32_t *)&p->arch_caps + (w - ARRAY_SIZE(word_at));
    return (uint32_t *)slot(p, word_at[w].leaf, word_at[w].subleaf) + word_at[w].reg;
}

uint32_t cpu_policy_word(const struct cpu_policy *p, unsigned int w)
{
    return w < FEATURE_WORDS ? *word_of((struct cpu_policy *)p, w) : 0;
}

static void put_feature(struct cpu_policy *p, unsigned int f, bool on)
{
    uint32_t *w = word_of(p, f / 32), bit = 1u << f % 32;

    *w = on ? *w | bit : *w & ~bit;
}

/* --- extended state --- */

static uint64_t xcr0_of(const struct cpu_policy *p)
{
    uint64_t m = 3;

    if (!cpu_policy_has(p, F(XSAVE))) return 0;
    m |= cpu_policy_has(p, F(AVX)) ? BIT(2) : 0;
    m |= cpu_policy_has(p, F(AVX512F)) ? MASK(7, 5) : 0;
    m |= cpu_policy_has(p, F(PKU)) ? BIT(9) : 0;
    return m & fpu_host_xcr0;
}

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
    uint32_t features = p->xstate[1].a;

    memset(p->xstate, 0, sizeof(p->xstate));
    p->xcr0 = xcr0_of(p);
    if (!p->xcr0) return;
    for (unsigned int i = 2; i < POLICY_XSTATE; i++)
        if (p->xcr0 >> i & 1) p->xstate[i] = host.xstate[i];
    p->xstate[0].a = p->xcr0;
    p->xstate[0].d = p->xcr0 >> 32;
    p->xstate[0].c = cpu_policy_xsave_size(p, p->xcr0, false);
    p->xstate[0].b = p->xstate[0].c;
    p->xstate[1].a = features;
}

uint64_t cpu_policy_cr4(const struct cpu_policy *p)
{
    static const struct {
        uint16_t feature;
        uint8_t bit;
    } bits[] = {
        {F(VME), 0},    {F(VME), 1},   {F(TSC), 2},       {F(DE), 3},
        {F(PSE), 4},    {F(PAE), 5},   {F(PGE), 7},       {F(FXSR), 9},
        {F(SSE), 10},   {F(UMIP), 11}, {F(FSGSBASE), 16}, {F(PCID), 17},
        {F(XSAVE), 18}, {F(SMEP), 20}, {F(SMAP), 21},     {F(PKU), 22},
    };
    uint64_t m = BIT(8); /* PCE */

    for (unsigned int i = 0; i < ARRAY_SIZE(bits); i++)
        if (cpu_policy_has(p, bits[i].feature)) m |= BIT(bits[i].bit);
    return m;
}

/* --- making policies --- */

static void read_host(struct cpu_policy *p)
{
    uint32_t basic = cpuid(0, 0).a, extd = cpuid(0x80000000, 0).a;

    for (uint32_t i = 0; i < POLICY_BASIC && i <= basic; i++) p->basic[i] = cpuid(i, 0);
    for (uint32_t i = 0; i < POLICY_EXTD && i + 0x80000000 <= extd; i++)
        p->extd[i] = cpuid(i + 0x80000000, 0);
    for (uint32_t i = 0; basic >= 4 && i < POLICY_CACHE; i++) p->cache[i] = cpuid(4, i);
    for (uint32_t i = 0; basic >= 7 && i < POLICY_FEAT; i++)
        if (i <= p->feat[0].a || i == 0) p->feat[i] = cpuid(7, i);
    for (uint32_t i = 0; basic >= 0xd && i < POLICY_XSTATE; i++) p->xstate[i] = cpuid(0xd, i);
    p->basic[0].a = MIN(basic, POLICY_BASIC - 1);
    p->feat[0].a = MIN(p->feat[0].a, POLICY_FEAT - 1);
    p->extd[0].a = MIN(extd, 0x80000000 + POLICY_EXTD - 1);
    p->xcr0 = fpu_host_xcr0;
}

/* Address widths: at most what the p2m covers and four levels reach. */
static void clip_widths(struct cpu_policy *p)
{
    uint32_t a = max_policy.extd[8].a ? max_policy.extd[8].a : host.extd[8].a;
    uint32_t phys = MIN(MIN(p->extd[8].a & 0xff, a & 0xff), 48u);
    uint32_t linear = MIN(MIN(p->extd[8].a >> 8 & 0xff, a >> 8 & 0xff), 48u);

    p->extd[8].a = MAX(phys, 32u) | MAX(linear, 32u) << 8;
}

/* Brings p to what the core can give: features of `limit` at most, the fields
 * that are shown, and what follows from these. */
static void finish(struct cpu_policy *p, const struct cpu_policy *limit)
{
    struct cpu_policy old = *p;
    uint32_t max_sub = MIN(p->feat[0].a, limit->feat[0].a);

    memset(p->basic, 0, sizeof(p->basic));
    memset(p->extd, 0, sizeof(p->extd));
    memset(p->feat, 0, sizeof(p->feat));
    memset(p->topo, 0, sizeof(p->topo));
    memset(p->xstate, 0, sizeof(p->xstate));
    for (unsigned int i = 0; i < ARRAY_SIZE(fields); i++) {
        struct cpuid_regs *to = slot(p, fields[i].leaf, 0);
        const struct cpuid_regs *from = slot(&old, fields[i].leaf, 0);

        to->a = from->a & fields[i].mask.a;
        to->b = from->b & fields[i].mask.b;
        to->c = from->c & fields[i].mask.c;
        to->d = from->d & fields[i].mask.d;
    }
    p->feat[0].a = max_sub;
    p->basic[0].b = host.basic[0].b;
    p->basic[0].c = host.basic[0].c;
    p->basic[0].d = host.basic[0].d;
    for (unsigned int w = 0; w < ARRAY_SIZE(word_at); w++)
        *word_of(p, w) |= *word_of(&old, w) & cpu_policy_word(limit, w);
    for (unsigned int i = 0; i < 2 * ARRAY_SIZE(needs); i++) {
        const uint16_t *n = needs[i % ARRAY_SIZE(needs)];

        if (!cpu_policy_has(p, n[0])) put_feature(p, n[1], false);
    }
    set_xstate(p);
    clip_widths(p);
    /* AMD repeats word 0 in leaf 0x80000001 (APM vol. 3, E.4.2). */
    if (host.extd[0].b) p->extd[1].d |= p->basic[1].d & 0x0183f3ff;
}

/* Adds those that the host has, or all. */
static void add_features(struct cpu_policy *p, const uint16_t *list, size_t n, bool all)
{
    for (size_t i = 0; i < n; i++)
        if (all || cpu_policy_has(&host, list[i])) put_feature(p, list[i], true);
}

void cpu_policy_boot(void)
{
    /* The limit of the maximum: what the lists above name. */
    static struct cpu_policy limit;

    read_host(&host);
    limit.feat[0].a = host.feat[0].a;
    add_features(&limit, allowed, ARRAY_SIZE(allowed), false);
    add_features(&limit, emulated, ARRAY_SIZE(emulated), true);
    default_policy = host;
    add_features(&default_policy, emulated, ARRAY_SIZE(emulated), true);
    max_policy = default_policy;
    finish(&default_policy, &limit);
    add_features(&limit, on_request, ARRAY_SIZE(on_request), false);
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

void cpu_policy_free(struct domain *d)
{
    core_free(d->policy);
    d->policy = NULL;
}

uint64_t cpu_policy_xcr0(const struct domain *d)
{
    return d->policy->xcr0;
}

/* --- to and from the toolstack --- */

struct writer {
    uint64_t va;
    uint32_t room, count;
    int rc;
};

static void write_leaf(struct writer *w, uint32_t leaf, uint32_t sub, const struct cpuid_regs *r)
{
    struct xen_cpuid_leaf l = {leaf, sub, r->a, r->b, r->c, r->d};

    if (w->rc) return;
    if (w->count >= w->room)
        w->rc = -XEN_ENOBUFS;
    else
        w->rc = copy_to_guest(w->va + w->count++ * sizeof(l), &l, sizeof(l));
}

/* Is a subleaf part of the serialised form? */
static bool subleaf_given(const struct cpu_policy *p, uint32_t leaf, uint32_t i)
{
    switch (leaf) {
    case 4: /* up to the first of type "none" */
        return i < POLICY_CACHE && (i == 0 || p->cache[i - 1].a & 31);
    case 7: return i < POLICY_FEAT && i <= p->feat[0].a;
    case 0xb: return i == 0;
    default: return i < POLICY_XSTATE && (i < 2 || p->xcr0 >> i & 1);
    }
}

static void write_leaves(struct writer *w, const struct cpu_policy *p)
{
    uint32_t last = MIN(p->extd[0].a & 0xffff, POLICY_EXTD - 1);
    static const struct cpuid_regs none;

    for (uint32_t i = 0; i <= MIN(p->basic[0].a, POLICY_BASIC - 1); i++) {
        if (!has_subleaves(i)) write_leaf(w, i, XEN_CPUID_NO_SUBLEAF, &p->basic[i]);
        for (uint32_t k = 0; has_subleaves(i) && k < POLICY_XSTATE; k++)
            if (subleaf_given(p, i, k)) write_leaf(w, i, k, slot((struct cpu_policy *)p, i, k));
    }
    /* The tools' own form has two more, the limits of the leaves that name a
     * hypervisor; they write back into a buffer of our length. */
    write_leaf(w, 0x40000000, XEN_CPUID_NO_SUBLEAF, &none);
    write_leaf(w, 0x40000100, XEN_CPUID_NO_SUBLEAF, &none);
    for (uint32_t i = 0; i <= last; i++)
        write_leaf(w, 0x80000000 + i, XEN_CPUID_NO_SUBLEAF, &p->extd[i]);
}

int cpu_policy_write(const struct cpu_policy *p, uint64_t leaves_va, uint32_t *leaves,
                     uint64_t msrs_va, uint32_t *msrs)
{
    const struct xen_msr_entry m[POLICY_MSRS] = {
        {.idx = MSR_PLATFORM_INFO, .val = p->platform_info},
        {.idx = MSR_ARCH_CAPS, .val = p->arch_caps}};
    struct writer w = {leaves_va, *leaves, 0, 0};

    *leaves = POLICY_LEAVES;
    if (leaves_va) {
        write_leaves(&w, p);
        *leaves = w.count;
    }
    if (msrs_va && !w.rc) {
        if (*msrs < POLICY_MSRS) return -XEN_ENOBUFS;
        w.rc = copy_to_guest(msrs_va, m, sizeof(m));
    }
    *msrs = POLICY_MSRS;
    return w.rc;
}

static int merge_leaf(struct cpu_policy *p, const struct xen_cpuid_leaf *l)
{
    struct cpuid_regs *r = slot(p, l->leaf, l->subleaf);
    bool sub = l->subleaf != XEN_CPUID_NO_SUBLEAF;

    /* The limits of the leaves that name a hypervisor are fixed here. */
    if (!sub && (l->leaf == 0x40000000 || l->leaf == 0x40000100)) return 0;
    if (!r || has_subleaves(l->leaf) != sub) return -XEN_ERANGE;
    *r = (struct cpuid_regs){l->a, l->b, l->c, l->d};
    return 0;
}

static int read_leaves(struct cpu_policy *p, uint64_t va, uint32_t n, struct policy_error *err)
{
    struct xen_cpuid_leaf l;

    for (uint32_t i = 0; i < n; i++) {
        int rc = copy_from_guest(&l, va + i * sizeof(l), sizeof(l));

        if (!rc && (rc = merge_leaf(p, &l))) {
            err->leaf = l.leaf;
            err->subleaf = l.subleaf;
        }
        if (rc) return rc;
    }
    return 0;
}

static int read_msrs(struct cpu_policy *p, uint64_t va, uint32_t n, struct policy_error *err)
{
    struct xen_msr_entry m;

    for (uint32_t i = 0; i < n; i++) {
        if (copy_from_guest(&m, va + i * sizeof(m), sizeof(m))) return -XEN_EFAULT;
        err->msr = m.idx;
        if (m.flags) return -XEN_EINVAL;
        if (m.idx == MSR_PLATFORM_INFO)
            p->platform_info = m.val;
        else if (m.idx == MSR_ARCH_CAPS)
            p->arch_caps = m.val;
        else
            return -XEN_ERANGE;
    }
    err->msr = ~0u;
    return 0;
}

/* More than any guest can have, where dropping it would mislead. */
static int check_limits(const struct cpu_policy *p, struct policy_error *err)
{
    err->subleaf = XEN_CPUID_NO_SUBLEAF;
    if (p->basic[0].a > max_policy.basic[0].a) {
        err->leaf = 0;
    } else if (p->feat[0].a > max_policy.feat[0].a) {
        err->leaf = 7;
        err->subleaf = 0;
    } else if (p->extd[0].a > max_policy.extd[0].a) {
        err->leaf = 0x80000000;
    } else if (p->platform_info & ~max_policy.platform_info) {
        err->msr = MSR_PLATFORM_INFO;
    } else if (p->arch_caps & ~max_policy.arch_caps) {
        err->msr = MSR_ARCH_CAPS;
    } else {
        return 0;
    }
    return -XEN_EINVAL;
}

int cpu_policy_merge(struct domain *d, uint64_t leaves_va, uint32_t leaves, uint64_t msrs_va,
                     uint32_t msrs, struct policy_error *err)
{
    struct cpu_policy *p;
    struct vcpu *v;
    int rc;

    *err = (struct policy_error){~0u, ~0u, ~0u};
    if (leaves > POLICY_LEAVES || msrs > POLICY_MSRS) return -XEN_E2BIG;
    p = core_alloc(sizeof(*p));
    if (!p) return -XEN_ENOMEM;
    *p = *d->policy;
    rc = read_leaves(p, leaves_va, leaves, err);
    if (!rc) rc = read_msrs(p, msrs_va, msrs, err);
    if (!rc) rc = check_limits(p, err);
    if (!rc) {
        finish(p, &max_policy);
        *d->policy = *p;
        for_each_vcpu (d, v) vendor->policy_changed(v);
    }
    core_free(p);
    return rc;
}
