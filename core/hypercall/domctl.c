/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XEN_DOMCTL_*: making, running and ending domains; their vCPUs, where they
 * run and what they show.  Only for dom0.
 */
#include "hypercall/domctl.h"
#include "cpu/arch.h"
#include "hypercall/access.h"
#include "hypercall/control.h"
#include "hypercall/evtchn.h"
#include "hypercall/grant.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "sched/sched.h"
#include "vm/cpu_policy.h"
#include "vm/guest.h"
#include "vm/p2m.h"
#include "vm/vcpu.h"
#include "vm/vendor.h"

#define CONTEXT_MAX (1u << 20) /* of 128 vCPUs: less than 600 KiB */

/* --- bitmaps in the caller's memory --- */

static int bitmap_read(unsigned long *map, unsigned int bits, const struct xenctl_bitmap *b)
{
    unsigned int n = MIN(bits, b->nr_bits);

    memset(map, 0, BITMAP_WORDS(bits) * sizeof(*map));
    if (copy_from_guest(map, HANDLE(b->bitmap), DIV_UP(n, 8))) return -XEN_EFAULT;
    for (unsigned int i = n; i < ROUND_UP(n, 8u) && i < bits; i++) __clear_bit(i, map);
    return 0;
}

int bitmap_write(const struct xenctl_bitmap *b, const unsigned long *map, unsigned int bits)
{
    /* Nobody asks for more CPUs than there can be. */
    uint8_t bytes[MAX_CPUS / 8] = {0};
    uint32_t n = MIN(DIV_UP(b->nr_bits, 8u), sizeof(bytes));

    for (unsigned int i = 0; i < MIN(bits, b->nr_bits); i++)
        bytes[i / 8] |= test_bit(i, map) << i % 8;
    return copy_to_guest(HANDLE(b->bitmap), bytes, n);
}

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
    info->flags = XEN_DOMINF_hvm_guest | XEN_DOMINF_hap |
                  (READ_ONCE(d->dying) == DEAD ? XEN_DOMINF_dying : 0) |
                  (d->is_shut_down ? XEN_DOMINF_shutdown : 0) |
                  (READ_ONCE(d->ctl_pauses) ? XEN_DOMINF_paused : 0) |
                  (blocked ? XEN_DOMINF_blocked : 0) | (running ? XEN_DOMINF_running : 0) |
                  (uint32_t)d->shutdown_code << XEN_DOMINF_shutdownshift;
    memcpy(info->handle, d->handle, sizeof(info->handle));
    spin_unlock(&d->lock);
    info->tot_pages = READ_ONCE(d->tot_pages);
    info->max_pages = READ_ONCE(d->max_pages);
    info->shared_info_frame = READ_ONCE(d->shared_info_gfn);
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
    WRITE_ONCE(d->ctl_pauses, d->ctl_pauses + 1);
    domain_pause_sync(d);
    return 0;
}

static int unpause(struct domain *d, maybe_unused struct xen_domctl *op)
{
    d->started = true;
    if (!d->ctl_pauses) return -XEN_EINVAL;
    WRITE_ONCE(d->ctl_pauses, d->ctl_pauses - 1);
    domain_unpause(d);
    return 0;
}

static int resume(struct domain *d, maybe_unused struct xen_domctl *op)
{
    domain_resume(d);
    return 0;
}

/* After SHUTDOWN_soft_reset: memory stays, all else is as new; the toolstack
 * then loads another vCPU state. */
static int soft_reset(struct domain *d, maybe_unused struct xen_domctl *op)
{
    struct vcpu *v;
    bool asked;
    int rc;

    spin_lock(&d->lock);
    asked = d->is_shut_down && d->shutdown_code == SHUTDOWN_soft_reset;
    spin_unlock(&d->lock);
    if (!asked) return -XEN_EINVAL;
    domain_pause_sync(d);
    rc = evtchn_release(d);
    if (!rc) rc = grant_release(d);
    if (!rc) vcpu_info_unmap(d);
    for_each_vcpu (d, v) {
        if (rc) break;
        timer_stop(&v->oneshot);
        timer_stop(&v->poll_timer);
        WRITE_ONCE(v->runstate_va, 0);
        WRITE_ONCE(v->time_va, 0);
        WRITE_ONCE(v->upcall_vector, 0);
        WRITE_ONCE(v->initialised, false);
        vcpu_set_down(v, true);
        vcpu_reset(v);
    }
    if (!rc) {
        WRITE_ONCE(d->upcall_via_vector, false);
        d->started = false;
        for (unsigned int i = 0; i < HVM_NR_PARAMS; i++)
            WRITE_ONCE(d->params[i], i == HVM_PARAM_TRIPLE_FAULT_REASON ? SHUTDOWN_reboot : 0);
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
    op->u.paging_mempool.size = READ_ONCE(d->pool_pages) << PAGE_SHIFT;
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

static int set_tsc(struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_tsc_info *t = &op->u.tsc_info;
    int rc;

    domain_pause_sync(d);
    rc = tsc_set(d, t->tsc_mode, t->gtsc_khz);
    if (!rc) d->tsc.incarnation = t->incarnation;
    domain_unpause(d);
    return rc;
}

static int get_tsc(struct domain *d, struct xen_domctl *op)
{
    op->u.tsc_info =
        (struct xen_domctl_tsc_info){.tsc_mode = d->tsc.mode,
                                     .gtsc_khz = d->tsc.khz,
                                     .incarnation = d->tsc.incarnation,
                                     .elapsed_nsec = tsc_to_ns(read_tsc() - d->tsc.epoch)};
    return 0;
}

static int get_node_affinity(maybe_unused struct domain *d, struct xen_domctl *op)
{
    const unsigned long node0 = 1;

    return bitmap_write(&op->u.nodeaffinity.nodemap, &node0, 1);
}

/* Types of frames, for a save: memory or nothing.  In place, a part at a time. */
static int page_types(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_getpageframeinfo3 *p = &op->u.getpageframeinfo3;
    uint64_t a[64];
    unsigned int n = MIN(ARRAY_SIZE(a), p->num);

    if (p->num > 1024) return -XEN_E2BIG;
    if (copy_from_guest(a, HANDLE(p->array), n * sizeof(*a))) return -XEN_EFAULT;
    for (unsigned int i = 0; i < n; i++)
        a[i] =
            p2m_lookup(d, a[i]).type == P2M_RAM ? XEN_DOMCTL_PFINFO_NOTAB : XEN_DOMCTL_PFINFO_XTAB;
    if (copy_to_guest(HANDLE(p->array), a, n * sizeof(*a))) return -XEN_EFAULT;
    p->num -= n;
    p->array.p = (void *)(HANDLE(p->array) + n * sizeof(*a));
    return p->num ? -XEN_ERESTART : 0;
}

/* What has no effect here: there is one node. */
static int nothing(maybe_unused struct domain *d, maybe_unused struct xen_domctl *op)
{
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

    domain_pause_sync(d);
    switch (s->op) {
    case XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY: /* what devices write is not seen */
        rc = d->pci ? -XEN_EOPNOTSUPP : logdirty_on(d);
        break;
    case XEN_DOMCTL_SHADOW_OP_OFF: rc = logdirty_off(d); break;
    case XEN_DOMCTL_SHADOW_OP_CLEAN:
    case XEN_DOMCTL_SHADOW_OP_PEEK:
        /* What others may write at any time. */
        if (s->mode & XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL) {
            grant_mark_dirty(d);
            vcpu_info_mark_dirty(d);
        }
        spin_lock(&d->p2m->lock);
        s->stats.fault_count = d->p2m->log.faults;
        s->stats.dirty_count = d->p2m->log.dirty;
        spin_unlock(&d->p2m->lock);
        rc = logdirty_copy(d, HANDLE(s->dirty_bitmap), s->pages, clean);
        break;
    default: rc = -XEN_EOPNOTSUPP;
    }
    domain_unpause(d);
    return rc;
}

/* --- vCPUs --- */

static int max_vcpus(struct domain *d, struct xen_domctl *op)
{
    if (op->u.max_vcpus.max != d->max_vcpus) return -XEN_EINVAL;
    for (unsigned int i = 0; i < d->max_vcpus; i++) {
        int rc;

        if (d->vcpus[i]) continue;
        if ((rc = vcpu_create(d, i))) return rc;
        if (i + 1 < d->max_vcpus && hypercall_preempt()) return -XEN_ERESTART;
    }
    return 0;
}

static int get_vcpu_info(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_getvcpuinfo *i = &op->u.getvcpuinfo;
    struct vcpu *v = domain_vcpu(d, i->vcpu);
    unsigned int holds;
    struct cpu *c;

    if (!v) return i->vcpu < d->max_vcpus ? -XEN_ESRCH : -XEN_EINVAL;
    holds = READ_ONCE(v->holds);
    c = READ_ONCE(v->running_on);
    i->online = !(holds & HOLD_DOWN);
    i->blocked = (holds & (HOLD_BLOCKED | HOLD_POLL)) != 0;
    i->running = c != NULL;
    i->cpu_time = vcpu_run_time(v);
    if (!c) c = READ_ONCE(v->sched.last_cpu);
    i->cpu = c ? c->id : 0;
    return 0;
}

static int affinity(struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_vcpuaffinity *a = &op->u.vcpuaffinity;
    bool has_hard = a->flags & XEN_VCPUAFFINITY_HARD, has_soft = a->flags & XEN_VCPUAFFINITY_SOFT;
    unsigned long hard[BITMAP_WORDS(MAX_CPUS)], soft[BITMAP_WORDS(MAX_CPUS)];
    struct vcpu *v = domain_vcpu(d, a->vcpu);
    int rc = 0;

    if (!v) return a->vcpu < d->max_vcpus ? -XEN_ESRCH : -XEN_EINVAL;
    memcpy(hard, v->sched.hard, sizeof(hard));
    memcpy(soft, v->sched.soft, sizeof(soft));
    if (op->cmd == XEN_DOMCTL_setvcpuaffinity) {
        if (!has_hard && !has_soft) return -XEN_EINVAL;
        if (has_hard) rc = bitmap_read(hard, MAX_CPUS, &a->cpumap_hard);
        if (!rc && has_soft) rc = bitmap_read(soft, MAX_CPUS, &a->cpumap_soft);
        if (!rc) rc = sched_set_affinity(v, hard, soft);
        /* What took effect: CPUs that exist, and soft within hard. */
        for (unsigned int i = 0; i < ARRAY_SIZE(soft); i++) soft[i] &= hard[i];
    }
    if (!rc && has_hard) rc = bitmap_write(&a->cpumap_hard, hard, cpu_count);
    if (!rc && has_soft) rc = bitmap_write(&a->cpumap_soft, soft, cpu_count);
    return rc;
}

static int scheduler(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_scheduler_op *s = &op->u.scheduler_op;
    struct xen_domctl_sched_credit2 *p = &s->u.credit2;

    if (s->sched_id != XEN_SCHEDULER_CREDIT2) return -XEN_EINVAL;
    switch (s->cmd) {
    case XEN_DOMCTL_SCHEDOP_putinfo: /* 0 and ~0: as it is */
        return sched_set_params(d, p->weight ? p->weight : d->weight,
                                p->cap != 0xffff ? p->cap : d->cap);
    case XEN_DOMCTL_SCHEDOP_getinfo:
        p->weight = d->weight;
        p->cap = d->cap;
        return 0;
    default: return -XEN_EINVAL;
    }
}

/* --- registers --- */

/* Where struct cpu_user_regs has its first fifteen, as numbers of ours. */
static const uint8_t user_order[] = {15, 14, 13, 12, 5, 3, 11, 10, 9, 8, 0, 1, 2, 6, 7};

static void fill_context(struct vcpu *v, struct vcpu_guest_context *c)
{
    uint64_t *u = &c->user_regs.r15;
    struct arch_state s;

    vendor->get_state(v, &s);
    memcpy(c->fpu_ctxt.x, v->fpu, sizeof(c->fpu_ctxt.x));
    c->flags = VGCF_i387_valid | (READ_ONCE(v->holds) & HOLD_DOWN ? 0 : VGCF_online);
    for (unsigned int i = 0; i < ARRAY_SIZE(user_order); i++) u[i] = v->regs.gpr[user_order[i]];
    c->user_regs.rsp = v->regs.rsp;
    c->user_regs.rip = v->regs.rip;
    c->user_regs.rflags = v->regs.rflags;
    c->user_regs.cs = s.seg[SEG_CS].selector;
    c->user_regs.ss = s.seg[SEG_SS].selector;
    c->ctrlreg[0] = s.cr0;
    c->ctrlreg[2] = s.cr2;
    c->ctrlreg[3] = s.cr3;
    c->ctrlreg[4] = s.cr4;
}

/* Of an HVM vCPU only the general registers are taken (public xen.h); that is
 * all that resuming needs. */
static void take_context(struct vcpu *v, const struct vcpu_guest_context *c)
{
    const uint64_t *u = &c->user_regs.r15;

    for (unsigned int i = 0; i < ARRAY_SIZE(user_order); i++) v->regs.gpr[user_order[i]] = u[i];
    v->regs.rsp = c->user_regs.rsp;
    v->regs.rip = c->user_regs.rip;
    v->regs.rflags = (c->user_regs.rflags & RFLAGS_GUEST) | 2;
    vcpu_set_down(v, !(c->flags & VGCF_online));
}

static int vcpu_context(struct domain *d, struct xen_domctl *op)
{
    bool set = op->cmd == XEN_DOMCTL_setvcpucontext;
    uint64_t va = HANDLE(op->u.vcpucontext.ctxt);
    struct vcpu *v = domain_vcpu(d, op->u.vcpucontext.vcpu);
    struct vcpu_guest_context *c;
    int rc;

    if (set && !va) return -XEN_EINVAL;
    if (!v) return op->u.vcpucontext.vcpu < d->max_vcpus ? -XEN_ESRCH : -XEN_EINVAL;
    if (!READ_ONCE(v->initialised)) return -XEN_ENODATA;
    c = core_alloc(sizeof(*c));
    if (!c) return -XEN_ENOMEM;
    domain_pause_sync(d);
    if (set) {
        rc = copy_from_guest(c, va, sizeof(*c));
        if (!rc) take_context(v, c);
    } else {
        fill_context(v, c);
        rc = copy_to_guest(va, c, sizeof(*c));
    }
    domain_unpause(d);
    core_free(c);
    return rc;
}

/* --- context records --- */

/* All records of d in a buffer from the heap, for the caller to free; their
 * size, or an error. */
static long save_all(struct domain *d, uint8_t **buf)
{
    long size;

    domain_pause_sync(d);
    size = context_save(d, NULL, 0);
    *buf = size > 0 ? core_alloc(size) : NULL;
    if (size > 0) size = *buf ? context_save(d, *buf, size) : -XEN_ENOMEM;
    domain_unpause(d);
    return size;
}

/* To a buffer of the caller's, if it has one. */
static int give(uint64_t va, uint64_t room, const void *what, size_t size)
{
    if (!va) return 0;
    return room < size ? -XEN_ENOSPC : copy_to_guest(va, what, size);
}

static int get_context(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_hvmcontext *h = &op->u.hvmcontext;
    uint8_t *buf;
    long size = save_all(d, &buf);
    int rc = size < 0 ? size : give(HANDLE(h->buffer), h->size, buf, size);

    if (!rc) h->size = size;
    core_free(buf);
    return rc;
}

/* One record's body, without its descriptor. */
static int get_context_partial(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_hvmcontext_partial *h = &op->u.hvmcontext_partial;
    const struct hvm_save_descriptor *r;
    uint8_t *buf;
    long size = save_all(d, &buf);
    int rc = size < 0 ? size : -XEN_ENOENT;

    for (long at = 0; at + (long)sizeof(*r) <= size; at += sizeof(*r) + r->length) {
        r = (const struct hvm_save_descriptor *)(buf + at);
        if (r->typecode != h->type || r->instance != h->instance) continue;
        rc = give(HANDLE(h->buffer), h->bufsz, r + 1, r->length);
        if (!rc) h->bufsz = r->length;
        break;
    }
    core_free(buf);
    return rc;
}

static int set_context(struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_hvmcontext *h = &op->u.hvmcontext;
    uint8_t *buf;
    int rc;

    if (h->size > CONTEXT_MAX || !h->size) return -XEN_EINVAL;
    buf = core_alloc(h->size);
    if (!buf) return -XEN_ENOMEM;
    rc = copy_from_guest(buf, HANDLE(h->buffer), h->size);
    if (!rc) {
        domain_pause_sync(d);
        rc = context_load(d, buf, h->size);
        domain_unpause(d);
    }
    core_free(buf);
    return rc;
}

/* --- policies --- */

static int get_policy(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_cpu_policy *p = &op->u.cpu_policy;

    return cpu_policy_write(d->policy, HANDLE(p->leaves), &p->nr_leaves, HANDLE(p->msrs),
                            &p->nr_msrs);
}

static int set_policy(struct domain *d, struct xen_domctl *op)
{
    return d->started ? -XEN_EEXIST : cpu_policy_merge(d, &op->u.cpu_policy);
}

/* --- dispatch --- */

enum {
    BACK = 1,   /* *op is copied back, on errors too */
    OTHERS = 2, /* not of dom0 itself                */
    DYING_TOO = 4,
};

/* One operation on a domain that the caller holds a reference to (NULL for
 * createdomain); -XEN_ERESTART: call again. */
static const struct domctl_entry {
    int (*fn)(struct domain *d, struct xen_domctl *op);
    uint8_t flags;
} table[] = {
    [XEN_DOMCTL_createdomain] = {create, BACK},
    [XEN_DOMCTL_destroydomain] = {destroy, DYING_TOO},
    [XEN_DOMCTL_pausedomain] = {pause, OTHERS},
    [XEN_DOMCTL_unpausedomain] = {unpause, 0},
    [XEN_DOMCTL_getdomaininfo] = {get_info, BACK | DYING_TOO},
    [XEN_DOMCTL_setvcpuaffinity] = {affinity, 0},
    [XEN_DOMCTL_shadow_op] = {shadow_op, BACK | OTHERS},
    [XEN_DOMCTL_max_mem] = {max_mem, 0},
    [XEN_DOMCTL_setvcpucontext] = {vcpu_context, OTHERS},
    [XEN_DOMCTL_getvcpucontext] = {vcpu_context, OTHERS},
    [XEN_DOMCTL_getvcpuinfo] = {get_vcpu_info, BACK},
    [XEN_DOMCTL_max_vcpus] = {max_vcpus, 0},
    [XEN_DOMCTL_scheduler_op] = {scheduler, BACK},
    [XEN_DOMCTL_setdomainhandle] = {set_handle, 0},
    [XEN_DOMCTL_settimeoffset] = {set_time_offset, 0},
    [XEN_DOMCTL_getvcpuaffinity] = {affinity, 0},
    [XEN_DOMCTL_resumedomain] = {resume, OTHERS},
    [XEN_DOMCTL_gethvmcontext] = {get_context, BACK | OTHERS},
    [XEN_DOMCTL_sethvmcontext] = {set_context, OTHERS},
    [XEN_DOMCTL_set_address_size] = {not_supported, 0},
    [XEN_DOMCTL_get_address_size] = {not_supported, 0},
    [XEN_DOMCTL_gethvmcontext_partial] = {get_context_partial, BACK | OTHERS},
    [XEN_DOMCTL_gettscinfo] = {get_tsc, BACK},
    [XEN_DOMCTL_settscinfo] = {set_tsc, OTHERS},
    [XEN_DOMCTL_getpageframeinfo3] = {page_types, BACK},
    [XEN_DOMCTL_setnodeaffinity] = {nothing, 0},
    [XEN_DOMCTL_getnodeaffinity] = {get_node_affinity, 0},
    [XEN_DOMCTL_soft_reset] = {soft_reset, OTHERS},
    [XEN_DOMCTL_get_cpu_policy] = {get_policy, BACK},
    [XEN_DOMCTL_set_cpu_policy] = {set_policy, BACK | OTHERS},
    [XEN_DOMCTL_get_paging_mempool_size] = {get_pool, BACK},
    [XEN_DOMCTL_set_paging_mempool_size] = {set_pool, 0},
};

static int run(const struct domctl_entry *e, struct xen_domctl *op, uint64_t arg)
{
    struct domain *d = NULL;
    int rc;

    if (op->cmd != XEN_DOMCTL_createdomain) {
        d = op->cmd == XEN_DOMCTL_getdomaininfo ? domain_get_from(op->domain)
                                                : domain_get(op->domain);
        if (!d) return -XEN_ESRCH;
    }
    /* Of a dying domain only its end and its state are of interest. */
    if (d && d->dying != ALIVE && !(e->flags & DYING_TOO))
        rc = -XEN_ESRCH;
    else if (e->flags & OTHERS && d == current_domain())
        rc = -XEN_EINVAL;
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
    const struct domctl_entry *e = NULL;
    struct xen_domctl op;
    int rc = -XEN_ENOSYS;

    if (copy_from_guest(&op, args->a[0], sizeof(op))) return -XEN_EFAULT;
    if (op.interface_version != XEN_DOMCTL_INTERFACE_VERSION) return -XEN_EACCES;
    if (!v->domain->privileged) return -XEN_EPERM;
    if (op.cmd < ARRAY_SIZE(table)) e = &table[index_nospec(op.cmd, ARRAY_SIZE(table))];
    if (e && e->fn) {
        if (!spin_trylock(&domctl_lock)) return HC_CONTINUE;
        rc = run(e, &op, args->a[0]);
        spin_unlock(&domctl_lock);
    }
    if (rc && rc != -XEN_ERESTART && rc != -XEN_ESRCH)
        log_guest(LOG_DEBUG, "d%uv%u: domctl %u on d%u: %d", v->domain->id, v->id, op.cmd,
                  op.domain, rc);
    return rc;
}
