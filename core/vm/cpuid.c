/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID as a guest sees it: its policy, and what changes while it runs. */
#include "cpu/arch.h"
#include "cpu/time.h"
#include "vm/cpu_policy.h"
#include "vm/domain.h"
#include "vm/exit.h"
#include "vm/vcpu.h"
#include "vm/vendor.h"
#include <xen/arch-x86/cpufeatureset.h>
#include <xen/arch-x86/cpuid.h>

#define XEN_LEAVES_MAX 5u

/* The leaves that say "Xen" (public arch-x86/cpuid.h). */
static void xen_leaf(struct vcpu *v, uint32_t leaf, uint32_t sub, struct cpuid_regs *r)
{
    const struct domain *d = v->domain;
    uint64_t offset;

    switch (leaf) {
    case 0:
        *r = (struct cpuid_regs){XEN_CPUID_FIRST_LEAF + XEN_LEAVES_MAX, XEN_CPUID_SIGNATURE_EBX,
                                 XEN_CPUID_SIGNATURE_ECX, XEN_CPUID_SIGNATURE_EDX};
        break;
    case 1:
        r->a = 0x00040011; /* 4.17 */
        break;
    case 2: /* one hypercall page, by this MSR */
        r->a = 1;
        r->b = 0x40000000;
        break;
    case 3:
        if (sub == 0) {
            r->a = 2 | (cpu_policy_has(d->policy, XEN_X86_FEATURE_RDTSCP) << 2);
            r->b = d->tsc_mode;
            r->c = d->tsc_khz;
            r->d = d->tsc_incarnation;
        } else if (sub == 1) {
            offset = time_boot_tsc() + v->tsc_offset;
            *r = (struct cpuid_regs){offset, offset >> 32, tsc_scale.mul, (uint8_t)tsc_scale.shift};
        } else if (sub == 2) {
            r->a = tsc_khz;
        }
        break;
    case 4:
        if (sub != 0) break;
        r->a = XEN_HVM_CPUID_VCPU_ID_PRESENT | XEN_HVM_CPUID_DOMID_PRESENT;
        r->b = v->id;
        r->c = d->id;
        break;
    }
}

/* Extended state: sizes for what XCR0 enables now (SDM vol. 1, 13.2). */
static void xstate_leaf(struct vcpu *v, uint32_t sub, struct cpuid_regs *r)
{
    const struct cpu_policy *p = v->domain->policy;

    if (!p->xcr0) return;
    fpu_read_xcr0(v);
    if (sub == 0)
        r->b = cpu_policy_xsave_size(p, v->xcr0, false);
    else if (sub == 1 && r->a & BIT(1)) /* XSAVEC */
        r->b = cpu_policy_xsave_size(p, v->xcr0, true);
}

void cpuid_guest(struct vcpu *v, uint32_t leaf, uint32_t sub, struct cpuid_regs *r)
{
    const struct cpu_policy *p = v->domain->policy;
    const struct cpuid_regs *stored;

    *r = (struct cpuid_regs){0};
    if (leaf - XEN_CPUID_FIRST_LEAF <= XEN_LEAVES_MAX) {
        xen_leaf(v, leaf - XEN_CPUID_FIRST_LEAF, sub, r);
        return;
    }
    stored = cpu_policy_leaf(p, leaf, sub);
    if (stored) *r = *stored;
    switch (leaf) {
    case 1:
        r->b |= v->id << 25; /* APIC id: twice the number */
        if (vendor->get_cr(v, 4) & CR4_OSXSAVE) r->c |= BIT(27);
        break;
    case 7:
        if (sub == 0 && vendor->get_cr(v, 4) & CR4_PKE) r->c |= BIT(4); /* OSPKE */
        break;
    case 0xb: /* goes with x2APIC, so on AMD too */
        if (p->basic[0].a >= 0xb) {
            r->c |= sub & 0xff;
            r->d = v->id * 2;
        }
        break;
    case 0xd: xstate_leaf(v, sub, r); break;
    }
}
