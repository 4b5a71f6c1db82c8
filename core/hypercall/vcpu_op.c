/* SPDX-License-Identifier: Apache-2.0 */
/* vcpu_op: vCPUs up and down, their registered areas, their timer. */
#include "hypercall/access.h"
#include "hypercall/evtchn.h"
#include "hypercall/hypercall.h"
#include "lib/string.h"
#include "memory/frame.h"
#include "memory/window.h"
#include "sched/sched.h"
#include "vm/guest.h"
#include "vm/p2m.h"
#include "vm/vcpu.h"

/* Moves v's vcpu_info into a page of the guest's own RAM, for good. */
static long set_info(struct vcpu *v, uint64_t gfn, uint64_t mfn, uint32_t offset)
{
    struct vcpu_info *info;
    char *page;

    if (v->info_mfn != MFN_INVALID) return -XEN_EINVAL;
    page = vmap(mfn, 1);
    if (!page) return -XEN_ENOMEM;
    info = (struct vcpu_info *)(page + offset);
    memcpy(info, v->info, sizeof(*info));
    v->first_info = v->info;
    v->info_gfn = gfn;
    v->info_mfn = mfn;
    __atomic_store_n(&v->info, info, __ATOMIC_SEQ_CST);
    clock_update_vcpu(v);
    /* What was raised meanwhile may have gone into the old place. */
    evtchn_mark_all(v);
    return 0;
}

static long register_info(struct vcpu *v, uint64_t va)
{
    struct vcpu_register_vcpu_info op;
    struct domain *d = v->domain;
    uint64_t mfn;
    long rc;

    if (copy_from_guest(&op, va, sizeof(op))) return -XEN_EFAULT;
    if (op.offset > PAGE_SIZE - sizeof(struct vcpu_info) || op.offset % 8) return -XEN_ENXIO;
    if (v != current_vcpu() && !(READ_ONCE(v->holds) & HOLD_DOWN)) return -XEN_EINVAL;
    mfn = p2m_get_frame(d, op.mfn, true, false);
    if (mfn == MFN_INVALID) return -XEN_EINVAL;
    spin_lock(&d->lock);
    rc = set_info(v, op.mfn, mfn, op.offset);
    spin_unlock(&d->lock);
    if (rc) frame_put(mfn);
    return rc;
}

void vcpu_info_unmap(struct vcpu *v)
{
    struct vcpu_info *info = v->info;
    uint64_t mfn = v->info_mfn;

    if (mfn == MFN_INVALID) return;
    WRITE_ONCE(v->info, v->first_info);
    v->info_mfn = MFN_INVALID;
    vunmap(info, 1);
    frame_put(mfn);
}

void vcpu_info_mark_dirty(struct domain *d)
{
    struct vcpu *v;

    for_each_vcpu (d, v)
        if (v->info_mfn != MFN_INVALID) logdirty_mark(d, v->info_gfn);
}

static long register_runstate(struct vcpu *v, uint64_t va)
{
    struct vcpu_register_runstate_memory_area op;
    struct vcpu_runstate_info info;

    if (copy_from_guest(&op, va, sizeof(op))) return -XEN_EFAULT;
    v->runstate_va = op.addr.p;
    if (v != current_vcpu() || !v->runstate_va) return 0;
    vcpu_get_runstate(v, &info);
    if (copy_to_guest(v->runstate_va, &info, sizeof(info))) {
        v->runstate_va = 0;
        return -XEN_EFAULT;
    }
    return 0;
}

static long register_time(struct vcpu *v, uint64_t va)
{
    struct vcpu_register_time_memory_area op;

    if (copy_from_guest(&op, va, sizeof(op))) return -XEN_EFAULT;
    v->time_va = op.addr.p;
    if (v != current_vcpu() || !v->time_va) return 0;
    clock_update_vcpu(v);
    return v->time_va ? 0 : -XEN_EFAULT;
}

static long get_runstate(struct vcpu *v, uint64_t va)
{
    struct vcpu_runstate_info info;

    vcpu_get_runstate(v, &info);
    return copy_to_guest(va, &info, sizeof(info));
}

static long set_oneshot(struct vcpu *v, uint64_t va)
{
    struct vcpu_set_singleshot_timer op;

    if (v != current_vcpu()) return -XEN_EINVAL;
    if (copy_from_guest(&op, va, sizeof(op))) return -XEN_EFAULT;
    if (op.flags & VCPU_SSHOTTMR_future && op.timeout_abs_ns < now()) return -XEN_ETIME;
    timer_set(&v->oneshot, op.timeout_abs_ns);
    return 0;
}

static long stop_oneshot(struct vcpu *v)
{
    if (v != current_vcpu()) return -XEN_EINVAL;
    timer_stop(&v->oneshot);
    return 0;
}

static long bring_up(struct vcpu *v)
{
    if (!v->initialised) return -XEN_EINVAL;
    vcpu_set_down(v, false);
    return 0;
}

static long send_nmi(struct vcpu *v)
{
    v->nmi_pending = true;
    vcpu_notify(v);
    return 0;
}

long hc_vcpu_op(struct vcpu *caller, const struct hc_args *args)
{
    struct vcpu *v = domain_vcpu(caller->domain, args->a[1]);
    uint64_t va = args->a[2];

    if (!v) return -XEN_ENOENT;
    switch ((uint32_t)args->a[0]) {
    case VCPUOP_up: return bring_up(v);
    case VCPUOP_down: vcpu_set_down(v, true); return 0;
    case VCPUOP_is_up: return !(READ_ONCE(v->holds) & HOLD_DOWN);
    case VCPUOP_get_runstate_info: return get_runstate(v, va);
    case VCPUOP_register_runstate_memory_area: return register_runstate(v, va);
    case VCPUOP_stop_periodic_timer: /* there is none */ return 0;
    case VCPUOP_set_singleshot_timer: return set_oneshot(v, va);
    case VCPUOP_stop_singleshot_timer: return stop_oneshot(v);
    case VCPUOP_register_vcpu_info: return register_info(v, va);
    case VCPUOP_send_nmi: return send_nmi(v);
    case VCPUOP_register_vcpu_time_memory_area: return register_time(v, va);
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
