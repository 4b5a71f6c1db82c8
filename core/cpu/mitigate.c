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

#define MSR_SPEC_CTRL 0x48
#define MSR_PRED_CMD  0x49
#define MSR_ARCH_CAPS 0x10a
#define MSR_FLUSH_CMD 0x10b
#define MSR_EFER      0xc0000080
#define EFER_AIBRSE   BIT(21)
#define PRED_IBPB     BIT(0)

#define SPEC_IBRS BIT(0)

/* IA32_ARCH_CAPABILITIES */
#define CAPS_RDCL_NO    BIT(0)
#define CAPS_IBRS_ALL   BIT(1)
#define CAPS_SKIP_L1DFL BIT(3)
#define CAPS_MDS_NO     BIT(5)
#define CAPS_FB_CLEAR   BIT(17)
#define CAPS_RFDS_CLEAR BIT(28)

/* CPUID 0x80000021 */
#define AMD_VERW_CLEAR BIT(5)            /* EAX */
#define AMD_AUTO_IBRS  BIT(8)            /* EAX */
#define AMD_TSA_NO     (BIT(1) | BIT(2)) /* ECX: neither form */

unsigned int mitigations;
static uint64_t spec_ctrl; /* IA32_SPEC_CTRL, also while guests run */
static bool ibpb, auto_ibrs;

/* A leaf that may not be there: zeros. */
static struct cpuid_regs leaf(uint32_t n)
{
    return cpuid(n & BIT(31), 0).a >= n ? cpuid(n, 0) : (struct cpuid_regs){0};
}

static void choose_intel(uint32_t features, uint64_t caps)
{
    ibpb = features & BIT(26);
    if (ibpb && caps & CAPS_IBRS_ALL) spec_ctrl |= SPEC_IBRS;
    if (features & BIT(28) && !(caps & (CAPS_RDCL_NO | CAPS_SKIP_L1DFL)))
        mitigations |= ENTRY_FLUSH_L1D;
    if (features & BIT(10) && (!(caps & CAPS_MDS_NO) || caps & (CAPS_FB_CLEAR | CAPS_RFDS_CLEAR)))
        mitigations |= ENTRY_CLEAR_BUFFERS;
}

static void choose_amd(unsigned int family)
{
    struct cpuid_regs more = leaf(0x80000021);

    ibpb = leaf(0x80000008).b & BIT(12);
    auto_ibrs = more.a & AMD_AUTO_IBRS;
    /* Those of family 19h need it whether they say that VERW has the effect or
     * not: microcode gives it without the bit (AMD on TSA, 2025). */
    if ((family == 0x19 || more.a & AMD_VERW_CLEAR) && (more.c & AMD_TSA_NO) != AMD_TSA_NO)
        mitigations |= ENTRY_CLEAR_BUFFERS;
}

void mitigate_boot(void)
{
    struct cpuid_regs base = cpuid(1, 0);
    uint32_t features = leaf(7).d;
    uint64_t caps = features & BIT(29) ? read_msr(MSR_ARCH_CAPS) : 0;

    if (base.c & BIT(5)) /* VMX */
        choose_intel(features, caps);
    else
        choose_amd((base.a >> 8 & 15) + (base.a >> 20 & 255));
    log_info("speculation: capabilities %lx;%s%s%s%s", caps,
             ibpb ? " IBPB between domains" : " no IBPB here",
             spec_ctrl & SPEC_IBRS ? ", IBRS in the core"
             : auto_ibrs           ? ", automatic IBRS"
                                   : ", no IBRS that stays on",
             mitigations & ENTRY_FLUSH_L1D ? ", L1D flushed on entry" : "",
             mitigations & ENTRY_CLEAR_BUFFERS ? ", buffers cleared on entry" : "");
}

void mitigate_init_cpu(void)
{
    if (spec_ctrl) write_msr(MSR_SPEC_CTRL, spec_ctrl);
    if (auto_ibrs) write_msr(MSR_EFER, read_msr(MSR_EFER) | EFER_AIBRSE);
}

static void clear_buffers(void)
{
    static const uint16_t selector = SEL_DATA;

    __asm__ volatile("verw %0" : : "m"(selector) : "cc");
}

void mitigate_entry(void)
{
    if (mitigations & ENTRY_FLUSH_L1D) write_msr(MSR_FLUSH_CMD, 1);
    if (mitigations & ENTRY_CLEAR_BUFFERS) clear_buffers();
}

/* What is left in the predictors and in the divider is the core's or d's own.
 * Guests have no IBPB, so one vCPU after another of the same domain needs none. */
void mitigate_switch(const struct domain *d)
{
    struct cpu *c = this_cpu();

    if (c->predicted_by == d->id) return;
    c->predicted_by = d->id;
    if (ibpb) write_msr(MSR_PRED_CMD, PRED_IBPB);
}
