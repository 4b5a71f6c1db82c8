/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest's CPUID and MSR policy is made of (vm/cpu_policy.c). */
#ifndef VM_CPU_POLICY_H
#define VM_CPU_POLICY_H

#include "cpu/cpu.h"
#include "lib/base.h"
#include <xen/xen.h>

#define POLICY_BASIC  14u  /* leaves 0 ... 0xd                  */
#define POLICY_EXTD   34u  /* leaves 0x80000000 ... 0x80000021  */
#define POLICY_CACHE  6u   /* subleaves of leaf 4               */
#define POLICY_FEAT   3u   /* of leaf 7                         */
#define POLICY_TOPO   2u   /* of leaf 0xb                       */
#define POLICY_XSTATE 63u  /* of leaf 0xd                       */
#define POLICY_LEAVES 120u /* all of them, and two for hypervisors */
#define POLICY_MSRS   2u
#define FEATURE_WORDS 18u /* <xen/arch-x86/cpufeatureset.h>    */

struct domain;
struct vcpu;
struct xen_domctl_cpu_policy;

struct cpu_policy {
    struct cpuid_regs basic[POLICY_BASIC], extd[POLICY_EXTD];
    struct cpuid_regs cache[POLICY_CACHE], feat[POLICY_FEAT];
    struct cpuid_regs topo[POLICY_TOPO], xstate[POLICY_XSTATE];
    struct cpuid_regs names[2]; /* 0x40000x00, in the tools' form: zeros */
    uint64_t xcr0;              /* bits that a guest may turn on, from the features */
    bool faulting;              /* CPUID can be made to fault (PLATFORM_INFO's bit 31) */
};

#define PLATFORM_FAULTING   BIT(31) /* MSR_PLATFORM_INFO: there is the next */
#define MISC_CPUID_FAULTING BIT(0)  /* MSR_MISC_FEATURES: CPUID faults outside of ring 0 */

/* `boot` computes the host's, the maximum and the default for HVM once; each domain
 * starts with a copy of the default (dom0: its own default). */
void cpu_policy_boot(void);
int cpu_policy_init(struct domain *d) must_use;

enum system_policy { POLICY_HOST, POLICY_MAX, POLICY_DEFAULT };
const struct cpu_policy *cpu_policy_system(enum system_policy which);

/* One register of the CPUID, by number of the feature word. */
uint32_t cpu_policy_word(const struct cpu_policy *p, unsigned int word);
/* Is a XEN_X86_FEATURE_* there? */
static inline bool cpu_policy_has(const struct cpu_policy *p, unsigned int f)
{
    return cpu_policy_word(p, f / 32) >> f % 32 & 1;
}

/* Bytes of an XSAVE area with these components, standard or compacted. */
uint32_t cpu_policy_xsave_size(const struct cpu_policy *p, uint64_t xcr0, bool compacted);
/* Bits of CR4 and EFER that a guest may set; LMA, which is the processor's, too. */
uint64_t cpu_policy_cr4(const struct cpu_policy *p);
uint64_t cpu_policy_efer(const struct cpu_policy *p);

/*
 * Between a policy and arrays in the current vCPU's memory, at these
 * addresses (0: counts only).  *leaves and *msrs: room in, count out.
 * -ENOBUFS, -EFAULT.
 */
int cpu_policy_write(const struct cpu_policy *p, uint64_t leaves_va, uint32_t *leaves,
                     uint64_t msrs_va, uint32_t *msrs) must_use;
/*
 * Merges op's arrays into d's policy; features that no guest can have are
 * dropped.  op->err_* say what was refused, or ~0.  d does not run and has not
 * run yet.  -E2BIG, -ERANGE (unknown entry), -EINVAL (more than the maximum),
 * -EFAULT.
 */
int cpu_policy_merge(struct domain *d, struct xen_domctl_cpu_policy *op) must_use;

/* --- vm/msr.c --- */
/* MSRs that a guest reaches without an exit. */
#define OPEN_MSRS 10u
extern const uint32_t open_msrs[OPEN_MSRS];
/* For the context records. */
#define MTRR_CAP_VALUE 0x508ull /* 8 variable, fixed, write-combining */
bool pat_valid(uint64_t value);
/* May v->mtrr[i] become this? */
bool mtrr_valid(const struct vcpu *v, unsigned int i, uint64_t value);

#endif
