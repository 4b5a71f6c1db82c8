/* SPDX-License-Identifier: Apache-2.0 */
/* vcpu_op: vCPUs up and down, their registered areas, their timer. */
#include "hypercall/access.h"
#include "hypercall/evtchn.h"
#include "hypercall/hypercall.h"
#include "memory/frame.h"
#include "memory/window.h"
#include "sched/sched.h"
#include "vm/guest.h"
#include "vm/p2m.h"
#include "vm/vcpu.h"

/* Moves v's vcpu_info into a page of the guest's own RAM, for good. */
static long register_info(struct vcpu *v, const struct vcpu_register_vcpu_info *op)
{
    struct domain *d = v->domain;
    struct vcpu_info *info;
    long rc = -XEN_EINVAL;
    char *page = NULL;
    uint64_t mfn;

    if (op->offset > PAGE_SIZE - sizeof(struct vcpu_info) || op->offset % 8) return -XEN_ENXIO;
    if (v != current_vcpu() && !(READ_ONCE(v->holds) & HOLD_DOWN)) return -XEN_EINVAL;
    mfn = p2m_get_frame(d, op->mfn, true, false);
    if (mfn == MFN_INVALID) return -XEN_EINVAL;
    spin_lock(&d->lock);
    if (v->info_mfn == MFN_INVALID) {
        page = vmap(mfn);
        rc = page ? 0 : -XEN_ENOMEM;
    }
    if (page) {
        info = (struct vcpu_info *)(page + op->offset);
        /* Both are the guest's, which may write to them meanwhile. */
        for (unsigned int i = 0; i < sizeof(*info) / sizeof(uint64_t); i++)
            WRITE_ONCE(((uint64_t *)info)[i], READ_ONCE(((uint64_t *)v->info)[i]));
        v->first_info = v->info;
        v->info_gfn = op->mfn;
        __atomic_store_n(&v->info_mfn, mfn, __ATOMIC_RELEASE); /* see vcpu_info_mark_dirty */
        __atomic_store_n(&v->info, info, __ATOMIC_SEQ_CST);
        clock_update_vcpu(v);
        /* What was raised meanwhile may have gone into the old place. */
        evtchn_mark_all(v);
    }
    spin_unlock(&d->lock);
    if (rc) frame_put(mfn);
    return rc;
}

/* Between the steps all CPUs answer (cpu/cpu.c), who then have no v->info in hand, and
 * nothing of it in their TLBs. */
static void info_unmap_step(struct vcpu *v, unsigned int step)
{
    struct vcpu_info *first = v->first_info; /* from step 1 on, the registered one */

    if (v->info_mfn == MFN_INVALID) return;
    if (step == 0) {
        v->first_info = v->info;
        WRITE_ONCE(v->info, first);
    } else if (step == 1) {
        vunmap_begin(first);
    } else {
        vunmap_end(first);
        frame_put(v->info_mfn);
        v->info_mfn = MFN_INVALID;
    }
}

void vcpu_info_unmap(struct domain *d)
{
    struct vcpu *v;

    for (unsigned int step = 0; step < 3; step++) {
        if (step) flush_core_tlb_all();
        for_each_vcpu (d, v) info_unmap_step(v, step);
    }
}

void vcpu_info_mark_dirty(struct domain *d)
{
    struct vcpu *v;

    for_each_vcpu (d, v)
        if (__atomic_load_n(&v->info_mfn, __ATOMIC_ACQUIRE) != MFN_INVALID)
            logdirty_mark(d, v->info_gfn);
}

static long get_runstate(struct vcpu *v, uint64_t va)
{
    struct vcpu_runstate_info info;

    vcpu_get_runstate(v, &info);
    return copy_to_guest(va, &info, sizeof(info));
}

static long register_runstate(struct vcpu *v, uint64_t va)
{
    long rc = v == current_vcpu() && va ? get_runstate(v, va) : 0;

    WRITE_ONCE(v->runstate_va, rc ? 0 : va);
    return rc;
}

static long register_time(struct vcpu *v, uint64_t va)
{
    WRITE_ONCE(v->time_va, va);
    if (v != current_vcpu() || !va) return 0;
    clock_update_vcpu(v);
    return READ_ONCE(v->time_va) ? 0 : -XEN_EFAULT;
}

static long set_oneshot(struct vcpu *v, const struct vcpu_set_singleshot_timer *op)
{
    if (op->flags & VCPU_SSHOTTMR_future && op->timeout_abs_ns < now()) return -XEN_ETIME;
    timer_set(&v->oneshot, op->timeout_abs_ns);
    return 0;
}

/* What is read of the argument. */
union vcpu_op_arg {
    struct vcpu_register_vcpu_info info;
    struct vcpu_register_runstate_memory_area runstate;
    struct vcpu_register_time_memory_area time;
    struct vcpu_set_singleshot_timer oneshot;
};
static const uint8_t arg_sizes[] = {
    [VCPUOP_register_vcpu_info] = sizeof(struct vcpu_register_vcpu_info),
    [VCPUOP_register_runstate_memory_area] = sizeof(struct vcpu_register_runstate_memory_area),
    [VCPUOP_register_vcpu_time_memory_area] = sizeof(struct vcpu_register_time_memory_area),
    [VCPUOP_set_singleshot_timer] = sizeof(struct vcpu_set_singleshot_timer),
};

long hc_vcpu_op(struct vcpu *caller, const struct hc_args *args)
{
    struct vcpu *v = domain_vcpu(caller->domain, args->a[1]);
    uint32_t cmd = args->a[0];
    union vcpu_op_arg arg;

    if (!v) return -XEN_ENOENT;
    if (cmd < ARRAY_SIZE(arg_sizes) &&
        copy_from_guest(&arg, args->a[2], arg_sizes[index_nospec(cmd, ARRAY_SIZE(arg_sizes))]))
        return -XEN_EFAULT;
    switch (cmd) {
    case VCPUOP_up:
        if (!READ_ONCE(v->initialised)) return -XEN_EINVAL;
        vcpu_set_down(v, false);
        return 0;
    case VCPUOP_down: vcpu_set_down(v, true); return 0;
    case VCPUOP_is_up: return !(READ_ONCE(v->holds) & HOLD_DOWN);
    case VCPUOP_get_runstate_info: return get_runstate(v, args->a[2]);
    case VCPUOP_register_runstate_memory_area: return register_runstate(v, arg.runstate.addr.p);
    case VCPUOP_register_vcpu_time_memory_area: return register_time(v, arg.time.addr.p);
    case VCPUOP_register_vcpu_info: return register_info(v, &arg.info);
    case VCPUOP_stop_periodic_timer: /* there is none */ return 0;
    case VCPUOP_set_singleshot_timer:
        return v == caller ? set_oneshot(v, &arg.oneshot) : -XEN_EINVAL;
    case VCPUOP_stop_singleshot_timer:
        if (v != caller) return -XEN_EINVAL;
        timer_stop(&v->oneshot);
        return 0;
    case VCPUOP_send_nmi:
        WRITE_ONCE(v->nmi_pending, true);
        vcpu_notify(v);
        return 0;
    default: return -XEN_ENOSYS;
    }
}

/* The older way to set the same timer; 0 stops it. */
long hc_set_timer_op(struct vcpu *v, const struct hc_args *args)
{
    if (args->a[0])
        timer_set(&v->oneshot, args->a[0]);
    else
        timer_stop(&v->oneshot);
    return 0;
}
