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
#include "vm/exit.h"
#include "vm/guest.h"
#include "vm/vendor.h"
#include <xen/arch-x86/cpufeatureset.h>

enum {
    MSR_TSC = 0x10,
    MSR_PLATFORM_ID = 0x17,
    MSR_APIC_BASE = 0x1b,
    MSR_TSC_ADJUST = 0x3b,
    MSR_PATCH_LEVEL = 0x8b,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_EIP = 0x176,
    MSR_PLATFORM_INFO = 0xce,
    MSR_MISC_ENABLE = 0x1a0,
    MSR_DEBUGCTL = 0x1d9,
    MSR_MTRR_VAR = 0x200,
    MSR_PAT = 0x277,
    MSR_TSC_DEADLINE = 0x6e0,
    MSR_X2APIC = 0x800,
    MSR_X2APIC_END = 0x8ff,
    MSR_HYPERCALL = 0x40000000,
    MSR_EFER = 0xc0000080u,
    MSR_SFMASK = 0xc0000084u,
    MSR_FS_BASE = 0xc0000100u,
    MSR_KERNEL_GS_BASE = 0xc0000102u,
    MSR_TSC_AUX = 0xc0000103u,
    MSR_AMD_SYSCFG = 0xc0010010u,
    MSR_AMD_HWCR = 0xc0010015u,
    MSR_AMD_TOP_MEM = 0xc001001au,
    MSR_AMD_TOP_MEM2 = 0xc001001du,
    MSR_AMD_DE_CFG = 0xc0011029u,
};

#define MISC_ENABLE_VALUE 0x1801ull /* fast strings; no BTS, no PEBS        */
#define HWCR_TSC_FREQ     BIT(24)   /* the TSC runs at P0's frequency       */
#define DE_CFG_LFENCE     BIT(1)    /* LFENCE waits for all before it       */

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

/* Variable ones, then fixed: the order of struct vcpu and of the records. */
uint32_t mtrr_number(unsigned int i)
{
    static const uint16_t fixed[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                     0x26b, 0x26c, 0x26d, 0x26e, 0x26f};

    return i < 16 ? MSR_MTRR_VAR + i : fixed[i - 16];
}

uint64_t *mtrr_field(struct vcpu *v, uint32_t msr)
{
    if (msr == MSR_MTRR_DEF_TYPE) return &v->mtrr_def_type;
    for (unsigned int i = 0; i < MTRRS; i++)
        if (mtrr_number(i) == msr) return i < 16 ? &v->mtrr_var[i] : &v->mtrr_fixed[i - 16];
    return NULL;
}

bool mtrr_valid(const struct vcpu *v, uint32_t msr, uint64_t value)
{
    unsigned int width = v->domain->policy->extd[8].a & 0xff;

    if (msr == MSR_MTRR_DEF_TYPE) return !(value & ~0xcffull) && type_valid(value & 0xff);
    if (msr - MSR_MTRR_VAR < ARRAY_SIZE(v->mtrr_var)) {
        if (value >> width) return false;
        return msr & 1 ? !(value & 0x7ff) : !(value & 0xf00) && type_valid(value & 0xff);
    }
    for (unsigned int i = 0; i < 64; i += 8)
        if (!type_valid(value >> i & 0xff)) return false;
    return true;
}

static int write_mtrr(struct vcpu *v, uint32_t msr, uint64_t value)
{
    uint64_t *field = mtrr_field(v, msr);

    if (!field || !mtrr_valid(v, msr, value)) return -1;
    /* Nothing follows: with nested paging the type of RAM is write-back, as
     * far as the guest's PAT does not say otherwise. */
    *field = value;
    return 0;
}

/* --- the rest --- */

static bool is_vlapic(uint32_t msr)
{
    return (msr >= MSR_X2APIC && msr <= MSR_X2APIC_END) || msr == MSR_APIC_BASE ||
           msr == MSR_TSC_DEADLINE;
}

static bool is_vendor(uint32_t msr)
{
    return (msr >= MSR_EFER && msr <= MSR_SFMASK) ||
           (msr >= MSR_FS_BASE && msr <= MSR_KERNEL_GS_BASE) ||
           (msr >= MSR_SYSENTER_CS && msr <= MSR_SYSENTER_EIP) || msr == MSR_DEBUGCTL;
}

static bool has_tsc_aux(const struct vcpu *v)
{
    const struct cpu_policy *p = v->domain->policy;

    return cpu_policy_has(p, XEN_X86_FEATURE_RDTSCP) || cpu_policy_has(p, XEN_X86_FEATURE_RDPID);
}

static bool is_amd(const struct vcpu *v)
{
    return v->domain->policy->extd[0].b != 0;
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
        if (i == __HYPERVISOR_iret) memcpy(stub, "\x0f\x0b", 2); /* ud2 */
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

static int read_amd(const struct vcpu *v, uint32_t msr, uint64_t *value)
{
    uint64_t de_cfg = 0;

    if (!is_amd(v)) return -1;
    switch (msr) {
    case MSR_AMD_SYSCFG:
    case MSR_AMD_TOP_MEM:
    case MSR_AMD_TOP_MEM2: *value = 0; return 0;
    case MSR_AMD_HWCR: *value = HWCR_TSC_FREQ; return 0;
    case MSR_AMD_DE_CFG:
        if (!read_msr_safe(msr, &de_cfg)) de_cfg = 0;
        *value = de_cfg & DE_CFG_LFENCE;
        return 0;
    default: return -1;
    }
}

int msr_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    uint64_t *mtrr;

    if (is_vlapic(msr)) return vlapic_read_msr(v, msr, value);
    if (is_vendor(msr)) return vendor->read_msr(v, msr, value);
    switch (msr) {
    case MSR_TSC: *value = clock_guest_tsc(v); return 0;
    case MSR_TSC_ADJUST: *value = v->tsc_adjust; return 0;
    case MSR_TSC_AUX: *value = v->tsc_aux; return has_tsc_aux(v) ? 0 : refuse(v, "read", msr);
    case MSR_PAT: *value = v->pat; return 0;
    case MSR_MTRR_CAP: *value = MTRR_CAP_VALUE; return 0;
    case MSR_MISC_ENABLE: *value = MISC_ENABLE_VALUE; return 0;
    case MSR_PATCH_LEVEL:
    case MSR_PLATFORM_ID:
    case MSR_PLATFORM_INFO:
    case MSR_HYPERCALL: *value = 0; return 0;
    default:
        mtrr = mtrr_field(v, msr);
        if (!mtrr) return read_amd(v, msr, value) ? refuse(v, "read", msr) : 0;
        *value = *mtrr;
        return 0;
    }
}

static void adjust_tsc(struct vcpu *v, uint64_t by)
{
    v->tsc_adjust += by;
    v->tsc_offset += by;
    vendor->tsc_changed(v);
    clock_update_vcpu(v);
}

static int do_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
    switch (msr) {
    case MSR_TSC: adjust_tsc(v, value - clock_guest_tsc(v)); return 0;
    case MSR_TSC_ADJUST: adjust_tsc(v, value - v->tsc_adjust); return 0;
    case MSR_TSC_AUX:
        if (value >> 32 || !has_tsc_aux(v)) return -1;
        v->tsc_aux = value;
        return write_msr_safe(MSR_TSC_AUX, value) ? 0 : -1;
    case MSR_PAT:
        if (!pat_valid(value) || vendor->write_msr(v, MSR_PAT, value)) return -1;
        v->pat = value;
        return 0;
    case MSR_HYPERCALL: return write_hypercall_page(v, value);
    case MSR_PATCH_LEVEL: /* as before CPUID, to have it filled in */
    case MSR_MISC_ENABLE: /* nothing in it can be changed          */ return 0;
    case MSR_AMD_SYSCFG:
    case MSR_AMD_HWCR:
    case MSR_AMD_DE_CFG: /* the host's business */ return is_amd(v) ? 0 : -1;
    default: return write_mtrr(v, msr, value);
    }
}

int msr_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
    int rc;

    if (is_vlapic(msr)) return vlapic_write_msr(v, msr, value);
    rc = is_vendor(msr) ? vendor->write_msr(v, msr, value) : do_write(v, msr, value);
    return rc ? refuse(v, "write", msr) : 0;
}
