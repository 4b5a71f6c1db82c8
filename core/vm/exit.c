/* SPDX-License-Identifier: Apache-2.0 */
/* From an exit to its handler. */
#include "cpu/arch.h"
#include "cpu/cpu.h"
#include "hypercall/control.h"
#include "hypercall/hypercall.h"
#include "lib/print.h"
#include "sched/sched.h"
#include "vm/cpu_policy.h"
#include "vm/domain.h"
#include "vm/guest.h"
#include "vm/p2m.h"
#include "vm/vcpu.h"

static bool contributory(unsigned int vector)
{
    return vector == VEC_DE || (vector >= 10 && vector <= 13);
}

/* APM vol. 2, 8.2.9; SDM vol. 3, 6.15. */
bool merge_exception(struct vcpu *v, uint8_t first, uint8_t *vector, int *error)
{
    if (first == VEC_DF) {
        domain_shutdown(v->domain, READ_ONCE(v->domain->params[HVM_PARAM_TRIPLE_FAULT_REASON]));
        return false;
    }
    if ((contributory(first) && contributory(*vector)) ||
        (first == VEC_PF && (contributory(*vector) || *vector == VEC_PF))) {
        *vector = VEC_DF;
        *error = 0;
    }
    return true;
}

/* Those that return a bool: true, the instruction is done; false, #GP. */

static bool do_cpuid(struct vcpu *v)
{
    struct cpuid_regs r;

    if (v->cpuid_faulting && vendor->get_cpl(v)) return false;
    cpuid_guest(v, v->regs.rax, v->regs.rcx, &r);
    v->regs.rax = r.a;
    v->regs.rbx = r.b;
    v->regs.rcx = r.c;
    v->regs.rdx = r.d;
    return true;
}

static bool do_msr(struct vcpu *v, const struct vm_exit *e)
{
    uint64_t value = (uint32_t)v->regs.rax | v->regs.rdx << 32;

    if (e->msr.write) return !msr_write(v, e->msr.index, value);
    if (msr_read(v, e->msr.index, &value)) return false;
    v->regs.rax = (uint32_t)value;
    v->regs.rdx = value >> 32;
    return true;
}

/* RDTSC and RDTSCP, of a domain whose TSC is emulated. */
static bool do_rdtsc(struct vcpu *v, bool aux)
{
    uint64_t tsc = guest_tsc(v, read_tsc());

    if (vendor->get_cr(v, 4) & CR4_TSD && vendor->get_cpl(v)) return false;
    v->regs.rax = (uint32_t)tsc;
    v->regs.rdx = tsc >> 32;
    if (aux) v->regs.rcx = v->tsc_aux;
    return true;
}

/* XSETBV (APM vol. 2, 11.5.2): x87 always, AVX needs SSE, no unknown bits. */
static bool do_xsetbv(struct vcpu *v)
{
    uint64_t value = (uint32_t)v->regs.rax | v->regs.rdx << 32;

    if ((uint32_t)v->regs.rcx != 0 || vendor->get_cpl(v) != 0 || !xcr0_valid(value) ||
        value & ~v->domain->policy->xcr0)
        return false;
    v->xcr0 = value;
    fpu_set_xcr0(value);
    return true;
}

static inline void skip(struct vcpu *v, const struct vm_exit *e)
{
    if (vendor == &vmx_ops)
        vmx_skip_insn(v, e->len);
    else
        svm_skip_insn(v, e->len);
}

static void finish(struct vcpu *v, const struct vm_exit *e, bool done)
{
    if (done)
        skip(v, e);
    else
        vendor->inject_exception(v, VEC_GP, 0);
}

/* HLT with interrupts off never ends: the vCPU goes down. */
static void do_hlt(struct vcpu *v, const struct vm_exit *e)
{
    skip(v, e);
    if (!(v->regs.rflags & RFLAGS_IF)) {
        if (!READ_ONCE(v->nmi_pending)) vcpu_set_down(v, true);
        return;
    }
    __atomic_fetch_or(&v->holds, HOLD_BLOCKED, __ATOMIC_SEQ_CST);
    if (vcpu_event_pending(v))
        __atomic_fetch_and(&v->holds, ~HOLD_BLOCKED, __ATOMIC_SEQ_CST);
    else
        sched_stop(v);
}

/* An access to what is no memory: only a data access can be emulated. */
static void do_device_access(struct vcpu *v, const struct vm_exit *e)
{
    if (e->fault.fetch || e->fault.walk)
        domain_crash(v->domain, "runs or has page tables in no memory");
    else
        handle_mmio(v, e->fault.gpa, e->fault.write);
}

static void do_nested_fault(struct vcpu *v, const struct vm_exit *e)
{
    enum p2m_type type;

    if (e->fault.write && logdirty_fault(v->domain, e->fault.gpa >> PAGE_SHIFT)) return;
    type = p2m_lookup(v->domain, e->fault.gpa >> PAGE_SHIFT).type;
    if (type == P2M_NONE || type == P2M_MMIO) {
        do_device_access(v, e);
    } else if (e->fault.write && (type == P2M_RAM_RO || type == P2M_GRANT_RO)) {
        handle_mmio(v, e->fault.gpa, true); /* dropped */
    } else if (e->fault.fetch && type != P2M_RAM && type != P2M_RAM_RO) {
        domain_crash(v->domain, "executes a shared page");
    } else if (e->fault.fetch && !p2m_allow_fetch(v->domain, e->fault.gpa >> PAGE_SHIFT)) {
        domain_crash(v->domain, "executes a superpage, and there is no memory to split it");
    } /* else mapped in the meantime: try again */
}

/* A triple fault; with SVM also a machine check while the guest has no CR4.MCE (APM
 * vol. 2, 8.2.18): MCIP tells. */
static void do_shutdown(struct vcpu *v)
{
    uint64_t status;

    if (read_msr_safe(MSR_MCG_STATUS, &status) && status & BIT(2)) panic("machine check");
    log_guest(LOG_WARN, "d%uv%u: triple fault", v->domain->id, v->id);
    show_guest_registers(v);
    domain_shutdown(v->domain, READ_ONCE(v->domain->params[HVM_PARAM_TRIPLE_FAULT_REASON]));
}

static void do_exception(struct vcpu *v, const struct vm_exit *e)
{
    uint8_t vector = e->exception.vector;

    if (vector == VEC_MC) panic("machine check");
    vendor->inject_exception(v, vector, vector == VEC_AC ? 0 : NO_ERROR_CODE);
}

void handle_exit(struct vcpu *v, struct vm_exit *e)
{
    guest_access_reset(v);
    if (likely(e->reason == EXIT_HYPERCALL)) {
        this_cpu()->op_start = 0;
        if (likely(do_hypercall(v, e))) skip(v, e);
        return;
    }
    switch (e->reason) {
    case EXIT_HYPERCALL: break; /* the most frequent came first */
    case EXIT_CPUID: finish(v, e, do_cpuid(v)); break;
    case EXIT_MSR: finish(v, e, do_msr(v, e)); break;
    case EXIT_IO: handle_io(v, e); break;
    case EXIT_HLT: do_hlt(v, e); break;
    case EXIT_NESTED_FAULT: do_nested_fault(v, e); break;
    case EXIT_APIC_PAGE: do_device_access(v, e); break;
    case EXIT_WINDOW: vendor->want_window(v, false); break;
    case EXIT_EXCEPTION: do_exception(v, e); break;
    case EXIT_XSETBV: finish(v, e, do_xsetbv(v)); break;
    case EXIT_RDTSC: finish(v, e, do_rdtsc(v, false)); break;
    case EXIT_RDTSCP: finish(v, e, do_rdtsc(v, true)); break;
    case EXIT_PAUSE:
        skip(v, e);
        sched_yield(v);
        break;
    case EXIT_SKIP: skip(v, e); break;
    case EXIT_FORBIDDEN: vendor->inject_exception(v, VEC_UD, NO_ERROR_CODE); break;
    case EXIT_SHUTDOWN: do_shutdown(v); break;
    case EXIT_NMI: log_guest(LOG_WARN, "NMI while d%uv%u ran", v->domain->id, v->id); break;
    case EXIT_INTERRUPT: break;
    case EXIT_BAD:
        log_guest(LOG_ERROR, "d%uv%u: exit %lx", v->domain->id, v->id, e->code);
        domain_crash(v->domain, "state that the processor refuses");
        break;
    }
}
