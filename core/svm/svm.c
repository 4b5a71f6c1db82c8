/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AMD SVM with nested paging: set-up and the switch into a guest (APM vol. 2,
 * chapter 15).
 */
#include "cpu/arch.h"
#include "cpu/cpu.h"
#include "device/hwdev.h"
#include "hypercall/hypercall.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "svm/vmcb.h"
#include "vm/cpu_policy.h"
#include "vm/domain.h"
#include "vm/p2m.h"
#include "vm/vendor.h"

#define VM_CR_SVMDIS       BIT(4)
#define TSC_RATIO_FRACTION 32

bool svm_has_nrip;
static bool has_tsc_aux;

/* The same for all guests: denies all but open_msrs, which VMRUN and VMSAVE switch. */
static uint8_t *msrpm; /* 8 KiB */

static int make_msrpm(void)
{
    msrpm = core_alloc_pages(2);
    if (!msrpm) return -XEN_ENOMEM;
    memset(msrpm, 0xff, 2 * PAGE_SIZE);
    for (unsigned int i = 0; i < OPEN_MSRS; i++) {
        unsigned int bit = (open_msrs[i] >= 0xc0000000 ? 0x4000 : 0) + (open_msrs[i] & 0x1fff) * 2;

        msrpm[bit / 8] &= ~(3 << bit % 8); /* read, write (APM vol. 2, 15.11) */
    }
    return 0;
}

static int svm_cpu_init(struct cpu *c)
{
    struct cpuid_regs r = cpuid(0x80000001, 0);
    struct svm_cpu *s = core_alloc(sizeof(*s));
    char *pages = core_alloc_pages(2); /* what VMRUN saves, what VMSAVE saves */
    uint64_t vm_cr;

    if (cpuid(0x80000000, 0).a < 0x8000000a || !(r.c & BIT(2))) return -XEN_ENODEV;
    if (read_msr_safe(MSR_VM_CR, &vm_cr) && vm_cr & VM_CR_SVMDIS) {
        log_error("SVM is switched off by the firmware; turn it on there.");
        return -XEN_ENODEV;
    }
    has_tsc_aux = r.d & BIT(27);
    r = cpuid(0x8000000a, 0);
    if (!(r.d & BIT(0))) {
        log_error("This processor's SVM has no nested paging.");
        return -XEN_ENODEV;
    }
    svm_has_nrip = r.d & BIT(3);
    svm_ops.tsc_scaling = r.d & BIT(4) ? TSC_RATIO_FRACTION : 0;
    if (!s || !pages || (!msrpm && make_msrpm())) return -XEN_ENOMEM;
    s->host = core_to_phys(pages + PAGE_SIZE);
    s->asids = r.b;
    s->next_asid = 1;
    s->epoch = 1;
    c->vendor = s;
    write_msr(MSR_EFER, read_msr(MSR_EFER) | EFER_SVME);
    write_msr(MSR_VM_HSAVE_PA, core_to_phys(pages));
    __asm__ volatile("vmsave %0" : : "a"(s->host) : "memory");
    if (c == &cpu0)
        log_info("SVM: %u ASIDs,%s%s%s%s", r.b, svm_has_nrip ? " nRIP" : "",
                 r.d & BIT(4) ? " TSC scaling" : "", r.d & BIT(6) ? " flush by ASID" : "",
                 r.d & BIT(7) ? " decode assists" : "");
    return 0;
}

static void svm_tsc_changed(struct vcpu *v)
{
    bool exits = v->domain->tsc.exits;
    struct vmcb *b = vmcb_of(v);

    b->tsc_offset = v->tsc_offset;
    svm_intercept(b, VMEXIT_RDTSC, exits);
    svm_intercept(b, VMEXIT_RDTSCP, exits);
}

static int svm_vcpu_init(struct vcpu *v)
{
    struct svm_vcpu *s = v->vendor = core_alloc(sizeof(*s));
    struct vmcb *b;

    if (!s) return -XEN_ENOMEM;
    s->block = b = core_alloc_pages(1);
    if (!b) return -XEN_ENOMEM; /* the caller frees s */
    s->vmcb_phys = core_to_phys(b);
    b->exceptions = BIT(VEC_UD) | BIT(VEC_AC) | BIT(VEC_MC) | BIT(VEC_DB);
    b->cr_read = BIT(8);
    b->cr_write = BIT(4) | BIT(8);
    svm_set_intercepts(b);
    b->intercept[0] |= BIT(VMEXIT_TASK % 32) | BIT(VMEXIT_FERR % 32); /* end the guest */
    b->iopm = core_to_phys(port_bitmap(v->domain));
    b->msrpm = core_to_phys(msrpm);
    b->vintr = VINTR_MASKING;
    b->nested_control = 1;
    b->nested_cr3 = core_to_phys(v->domain->p2m->root);
    svm_tsc_changed(v);
    return 0;
}

static void svm_vcpu_free(struct vcpu *v)
{
    struct svm_vcpu *s = v->vendor;

    if (s) core_free_pages(s->block, 1);
    core_free(s);
}

/*
 * Translations are tagged by ASID.  A vCPU takes a fresh one whenever old
 * translations may be wrong: on another CPU, after a change of the p2m, on
 * request; when all are used up, the CPU flushes everything and starts again.
 */
static inline void check_asid(struct vcpu *v, struct svm_vcpu *s, struct cpu *c)
{
    uint64_t gen = __atomic_load_n(&v->domain->p2m->generation, __ATOMIC_SEQ_CST);
    struct svm_cpu *h = c->vendor;

    s->block->tlb_control = 0;
    if (likely(s->asid_cpu == c && s->generation == gen && !s->flush && s->asid_epoch == h->epoch))
        return;
    if (h->next_asid >= h->asids) {
        h->next_asid = 1;
        h->epoch++;
        s->block->tlb_control = 1; /* flush all (APM vol. 2, 15.16.1) */
    }
    s->block->asid = h->next_asid++;
    s->asid_epoch = h->epoch;
    s->asid_cpu = c;
    s->generation = gen;
    s->flush = false;
}

/*
 * The switch.  VMRUN keeps RAX, RSP, RIP, RFLAGS, CRs and most segments;
 * VMLOAD and VMSAVE the rest of the segments and the system-call MSRs; the
 * other registers are ours.  CLGI holds back all interrupts until the guest
 * runs, and until svm_run's STGI after it; RFLAGS.IF set at VMRUN makes a physical
 * one end the guest (15.21).
 */
_Static_assert(offsetof(struct regs, r8) == 8 * 8ul, "struct regs");
static inline void world_switch(struct regs *r, uint64_t vmcb, uint64_t host)
{
#define REG(name) [name] "i"(offsetof(struct regs, name))
    __asm__ volatile("clgi\n\t"
                     "sti\n\t"
                     "push %%rbp; push %%rdx; push %%rdi\n\t"
                     "mov %c[rcx](%%rdi), %%rcx\n\t"
                     "mov %c[rdx](%%rdi), %%rdx\n\t"
                     "mov %c[rbx](%%rdi), %%rbx\n\t"
                     "mov %c[rbp](%%rdi), %%rbp\n\t"
                     "mov %c[rsi](%%rdi), %%rsi\n\t"
                     ".irp n, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
                     "mov 8 * \\n(%%rdi), %%r\\n\n\t"
                     ".endr\n\t"
                     "mov %c[rdi](%%rdi), %%rdi\n\t"
                     "vmload %%rax\n\t"
                     "vmrun %%rax\n\t"
                     "vmsave %%rax\n\t"
                     "xchg %%rdi, (%%rsp)\n\t" /* rdi: regs */
                     "mov %%rcx, %c[rcx](%%rdi)\n\t"
                     "mov %%rdx, %c[rdx](%%rdi)\n\t"
                     "mov %%rbx, %c[rbx](%%rdi)\n\t"
                     "mov %%rbp, %c[rbp](%%rdi)\n\t"
                     "mov %%rsi, %c[rsi](%%rdi)\n\t"
                     ".irp n, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
                     "mov %%r\\n, 8 * \\n(%%rdi)\n\t"
                     ".endr\n\t"
                     "pop %%rcx\n\t"
                     "mov %%rcx, %c[rdi](%%rdi)\n\t"
                     "pop %%rax\n\t" /* host state */
                     "vmload %%rax\n\t"
                     "pop %%rbp\n\t"
                     "cli"
                     : "+a"(vmcb), "+d"(host), "+D"(r)
                     : REG(rcx), REG(rdx), REG(rbx), REG(rbp), REG(rsi), REG(rdi)
                     : "rbx", "rcx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
                       "memory", "cc");
#undef REG
}

/* The same where something is to be done about speculation: no return comes before
 * IBPB and the return stack's filling, not even an NMI's. */
static __attribute__((noinline)) void guarded_switch(struct regs *r, uint64_t vmcb, uint64_t host)
{
    mitigate_entry();
    world_switch(r, vmcb, host);
    mitigate_exit();
    fill_returns();
}

/* An interrupt of the host's that comes in the moment of a VMRUN with a virtual
 * interrupt may stay unseen in QEMU 7.2's local APIC, also by HLT, until the
 * APIC looks again: on a write of the task priority, which is always 0. */
static inline void refresh_interrupts(void)
{
    __asm__ volatile("mov %0, %%cr8" : : "r"(0ul));
}

static void svm_want_window(struct vcpu *v, bool on)
{
    struct vmcb *b = vmcb_of(v);

    /* Intercepted even when off: a virtual interrupt that QEMU kept by mistake
     * ends in an exit that changes nothing. */
    b->vintr = VINTR_MASKING | (on ? VINTR_IGN_TPR | VINTR_IRQ : 0);
    b->intercept[0] |= BIT(VMEXIT_VINTR % 32);
}

/* After a run with a virtual interrupt: was it taken? */
static bool end_virtual(struct vcpu *v, struct vmcb *b)
{
    bool taken = !(b->vintr & VINTR_IRQ);

    refresh_interrupts();
    svm_want_window(v, false);
    return taken;
}

/* INT n, INT3 or INTO.  The last two look like exceptions, but injected they would
 * return to VMCB.next_rip, which is 0 after most exits (APM vol. 2, 15.20, 15.7.1). */
static bool is_soft(uint64_t event)
{
    uint64_t e = event & 0x7ff;

    return EVENT_TYPE(e) == EVENT_SOFT || e == (EVENT_EXCEPTION | 3) || e == (EVENT_EXCEPTION | 4);
}

bool svm_run(struct vcpu *v, struct vm_exit *exit)
{
    struct svm_vcpu *s = v->vendor;
    struct vmcb *b = s->block;
    struct cpu *c = this_cpu();
    bool virtual = b->vintr & VINTR_IRQ, taken = true;

    check_asid(v, s, c);
    b->rax = v->regs.rax;
    b->rsp = v->regs.rsp;
    b->rip = v->regs.rip;
    b->rflags = v->regs.rflags;
    if (likely(!mitigations))
        world_switch(&v->regs, s->vmcb_phys, ((struct svm_cpu *)c->vendor)->host);
    else
        guarded_switch(&v->regs, s->vmcb_phys, ((struct svm_cpu *)c->vendor)->host);
    __asm__ volatile("stgi" : : : "memory");
    if (unlikely(virtual)) taken = end_virtual(v, b);
    v->regs.rax = b->rax;
    v->regs.rsp = b->rsp;
    v->regs.rip = b->rip;
    v->regs.rflags = b->rflags;
    /* An event whose delivery the exit interrupted is delivered again; INT n and
     * the like are executed again, and an interrupt was not taken (QEMU calls a
     * virtual one an exception, with a vector that none has). */
    b->event_inject = 0;
    if (unlikely(b->exit_int_info & EVENT_VALID)) {
        taken = EVENT_TYPE(b->exit_int_info) != EVENT_INTR &&
                (EVENT_TYPE(b->exit_int_info) != EVENT_EXCEPTION || (uint8_t)b->exit_int_info < 32);
        if (taken && !is_soft(b->exit_int_info)) b->event_inject = b->exit_int_info;
    }
    svm_decode(v, exit);
    return taken;
}

/* An NMI that must wait comes after the IRET, or with the window for interrupts. */
static bool svm_can_inject(struct vcpu *v, bool nmi)
{
    struct vmcb *b = vmcb_of(v);
    bool blocked = nmi ? b->intercept[0] & NMIS_BLOCKED : !(v->regs.rflags & RFLAGS_IF);

    if (!blocked && !(b->interrupt_shadow & 1) && !(b->event_inject & EVENT_VALID)) return true;
    if (nmi && !blocked) svm_want_window(v, true);
    return false;
}

/*
 * QEMU 7.2, which saves no next RIP, delivers one of EVENTINJ a second time when
 * another CPU's locked access stops all CPUs before the next exit: there it is a
 * virtual interrupt (APM vol. 2, 15.21.4), which is taken at once since the guest
 * allows it.  Bochs 2.7 takes these only when RFLAGS.IF changes.
 */
static void svm_inject_interrupt(struct vcpu *v, uint8_t vector)
{
    struct vmcb *b = vmcb_of(v);

    if (svm_has_nrip) {
        b->event_inject = vector | EVENT_INTR | EVENT_VALID;
        return;
    }
    b->vintr = VINTR_MASKING | VINTR_IGN_TPR | VINTR_IRQ | VINTR_VECTOR(vector);
    b->intercept[0] &= ~BIT(VMEXIT_VINTR % 32);
}

static void svm_inject_nmi(struct vcpu *v)
{
    vmcb_of(v)->event_inject = VEC_NMI | EVENT_NMI | EVENT_VALID;
    svm_block_nmis(vmcb_of(v), true);
}

static void svm_inject_exception(struct vcpu *v, uint8_t vector, int error)
{
    struct vmcb *b = vmcb_of(v);
    uint64_t old = b->event_inject;

    if (old & EVENT_VALID && EVENT_TYPE(old) == EVENT_EXCEPTION &&
        !merge_exception(v, old, &vector, &error))
        return;
    b->event_inject = vector | EVENT_EXCEPTION | EVENT_VALID;
    if (error != NO_ERROR_CODE) b->event_inject |= EVENT_ERROR | (uint64_t)(uint32_t)error << 32;
}

void svm_skip_insn(struct vcpu *v, unsigned int len)
{
    struct vmcb *b = vmcb_of(v);

    v->regs.rip += len;
    if (!(b->efer & EFER_LMA && b->cs.attr & SEG_LONG)) v->regs.rip = (uint32_t)v->regs.rip;
    b->interrupt_shadow = 0;
}

static uint64_t svm_get_cr(struct vcpu *v, unsigned int n)
{
    struct vmcb *b = vmcb_of(v);

    return n == 0 ? b->cr0 : n == 2 ? b->cr2 : n == 3 ? b->cr3 : b->cr4;
}

static uint64_t svm_get_efer(struct vcpu *v)
{
    return vmcb_of(v)->efer & ~EFER_SVME;
}

static unsigned int svm_get_cpl(struct vcpu *v)
{
    return vmcb_of(v)->cpl;
}

/* It works on what a guest reads only (APM vol. 2, 15.30.5). */
static void load_tsc_ratio(struct svm_cpu *h, uint64_t ratio)
{
    if (h->tsc_ratio == ratio) return;
    h->tsc_ratio = ratio;
    write_msr(MSR_TSC_RATIO, ratio >> (TSC_FRACTION - TSC_RATIO_FRACTION));
}

/* DR0-3 are not switched by VMRUN; the core uses none of them. */
static void svm_switch_in(struct vcpu *v)
{
    struct svm_vcpu *s = v->vendor;

    __asm__ volatile("mov %0, %%dr0; mov %1, %%dr1; mov %2, %%dr2; mov %3, %%dr3"
                     :
                     : "r"(s->dr[0]), "r"(s->dr[1]), "r"(s->dr[2]), "r"(s->dr[3]));
    if (has_tsc_aux) write_msr_safe(MSR_TSC_AUX, v->tsc_aux);
    if (svm_ops.tsc_scaling) load_tsc_ratio(this_cpu()->vendor, v->domain->tsc.ratio);
}

static void svm_switch_out(struct vcpu *v)
{
    struct svm_vcpu *s = v->vendor;

    __asm__ volatile("mov %%dr0, %0; mov %%dr1, %1; mov %%dr2, %2; mov %%dr3, %3"
                     : "=r"(s->dr[0]), "=r"(s->dr[1]), "=r"(s->dr[2]), "=r"(s->dr[3]));
}

static uint64_t svm_leaf_bits(enum p2m_type type)
{
    const uint64_t ro = BIT(0) | BIT(2) | BIT(5) | BIT(6); /* P, U, A, D */
    const uint64_t rw = ro | BIT(1), nx = BIT(63), uncached = BIT(3) | BIT(4);
    const uint64_t bits[] = {
        [P2M_RAM] = rw,           [P2M_RAM_RO] = ro,
        [P2M_SHARED] = rw | nx,   [P2M_RESOURCE] = rw | nx,
        [P2M_GRANT_RW] = rw | nx, [P2M_GRANT_RO] = ro | nx,
        [P2M_FOREIGN] = rw | nx,  [P2M_MMIO] = rw | nx | uncached,
    };

    return bits[type];
}

struct vendor_ops svm_ops = {
    .name = "AMD SVM",
    .hypercall_insn = {0x0f, 0x01, 0xd9},
    .max_level = 3,
    .cpu_init = svm_cpu_init,
    .vcpu_init = svm_vcpu_init,
    .vcpu_free = svm_vcpu_free,
    .get_state = svm_get_state,
    .set_state = svm_set_state,
    .get_cr = svm_get_cr,
    .get_efer = svm_get_efer,
    .get_cpl = svm_get_cpl,
    .get_segment = svm_get_segment,
    .can_inject = svm_can_inject,
    .inject_interrupt = svm_inject_interrupt,
    .inject_nmi = svm_inject_nmi,
    .inject_exception = svm_inject_exception,
    .want_window = svm_want_window,
    .skip_insn = svm_skip_insn,
    .tsc_changed = svm_tsc_changed,
    .switch_in = svm_switch_in,
    .switch_out = svm_switch_out,
    .set_efer = svm_set_efer,
    .set_pat = svm_set_pat,
    .leaf_bits = svm_leaf_bits,
};
