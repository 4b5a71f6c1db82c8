/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done about processors that leak across privilege by speculation,
 * chosen once at boot from CPUID and the architectural MSRs (SDM vol. 3,
 * 2.1 and the vendors' guidance).
 */
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

/* IA32_ARCH_CAPABILITIES */
#define CAPS_RDCL_NO    BIT(0)
#define CAPS_IBRS_ALL   BIT(1)
#define CAPS_SKIP_L1DFL BIT(3)
#define CAPS_MDS_NO     BIT(5)
#define CAPS_FB_CLEAR   BIT(17)
#define CAPS_RFDS_CLEAR BIT(28)

unsigned int mitigate_on_entry;
static bool ibpb, ibrs_always, auto_ibrs;

void mitigate_boot(void)
{
    struct cpuid_regs feat = cpuid(0, 0).a >= 7 ? cpuid(7, 0) : (struct cpuid_regs){0};
    uint32_t last = cpuid(0x80000000, 0).a;
    uint32_t amd = last >= 0x80000008 ? cpuid(0x80000008, 0).b : 0;
    uint64_t caps = feat.d & BIT(29) ? read_msr(MSR_ARCH_CAPS) : 0;

    ibpb = feat.d & BIT(26) || amd & BIT(12);
    ibrs_always = feat.d & BIT(26) && caps & CAPS_IBRS_ALL;
    auto_ibrs = last >= 0x80000021 && cpuid(0x80000021, 0).a & BIT(8);
    if (feat.d & BIT(28) && !(caps & (CAPS_RDCL_NO | CAPS_SKIP_L1DFL)))
        mitigate_on_entry |= ENTRY_FLUSH_L1D;
    if (feat.d & BIT(10) && (!(caps & CAPS_MDS_NO) || caps & (CAPS_FB_CLEAR | CAPS_RFDS_CLEAR)))
        mitigate_on_entry |= ENTRY_CLEAR_BUFFERS;
    log_info("speculation: capabilities %lx;%s%s%s%s%s", caps,
             ibpb ? " IBPB between domains" : " no IBPB here",
             ibrs_always ? ", IBRS in the core"
             : auto_ibrs ? ", automatic IBRS"
                         : "",
             mitigate_on_entry & ENTRY_FLUSH_L1D ? ", L1D flushed on entry" : "",
             mitigate_on_entry & ENTRY_CLEAR_BUFFERS ? ", buffers cleared on entry" : "",
             ibrs_always || auto_ibrs ? "" : ", no IBRS that stays on");
}

void mitigate_init_cpu(void)
{
    if (ibrs_always) write_msr(MSR_SPEC_CTRL, 1);
    if (auto_ibrs) write_msr(MSR_EFER, read_msr(MSR_EFER) | EFER_AIBRSE);
}

void mitigate_entry(void)
{
    static const uint16_t selector = SEL_DATA;

    if (mitigate_on_entry & ENTRY_FLUSH_L1D) write_msr(MSR_FLUSH_CMD, 1);
    if (mitigate_on_entry & ENTRY_CLEAR_BUFFERS)
        __asm__ volatile("verw %0" : : "m"(selector) : "cc");
}

void mitigate_switch(const struct domain *d)
{
    struct cpu *c = this_cpu();

    if (c->predicted_by == d->id) return;
    c->predicted_by = d->id;
    if (ibpb) write_msr(MSR_PRED_CMD, 1);
}
