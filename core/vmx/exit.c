/* SPDX-License-Identifier: Apache-2.0 */
/* VMX's exit reasons (SDM vol. 3, appendix C), decoded into struct vm_exit. */
#include "cpu/cpu.h"
#include "device/vlapic.h"
#include "vm/cpu_policy.h"
#include "vm/domain.h"
#include "vm/guest.h"
#include "vm/vendor.h"
#include "vmx/vmx.h"

enum vmx_reason {
    REASON_EXCEPTION = 0, /* or NMI */
    REASON_INTERRUPT = 1,
    REASON_TRIPLE_FAULT = 2,
    REASON_INIT = 3,
    REASON_WINDOW = 7,
    REASON_NMI_WINDOW = 8,
    REASON_CPUID = 10,
    REASON_GETSEC = 11,
    REASON_HLT = 12,
    REASON_INVD = 13,
    REASON_RDPMC = 15,
    REASON_RDTSC = 16,
    REASON_VMCALL = 18,
    REASON_VMCLEAR = 19,
    REASON_VMXON = 27,
    REASON_CR = 28,
    REASON_IO = 30,
    REASON_RDMSR = 31,
    REASON_WRMSR = 32,
    REASON_MWAIT = 36,
    REASON_MONITOR = 39,
    REASON_PAUSE = 40,
    REASON_APIC_PAGE = 44,
    REASON_EOI = 45,
    REASON_EPT = 48,
    REASON_INVEPT = 50,
    REASON_RDTSCP = 51,
    REASON_INVVPID = 53,
    REASON_WBINVD = 54,
    REASON_XSETBV = 55,
    REASON_APIC_WRITE = 56,
};

#define QUAL_UNBLOCK BIT(12)
#define DB_BS        BIT(14)
#define DB_BD        BIT(13)

/* Nothing is skipped when the instruction is to be executed again. */
void vmx_skip_insn(struct vcpu *v, unsigned int len)
{
    uint64_t old = v->regs.rip, block = vmread(GUEST_BLOCKING);

    if (!len) return;
    v->regs.rip += len;
    /* Over 4 GiB goes only 64-bit code. */
    if (unlikely((old ^ v->regs.rip) >> 32) && !(vmread(GUEST_ATTR + 2 * SEG_CS) & ATTR_LONG))
        v->regs.rip = (uint32_t)v->regs.rip;
    if (block & (BLOCKING_STI | BLOCKING_MOV_SS))
        vmwrite(GUEST_BLOCKING, block & ~(BLOCKING_STI | BLOCKING_MOV_SS));
    if (unlikely(v->regs.rflags & RFLAGS_TF)) vmwrite(GUEST_PENDING_DB, DB_BS);
}

/* The exit came from an IRET that ended the blocking of NMIs, and which is
 * executed again (27.2.3). */
static void block_nmis_again(struct vmx_vcpu *x)
{
    if (x->event & EVENT_VALID) return;
    vmwrite(GUEST_BLOCKING, vmread(GUEST_BLOCKING) | BLOCKING_NMI);
}

/* #DB exits before it changed DR6 and DR7 (27.1). */
static void complete_db(struct vmx_vcpu *x, uint32_t event)
{
    uint64_t qual = vmread(QUALIFICATION), dr6;

    x->int1 = EVENT_TYPE(event) == EVENT_INT1;
    if (x->int1) vmwrite(ENTRY_LENGTH, vmread(EXIT_LENGTH));
    __asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
    dr6 = (dr6 & ~15ull) | (qual & (DB_BS | DB_BD | 15));
    __asm__ volatile("mov %0, %%dr6" : : "r"(dr6));
    if (qual & DB_BD) vmwrite(GUEST_DR7, vmread(GUEST_DR7) & ~DB_BD);
    vmwrite(GUEST_BLOCKING, vmread(GUEST_BLOCKING) & ~(BLOCKING_STI | BLOCKING_MOV_SS));
}

static void decode_call(struct vm_exit *e)
{
    e->reason = EXIT_HYPERCALL;
    e->call.cpl = vmread(GUEST_SELECTOR + 2 * SEG_CS) & 3; /* SDM vol. 3, 5.5 */
    e->call.long_mode = vmread(GUEST_ATTR + 2 * SEG_CS) & ATTR_LONG;
}

/* VMMCALL, the other vendor's hypercall, arrives here as #UD. */
static bool is_vmmcall(struct vcpu *v)
{
    uint8_t insn[15];

    return vmx_get_cpl(v) == 0 && guest_fetch_insn(v, insn) >= 3 && insn[0] == 0x0f &&
           insn[1] == 0x01 && insn[2] == 0xd9;
}

static void decode_exception(struct vcpu *v, struct vm_exit *e)
{
    uint32_t event = vmread(EXIT_EVENT);
    uint8_t vector = event;

    if (EVENT_TYPE(event) == EVENT_NMI) {
        /* The host's.  NMIs are blocked until the handler's IRET. */
        __asm__ volatile("int $2");
        e->reason = EXIT_SKIP;
        return;
    }
    if (event & EVENT_UNBLOCK) block_nmis_again(v->vendor);
    if (vector == VEC_DB) complete_db(v->vendor, event);
    e->reason = EXIT_EXCEPTION;
    e->exception.vector = vector;
    if (vector == VEC_UD && is_vmmcall(v)) {
        decode_call(e);
        e->len = 3;
    }
}

static bool write_cr0(uint64_t value)
{
    if (value >> 32 || (value & CR0_PG && !(value & CR0_PE)) ||
        (value & CR0_NW && !(value & CR0_CD)))
        return false;
    vmwrite(CR0_SHADOW, value);
    return true;
}

/*
 * MOV to CR0 or CR4 exits when it would change an owned bit: that goes to the
 * shadow and the instruction is executed again, which then does the rest without
 * an exit; but for bits that the guest does not have.  CR8 is the local APIC's.
 */
static void decode_cr(struct vcpu *v, struct vm_exit *e)
{
    uint64_t qual = vmread(QUALIFICATION), *reg = &v->regs.gpr[qual >> 8 & 15], value = *reg;
    bool write = (qual & 0x30) == 0, good = false;

    if (!(vmread(GUEST_EFER) & EFER_LMA && vmread(GUEST_ATTR + 2 * SEG_CS) & ATTR_LONG))
        value = (uint32_t)value;
    e->reason = EXIT_SKIP;
    switch (qual & 15) {
    case 0: good = write && write_cr0(value); break;
    case 4: /* in its shadow all is 0 but MCE */
        good = write && !(value & ~cpu_policy_cr4(v->domain->policy));
        if (good) vmwrite(CR4_SHADOW, value & CR4_MCE);
        break;
    case 8:
        e->len = vmread(EXIT_LENGTH);
        good = vlapic_cr8(v, reg, write);
        break;
    }
    if (good) return;
    e->len = 0;
    vmx_inject_exception(v, VEC_GP, 0);
}

static void decode_io(struct vm_exit *e)
{
    uint64_t qual = vmread(QUALIFICATION); /* table 27-5 */

    e->io.port = qual >> 16;
    e->io.size = (qual & 7) + 1;
    e->io.in = qual & BIT(3);
    e->io.string = qual & BIT(4);
    e->io.rep = qual & BIT(5);
}

static void decode_ept(struct vcpu *v, struct vm_exit *e)
{
    uint64_t qual = vmread(QUALIFICATION); /* table 27-7 */

    if (qual & QUAL_UNBLOCK) block_nmis_again(v->vendor);
    e->reason = EXIT_NESTED_FAULT;
    e->fault.gpa = vmread(GUEST_PHYSICAL);
    e->fault.write = qual & BIT(1);
    e->fault.fetch = qual & BIT(2);
    e->fault.walk = (qual & (BIT(7) | BIT(8))) == BIT(7);
}

/* What the processor does not do in the page by itself (table 27-6). */
static void decode_apic_page(struct vm_exit *e)
{
    uint64_t qual = vmread(QUALIFICATION);

    e->reason = EXIT_APIC_PAGE;
    e->fault.gpa = APIC_BASE_DEFAULT | (qual & 0xfff);
    e->fault.write = (qual >> 12 & 15) == 1;
    e->fault.fetch = (qual >> 12 & 15) == 2;
    e->fault.walk = (qual >> 12 & 15) > 2; /* or while an event is delivered */
}

/* Exits that an instruction causes which is skipped when it was carried out. */
static bool decode_insn(struct vcpu *v, uint32_t reason, struct vm_exit *e)
{
    static const uint8_t simple[] = {
        [REASON_CPUID] = EXIT_CPUID,      [REASON_HLT] = EXIT_HLT,
        [REASON_INVD] = EXIT_SKIP,        [REASON_RDTSC] = EXIT_RDTSC,
        [REASON_VMCALL] = EXIT_HYPERCALL, [REASON_IO] = EXIT_IO,
        [REASON_RDMSR] = EXIT_MSR,        [REASON_WRMSR] = EXIT_MSR,
        [REASON_PAUSE] = EXIT_PAUSE,      [REASON_RDTSCP] = EXIT_RDTSCP,
        [REASON_WBINVD] = EXIT_SKIP,      [REASON_XSETBV] = EXIT_XSETBV,
    };

    _Static_assert(EXIT_BAD == 0, "0 stands for others");
    if (reason >= ARRAY_SIZE(simple) || !simple[reason]) return false;
    e->reason = simple[reason];
    e->len = vmread(EXIT_LENGTH);
    if (e->reason == EXIT_HYPERCALL) {
        decode_call(e);
    } else if (e->reason == EXIT_MSR) {
        e->msr.index = v->regs.rcx;
        e->msr.write = reason == REASON_WRMSR;
    } else if (e->reason == EXIT_IO) {
        decode_io(e);
    }
    return true;
}

static void decode_rest(struct vcpu *v, uint32_t reason, struct vm_exit *e)
{
    struct vmx_vcpu *x = v->vendor;

    switch (reason) {
    case REASON_EXCEPTION: decode_exception(v, e); break;
    case REASON_TRIPLE_FAULT: e->reason = EXIT_SHUTDOWN; break;
    case REASON_INTERRUPT:
    case REASON_INIT: e->reason = EXIT_INTERRUPT; break;
    case REASON_WINDOW: e->reason = EXIT_WINDOW; break;
    case REASON_NMI_WINDOW:
        vmx_set_primary(x, x->primary & ~CPU_NMI_WINDOW);
        e->reason = EXIT_SKIP;
        break;
    case REASON_CR: decode_cr(v, e); break;
    case REASON_APIC_PAGE: decode_apic_page(e); break;
    case REASON_APIC_WRITE:
        vlapic_written(v, vmread(QUALIFICATION));
        e->reason = EXIT_SKIP;
        break;
    case REASON_EOI: /* of what EOI_EXITS names; it is done */
        vlapic_ended(v, vmread(QUALIFICATION));
        e->reason = EXIT_SKIP;
        break;
    case REASON_EPT: decode_ept(v, e); break;
    case REASON_GETSEC:
    case REASON_RDPMC:
    case REASON_VMCLEAR ... REASON_VMXON:
    case REASON_MWAIT:
    case REASON_MONITOR:
    case REASON_INVEPT:
    case REASON_INVVPID: e->reason = EXIT_FORBIDDEN; break;
    default: /* a failed entry, EPT entries that are wrong, task switches */
        e->reason = EXIT_BAD;
        e->code = reason | vmread(QUALIFICATION) << 32;
        break;
    }
}

void vmx_decode(struct vcpu *v, struct vm_exit *e)
{
    uint32_t reason = vmread(EXIT_REASON);

    e->len = 0;
    if (!decode_insn(v, reason, e)) decode_rest(v, reason, e);
}
