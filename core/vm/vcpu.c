/* SPDX-License-Identifier: Apache-2.0 */
/* vCPUs: making them, holding and waking them, resetting their state. */
#include "vm/vcpu.h"
#include "cpu/arch.h"
#include "device/vlapic.h"
#include "hypercall/evtchn.h"
#include "hypercall/hypercall.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include "sched/sched.h"
#include "vm/domain.h"
#include "vm/vendor.h"

#define PAT_DEFAULT 0x0007040600070406ull

static void oneshot_fired(void *data)
{
    virq_raise_vcpu(data, VIRQ_TIMER);
}

static void poll_fired(void *data)
{
    struct vcpu *v = data;

    __atomic_fetch_and(&v->holds, ~HOLD_POLL, __ATOMIC_SEQ_CST);
    sched_wake(v);
}

static struct domain idle_domain = {.id = DOMID_IDLE, .weight = SCHED_DEFAULT_WEIGHT};

struct vcpu *vcpu_create_idle(void)
{
    struct vcpu *v = core_alloc(sizeof(*v));

    if (!v) panic("no memory for an idle vCPU");
    v->domain = &idle_domain;
    return v;
}

int vcpu_create(struct domain *d, unsigned int id)
{
    struct vcpu *v;
    int rc = -XEN_ENOMEM;

    if (id >= d->max_vcpus) return -XEN_EINVAL;
    if (d->vcpus[id]) return -XEN_EEXIST;
    v = core_alloc(sizeof(*v));
    if (!v) return rc;
    v->domain = d;
    v->id = id;
    v->holds = HOLD_DOWN;
    v->info_mfn = MFN_INVALID;
    v->info = id < XEN_LEGACY_MAX_VCPUS ? (struct vcpu_info *)&d->shared_info->vcpu_info[id]
                                        : core_alloc(sizeof(struct vcpu_info));
    v->pat = PAT_DEFAULT;
    v->mtrr[MTRR_DEF_TYPE] = 0xc06; /* enabled, fixed enabled, write-back */
    v->tsc_offset = -guest_tsc(v, d->tsc.epoch);
    timer_init(&v->oneshot, oneshot_fired, v);
    timer_init(&v->poll_timer, poll_fired, v);
    v->fpu = core_alloc_pages(DIV_UP(fpu_area_size, PAGE_SIZE));
    if (!v->fpu || !v->info || (rc = vendor->vcpu_init(v)) || (rc = vlapic_init(v))) {
        vcpu_free(v);
        return rc;
    }
    vcpu_reset(v);
    fpu_reset(v);
    v->xcr0 = 1;
    sched_add_vcpu(v);
    clock_update_vcpu(v);
    __atomic_store_n(&d->vcpus[id], v, __ATOMIC_RELEASE);
    return 0;
}

void vcpu_stop_timers(struct vcpu *v)
{
    timer_stop(&v->oneshot);
    timer_stop(&v->poll_timer);
    vlapic_stop(v);
}

void vcpu_free(struct vcpu *v)
{
    vcpu_stop_timers(v);
    sched_remove_vcpu(v);
    vlapic_free(v);
    if (v->vendor) vendor->vcpu_free(v);
    if (v->id >= XEN_LEGACY_MAX_VCPUS && v->info_mfn == MFN_INVALID) core_free(v->info);
    core_free_pages(v->fpu, DIV_UP(fpu_area_size, PAGE_SIZE));
    core_free(v);
}

/* The state of a processor after INIT (APM vol. 2, 14.1.3). */
void vcpu_reset(struct vcpu *v)
{
    struct arch_state s = {
        .cr0 = CR0_ET, .dr6 = 0xffff0ff0, .dr7 = 0x400, .gdt_limit = 0xffff, .idt_limit = 0xffff};

    for (unsigned int i = 0; i < SEG_COUNT; i++) s.seg[i] = (struct segment){0, 0x93, 0xffff, 0};
    s.seg[SEG_CS] = (struct segment){0xf000, 0x9b, 0xffff, 0xffff0000};
    s.seg[SEG_LDTR].attr = 0x82;
    s.seg[SEG_TR].attr = 0x8b;
    vendor->set_state(v, &s);
    v->regs = (struct regs){.rip = 0xfff0, .rflags = 2};
}

void vcpu_set_down(struct vcpu *v, bool down)
{
    struct vcpu *other;

    if (!down) {
        __atomic_fetch_and(&v->holds, ~(HOLD_DOWN | HOLD_BLOCKED), __ATOMIC_SEQ_CST);
        sched_wake(v);
        return;
    }
    __atomic_fetch_or(&v->holds, HOLD_DOWN, __ATOMIC_SEQ_CST);
    sched_stop(v);
    if (current_domain() != v->domain) return;
    for_each_vcpu (v->domain, other)
        if (!(READ_ONCE(other->holds) & HOLD_DOWN)) return;
    domain_shutdown(v->domain, SHUTDOWN_poweroff);
}

bool vcpu_event_pending(struct vcpu *v)
{
    return READ_ONCE(v->nmi_pending) ||
           (READ_ONCE(v->domain->upcall_via_vector) && evtchn_upcall_pending(v)) ||
           vlapic_pending(v) >= 0;
}

void vcpu_notify(struct vcpu *v)
{
    struct cpu *c;

    smp_mb();
    if (READ_ONCE(v->holds) & (HOLD_BLOCKED | HOLD_POLL)) {
        __atomic_fetch_and(&v->holds, ~(HOLD_BLOCKED | HOLD_POLL), __ATOMIC_SEQ_CST);
        sched_wake(v);
        return;
    }
    c = READ_ONCE(v->running_on);
    /* Even: it has looked for events already, or is about to enter. */
    if (c && c != this_cpu() && !(READ_ONCE(c->passes) & 1)) cpu_kick(c);
}

void vcpu_switch_in(struct vcpu *v)
{
    struct cpu *c = this_cpu();

    if (c->fpu_owner != v || v->fpu_cpu != c) {
        fpu_restore(v);
        c->fpu_owner = v;
        v->fpu_cpu = c;
    }
    fpu_set_xcr0(v->xcr0);
    mitigate_switch(v->domain);
    vendor->switch_in(v);
}

void vcpu_switch_out(struct vcpu *v)
{
    fpu_save(v);
    vendor->switch_out(v);
}

void show_guest_registers(struct vcpu *v)
{
    struct regs *r = &v->regs;
    struct segment cs;

    vendor->get_segment(v, SEG_CS, &cs);
    log_info("d%uv%u: rip %04x:%016lx rflags %08lx cpl %u", v->domain->id, v->id, cs.selector,
             r->rip, r->rflags, vendor->get_cpl(v));
    log_info("  rax %016lx rbx %016lx rcx %016lx rdx %016lx", r->rax, r->rbx, r->rcx, r->rdx);
    log_info("  rsi %016lx rdi %016lx rbp %016lx rsp %016lx", r->rsi, r->rdi, r->rbp, r->rsp);
    log_info("  r8  %016lx r9  %016lx r10 %016lx r11 %016lx", r->r8, r->r9, r->r10, r->r11);
    log_info("  r12 %016lx r13 %016lx r14 %016lx r15 %016lx", r->r12, r->r13, r->r14, r->r15);
    log_info("  cr0 %lx cr2 %lx cr3 %lx cr4 %lx efer %lx", vendor->get_cr(v, 0),
             vendor->get_cr(v, 2), vendor->get_cr(v, 3), vendor->get_cr(v, 4), vendor->get_efer(v));
}
