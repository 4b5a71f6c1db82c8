/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done about processors that leak across privilege by speculation,
 * chosen once at boot from CPUID and the architectural MSRs (SDM vol. 3,
 * 2.1, APM vol. 3, appendix E, and the vendors' guidance).
 */
#include "boot/boot.h"
#include "cpu/arch.h"
#include "cpu/cpu.h"
#include "lib/print.h"
#include "vm/domain.h"

#define TSX_OFF      3 /* transactions abort, CPUID does not show them */
#define EFER_AIBRSE  BIT(21)
#define PRED_IBPB    BIT(0)
#define PRED_SBPB    BIT(7)
#define BP_REDUCE    BIT(4) /* less is predicted where guest and host meet */
#define LFENCE_WAITS BIT(1) /* what follows does not begin before it is through */

#define SPEC_IBRS      BIT(0)
#define SPEC_STIBP     BIT(1)
#define SPEC_SSBD      BIT(2)
#define SPEC_BHI_DIS_S BIT(10)

/* IA32_ARCH_CAPABILITIES */
#define CAPS_RDCL_NO        BIT(0)
#define CAPS_IBRS_ALL       BIT(1)
#define CAPS_SKIP_L1DFL     BIT(3)
#define CAPS_MDS_NO         BIT(5)
#define CAPS_PSCHANGE_MC_NO BIT(6)
#define CAPS_TSX_CTRL       BIT(7)
#define CAPS_FB_CLEAR       BIT(17)
#define CAPS_BHI_NO         BIT(20)
#define CAPS_PBRSB_NO       BIT(24)
#define CAPS_RFDS_CLEAR     BIT(28)

/* CPUID 0x80000008, EBX */
#define AMD_IBPB   BIT(12)
#define AMD_STIBP  BIT(15)
#define AMD_SSBD   BIT(24)
#define AMD_BTC_NO BIT(29)

/* CPUID 0x80000021, EAX */
#define AMD_LFENCE_WAITS   BIT(2)
#define AMD_VERW_CLEAR     BIT(5)
#define AMD_AUTO_IBRS      BIT(8)
#define AMD_IBPB_BRTYPE    BIT(28)
#define AMD_SRSO_NO        BIT(29)
#define AMD_BP_SPEC_REDUCE BIT(31)
#define AMD_TSA_NO         (BIT(1) | BIT(2)) /* ECX: neither form */

unsigned int mitigations;
bool siblings_leak, superpage_erratum;
static uint64_t spec_ctrl; /* IA32_SPEC_CTRL, also while guests run */
static bool ibpb, auto_ibrs, bp_reduce, tsx_off;

/* Bits that AMD's errata ask for, by family and models. */
static const struct {
    uint8_t family, first, last, bit;
    uint32_t msr;
} errata[] = {
    {0x16, 0x00, 0x0f, 15, MSR_LS_CFG}, /* 793: a guest's writes can stop the core */
    /* Zen 1 and Hygon's: dividing floats shows another's remainders (SN-7053) */
    {0x17, 0x00, 0x2f, 9, MSR_FP_CFG},
    {0x17, 0x50, 0x5f, 9, MSR_FP_CFG},
    {0x18, 0x00, 0xff, 9, MSR_FP_CFG},
    /* Zen 2: vector registers show another's (Zenbleed); decoded instructions go
     * wrong (SN-7052); branches are guessed where there are none (BTC) */
    {0x17, 0x30, 0x4f, 9, MSR_DE_CFG},
    {0x17, 0x60, 0xff, 9, MSR_DE_CFG},
    {0x17, 0x30, 0x4f, 33, MSR_BP_CFG},
    {0x17, 0x60, 0xff, 33, MSR_BP_CFG},
    {0x17, 0x30, 0x4f, 1, MSR_DE_CFG2},
    {0x17, 0x60, 0xff, 1, MSR_DE_CFG2},
};

/* A leaf that may not be there: zeros. */
static struct cpuid_regs leaf(uint32_t n, uint32_t sub)
{
    return cpuid(n & BIT(31), 0).a >= n ? cpuid(n, sub) : (struct cpuid_regs){0};
}

/*
 * Return stacks: IBRS that stays on keeps them apart but for the last entry, and
 * with PBRSB_NO for that, too.  IBRS of the old kind has to be written after each
 * exit; without it Skylake takes targets from elsewhere when a stack runs empty.
 */
static void choose_intel(uint32_t features, uint64_t caps)
{
    ibpb = features & BIT(26);
    if (ibpb && caps & CAPS_IBRS_ALL) {
        spec_ctrl |= SPEC_IBRS;
        if (!(caps & CAPS_PBRSB_NO)) mitigations |= EXIT_FILL_RETURNS;
    } else if (ibpb) {
        mitigations |= EXIT_FILL_RETURNS | EXIT_IBRS;
    }
    superpage_erratum = !(caps & CAPS_PSCHANGE_MC_NO) && !options.exec_superpages;
    siblings_leak = !(caps & CAPS_RDCL_NO) || !(caps & CAPS_MDS_NO);
    if (features & BIT(27)) spec_ctrl |= SPEC_STIBP;
    if (features & BIT(31) && options.ssbd) spec_ctrl |= SPEC_SSBD;
    tsx_off = caps & CAPS_TSX_CTRL;
    if (leaf(7, 0).a >= 2 && leaf(7, 2).d & BIT(4) && !(caps & CAPS_BHI_NO))
        spec_ctrl |= SPEC_BHI_DIS_S;
    if (features & BIT(28) && !(caps & (CAPS_RDCL_NO | CAPS_SKIP_L1DFL)))
        mitigations |= ENTRY_FLUSH_L1D;
    if (features & BIT(10) && (!(caps & CAPS_MDS_NO) || caps & (CAPS_FB_CLEAR | CAPS_RFDS_CLEAR)))
        mitigations |= ENTRY_CLEAR_BUFFERS;
}

/*
 * Until family 19h any branch may be taken for another (BTC), after that returns
 * may go where a guest led them (SRSO): IBPB after each exit forgets that, in
 * family 19h with new microcode, which takes PRED_SBPB, too.  Automatic IBRS
 * empties the return stack at an exit.
 */
static void choose_amd(uint8_t family)
{
    struct cpuid_regs more = leaf(0x80000021, 0);
    uint32_t b = leaf(0x80000008, 0).b;

    ibpb = b & AMD_IBPB;
    auto_ibrs = more.a & AMD_AUTO_IBRS;
    if (b & AMD_STIBP) spec_ctrl |= SPEC_STIBP;
    if (b & AMD_SSBD && options.ssbd) spec_ctrl |= SPEC_SSBD;
    /* Those of family 19h need it whether they say that VERW has the effect or
     * not: microcode gives it without the bit (AMD on TSA, 2025). */
    if ((family == 0x19 || more.a & AMD_VERW_CLEAR) && (more.c & AMD_TSA_NO) != AMD_TSA_NO)
        mitigations |= ENTRY_CLEAR_BUFFERS;
    if (!ibpb) return;
    if (!auto_ibrs) mitigations |= EXIT_FILL_RETURNS;
    if (family < 0x19 ? b & AMD_BTC_NO : more.a & AMD_SRSO_NO) return;
    bp_reduce = more.a & AMD_BP_SPEC_REDUCE;
    if (bp_reduce || !options.ibpb_entry) return;
    if (family < 0x19 || more.a & AMD_IBPB_BRTYPE || write_msr_safe(MSR_PRED_CMD, PRED_SBPB))
        mitigations |= EXIT_IBPB;
    else
        log_warn("speculation: guests lead the core's returns (SRSO): update the microcode");
}

/* CPUID 1, EAX; AMD's families from 15 on have the extended fields. */
static uint8_t family_of(uint32_t a)
{
    return (a >> 8 & 15) + (a >> 20 & 255);
}

/* What microcode or firmware did already is done again. */
static void set_bit_of(uint32_t msr, uint64_t bit)
{
    uint64_t v;

    if (read_msr_safe(msr, &v)) write_msr_safe(msr, v | bit);
}

/* Under a hypervisor these MSRs are its business. */
static void mend_errata(void)
{
    struct cpuid_regs base = cpuid(1, 0);
    uint8_t family = family_of(base.a), model = (base.a >> 4 & 15) | (base.a >> 12 & 0xf0);

    if (base.c & (BIT(5) | BIT(31))) return; /* VMX: Intel's; a hypervisor */
    for (unsigned int i = 0; i < ARRAY_SIZE(errata); i++)
        if (family == errata[i].family && model >= errata[i].first && model <= errata[i].last)
            set_bit_of(errata[i].msr, BIT(errata[i].bit));
    /* Families f and 11 have no other LFENCE; later ones say so. */
    if (family >= 0x10 && family <= 0x18 && family != 0x11 &&
        !(leaf(0x80000021, 0).a & AMD_LFENCE_WAITS))
        set_bit_of(MSR_DE_CFG, LFENCE_WAITS);
}

void mitigate_boot(void)
{
    struct cpuid_regs base = cpuid(1, 0);
    uint32_t features = leaf(7, 0).d;
    uint64_t caps = features & BIT(29) ? read_msr(MSR_ARCH_CAPS) : 0;

    if (base.c & BIT(5)) /* VMX */
        choose_intel(features, caps);
    else
        choose_amd(family_of(base.a));
    if (options.fill_returns) mitigations |= EXIT_FILL_RETURNS;
    if (options.ssbd && !(spec_ctrl & SPEC_SSBD)) log_warn("spec-ctrl=ssbd: not in this processor");
    log_info("speculation: capabilities %lx, SPEC_CTRL %lx;%s%s%s%s%s", caps, spec_ctrl,
             mitigations & EXIT_IBPB ? " IBPB after each exit"
             : ibpb                  ? " IBPB between domains"
                                     : " no IBPB here",
             spec_ctrl & SPEC_IBRS     ? ", IBRS in the core"
             : auto_ibrs               ? ", automatic IBRS"
             : mitigations & EXIT_IBRS ? ", IBRS after each exit"
                                       : ", no IBRS",
             mitigations & EXIT_FILL_RETURNS ? ", return stack filled" : "",
             mitigations & ENTRY_FLUSH_L1D ? ", L1D flushed on entry" : "",
             mitigations & ENTRY_CLEAR_BUFFERS ? ", buffers cleared on entry" : "");
}

void mitigate_init_cpu(void)
{
    mend_errata();
    if (spec_ctrl) write_msr(MSR_SPEC_CTRL, spec_ctrl);
    if (auto_ibrs) write_msr(MSR_EFER, read_msr(MSR_EFER) | EFER_AIBRSE);
    if (tsx_off) write_msr(MSR_TSX_CTRL, TSX_OFF);
    if (bp_reduce) set_bit_of(MSR_BP_CFG, BP_REDUCE);
}

static void clear_buffers(void)
{
    static const uint16_t selector = SEL_DATA;

    __asm__ volatile("verw %0" : : "m"(selector) : "cc");
}

void mitigate_entry(void)
{
    if (mitigations & EXIT_IBRS) write_msr(MSR_SPEC_CTRL, spec_ctrl);
    if (mitigations & ENTRY_FLUSH_L1D) write_msr(MSR_FLUSH_CMD, 1);
    if (mitigations & ENTRY_CLEAR_BUFFERS) clear_buffers();
}

/* LFENCE: its own return waits until it is known that nothing was passed by. */
void mitigate_exit(void)
{
    if (mitigations & EXIT_IBPB) write_msr(MSR_PRED_CMD, PRED_IBPB);
    if (mitigations & EXIT_IBRS) write_msr(MSR_SPEC_CTRL, spec_ctrl | SPEC_IBRS);
    __asm__ volatile("lfence" : : : "memory");
}

/* A sibling gets this thread's share of buffers and return stack, and gives its own
 * back. */
void mitigate_idle(void)
{
    if (mitigations & ENTRY_CLEAR_BUFFERS) clear_buffers();
    fill_returns();
}

/*
 * The predictors keep what d itself taught them, or nothing.  Guests have no IBPB,
 * so none of theirs is missing where a CPU goes on with the same domain.  AMD's
 * leaves the return stack as it is unless CPUID says more.
 */
void mitigate_switch(const struct domain *d)
{
    struct cpu *c = this_cpu();

    if (READ_ONCE(c->predicted_by) == d->id) return;
    WRITE_ONCE(c->predicted_by, d->id);
    /* Zen 1's divider shows the last quotient to who divides by 0. */
    __asm__ volatile("xor %%edx, %%edx; mov $1, %%eax; div %%eax" : : : "eax", "edx", "cc");
    if (!ibpb) return;
    write_msr(MSR_PRED_CMD, PRED_IBPB);
    fill_returns();
}

void mitigate_forget(uint16_t id)
{
    struct cpu *c;

    for_each_cpu (c)
        if (READ_ONCE(c->predicted_by) == id) WRITE_ONCE(c->predicted_by, DOMID_INVALID);
}
