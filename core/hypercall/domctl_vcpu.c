/* SPDX-License-Identifier: Apache-2.0 */
/* XEN_DOMCTL_*: vCPUs, their state, where they run and what they show. */
#include "cpu/arch.h"
#include "hypercall/access.h"
#include "hypercall/control.h"
#include "hypercall/domctl.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "sched/sched.h"
#include "vm/cpu_policy.h"
#include "vm/guest.h"
#include "vm/vendor.h"

#define CONTEXT_MAX (1u << 20) /* of 128 vCPUs: less than 600 KiB */

/* --- bitmaps --- */

int bitmap_read(unsigned long *map, unsigned int bits, const struct xenctl_bitmap *b)
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

/* --- existence and scheduling --- */

int domctl_max_vcpus(struct domain *d, struct xen_domctl *op)
{
    if (op->u.max_vcpus.max != d->max_vcpus) return -XEN_EINVAL;
    for (unsigned int i = 0; i < d->max_vcpus; i++) {
        int rc = d->vcpus[i] ? 0 : vcpu_create(d, i);

        if (rc) return rc;
        if (i + 1 < d->max_vcpus && hypercall_preempt()) return -XEN_ERESTART;
    }
    return 0;
}

int domctl_get_vcpu_info(struct domain *d, struct xen_domctl *op)
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

int domctl_get_affinity(struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_vcpuaffinity *a = &op->u.vcpuaffinity;
    struct vcpu *v = domain_vcpu(d, a->vcpu);
    int rc = 0;

    if (!v) return a->vcpu < d->max_vcpus ? -XEN_ESRCH : -XEN_EINVAL;
    if (a->flags & XEN_VCPUAFFINITY_HARD)
        rc = bitmap_write(&a->cpumap_hard, v->sched.hard, cpu_count);
    if (!rc && a->flags & XEN_VCPUAFFINITY_SOFT)
        rc = bitmap_write(&a->cpumap_soft, v->sched.soft, cpu_count);
    return rc;
}

/* Reads the new mask if it is given, else takes the present one. */
static int new_mask(unsigned long *map, bool given, const struct xenctl_bitmap *b,
                    const unsigned long *now)
{
    if (given) return bitmap_read(map, MAX_CPUS, b);
    memcpy(map, now, BITMAP_WORDS(MAX_CPUS) * sizeof(*map));
    return 0;
}

int domctl_set_affinity(struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_vcpuaffinity *a = &op->u.vcpuaffinity;
    bool set_hard = a->flags & XEN_VCPUAFFINITY_HARD;
    bool set_soft = a->flags & XEN_VCPUAFFINITY_SOFT;
    unsigned long hard[BITMAP_WORDS(MAX_CPUS)], soft[BITMAP_WORDS(MAX_CPUS)];
    struct vcpu *v = domain_vcpu(d, a->vcpu);
    int rc;

    if (!v) return a->vcpu < d->max_vcpus ? -XEN_ESRCH : -XEN_EINVAL;
    if (!set_hard && !set_soft) return -XEN_EINVAL;
    rc = new_mask(hard, set_hard, &a->cpumap_hard, v->sched.hard);
    if (!rc) rc = new_mask(soft, set_soft, &a->cpumap_soft, v->sched.soft);
    if (!rc) rc = sched_set_affinity(v, hard, soft);
    /* What took effect: CPUs that exist, and soft within hard. */
    if (!rc && set_hard) rc = bitmap_write(&a->cpumap_hard, hard, cpu_count);
    for (unsigned int i = 0; i < ARRAY_SIZE(soft); i++) soft[i] &= hard[i];
    return rc || !set_soft ? rc : bitmap_write(&a->cpumap_soft, soft, cpu_count);
}

int domctl_scheduler(struct domain *d, struct xen_domctl *op)
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

static int vcpu_context(struct domain *d, struct xen_domctl *op, bool set)
{
    uint64_t va = HANDLE(op->u.vcpucontext.ctxt);
    struct vcpu *v = domain_vcpu(d, op->u.vcpucontext.vcpu);
    struct vcpu_guest_context *c;
    int rc;

    if (d == current_domain() || (set && !va)) return -XEN_EINVAL;
    if (!v) return op->u.vcpucontext.vcpu < d->max_vcpus ? -XEN_ESRCH : -XEN_EINVAL;
    if (!v->initialised) return -XEN_ENODATA;
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

int domctl_get_vcpu_context(struct domain *d, struct xen_domctl *op)
{
    return vcpu_context(d, op, false);
}

int domctl_set_vcpu_context(struct domain *d, struct xen_domctl *op)
{
    return vcpu_context(d, op, true);
}

/* --- context records --- */

/* All records of d in a buffer from the heap; the caller frees it. */
static long save_all(struct domain *d, uint8_t **buf)
{
    long size;

    if (d == current_domain()) return -XEN_EINVAL;
    domain_pause_sync(d);
    size = context_save(d, NULL, 0);
    if (size > 0) {
        *buf = core_alloc(size);
        size = *buf ? context_save(d, *buf, size) : -XEN_ENOMEM;
    }
    domain_unpause(d);
    return size;
}

int domctl_get_context(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_hvmcontext *h = &op->u.hvmcontext;
    uint8_t *buf = NULL;
    long size;
    int rc;

    size = save_all(d, &buf);
    rc = size < 0 ? size : 0;
    if (!rc && !HANDLE_NULL(h->buffer))
        rc = h->size < size ? -XEN_ENOSPC : copy_to_guest(HANDLE(h->buffer), buf, size);
    if (!rc) h->size = size;
    core_free(buf);
    return rc;
}

static const struct hvm_save_descriptor *find_record(const uint8_t *buf, size_t size, uint32_t type,
                                                     uint32_t instance)
{
    const struct hvm_save_descriptor *r;

    for (size_t at = 0; at + sizeof(*r) <= size; at += sizeof(*r) + r->length) {
        r = (const struct hvm_save_descriptor *)(buf + at);
        if (r->typecode == type && r->instance == instance) return r;
    }
    return NULL;
}

/* One record's body, without its descriptor. */
int domctl_get_context_partial(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_hvmcontext_partial *h = &op->u.hvmcontext_partial;
    const struct hvm_save_descriptor *r;
    uint8_t *buf = NULL;
    long size = save_all(d, &buf);
    int rc = size < 0 ? size : 0;

    if (!rc) {
        r = find_record(buf, size, h->type, h->instance);
        if (!r)
            rc = -XEN_ENOENT;
        else if (!HANDLE_NULL(h->buffer))
            rc = h->bufsz < r->length ? -XEN_ENOSPC
                                      : copy_to_guest(HANDLE(h->buffer), r + 1, r->length);
        if (!rc) h->bufsz = r->length;
    }
    core_free(buf);
    return rc;
}

int domctl_set_context(struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_hvmcontext *h = &op->u.hvmcontext;
    uint8_t *buf;
    int rc;

    if (d == current_domain() || h->size > CONTEXT_MAX || !h->size) return -XEN_EINVAL;
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

int domctl_get_policy(struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_cpu_policy *p = &op->u.cpu_policy;

    return cpu_policy_write(d->policy, HANDLE(p->leaves), &p->nr_leaves, HANDLE(p->msrs),
                            &p->nr_msrs);
}

int domctl_set_policy(struct domain *d, struct xen_domctl *op)
{
    if (d == current_domain()) return -XEN_EINVAL;
    return d->started ? -XEN_EEXIST : cpu_policy_merge(d, &op->u.cpu_policy);
}
