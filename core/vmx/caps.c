/* SPDX-License-Identifier: Apache-2.0 */
/* What this processor's VMX can do (SDM vol. 3, appendix A). */
#include "cpu/cpu.h"
#include "lib/print.h"
#include "vmx/vmx.h"
#include <xen/errno.h>

#define TRUE_CONTROLS 12 /* from MSR_VMX_PIN to its "true" twin, and so on */

#define BASIC_TRUE BIT(55)
/* Walks of four levels, write-back tables, INVEPT of one and all contexts. */
#define EPT_NEEDED (BIT(6) | BIT(14) | BIT(20) | BIT(25) | BIT(26))
/* INVVPID of all contexts. */
#define VPID_NEEDED (BIT(32) | BIT(42))

struct vmx_caps vmx_caps;

/*
 * Control bits from what must be and what may be set: those that are wanted
 * where they can be had, and `need`.  A bit of `never` must stay clear.
 */
static bool choose(const char *name, uint32_t msr, uint32_t need, uint32_t want, uint32_t never,
                   uint32_t *out)
{
    uint64_t cap = read_msr(msr);
    uint32_t must = cap, may = cap >> 32;

    *out = must | need | (want & may);
    if ((need & ~may) == 0 && (must & never) == 0) return true;
    log_error("This processor's VMX lacks %s controls: %x", name, (need & ~may) | (must & never));
    return false;
}

int vmx_read_caps(void)
{
    uint64_t basic = read_msr(MSR_VMX_BASIC);
    uint32_t twin = basic & BASIC_TRUE ? TRUE_CONTROLS : 0;
    struct vmx_caps *c = &vmx_caps;
    bool good =
        choose("pin", MSR_VMX_PIN + twin, PIN_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI, 0, 0,
               &c->pin) &&
        choose("primary", MSR_VMX_PRIMARY + twin,
               CPU_TSC_OFFSET | CPU_HLT | CPU_MWAIT | CPU_RDPMC | CPU_CR8 | CPU_IO_BITMAPS |
                   CPU_MSR_BITMAPS | CPU_MONITOR | CPU_SECONDARY,
               0, CPU_CR3 | CPU_INVLPG | CPU_RDTSC | CPU_WINDOW | CPU_NMI_WINDOW, &c->primary) &&
        choose("secondary", MSR_VMX_SECONDARY, CPU2_EPT | CPU2_VPID | CPU2_REAL_MODE | CPU2_WBINVD,
               CPU2_RDTSCP | CPU2_INVPCID | CPU2_TSC_SCALING, 0, &c->secondary) &&
        choose("exit", MSR_VMX_EXIT + twin,
               EXIT_SAVE_DEBUG | EXIT_64 | EXIT_LOAD_PAT | EXIT_SAVE_EFER | EXIT_LOAD_EFER, 0, 0,
               &c->exit) &&
        choose("entry", MSR_VMX_ENTRY + twin, ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER,
               0, ENTRY_64, &c->entry);

    if (!good) return -XEN_ENODEV;
    c->revision = basic & 0x7fffffff;
    c->ept = read_msr(MSR_VMX_EPT_VPID);
    c->virtual_apic = read_msr(MSR_VMX_PRIMARY + twin) >> 32 & CPU_TPR_SHADOW &&
                      !((CPU2_XAPIC | CPU2_X2APIC) & ~(read_msr(MSR_VMX_SECONDARY) >> 32));
    if ((c->ept & EPT_NEEDED) == EPT_NEEDED && (c->ept & VPID_NEEDED) == VPID_NEEDED) return 0;
    log_error("This processor's VMX lacks kinds of INVEPT or INVVPID: %lx", c->ept);
    return -XEN_ENODEV;
}

/* What is there but not used yet. */
void vmx_print_caps(void)
{
    uint64_t pin = read_msr(MSR_VMX_PIN) >> 32, second = read_msr(MSR_VMX_SECONDARY) >> 32;

    log_info("VMX: controls %x %x %x %x %x, EPT and VPID %lx", vmx_caps.pin, vmx_caps.primary,
             vmx_caps.secondary, vmx_caps.exit, vmx_caps.entry, vmx_caps.ept);
    log_info("VMX: %s; not used:%s%s%s",
             vmx_caps.virtual_apic ? "the processor serves local APICs" : "no virtual APIC",
             pin & BIT(6) ? " preemption timer" : "", pin & BIT(7) ? " posted interrupts" : "",
             second & BIT(17) ? " PML" : "");
}
