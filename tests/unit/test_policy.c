/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID and MSRs on the policy of the CPU that runs the test. */
#define GROUP "policy"
#include "fake_control.h"
#include "hypercall/control.h"
#include "hypercall/evtchn.h"
#include "hypercall/grant.h"
#include "memory/heap.h"
#include "msan.h"
#include "vm/cpu_policy.h"
#include "vm/vcpu.h"
#include <stdlib.h>
#include <string.h>
#include <xen/arch-x86/cpufeatureset.h>
#include <xen/domctl.h>

static struct domain *d0, *d1;
static struct vcpu *v0, *v1;

static void setup(void)
{
    memset(&fake, 0, sizeof(fake));
    memset(&control, 0, sizeof(control));
    fake_init();
    d0 = fake_domain(0, true, 1);
    d1 = fake_domain(1, false, 2);
    fake_control_init(d0);
    fake_control_init(d1);
    v0 = d0->vcpus[0];
    v1 = d1->vcpus[1];
    fake_run(v0);
}

static void teardown(void)
{
    struct domain *all[] = {d0, d1};
    struct vcpu *v;

    for (int i = 0; i < 2; i++) {
        for_each_vcpu (all[i], v) core_free_pages(v->fpu, 1);
        core_free(all[i]->policy);
        while (p2m_release(all[i]))
            ;
        fake_domain_free(all[i]);
    }
    CHECK_EQ(fake_heap_used(), 0);
}

static struct cpuid_regs ask(struct vcpu *v, uint32_t leaf, uint32_t sub)
{
    struct cpuid_regs r;

    cpuid_guest(v, leaf, sub, &r);
    TO_GUEST(&r, sizeof(r));
    return r;
}

static void test_shown(void)
{
    static const uint16_t hidden[] = {
        XEN_X86_FEATURE_VMX,      XEN_X86_FEATURE_SVM,     XEN_X86_FEATURE_MONITOR,
        XEN_X86_FEATURE_MONITORX, XEN_X86_FEATURE_MCA,     XEN_X86_FEATURE_MCE,
        XEN_X86_FEATURE_XSAVES,   XEN_X86_FEATURE_TOPOEXT, XEN_X86_FEATURE_PROC_TRACE,
        XEN_X86_FEATURE_SGX,      XEN_X86_FEATURE_IBRSB,   XEN_X86_FEATURE_ARCH_CAPS};
    const struct cpu_policy *host = cpu_policy_system(POLICY_HOST);

    setup();
    for (unsigned int i = 0; i < ARRAY_SIZE(hidden); i++)
        CHECK_EQ(cpu_policy_has(d1->policy, hidden[i]) * hidden[i], 0);
    for (unsigned int f = 0; f < 16 * 32; f++) {
        if (f == XEN_X86_FEATURE_X2APIC || f == XEN_X86_FEATURE_APIC ||
            f == XEN_X86_FEATURE_TSC_DEADLINE || f == XEN_X86_FEATURE_HYPERVISOR)
            CHECK(cpu_policy_has(d1->policy, f));
        else
            CHECK(!cpu_policy_has(d1->policy, f) || cpu_policy_has(host, f));
    }
    CHECK(!(ask(v1, 7, 0).c & BIT(16))); /* LA57 */
    CHECK((ask(v1, 0x80000008, 0).a >> 8 & 0xff) <= 48);
    CHECK_EQ(ask(v1, 0, 0).b, cpuid(0, 0).b);
    CHECK_EQ(ask(v1, 0xa, 0).a, 0); /* no PMU */
    teardown();
}

static void test_dynamic(void)
{
    setup();
    CHECK_EQ(ask(v1, 1, 0).b >> 24, 2);
    CHECK_EQ(ask(v0, 1, 0).b >> 24, 0);
    CHECK(!(ask(v1, 1, 0).c & BIT(27)));
    control.state[1].cr4 = CR4_OSXSAVE;
    CHECK(ask(v1, 1, 0).c & BIT(27));
    CHECK(!(ask(v0, 1, 0).c & BIT(27)));
    if (d1->policy->basic[0].a >= 0xb) {
        CHECK_EQ(ask(v1, 0xb, 0).d, 2);
        CHECK_EQ(ask(v1, 0xb, 1).d, 2);
    }
    if (d1->policy->xcr0 & 4) {
        CHECK_EQ(ask(v1, 0xd, 0).b, 576);
        v1->xcr0 = 7;
        CHECK_EQ(ask(v1, 0xd, 0).b, 832);
        CHECK(ask(v1, 0xd, 0).c >= 832);
        CHECK_EQ(ask(v1, 0xd, 2).a, 256);
        CHECK_EQ(ask(v1, 0xd, 3).a, 0); /* MPX */
    }
    CHECK_EQ(ask(v1, 0xd, 64).a, 0);
    CHECK_EQ(ask(v1, 0xd, ~0u).a, 0);
    teardown();
}

static void test_bounds(void)
{
    static const uint32_t leaves[] = {0xe,        0x1000,     0x3fffffff, 0x40000006, 0x40000100,
                                      0x7fffffff, 0x80000022, 0x8000ffff, 0xffffffff};

    setup();
    for (unsigned int i = 0; i < ARRAY_SIZE(leaves); i++) {
        struct cpuid_regs r = ask(v1, leaves[i], 0);

        CHECK_EQ(r.a | r.b | r.c | r.d, 0);
    }
    CHECK_EQ(ask(v1, 4, 6).a, 0);
    CHECK_EQ(ask(v1, 7, 3).a, 0);
    teardown();
}

/* ns since boot by a guest's own clock, when the host's TSC is `host`. */
static uint64_t clock_of(const struct vcpu *v, uint64_t host)
{
    return ticks_to_ns(&v->domain->tsc.scale, guest_tsc(v, host) - guest_tsc(v, 0));
}

/* At any rate its clock counts the machine's time, but for what a ratio of so
 * many bits leaves out. */
static void check_rate(uint32_t khz, unsigned int bits)
{
    const uint64_t hundred_days = 100 * 86400ull * 2000000000;
    uint64_t at = hundred_days, ticks = (at >> bits) + 4, differ;

    CHECK_EQ(tsc_set(d1, 0, khz), 0);
    CHECK_EQ(d1->tsc.khz, khz);
    differ = clock_of(v1, at) - tsc_to_ns(at);
    if (differ >> 63) differ = -differ;
    CHECK(differ <= ticks * 1000000 / khz + (at >> 46));
    ticks = guest_tsc(v1, at + 2000000) - guest_tsc(v1, at); /* a ms */
    CHECK(ticks >= khz - 1 && ticks <= khz + 1);
}

static void test_rates(void)
{
    static const uint8_t fractions[] = {0, 32, 48}; /* none, SVM's, VMX's */
    struct vendor_ops *ops = (struct vendor_ops *)vendor;
    uint64_t at, before;

    setup();
    for (unsigned int i = 0; i < ARRAY_SIZE(fractions); i++) {
        bool hardware = fractions[i] != 0;

        ops->tsc_scaling = fractions[i];
        for (uint64_t khz = 1000; khz < 400000000; khz = khz * 7 / 3 + 1) {
            check_rate(khz, hardware ? ops->tsc_scaling : 48);
            CHECK_EQ(d1->tsc.exits, !hardware);
        }
        CHECK_EQ(tsc_set(d1, 1, 0), 0);
        CHECK(d1->tsc.exits && d1->tsc.khz == tsc_khz && d1->tsc.ratio == TSC_RATIO_1);
        CHECK_EQ(tsc_set(d1, 0, 2000100), 0); /* as good as the same */
        CHECK(!d1->tsc.exits && d1->tsc.khz == tsc_khz && d1->tsc.ratio == TSC_RATIO_1);
        CHECK_EQ(tsc_set(d1, 2, 1000000), 0);
        CHECK(!d1->tsc.exits && d1->tsc.khz == tsc_khz && d1->tsc.ratio == TSC_RATIO_1);
    }
    ops->tsc_scaling = 0;
    CHECK_EQ(tsc_set(d1, 0, 999), -XEN_EINVAL);
    CHECK_EQ(tsc_set(d1, 0, 600000000), -XEN_EINVAL);
    CHECK_EQ(tsc_set(d1, 3, 0), -XEN_EOPNOTSUPP);
    /* It goes on from where it is. */
    before = guest_tsc(v1, read_tsc());
    CHECK_EQ(tsc_set(d1, 0, 1000000), 0);
    at = guest_tsc(v1, read_tsc());
    CHECK(at > before && at - before < 1ull << 34);
    teardown();
}

static void test_xen(void)
{
    struct cpuid_regs r;

    setup();
    d1->tsc.khz = 123;
    r = ask(v1, 0x40000000, 0);
    CHECK_EQ(r.a, 0x40000005);
    CHECK_EQ(r.b, 0x566e6558);
    CHECK_EQ(r.c, 0x65584d4d);
    CHECK_EQ(r.d, 0x4d4d566e);
    CHECK_EQ(ask(v1, 0x40000001, 0).a, 0x40011);
    r = ask(v1, 0x40000002, 0);
    CHECK_EQ(r.a, 1);
    CHECK_EQ(r.b, 0x40000000);
    CHECK_EQ(ask(v1, 0x40000003, 0).c, 123);
    CHECK_EQ(ask(v1, 0x40000003, 2).a, 2000000);
    r = ask(v1, 0x40000004, 0);
    CHECK_EQ(r.a & 0x7b, 0x18); /* vCPU and domain id, no upcall vector */
    CHECK_EQ(r.b, 1);
    CHECK_EQ(r.c, 1);
    teardown();
}

/* Merges arrays at these addresses. */
static int merge(uint64_t leaves, uint32_t nl, uint64_t msrs, uint32_t nm,
                 struct xen_domctl_cpu_policy *op)
{
    *op = (struct xen_domctl_cpu_policy){.nr_leaves = nl, .nr_msrs = nm};
    op->leaves.p = (void *)leaves;
    op->msrs.p = (void *)msrs;
    return cpu_policy_merge(d1, op);
}

/* 3DNow!: no processor of the last ten years has it. */
static void test_feature_of_another_machine(void)
{
    struct cpuid_regs basic, extd;
    xen_cpuid_leaf_t leaf;
    struct xen_domctl_cpu_policy err;
    struct cpu_policy before;

    setup();
    before = *d1->policy;
    basic = before.basic[1];
    extd = before.extd[1];
    leaf = (xen_cpuid_leaf_t){0x80000001, XEN_CPUID_NO_SUBLEAF, extd.a, extd.b,
                              extd.c,     extd.d | BIT(31)};
    CHECK_EQ(merge((uintptr_t)&leaf, 1, 0, 0, &err), -XEN_EINVAL);
    CHECK_EQ(err.err_leaf, 0x80000001);
    CHECK(!memcmp(&before, d1->policy, sizeof(before)));
    /* What nobody would be given is left out, what the tools count is theirs. */
    leaf = (xen_cpuid_leaf_t){1,       XEN_CPUID_NO_SUBLEAF, basic.a,
                              basic.b, basic.c | BIT(3),     basic.d | BIT(28)};
    CHECK_EQ(merge((uintptr_t)&leaf, 1, 0, 0, &err), 0);
    CHECK(!(ask(v1, 1, 0).c & BIT(3)));
    teardown();
}

static void test_round_trip(void)
{
    xen_cpuid_leaf_t leaves[POLICY_LEAVES];
    xen_msr_entry_t msrs[POLICY_MSRS];
    uint32_t nl = 0, nm = 0;
    struct xen_domctl_cpu_policy err;
    struct cpu_policy before;

    setup();
    CHECK_EQ(cpu_policy_write(d1->policy, 0, &nl, 0, &nm), 0);
    CHECK_EQ(nl, 120);
    CHECK_EQ(nm, 2);
    CHECK_EQ(cpu_policy_write(d1->policy, (uintptr_t)leaves, &nl, (uintptr_t)msrs, &nm), 0);
    CHECK(nl > 20 && nl < 120);
    before = *d1->policy;
    CHECK_EQ(merge((uintptr_t)leaves, nl, (uintptr_t)msrs, nm, &err), 0);
    CHECK(!memcmp(&before, d1->policy, sizeof(before)));
    CHECK_EQ(err.err_leaf, ~0u);
    nl = 3;
    CHECK_EQ(cpu_policy_write(d1->policy, (uintptr_t)leaves, &nl, 0, &nm), -XEN_ENOBUFS);
    teardown();
}

static int merge1(uint32_t leaf, uint32_t sub, struct cpuid_regs r,
                  struct xen_domctl_cpu_policy *err)
{
    xen_cpuid_leaf_t l = {leaf, sub, r.a, r.b, r.c, r.d};

    return merge((uintptr_t)&l, 1, 0, 0, err);
}

static void test_merge(void)
{
    struct xen_domctl_cpu_policy err;
    struct cpuid_regs r;
    xen_msr_entry_t m = {.idx = 0xce, .val = BIT(30)};

    setup();
    /* What nobody can have is dropped. */
    r = ask(v1, 1, 0);
    r.c |= BIT(5) | BIT(3);
    CHECK_EQ(merge1(1, ~0u, r, &err), 0);
    CHECK(!(ask(v1, 1, 0).c & (BIT(5) | BIT(3))));
    /* What is taken away takes others with it. */
    r.c &= ~BIT(26);
    CHECK_EQ(merge1(1, ~0u, r, &err), 0);
    CHECK_EQ(d1->policy->xcr0, 0);
    CHECK(!(ask(v1, 1, 0).c & BIT(28)));
    CHECK_EQ(ask(v1, 0xd, 0).a, 0);
    CHECK(!(cpu_policy_cr4(d1->policy) & CR4_OSXSAVE));
    /* The vendor is the processor's. */
    r = ask(v1, 0, 0);
    r.b ^= 1;
    CHECK_EQ(merge1(0, ~0u, r, &err), 0);
    CHECK_EQ(ask(v1, 0, 0).b, cpuid(0, 0).b);
    /* Errors say where. */
    r.a = 0x20;
    CHECK_EQ(merge1(0, ~0u, r, &err), -XEN_EINVAL);
    CHECK_EQ(err.err_leaf, 0);
    CHECK_EQ(merge1(0x20, ~0u, r, &err), -XEN_ERANGE);
    CHECK_EQ(err.err_leaf, 0x20);
    CHECK_EQ(merge1(1, 0, r, &err), -XEN_ERANGE);
    CHECK_EQ(merge1(7, ~0u, r, &err), -XEN_ERANGE);
    CHECK_EQ(merge1(0xd, 63, r, &err), -XEN_ERANGE);
    CHECK_EQ(err.err_subleaf, 63);
    CHECK_EQ(merge(0, 0, (uintptr_t)&m, 1, &err), -XEN_EINVAL);
    CHECK_EQ(err.err_msr, 0xce);
    /* CPUID faulting may be there or not. */
    CHECK(d1->policy->faulting);
    m.val = 0;
    CHECK_EQ(merge(0, 0, (uintptr_t)&m, 1, &err), 0);
    CHECK(!d1->policy->faulting);
    m.val = BIT(31);
    CHECK_EQ(merge(0, 0, (uintptr_t)&m, 1, &err), 0);
    CHECK(d1->policy->faulting);
    m.idx = 0x10a;
    CHECK_EQ(merge(0, 0, (uintptr_t)&m, 1, &err), -XEN_EINVAL);
    m.idx = 0x10;
    CHECK_EQ(merge(0, 0, (uintptr_t)&m, 1, &err), -XEN_ERANGE);
    CHECK_EQ(merge(0, 121, 0, 0, &err), -XEN_E2BIG);
    CHECK_EQ(merge(1, 1, 0, 0, &err), -XEN_EFAULT);
    fake.no_memory = true;
    CHECK_EQ(merge(0, 0, 0, 0, &err), -XEN_ENOMEM);
    teardown();
}

static void test_msr(void)
{
    uint64_t x;

    setup();
    /* Whatever is not listed is refused, both ways. */
    for (uint32_t base = 0; base < 2; base++)
        for (uint32_t i = 0xc0010110; i < 0xc0010120; i++)
            CHECK(msr_read(v1, i, &x) == -1 && msr_write(v1, i, 0) == -1);
    CHECK_EQ(msr_read(v1, MSR_MCG_CAP, &x), -1); /* machine checks are on request */
    CHECK_EQ(msr_read(v1, 0x400, &x), -1);
    CHECK_EQ(msr_write(v1, 0x48, 1), -1);
    CHECK_EQ(msr_write(v1, 0x49, 1), -1);
    CHECK_EQ(msr_read(v1, 0xc0000105, &x), -1);
    CHECK_EQ(msr_read(v1, 0x210, &x), -1);
    /* PAT and MTRRs: only types that exist. */
    CHECK_EQ(msr_write(v1, MSR_PAT, 0x0007040600070405), 0);
    CHECK_EQ(msr_read(v1, MSR_PAT, &x), 0);
    CHECK_EQ(x, 0x0007040600070405);
    CHECK_EQ(msr_write(v1, MSR_PAT, 2), -1);
    CHECK_EQ(msr_write(v1, MSR_PAT, 8ull << 56), -1);
    CHECK_EQ(msr_write(v1, MSR_MTRR_DEF_TYPE, 0xc06), 0);
    CHECK_EQ(msr_write(v1, MSR_MTRR_DEF_TYPE, 0x1006), -1);
    CHECK_EQ(msr_write(v1, 0x200, 0x80000006), 0);
    CHECK_EQ(msr_read(v1, 0x200, &x), 0);
    CHECK_EQ(x, 0x80000006);
    CHECK_EQ(msr_write(v1, 0x200, 0x80000002), -1);
    CHECK_EQ(msr_write(v1, 0x201, 0x7ff), -1);
    CHECK_EQ(msr_write(v1, 0x201, ~0ull), -1);
    CHECK_EQ(msr_write(v1, 0x26f, 0x0606060606060606), 0);
    CHECK_EQ(msr_write(v1, 0x26f, 0x0306060606060606), -1);
    CHECK_EQ(msr_write(v1, MSR_MTRR_CAP, 0), -1);
    CHECK_EQ(msr_read(v1, MSR_MTRR_CAP, &x), 0);
    CHECK_EQ(x & 0xff, 8);
    teardown();
}

/* Two banks that report nothing, for a guest whose policy has machine checks. */
static void test_msr_mca(void)
{
    uint64_t x = 1;

    setup();
    d1->policy->basic[1].d |= BIT(XEN_X86_FEATURE_MCA % 32);
    CHECK_EQ(msr_read(v1, MSR_MCG_CAP, &x), 0);
    CHECK_EQ(x, 2);
    CHECK_EQ(msr_write(v1, MSR_MCG_CAP, 2), -1);
    for (uint32_t i = 0x400; i < 0x408; i++)
        CHECK(!msr_read(v1, i, &x) && x == 0 && !msr_write(v1, i, ~0ull));
    CHECK_EQ(msr_read(v1, 0x408, &x), -1);
    teardown();
}

/* A guest sets what its policy shows, so that its record can be loaded again. */
static void test_msr_efer(void)
{
    static const struct {
        uint16_t feature;
        uint64_t bit;
    } bits[] = {{XEN_X86_FEATURE_SYSCALL, EFER_SCE},
                {XEN_X86_FEATURE_LM, EFER_LME},
                {XEN_X86_FEATURE_NX, EFER_NXE},
                {XEN_X86_FEATURE_FFXSR, EFER_FFXSE}};
    struct arch_state *s;
    uint64_t x;

    setup();
    s = &control.state[1];
    for (unsigned int i = 0; i < ARRAY_SIZE(bits); i++) {
        uint32_t *word = &d1->policy->extd[1].d, mask = BIT(bits[i].feature % 32);

        *word |= mask;
        CHECK_EQ(msr_write(v1, MSR_EFER, bits[i].bit), 0);
        CHECK_EQ(s->efer, bits[i].bit);
        *word &= ~mask;
        CHECK_EQ(msr_write(v1, MSR_EFER, bits[i].bit), -1);
        CHECK_EQ(msr_write(v1, MSR_EFER, 0), 0);
        *word |= mask;
    }
    CHECK_EQ(msr_write(v1, MSR_EFER, EFER_SVME), -1);
    CHECK_EQ(msr_write(v1, MSR_EFER, BIT(15)), -1);
    CHECK_EQ(msr_write(v1, MSR_EFER, BIT(63)), -1);
    /* LMA follows paging and is nobody else's; LME stays as it is meanwhile. */
    CHECK_EQ(msr_write(v1, MSR_EFER, EFER_LMA), 0);
    CHECK_EQ(s->efer, 0);
    s->efer = EFER_LME | EFER_LMA;
    s->cr0 = CR0_PE | CR0_PG;
    CHECK_EQ(msr_write(v1, MSR_EFER, 0), -1);
    CHECK_EQ(msr_write(v1, MSR_EFER, EFER_LME | EFER_NXE), 0);
    CHECK(!msr_read(v1, MSR_EFER, &x) && x == (EFER_LME | EFER_LMA | EFER_NXE));
    s->cr0 = CR0_PE;
    CHECK_EQ(msr_write(v1, MSR_EFER, EFER_NXE), 0);
    /* LBR and BTF may be set, to no effect. */
    CHECK_EQ(msr_write(v1, MSR_DEBUGCTL, 3), 0);
    CHECK_EQ(msr_write(v1, MSR_DEBUGCTL, 4), -1);
    CHECK(!msr_read(v1, MSR_DEBUGCTL, &x) && x == 0);
    teardown();
}

static void test_msr_tsc(void)
{
    uint64_t x, offset;

    setup();
    offset = v1->tsc_offset;
    CHECK_EQ(msr_write(v1, MSR_TSC_ADJUST, 5000), 0);
    CHECK_EQ(v1->tsc_offset, offset + 5000);
    CHECK_EQ(msr_read(v1, MSR_TSC_ADJUST, &x), 0);
    CHECK_EQ(x, 5000);
    CHECK_EQ(msr_write(v1, MSR_TSC, 1ull << 50), 0);
    CHECK_EQ(msr_read(v1, MSR_TSC, &x), 0);
    CHECK(x >= 1ull << 50 && x < (1ull << 50) + (1ull << 34));
    if (cpu_policy_has(d1->policy, XEN_X86_FEATURE_RDTSCP)) {
        CHECK_EQ(msr_write(v1, MSR_TSC_AUX, 7), 0);
        CHECK_EQ(v1->tsc_aux, 7);
        CHECK_EQ(msr_write(v1, MSR_TSC_AUX, 1ull << 32), -1);
    }
    teardown();
}

static void test_hypercall_page(void)
{
    setup();
    fake_give(d1, 5, 9);
    CHECK_EQ(msr_write(v1, MSR_HYPERCALL, 0x5001), -1);
    CHECK_EQ(msr_write(v1, MSR_HYPERCALL, 0x6000), -1); /* no memory there */
    CHECK_EQ(msr_write(v1, MSR_HYPERCALL, 1ull << 60), -1);
    CHECK_EQ(msr_write(v1, MSR_HYPERCALL, 0x5000), 0);
    CHECK(!memcmp(fake_ram[9] + 32 * 17, "\xb8\x11\0\0\0\x0f\x01\xd9\xc3", 9));
    CHECK(!memcmp(fake_ram[9] + 32 * 23, "\x0f\x0b", 2));
    teardown();
}

int main(void)
{
    RUN(shown);
    RUN(dynamic);
    RUN(bounds);
    RUN(xen);
    RUN(feature_of_another_machine);
    RUN(round_trip);
    RUN(merge);
    RUN(msr);
    RUN(msr_mca);
    RUN(msr_efer);
    RUN(msr_tsc);
    RUN(rates);
    RUN(hypercall_page);
    return test_failed != 0;
}
