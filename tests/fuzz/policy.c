/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID and MSR policies from a toolstack: nothing gets in that the maximum
 * does not have, and any leaf can be asked for afterwards. */
#define main unit_main
#include "../unit/test_policy.c"
#undef main

static struct cpu_policy saved;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static xen_cpuid_leaf_t leaf[POLICY_LEAVES];
    static xen_msr_entry_t msr[POLICY_MSRS];
    const struct cpu_policy *max = cpu_policy_system(POLICY_MAX);
    struct xen_domctl_cpu_policy op = {0};

    if (!d1) {
        setup();
        saved = *d1->policy;
        max = cpu_policy_system(POLICY_MAX);
    }
    if (len < 1) return 0;
    *d1->policy = saved;
    op.nr_msrs = data[0] & 3;
    for (unsigned int i = 0; i < POLICY_MSRS && len > 10; i++) {
        msr[i] = (xen_msr_entry_t){.idx = data[1] & 1 ? MSR_PLATFORM_INFO : data[1]};
        memcpy(&msr[i].val, data + 2, 8);
        data += 9;
        len -= 9;
    }
    for (data++, len--; len >= 12 && op.nr_leaves < POLICY_LEAVES; data += 12, len -= 12) {
        xen_cpuid_leaf_t *l = &leaf[op.nr_leaves++];

        *l = (xen_cpuid_leaf_t){.leaf = data[0] % 40, .subleaf = data[1] < 64 ? data[1] : ~0u};
        if (data[0] & 0x80) l->leaf |= data[0] & 0x40 ? 0x40000000 : 0x80000000;
        memcpy(&l->a, data + 2, 10);
        l->d = l->a * 0x01010101;
    }
    op.leaves.p = leaf;
    op.msrs.p = msr;
    fake_run(v0);
    if (!cpu_policy_merge(d1, &op))
        for (unsigned int i = 0; i < FEATURE_WORDS; i++)
            if (cpu_policy_word(d1->policy, i) & ~cpu_policy_word(max, i)) abort();
    fake_run(v1);
    for (uint32_t i = 0; i < 0x24; i++) {
        ask(v1, i, i & 3);
        ask(v1, 0x80000000 | i, 0);
        ask(v1, 0x40000000 | i, i & 1);
    }
    for (uint32_t i = 0; i < 64; i++) ask(v1, 0xd, i);
    fake_run(v0);
    op.nr_leaves = POLICY_LEAVES;
    op.nr_msrs = POLICY_MSRS;
    if (cpu_policy_write(d1->policy, (uintptr_t)leaf, &op.nr_leaves, (uintptr_t)msr, &op.nr_msrs))
        abort();
    return 0;
}
