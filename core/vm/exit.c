/* SPDX-License-Identifier: Apache-2.0 */
/* From an exit to its handler. */
#include "vm/exit.h"
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

static void inject_gp(struct vcpu *v)
{
    vendor->inject_exception(v, VEC_GP, 0);
}

static void do_cpuid(struct vcpu *v, const struct vm_exit *e)
{
    struct cpuid_regs r;

    cpuid_guest(v, v->regs.rax, v->regs.rcx, &r);
    v->regs.rax = r.a;
    v->regs.rbx = r.b;
    v->regs.rcx = r.c;
    v->regs.rdx = r.d;
    vendor->skip_insn(v, e->len);
}

static void do_msr(struct vcpu *v, const struct vm_exit *e)
{
    uint64_t value = (uint32_t)v->regs.rax | v->regs.rdx << 32;

    if (e->msr.write ? msr_write(v, e->msr.index, value) : msr_read(v, e->msr.index, &value)) {
        inject_gp(v);
        return;
    }
    if (!e->msr.write) {
        v->regs.rax = (uint32_t)value;
        v->regs.rdx = value >> 32;
    }
    vendor->skip_insn(v, e->len);
}

/* HLT with interrupts off never ends: the vCPU goes down. */
static void do_hlt(struct vcpu *v, const struct vm_exit *e)
{
    vendor->skip_insn(v, e->len);
    if (!(v->regs.rflags & RFLAGS_IF)) {
        if (!v->nmi_pending) vcpu_set_down(v, true);
        return;
    }
    __atomic_fetch_or(&v->holds, HOLD_BLOCKED, __ATOMIC_SEQ_CST);
    smp_mb();
    if (vcpu_event_pending(v))
        __atomic_fetch_and(&v->holds, ~HOLD_BLOCKED, __ATOMIC_SEQ_CST);
    else
        sched_stop(v);
}

static void do_nested_fault(struct vcpu *v, const struct vm_exit *e)
{
    struct p2m_entry entry = p2m_lookup(v->domain, e->fault.gpa >> PAGE_SHIFT);

    guest_access_reset(v);
    switch (entry.type) {
    case P2M_NONE:
    case P2M_MMIO:
        if (e->fault.fetch || e->fault.walk)
            domain_crash(v->domain, "runs or has page tables in no memory");
        else
            handle_mmio(v, e->fault.gpa, e->fault.write);
        break;
    case P2M_RAM_RO:
    case P2M_GRANT_RO:
        if (e->fault.write) handle_mmio(v, e->fault.gpa, true); /* dropped */
        break;
    default:
        /* Mapped in the meantime: try again; not executable: refuse. */
        if (e->fault.fetch && entry.type != P2M_RAM)
            domain_crash(v->domain, "executes a shared page");
        break;
    }
}

/* XSETBV (APM vol. 2, 11.5.2): x87 always, AVX needs SSE, no unknown bits. */
static void do_xsetbv(struct vcpu *v, const struct vm_exit *e)
{
    uint64_t value = (uint32_t)v->regs.rax | v->regs.rdx << 32;

    if ((uint32_t)v->regs.rcx != 0 || vendor->get_cpl(v) != 0 || !xcr0_valid(value) ||
        value & ~v->domain->policy->xcr0) {
        inject_gp(v);
        return;
    }
    v->xcr0 = value;
    fpu_set_xcr0(value);
    vendor->skip_insn(v, e->len);
}

static void do_exception(struct vcpu *v, const struct vm_exit *e)
{
    uint8_t vector = e->exception.vector;

    if (vector == VEC_MC) panic("machine check");
    vendor->inject_exception(v, vector, vector == VEC_AC ? 0 : NO_ERROR_CODE);
}

static void do_bad(struct vcpu *v, const struct vm_exit *e)
{
    log_guest(LOG_ERROR, "d%uv%u: exit %lx", v->domain->id, v->id, e->code);
    domain_crash(v->domain, "state that the processor refuses");
}

void handle_exit(struct vcpu *v, struct vm_exit *e)
{
    guest_access_reset(v);
    switch (e->reason) {
    case EXIT_HYPERCALL:
        this_cpu()->op_start = read_tsc();
        do_hypercall(v, e->len);
        break;
    case EXIT_CPUID: do_cpuid(v, e); break;
    case EXIT_MSR: do_msr(v, e); break;
    case EXIT_IO: handle_io(v, e); break;
    case EXIT_HLT: do_hlt(v, e); break;
    case EXIT_NESTED_FAULT: do_nested_fault(v, e); break;
    case EXIT_WINDOW: vendor->want_window(v, false); break;
    case EXIT_EXCEPTION: do_exception(v, e); break;
    case EXIT_XSETBV: do_xsetbv(v, e); break;
    case EXIT_PAUSE:
        vendor->skip_insn(v, e->len);
        sched_yield(v);
        break;
    case EXIT_SKIP: vendor->skip_insn(v, e->len); break;
    case EXIT_RDTSC:
    case EXIT_FORBIDDEN: vendor->inject_exception(v, VEC_UD, NO_ERROR_CODE); break;
    case EXIT_SHUTDOWN:
        log_guest(LOG_WARN, "d%uv%u: triple fault", v->domain->id, v->id);
        show_guest_registers(v);
        domain_shutdown(v->domain, v->domain->params[HVM_PARAM_TRIPLE_FAULT_REASON]);
        break;
    case EXIT_NMI: log_warn("NMI while d%uv%u ran", v->domain->id, v->id); break;
    case EXIT_INTERRUPT: break;
    case EXIT_BAD: do_bad(v, e); break;
    }
}
