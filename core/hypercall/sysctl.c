/* SPDX-License-Identifier: Apache-2.0 */
/* XEN_SYSCTL_*: the machine as a whole.  Only for dom0. */
#include "cpu/time.h"
#include "device/console.h"
#include "hypercall/control.h"
#include "hypercall/domctl.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/frame.h"
#include "sched/sched.h"
#include "vm/cpu_policy.h"
#include "vm/guest.h"
#include <xen/sysctl.h>

typedef int sysctl_fn(struct xen_sysctl *op);

/* --- the machine --- */

static int physinfo(struct xen_sysctl *op)
{
    struct xen_sysctl_physinfo *p = &op->u.physinfo;

    *p = (struct xen_sysctl_physinfo){
        .threads_per_core = 1,
        .cores_per_socket = cpu_count,
        .nr_cpus = cpu_count,
        .max_cpu_id = cpu_count - 1,
        .nr_nodes = 1,
        .cpu_khz = tsc_khz,
        .capabilities =
            XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_hap | XEN_SYSCTL_PHYSCAP_gnttab_v1,
        .total_pages = frame_counts.ram,
        .free_pages = READ_ONCE(frame_counts.free),
        .max_mfn = max_mfn - 1,
    };
    for (unsigned int i = 0; i < ARRAY_SIZE(p->hw_cap); i++)
        p->hw_cap[i] = cpu_policy_word(cpu_policy_system(POLICY_HOST), i);
    return 0;
}

static int cpu_info(struct xen_sysctl *op)
{
    struct xen_sysctl_getcpuinfo *g = &op->u.getcpuinfo;

    g->nr_cpus = MIN(g->max_cpus, cpu_count);
    for (uint32_t i = 0; i < g->nr_cpus; i++) {
        struct xen_sysctl_cpuinfo info = {vcpu_run_time(cpus[i]->idle)};

        if (guest_write(g->info, i, &info)) return -XEN_EFAULT;
    }
    return 0;
}

static int cpu_topology(struct xen_sysctl *op)
{
    struct xen_sysctl_cputopoinfo *t = &op->u.cputopoinfo;
    uint32_t n = HANDLE_NULL(t->cputopo) ? 0 : MIN(t->num_cpus, cpu_count);

    t->num_cpus = cpu_count;
    for (uint32_t i = 0; i < n; i++) {
        struct xen_sysctl_cputopo topo = {.core = i};

        if (guest_write(t->cputopo, i, &topo)) return -XEN_EFAULT;
    }
    return 0;
}

static int numa_info(struct xen_sysctl *op)
{
    struct xen_sysctl_numainfo *n = &op->u.numainfo;
    struct xen_sysctl_meminfo mem = {frame_counts.ram << PAGE_SHIFT, READ_ONCE(frame_counts.free)
                                                                         << PAGE_SHIFT};
    const uint32_t distance = 10; /* to itself, as in ACPI's SLIT */
    uint32_t room = n->num_nodes;

    n->num_nodes = 1;
    if (room && !HANDLE_NULL(n->meminfo) && guest_write(n->meminfo, 0, &mem)) return -XEN_EFAULT;
    if (room && !HANDLE_NULL(n->distance) && guest_write(n->distance, 0, &distance))
        return -XEN_EFAULT;
    return 0;
}

static int avail_heap(struct xen_sysctl *op)
{
    op->u.availheap.avail_bytes =
        op->u.availheap.node > 0 ? 0 : READ_ONCE(frame_counts.free) << PAGE_SHIFT;
    return 0;
}

/* --- console --- */

static int read_console(struct xen_sysctl *op)
{
    struct xen_sysctl_readconsole *r = &op->u.readconsole;
    uint32_t pos = r->incremental ? r->index : 0, done = 0;
    char buf[512];
    size_t n;

    do {
        n = console_ring_read(buf, MIN(sizeof(buf), r->count - done), &pos, false);
        if (copy_to_guest(HANDLE(r->buffer) + done, buf, n)) return -XEN_EFAULT;
        done += n;
    } while (n && done < r->count);
    if (r->clear) console_ring_read(buf, 0, &pos, true);
    r->index = pos;
    r->count = done;
    return 0;
}

static int debug_keys(struct xen_sysctl *op)
{
    const struct xen_sysctl_debug_keys *k = &op->u.debug_keys;
    char keys[32];
    uint32_t n = MIN(k->nr_keys, sizeof(keys));

    if (copy_from_guest(keys, HANDLE(k->keys), n)) return -XEN_EFAULT;
    for (uint32_t i = 0; i < n; i++) debug_key(keys[i]);
    return 0;
}

/* --- domains --- */

static int domain_list(struct xen_sysctl *op)
{
    struct xen_sysctl_getdomaininfolist *l = &op->u.getdomaininfolist;
    struct xen_domctl_getdomaininfo info;
    domid_t id = l->first_domain;
    struct domain *d;
    uint32_t n = 0;
    int rc = 0;

    while (!rc && n < l->max_domains && (d = domain_get_from(id))) {
        domain_info(d, &info);
        id = d->id + 1;
        domain_put(d);
        rc = guest_write(l->buffer, n, &info);
        n++;
    }
    l->num_domains = n;
    return rc;
}

/* --- scheduling: one pool of all CPUs --- */

static int sched_id(struct xen_sysctl *op)
{
    op->u.sched_id.sched_id = XEN_SCHEDULER_CREDIT2;
    return 0;
}

static int cpupool(struct xen_sysctl *op)
{
    struct xen_sysctl_cpupool_op *p = &op->u.cpupool_op;
    unsigned long map[BITMAP_WORDS(MAX_CPUS)] = {0};
    struct domain *d;

    switch (p->op) {
    case XEN_SYSCTL_CPUPOOL_OP_INFO: /* of the first pool from this id on */
        if (p->cpupool_id != 0) return -XEN_ENOENT;
        p->sched_id = XEN_SCHEDULER_CREDIT2;
        p->n_dom = 0;
        for_each_domain (d) p->n_dom++;
        for (unsigned int i = 0; i < cpu_count; i++) __set_bit(i, map);
        return bitmap_write(&p->cpumap, map, cpu_count);
    case XEN_SYSCTL_CPUPOOL_OP_FREEINFO: return bitmap_write(&p->cpumap, map, cpu_count);
    case XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN: return p->cpupool_id ? -XEN_ENOENT : 0;
    default: return -XEN_EOPNOTSUPP;
    }
}

static int scheduler(struct xen_sysctl *op)
{
    struct xen_sysctl_scheduler_op *s = &op->u.scheduler_op;
    uint32_t *limit = &s->u.sched_credit2.ratelimit_us;

    if (s->cpupool_id) return -XEN_ESRCH;
    if (s->sched_id != XEN_SCHEDULER_CREDIT2) return -XEN_EINVAL;
    switch (s->cmd) {
    case XEN_SYSCTL_SCHEDOP_putinfo: /* 0: none */
        if (*limit > XEN_SYSCTL_SCHED_RATELIMIT_MAX ||
            (*limit && *limit < XEN_SYSCTL_SCHED_RATELIMIT_MIN))
            return -XEN_EINVAL;
        WRITE_ONCE(sched_ratelimit_us, *limit);
        return 0;
    case XEN_SYSCTL_SCHEDOP_getinfo: *limit = sched_ratelimit_us; return 0;
    default: return -XEN_EINVAL;
    }
}

/* --- CPU policies: raw and host are one; there are none for PV --- */

static const struct cpu_policy *find_policy(uint32_t index)
{
    static const int kinds[] = {
        [XEN_SYSCTL_cpu_policy_raw] = POLICY_HOST,
        [XEN_SYSCTL_cpu_policy_host] = POLICY_HOST,
        [XEN_SYSCTL_cpu_policy_pv_max] = -1,
        [XEN_SYSCTL_cpu_policy_hvm_max] = POLICY_MAX,
        [XEN_SYSCTL_cpu_policy_pv_default] = -1,
        [XEN_SYSCTL_cpu_policy_hvm_default] = POLICY_DEFAULT,
    };
    int kind = kinds[index_nospec(index, ARRAY_SIZE(kinds))];

    return kind < 0 ? NULL : cpu_policy_system(kind);
}

static int get_policy(struct xen_sysctl *op)
{
    struct xen_sysctl_cpu_policy *p = &op->u.cpu_policy;
    const struct cpu_policy *policy;

    if (p->_rsvd || p->index > XEN_SYSCTL_cpu_policy_hvm_default) return -XEN_EINVAL;
    policy = find_policy(p->index);
    if (!policy) return -XEN_EOPNOTSUPP;
    return cpu_policy_write(policy, HANDLE(p->leaves), &p->nr_leaves, HANDLE(p->msrs), &p->nr_msrs);
}

static int get_featureset(struct xen_sysctl *op)
{
    static const uint8_t policy_index[] = {
        [XEN_SYSCTL_cpu_featureset_raw] = XEN_SYSCTL_cpu_policy_raw,
        [XEN_SYSCTL_cpu_featureset_host] = XEN_SYSCTL_cpu_policy_host,
        [XEN_SYSCTL_cpu_featureset_pv] = XEN_SYSCTL_cpu_policy_pv_default,
        [XEN_SYSCTL_cpu_featureset_hvm] = XEN_SYSCTL_cpu_policy_hvm_default,
        [XEN_SYSCTL_cpu_featureset_pv_max] = XEN_SYSCTL_cpu_policy_pv_max,
        [XEN_SYSCTL_cpu_featureset_hvm_max] = XEN_SYSCTL_cpu_policy_hvm_max,
    };
    struct xen_sysctl_cpu_featureset *f = &op->u.cpu_featureset;
    const struct cpu_policy *p;
    uint32_t words[FEATURE_WORDS], n;

    if (f->index >= ARRAY_SIZE(policy_index)) return -XEN_EINVAL;
    p = find_policy(policy_index[f->index]);
    if (!p) return -XEN_EOPNOTSUPP;
    for (unsigned int i = 0; i < FEATURE_WORDS; i++) words[i] = cpu_policy_word(p, i);
    n = f->nr_features;
    f->nr_features = FEATURE_WORDS;
    if (HANDLE_NULL(f->features)) return 0;
    if (copy_to_guest(HANDLE(f->features), words, MIN(n, FEATURE_WORDS) * sizeof(*words)))
        return -XEN_EFAULT;
    return n < FEATURE_WORDS ? -XEN_ENOBUFS : 0;
}

/* --- dispatch --- */

static sysctl_fn *const table[] = {
    [XEN_SYSCTL_readconsole] = read_console,  [XEN_SYSCTL_physinfo] = physinfo,
    [XEN_SYSCTL_sched_id] = sched_id,         [XEN_SYSCTL_getdomaininfolist] = domain_list,
    [XEN_SYSCTL_debug_keys] = debug_keys,     [XEN_SYSCTL_getcpuinfo] = cpu_info,
    [XEN_SYSCTL_availheap] = avail_heap,      [XEN_SYSCTL_cputopoinfo] = cpu_topology,
    [XEN_SYSCTL_numainfo] = numa_info,        [XEN_SYSCTL_cpupool_op] = cpupool,
    [XEN_SYSCTL_scheduler_op] = scheduler,    [XEN_SYSCTL_get_cpu_featureset] = get_featureset,
    [XEN_SYSCTL_get_cpu_policy] = get_policy,
};

long hc_sysctl(struct vcpu *v, const struct hc_args *args)
{
    struct xen_sysctl op;
    sysctl_fn *fn = NULL;
    int rc = -XEN_ENOSYS;

    if (copy_from_guest(&op, args->a[0], sizeof(op))) return -XEN_EFAULT;
    if (op.interface_version != XEN_SYSCTL_INTERFACE_VERSION) return -XEN_EACCES;
    if (!v->domain->privileged) return -XEN_EPERM;
    if (op.cmd < ARRAY_SIZE(table)) fn = table[index_nospec(op.cmd, ARRAY_SIZE(table))];
    if (fn) {
        rc = fn(&op);
        if (copy_to_guest(args->a[0], &op, sizeof(op)) && !rc) rc = -XEN_EFAULT;
    }
    if (rc) log_guest(LOG_DEBUG, "d%uv%u: sysctl %u: %d", v->domain->id, v->id, op.cmd, rc);
    return rc;
}
