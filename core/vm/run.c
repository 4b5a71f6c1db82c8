/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run loop of a CPU: serve what is pending, run the current vCPU until its
 * next exit, and so on.  It is where nothing is held and nothing is half done.
 *
 * cpu->passes is odd while the CPU is in the core, even in a guest or idle.
 * It turns even before the last look at events and at the p2m's generation,
 * so that who changes one of these and then sees an odd number knows that the
 * change will be seen, and who sees an even one sends an interrupt.
 */
#include "cpu/arch.h"
#include "cpu/cpu.h"
#include "device/vlapic.h"
#include "boot/acpi.h"
#include "hypercall/evtchn.h"
#include "hypercall/hypercall.h"
#include "lib/print.h"
#include "sched/sched.h"
#include "vm/guest.h"
#include "vm/vcpu.h"

#define PREEMPT_US 100

bool hypercall_preempt(void)
{
    struct cpu *c = this_cpu();
    uint64_t now = read_tsc();

    if (!c->op_start) c->op_start = now;
    return READ_ONCE(c->pending) != 0 || now - c->op_start > (uint64_t)tsc_khz * PREEMPT_US / 1000;
}

static inline void turn(struct cpu *c)
{
    __atomic_fetch_add(&c->passes, 1, __ATOMIC_SEQ_CST);
}

/* Takes the host interrupts that are pending now. */
static inline void interrupt_window(void)
{
    __asm__ volatile("sti; nop; cli" : : : "memory");
}

static void serve(struct cpu *c)
{
    cpu_poll();
    if (test_and_clear_bit(WORK_TIMER, &c->pending)) timers_run(c);
    if (test_and_clear_bit(WORK_RECLAIM, &c->pending)) domains_reclaim();
    if (test_and_clear_bit(WORK_NMI, &c->pending)) log_guest(LOG_WARN, "CPU%u: NMI", c->id);
    if (test_and_clear_bit(WORK_DUMP, &c->pending) && c->current != c->idle)
        show_guest_registers(c->current);
    if (test_and_clear_bit(WORK_SCHEDULE, &c->pending)) schedule(c);
}

static void idle(struct cpu *c)
{
    turn(c);
    if (unlikely(mitigations)) mitigate_idle();
    if (!READ_ONCE(c->pending)) __asm__ volatile("sti; hlt; cli" : : : "memory");
    if (unlikely(mitigations)) mitigate_idle();
    turn(c);
}

/* What the guest is to find when it runs: the most urgent event.  The vector
 * of the local APIC that it accepted, or -1.  The upcall comes after these:
 * their end of interrupt is an exit at which it is seen (and before those that
 * the processor delivers, where there is none). */
static int deliver(struct vcpu *v)
{
    bool upcall;
    int vector;

    if (unlikely(v->sipi)) vlapic_start(v);
    if (unlikely(READ_ONCE(v->nmi_pending)) && vendor->can_inject(v, true)) {
        WRITE_ONCE(v->nmi_pending, false);
        vendor->inject_nmi(v); /* what waits beside it asks for a window */
    }
    vector = vlapic_next(v);
    upcall = vector < 0 && READ_ONCE(v->domain->upcall_via_vector) && evtchn_upcall_pending(v);
    if (vector < 0 && !upcall) return -1;
    if (!vendor->can_inject(v, false)) {
        vendor->want_window(v, true);
        return -1;
    }
    vendor->inject_interrupt(v, upcall ? READ_ONCE(v->domain->upcall_vector) : vector);
    if (!upcall) vlapic_accept(v, vector);
    return vector;
}

static void run_vcpu(struct cpu *c, struct vcpu *v)
{
    struct vm_exit e;
    bool taken;
    int vector;

    turn(c);
    if (unlikely(READ_ONCE(c->pending))) {
        turn(c);
        return;
    }
    vector = deliver(v);
    taken = vendor == &vmx_ops ? vmx_run(v, &e) : svm_run(v, &e);
    if (unlikely(!taken) && vector >= 0) vlapic_withdraw(v, vector);
    turn(c);
    if (e.reason == EXIT_INTERRUPT)
        interrupt_window();
    else
        handle_exit(v, &e);
}

void run_loop(void)
{
    struct cpu *c = this_cpu();

    turn(c); /* odd from now on */
    for (;;) {
        if (unlikely(READ_ONCE(c->pending)))
            serve(c);
        else if (unlikely(c->current == c->idle))
            idle(c);
        else
            run_vcpu(c, c->current);
    }
}
