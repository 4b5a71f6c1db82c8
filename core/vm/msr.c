/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSRs that a guest may read and write.  What is not named here is refused
 * with #GP; system-call MSRs mostly do not even leave the guest.
 */
#include "cpu/time.h"
#include "device/vlapic.h"
#include "lib/print.h"
#include "lib/string.h"
#include "vm/cpu_policy.h"
#include "vm/domain.h"
#include "vm/vcpu.h"
#include "vm/guest.h"
#include "vm/vendor.h"
#include <xen/arch-x86/cpufeatureset.h>

#define MCA_BANKS     2      /* as many as in stock Xen */
#define DE_CFG_LFENCE BIT(1) /* LFENCE waits for all before it       */

/* Each vendor switches them with the vCPU. */
const uint32_t open_msrs[OPEN_MSRS] = {
    MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_STAR,    MSR_LSTAR,
    MSR_CSTAR,       MSR_SFMASK,       MSR_FS_BASE,      MSR_GS_BASE, MSR_KERNEL_GS_BASE,
};

/* Those that read as constants. */
static const struct constant {
    uint32_t msr;
    bool amd;   /* only where the processor is AMD's */
    bool write; /* changes nothing; else: refused */
    uint64_t value;
} constants[] = {
    {MSR_PLATFORM_ID, false, false, 0},
    {MSR_PATCH_LEVEL, false, true, 0}, /* written before CPUID fills it in */
    {MSR_MTRR_CAP, false, false, MTRR_CAP_VALUE},
    {MSR_MCG_CAP, false, false, MCA_BANKS}, /* the banks report nothing */
    {MSR_MCG_STATUS, false, true, 0},
    {MSR_DEBUGCTL, false, false, 0},        /* its write is not */
    {MSR_MISC_ENABLE, false, true, 0x1801}, /* fast strings; no BTS, no PEBS */
    {MSR_HYPERCALL, false, false, 0},       /* the same */
    {MSR_SYSCFG, true, true, 0},
    {MSR_HWCR, true, true, BIT(24)}, /* the TSC runs at P0's frequency */
    {MSR_TOP_MEM, true, false, 0},
    {MSR_TOP_MEM2, true, false, 0},
    {MSR_NB_CFG, true, true, 0}, /* Linux wants PCI's I/O of ECS */
    {MSR_DE_CFG, true, true, 0}, /* and the host's LFENCE bit */
};

/* --- memory types --- */

/* UC, WC, WT, WP, WB (SDM vol. 3, 12.11.2.1). */
static bool type_valid(uint64_t type)
{
    return type < 7 && type != 2 && type != 3;
}

/* As above, or UC- (SDM vol. 3, 12.12.2). */
bool pat_valid(uint64_t value)
{
    for (unsigned int i = 0; i < 64; i += 8)
        if (!type_valid(value >> i & 0xff) && (value >> i & 0xff) != 7) return false;
    return true;
}

/* The number of an MTRR in v->mtrr, or -1. */
static int mtrr_index(uint32_t msr)
{
    unsigned int i = msr - MSR_MTRR_BASE0 < MTRR_FIXED ? msr - MSR_MTRR_BASE0
                     : msr == MSR_MTRR_FIX64K          ? MTRR_FIXED
                     : msr - MSR_MTRR_FIX16K < 2       ? MTRR_FIXED + 1 + msr - MSR_MTRR_FIX16K
                     : msr - MSR_MTRR_FIX4K < 8        ? MTRR_FIXED + 3 + msr - MSR_MTRR_FIX4K
                     : msr == MSR_MTRR_DEF_TYPE        ? MTRR_DEF_TYPE
                                                       : MTRRS;

    return i < MTRRS ? (int)index_nospec(i, MTRRS) : -1;
}

bool mtrr_valid(const struct vcpu *v, unsigned int i, uint64_t value)
{
    if (i == MTRR_DEF_TYPE) return !(value & ~0xcffull) && type_valid(value & 0xff);
    if (i < MTRR_FIXED) {
        if (value >> (v->domain->policy->extd[8].a & 0xff)) return false;
        return i & 1 ? !(value & 0x7ff) : !(value & 0xf00) && type_valid(value & 0xff);
    }
    for (unsigned int shift = 0; shift < 64; shift += 8)
        if (!type_valid(value >> shift & 0xff)) return false;
    return true;
}

/* --- the rest --- */

static bool is_vlapic(uint32_t msr)
{
    return (msr >= MSR_X2APIC && msr <= MSR_X2APIC_END) || msr == MSR_APIC_BASE ||
           msr == MSR_TSC_DEADLINE;
}

static bool has_tsc_aux(const struct vcpu *v)
{
    const struct cpu_policy *p = v->domain->policy;

    return cpu_policy_has(p, XEN_X86_FEATURE_RDTSCP) || cpu_policy_has(p, XEN_X86_FEATURE_RDPID);
}

static const struct constant *find_constant(const struct vcpu *v, uint32_t msr)
{
    if (msr - MSR_MC0_CTL < MCA_BANKS * 4) msr = MSR_MCG_STATUS; /* like it: 0 */
    if ((msr == MSR_MCG_CAP || msr == MSR_MCG_STATUS) &&
        !cpu_policy_has(v->domain->policy, XEN_X86_FEATURE_MCA))
        return NULL;
    for (const struct constant *c = constants; c < constants + ARRAY_SIZE(constants); c++)
        if (c->msr == msr && (!c->amd || v->domain->policy->extd[0].b)) return c;
    return NULL;
}

/*
 * A page of stubs, 32 bytes for each hypercall: mov $number, %eax; the
 * vendor's instruction; ret.  Number 23 (iret) is for PV only.
 */
static int write_hypercall_page(struct vcpu *v, uint64_t value)
{
    uint8_t stub[32];

    if (value & (PAGE_SIZE - 1)) return -1;
    for (uint32_t i = 0; i < PAGE_SIZE / sizeof(stub); i++) {
        memset(stub, 0xcc, sizeof(stub));
        stub[0] = 0xb8;
        memcpy(stub + 1, &i, sizeof(i));
        memcpy(stub + 5, vendor->hypercall_insn, 3);
        stub[8] = 0xc3;
        if (i == __HYPERVISOR_iret) stub[0] = 0x0f, stub[1] = 0x0b; /* ud2 */
        if (copy_to_gpa(v->domain, value + i * sizeof(stub), stub, sizeof(stub))) return -1;
    }
    return 0;
}

static int refuse(const struct vcpu *v, const char *what, uint32_t msr)
{
    log_guest(LOG_DEBUG, "d%uv%u: %s of MSR %x refused, rip %lx", v->domain->id, v->id, what, msr,
              v->regs.rip);
    return -1;
}

static int do_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    const struct constant *c = find_constant(v, msr);
    int i = mtrr_index(msr);
    uint64_t host;

    if (msr == MSR_TSC)
        *value = guest_tsc(v, read_tsc());
    else if (msr == MSR_TSC_ADJUST)
        *value = v->tsc_adjust;
    else if (msr == MSR_TSC_AUX && has_tsc_aux(v))
        *value = v->tsc_aux;
    else if (msr == MSR_PAT)
        *value = v->pat;
    else if (msr == MSR_EFER)
        *value = vendor->get_efer(v);
    else if (msr == MSR_PLATFORM_INFO)
        *value = v->domain->policy->faulting ? PLATFORM_FAULTING : 0;
    else if (msr == MSR_MISC_FEATURES && v->domain->policy->faulting)
        *value = v->cpuid_faulting ? MISC_CPUID_FAULTING : 0;
    else if (i >= 0)
        *value = v->mtrr[i];
    else if (c)
        *value = c->value;
    else
        return -1;
    if (c && msr == MSR_DE_CFG && read_msr_safe(msr, &host)) *value = host & DE_CFG_LFENCE;
    return 0;
}

int msr_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    if (is_vlapic(msr)) return vlapic_read_msr(v, msr, value);
    return do_read(v, msr, value) ? refuse(v, "read", msr) : 0;
}

static void adjust_tsc(struct vcpu *v, uint64_t by)
{
    v->tsc_adjust += by;
    v->tsc_offset += by;
    vendor->tsc_changed(v);
    clock_update_vcpu(v);
}

/* What the policy does not show is refused: the processor may not have it, and what
 * the guest set could not be restored. */
static int write_efer(struct vcpu *v, uint64_t value)
{
    uint64_t old = vendor->get_efer(v);

    if (value & ~cpu_policy_efer(v->domain->policy)) return -1;
    /* LME cannot change while paging is on; LMA is the processor's. */
    if (vendor->get_cr(v, 0) & CR0_PG && (value ^ old) & EFER_LME) return -1;
    vendor->set_efer(v, (value & ~EFER_LMA) | (old & EFER_LMA));
    return 0;
}

static int do_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
    const struct constant *c = find_constant(v, msr);
    int i = mtrr_index(msr);

    switch (msr) {
    case MSR_TSC: adjust_tsc(v, value - guest_tsc(v, read_tsc())); return 0;
    case MSR_TSC_ADJUST: adjust_tsc(v, value - v->tsc_adjust); return 0;
    case MSR_TSC_AUX:
        if (value >> 32 || !has_tsc_aux(v)) return -1;
        v->tsc_aux = value;
        return write_msr_safe(MSR_TSC_AUX, value) ? 0 : -1;
    case MSR_PAT:
        if (!pat_valid(value)) return -1;
        vendor->set_pat(v, value);
        v->pat = value;
        return 0;
    case MSR_EFER: return write_efer(v, value);
    case MSR_DEBUGCTL: /* no LBR or single-step-on-branch for guests */
        return value & ~3ull ? -1 : 0;
    case MSR_MISC_FEATURES:
        if (value & ~MISC_CPUID_FAULTING || !v->domain->policy->faulting) return -1;
        v->cpuid_faulting = value;
        return 0;
    case MSR_HYPERCALL: return write_hypercall_page(v, value);
    }
    if (c) return c->write ? 0 : -1;
    if (i < 0 || !mtrr_valid(v, i, value)) return -1;
    /* Nothing follows: with nested paging the type of RAM is write-back, as
     * far as the guest's PAT does not say otherwise. */
    v->mtrr[i] = value;
    return 0;
}

int msr_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
    if (is_vlapic(msr)) return vlapic_write_msr(v, msr, value);
    return do_write(v, msr, value) ? refuse(v, "write", msr) : 0;
}
