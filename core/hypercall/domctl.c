/* SPDX-License-Identifier: Apache-2.0 */
/* XEN_DOMCTL_*: making, running and ending domains.  Only for dom0. */
#include "hypercall/domctl.h"
#include "hypercall/access.h"
#include "hypercall/control.h"
#include "hypercall/evtchn.h"
#include "hypercall/grant.h"
#include "lib/print.h"
#include "lib/string.h"
#include "sched/sched.h"
#include "vm/cpu_policy.h"
#include "vm/guest.h"
#include "vm/p2m.h"
#include "vm/vcpu.h"

/* --- what is known of a domain --- */

void domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info)
{
    bool running = false, blocked = true;
    struct vcpu *v;

    memset(info, 0, sizeof(*info));
    info->domain = d->id;
    info->max_vcpu_id = XEN_INVALID_MAX_VCPU_ID;
    for_each_vcpu (d, v) {
        unsigned int holds = READ_ONCE(v->holds);

        info->max_vcpu_id = v->id;
        info->cpu_time += vcpu_run_time(v);
        if (holds & HOLD_DOWN) continue;
        info->nr_online_vcpus++;
        blocked &= (holds & (HOLD_BLOCKED | HOLD_POLL)) != 0;
        running |= READ_ONCE(v->running_on) != NULL;
    }
    spin_lock(&d->lock);
    info->flags =
        XEN_DOMINF_hvm_guest | XEN_DOMINF_hap | (d->dying == DEAD ? XEN_DOMINF_dying : 0) |
        (d->is_shut_down ? XEN_DOMINF_shutdown : 0) | (d->ctl_pauses ? XEN_DOMINF_paused : 0) |
        (blocked ? XEN_DOMINF_blocked : 0) | (running ? XEN_DOMINF_running : 0) |
        (uint32_t)d->shutdown_code << XEN_DOMINF_shutdownshift;
    memcpy(info->handle, d->handle, sizeof(info->handle));
    spin_unlock(&d->lock);
    info->tot_pages = READ_ONCE(d->tot_pages);
    info->max_pages = READ_ONCE(d->max_pages);
    info->shared_info_frame = d->shared_info_gfn;
    info->gpaddr_bits = cpu_policy_system(POLICY_MAX)->extd[8].a;
    info->arch_config.emulation_flags = d->emulation_flags;
}

static int get_info(struct domain *d, struct xen_domctl *op)
{
    domain_info(d, &op->u.getdomaininfo);
    op->domain = d->id;
    return 0;
}

/* --- life and death --- */

/* PVH with nested paging and a local APIC; nothing else is built. */
static int check_config(const struct xen_domctl_createdomain *c)
{
    const uint32_t must = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap;

    if ((c->flags & must) != must || c->arch.emulation_flags != XEN_X86_EMU_LAPIC)
        return -XEN_EOPNOTSUPP;
    if (c->flags & ~(must | XEN_DOMCTL_CDF_oos_off) || c->iommu_opts || c->vmtrace_size ||
        c->cpupool_id || c->arch.misc_flags & ~XEN_X86_MISC_FLAGS_MAX ||
        c->grant_opts & ~XEN_DOMCTL_GRANT_version_mask ||
        XEN_DOMCTL_GRANT_version(c->grant_opts) != 1 || !c->max_vcpus || c->max_vcpus > MAX_VCPUS)
        return -XEN_EINVAL;
    return 0;
}

static int create(maybe_unused struct domain *none, struct xen_domctl *op)
{
    const struct xen_domctl_createdomain *c = &op->u.createdomain;
    struct domain *d;
    int rc = check_config(c);

    if (rc) return rc;
    rc = domain_create(op->domain, false, c, &d);
    if (!rc) op->domain = d->id;
    return rc;
}

static int destroy(struct domain *d, maybe_unused struct xen_domctl *op)
{
    if (d->privileged) return -XEN_EINVAL;
    return d->dying == DEAD ? 0 : domain_kill(d);
}

static int pause(struct domain *d, maybe_unused struct xen_domctl *op)
{
    if (d == current_domain()) return -XEN_EINVAL;
    spin_lock(&d->lock);
    d->ctl_pauses++;
    spin_unlock(&d->lock);
    domain_pause_sync(d);
    return 0;
}

static int unpause(struct domain *d, maybe_unused struct xen_domctl *op)
{
    bool paused;

    spin_lock(&d->lock);
    paused = d->ctl_pauses > 0;
    d->ctl_pauses -= paused;
    d->started = true;
    spin_unlock(&d->lock);
    if (!paused) return -XEN_EINVAL;
    domain_unpause(d);
    return 0;
}

static int resume(struct domain *d, maybe_unused struct xen_domctl *op)
{
    if (d == current_domain()) return -XEN_EINVAL;
    domain_resume(d);
    return 0;
}

/* After SHUTDOWN_soft_reset: memory stays, all else is as new; the toolstack
 * then loads another vCPU state. */
static int soft_reset(struct domain *d, maybe_unused struct xen_domctl *op)
{
    struct vcpu *v;
    int rc;

    if (d == current_domain() || !d->is_shut_down || d->shutdown_code != SHUTDOWN_soft_reset)
        return -XEN_EINVAL;
    domain_pause_sync(d);
    rc = evtchn_release(d);
    if (!rc) rc = grant_release(d);
    for_each_vcpu (d, v) {
        if (rc) break;
        timer_stop(&v->oneshot);
        timer_stop(&v->poll_timer);
        vcpu_info_unmap(v);
        v->runstate_va = v->time_va = 0;
        v->upcall_vector = 0;
        v->initialised = false;
        vcpu_set_down(v, true);
        vcpu_reset(v);
    }
    if (!rc) {
        d->upcall_via_vector = d->started = false;
        memset(d->params, 0, sizeof(d->params));
        d->params[HVM_PARAM_TRIPLE_FAULT_REASON] = SHUTDOWN_reboot;
        domain_resume(d);
    }
    domain_unpause(d);
    return rc;
}

/* --- attributes --- */

static int max_mem(struct domain *d, struct xen_domctl *op)
{
    WRITE_ONCE(d->max_pages, op->u.max_mem.max_memkb >> (PAGE_SHIFT - 10));
    return 0;
}

static int set_pool(struct domain *d, struct xen_domctl *op)
{
    uint64_t size = op->u.paging_mempool.size;

    if (size & (PAGE_SIZE - 1)) return -XEN_EINVAL;
    WRITE_ONCE(d->pool_pages, size >> PAGE_SHIFT);
    return 0;
}

static int get_pool(struct domain *d, struct xen_domctl *op)
{
    op->u.paging_mempool.size = d->pool_pages << PAGE_SHIFT;
    return 0;
}

static int set_handle(struct domain *d, struct xen_domctl *op)
{
    spin_lock(&d->lock);
    memcpy(d->handle, op->u.setdomainhandle.handle, sizeof(d->handle));
    spin_unlock(&d->lock);
    return 0;
}

static int set_time_offset(struct domain *d, struct xen_domctl *op)
{
    d->time_offset = op->u.settimeoffset.time_offset_seconds;
    clock_write_wall(d);
    return 0;
}

/* The TSC is never emulated: mode 1 (always) and 3 (PV) are not there. */
static int set_tsc(struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_tsc_info *t = &op->u.tsc_info;

    if (d == current_domain()) return -XEN_EINVAL;
    if (t->tsc_mode != 0 && t->tsc_mode != 2) return -XEN_EOPNOTSUPP;
    if (t->gtsc_khz && t->gtsc_khz != tsc_khz)
        log_guest(LOG_WARN, "d%u: its TSC ran at %u kHz, now at %u", d->id, t->gtsc_khz, tsc_khz);
    d->tsc_mode = t->tsc_mode;
    d->tsc_incarnation = t->incarnation;
    return 0;
}

static int get_tsc(struct domain *d, struct xen_domctl *op)
{
    op->u.tsc_info =
        (struct xen_domctl_tsc_info){.tsc_mode = d->tsc_mode,
                                     .gtsc_khz = d->tsc_khz,
                                     .incarnation = d->tsc_incarnation,
                                     .elapsed_nsec = tsc_to_ns(read_tsc() - d->tsc_epoch)};
    return 0;
}

/* There is one node. */
static int set_node_affinity(maybe_unused struct domain *d, maybe_unused struct xen_domctl *op)
{
    return 0;
}

static int get_node_affinity(maybe_unused struct domain *d, struct xen_domctl *op)
{
    const unsigned long node0 = 1;

    return bitmap_write(&op->u.nodeaffinity.nodemap, &node0, 1);
}

/* Types of frames, for a save: memory or nothing.  In place. */
static int page_types(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_getpageframeinfo3 *p = &op->u.getpageframeinfo3;
    uint64_t a[64];

    if (p->num > 1024) return -XEN_E2BIG;
    while (p->num) {
        unsigned int n = MIN(ARRAY_SIZE(a), p->num);

        if (copy_from_guest(a, HANDLE(p->array), n * sizeof(*a))) return -XEN_EFAULT;
        for (unsigned int i = 0; i < n; i++)
            a[i] = p2m_lookup(d, a[i]).type == P2M_RAM ? XEN_DOMCTL_PFINFO_NOTAB
                                                       : XEN_DOMCTL_PFINFO_XTAB;
        if (copy_to_guest(HANDLE(p->array), a, n * sizeof(*a))) return -XEN_EFAULT;
        p->num -= n;
        p->array.p += n;
        if (p->num && hypercall_preempt()) return -XEN_ERESTART;
    }
    return 0;
}

static int not_supported(maybe_unused struct domain *d, maybe_unused struct xen_domctl *op)
{
    return -XEN_EOPNOTSUPP;
}

/* Log-dirty, all that is left of shadow paging. */
static int shadow_op(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_shadow_op *s = &op->u.shadow_op;
    bool clean = s->op == XEN_DOMCTL_SHADOW_OP_CLEAN;
    int rc;

    if (d == current_domain()) return -XEN_EINVAL;
    domain_pause_sync(d);
    switch (s->op) {
    case XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY: rc = logdirty_on(d); break;
    case XEN_DOMCTL_SHADOW_OP_OFF: rc = logdirty_off(d); break;
    case XEN_DOMCTL_SHADOW_OP_CLEAN:
    case XEN_DOMCTL_SHADOW_OP_PEEK:
        /* What others may write at any time. */
        if (s->mode & XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL) {
            grant_mark_dirty(d);
            vcpu_info_mark_dirty(d);
        }
        s->stats.fault_count = d->p2m->log.faults;
        s->stats.dirty_count = d->p2m->log.dirty;
        rc = logdirty_copy(d, HANDLE(s->dirty_bitmap), s->pages, clean);
        break;
    default: rc = -XEN_EOPNOTSUPP;
    }
    domain_unpause(d);
    return rc;
}

/* --- dispatch --- */

enum { BACK = 1 }; /* *op is copied back, on errors too */

static const struct domctl_entry {
    domctl_fn *fn;
    uint8_t flags;
} table[] = {
    [XEN_DOMCTL_createdomain] = {create, BACK},
    [XEN_DOMCTL_destroydomain] = {destroy, 0},
    [XEN_DOMCTL_pausedomain] = {pause, 0},
    [XEN_DOMCTL_unpausedomain] = {unpause, 0},
    [XEN_DOMCTL_getdomaininfo] = {get_info, BACK},
    [XEN_DOMCTL_setvcpuaffinity] = {domctl_set_affinity, 0},
    [XEN_DOMCTL_shadow_op] = {shadow_op, BACK},
    [XEN_DOMCTL_max_mem] = {max_mem, 0},
    [XEN_DOMCTL_setvcpucontext] = {domctl_set_vcpu_context, 0},
    [XEN_DOMCTL_getvcpucontext] = {domctl_get_vcpu_context, 0},
    [XEN_DOMCTL_getvcpuinfo] = {domctl_get_vcpu_info, BACK},
    [XEN_DOMCTL_max_vcpus] = {domctl_max_vcpus, 0},
    [XEN_DOMCTL_scheduler_op] = {domctl_scheduler, BACK},
    [XEN_DOMCTL_setdomainhandle] = {set_handle, 0},
    [XEN_DOMCTL_settimeoffset] = {set_time_offset, 0},
    [XEN_DOMCTL_getvcpuaffinity] = {domctl_get_affinity, 0},
    [XEN_DOMCTL_resumedomain] = {resume, 0},
    [XEN_DOMCTL_gethvmcontext] = {domctl_get_context, BACK},
    [XEN_DOMCTL_sethvmcontext] = {domctl_set_context, 0},
    [XEN_DOMCTL_set_address_size] = {not_supported, 0},
    [XEN_DOMCTL_get_address_size] = {not_supported, 0},
    [XEN_DOMCTL_gethvmcontext_partial] = {domctl_get_context_partial, BACK},
    [XEN_DOMCTL_gettscinfo] = {get_tsc, BACK},
    [XEN_DOMCTL_settscinfo] = {set_tsc, 0},
    [XEN_DOMCTL_getpageframeinfo3] = {page_types, BACK},
    [XEN_DOMCTL_setnodeaffinity] = {set_node_affinity, 0},
    [XEN_DOMCTL_getnodeaffinity] = {get_node_affinity, 0},
    [XEN_DOMCTL_soft_reset] = {soft_reset, 0},
    [XEN_DOMCTL_get_cpu_policy] = {domctl_get_policy, BACK},
    [XEN_DOMCTL_set_cpu_policy] = {domctl_set_policy, BACK},
    [XEN_DOMCTL_get_paging_mempool_size] = {get_pool, BACK},
    [XEN_DOMCTL_set_paging_mempool_size] = {set_pool, 0},
};

static const struct domctl_entry *find_entry(uint32_t cmd)
{
    const struct domctl_entry *e;

    if (cmd >= ARRAY_SIZE(table)) return NULL;
    e = &table[index_nospec(cmd, ARRAY_SIZE(table))];
    return e->fn ? e : NULL;
}

static struct domain *find_domain(const struct xen_domctl *op)
{
    return op->cmd == XEN_DOMCTL_getdomaininfo ? domain_get_from(op->domain)
                                               : domain_get(op->domain);
}

static int run(const struct domctl_entry *e, struct xen_domctl *op, uint64_t arg)
{
    struct domain *d = NULL;
    int rc;

    if (op->cmd != XEN_DOMCTL_createdomain) {
        d = find_domain(op);
        if (!d) return -XEN_ESRCH;
    }
    /* Of a dying domain only its end and its state are of interest. */
    if (d && d->dying != ALIVE && op->cmd != XEN_DOMCTL_getdomaininfo &&
        op->cmd != XEN_DOMCTL_destroydomain)
        rc = -XEN_ESRCH;
    else
        rc = e->fn(d, op);
    if (e->flags & BACK && copy_to_guest(arg, op, sizeof(*op)) && !rc) rc = -XEN_EFAULT;
    if (d) domain_put(d);
    return rc;
}

long hc_domctl(struct vcpu *v, const struct hc_args *args)
{
    /* One operation at a time, machine-wide: guards what the operations say
     * that their caller serialises (vm/domain.h). */
    static struct spinlock domctl_lock = SPINLOCK(RANK_DOMCTL);
    const struct domctl_entry *e;
    struct xen_domctl op;
    int rc;

    if (copy_from_guest(&op, args->a[0], sizeof(op))) return -XEN_EFAULT;
    if (op.interface_version != XEN_DOMCTL_INTERFACE_VERSION) return -XEN_EACCES;
    if (!v->domain->privileged) return -XEN_EPERM;
    e = find_entry(op.cmd);
    rc = -XEN_ENOSYS;
    if (e) {
        if (!spin_trylock(&domctl_lock)) return HC_CONTINUE;
        rc = run(e, &op, args->a[0]);
        spin_unlock(&domctl_lock);
    }
    if (rc == -XEN_ERESTART) return HC_CONTINUE;
    if (rc && rc != -XEN_ESRCH)
        log_guest(LOG_DEBUG, "d%uv%u: domctl %u on d%u: %d", v->domain->id, v->id, op.cmd,
                  op.domain, rc);
    return rc;
}
