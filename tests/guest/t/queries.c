/* SPDX-License-Identifier: Apache-2.0 */
/* What xl asks before it does anything: sysctl and friends. */
#include "test.h"
#include "toolstack.h"

static void physinfo(void)
{
    struct xen_sysctl op = {0};
    struct xen_sysctl_physinfo *p = &op.u.physinfo;

    check_eq(sysctl(&op, XEN_SYSCTL_physinfo), 0, "physinfo");
    check(p->capabilities & XEN_SYSCTL_PHYSCAP_hvm, "offers HVM");
    check(p->capabilities & XEN_SYSCTL_PHYSCAP_hap, "offers HAP");
    check(p->capabilities & XEN_SYSCTL_PHYSCAP_gnttab_v1, "offers grants v1");
    check_eq(p->nr_cpus, 1, "CPUs");
    check_eq(p->max_cpu_id, 0, "last CPU");
    check_eq(p->nr_nodes, 1, "nodes");
    check_in((long)p->total_pages, 200000, 262144, "pages of 1 GiB");
    check_in((long)p->free_pages, 150000, (long)p->total_pages, "free pages");
    check(p->cpu_khz > 100000, "CPU kHz");
}

static void domains(void)
{
    static struct xen_domctl_getdomaininfo info[8];
    struct xen_sysctl op = {0};
    struct guest a, b;

    guest_create(&a, &(struct guest_config){.empty = true});
    guest_create(&b, &(struct guest_config){.empty = true, .slot = 1});
    check(b.id > a.id, "ids grow");
    op.u.getdomaininfolist.max_domains = 8;
    set_xen_guest_handle(op.u.getdomaininfolist.buffer, info);
    check_eq(sysctl(&op, XEN_SYSCTL_getdomaininfolist), 0, "list");
    check_eq(op.u.getdomaininfolist.num_domains, 3, "three domains");
    check(info[0].domain == 0 && info[1].domain == a.id && info[2].domain == b.id, "in order");
    check_in((long)info[1].tot_pages, 8192, 8200, "pages of a guest");
    check_eq(info[1].max_vcpu_id, 0, "its last vCPU");
    check_eq(info[1].flags & (XEN_DOMINF_paused | XEN_DOMINF_hap),
             XEN_DOMINF_paused | XEN_DOMINF_hap, "its flags");
    op.u.getdomaininfolist.first_domain = (domid_t)(a.id + 1);
    sysctl(&op, XEN_SYSCTL_getdomaininfolist);
    check(op.u.getdomaininfolist.num_domains == 1 && info[0].domain == b.id, "from the second on");
    op.u.getdomaininfolist.first_domain = 0;
    op.u.getdomaininfolist.max_domains = 1;
    sysctl(&op, XEN_SYSCTL_getdomaininfolist);
    check_eq(op.u.getdomaininfolist.num_domains, 1, "at most one");
    check(guest_destroy(&a) && guest_destroy(&b), "destroyed");
}

static void policies(void)
{
    static xen_cpuid_leaf_t leaf[256];
    static xen_msr_entry_t msr[64];
    static uint32_t words[32];
    struct xen_sysctl op = {0};
    uint32_t nr;

    op.u.cpu_policy.index = XEN_SYSCTL_cpu_policy_hvm_default;
    check_eq(sysctl(&op, XEN_SYSCTL_get_cpu_policy), 0, "policy size");
    nr = op.u.cpu_policy.nr_leaves;
    check_in(nr, 10, 256, "leaves");
    op.u.cpu_policy.nr_leaves = 256;
    op.u.cpu_policy.nr_msrs = 64;
    set_xen_guest_handle(op.u.cpu_policy.leaves, leaf);
    set_xen_guest_handle(op.u.cpu_policy.msrs, msr);
    check_eq(sysctl(&op, XEN_SYSCTL_get_cpu_policy), 0, "policy");
    check_in(op.u.cpu_policy.nr_leaves, 5, nr, "leaves written");
    check(leaf[0].leaf == 0 && leaf[0].a >= 1 && leaf[0].b == cpuid(0, 0).b,
          "leaf 0 is the processor's");
    memset(&op, 0, sizeof(op));
    op.u.cpu_featureset.index = XEN_SYSCTL_cpu_featureset_host;
    check_eq(sysctl(&op, XEN_SYSCTL_get_cpu_featureset), 0, "feature words");
    check_in(op.u.cpu_featureset.nr_features, 10, 32, "how many");
    set_xen_guest_handle(op.u.cpu_featureset.features, words);
    check_eq(sysctl(&op, XEN_SYSCTL_get_cpu_featureset), 0, "features");
    check(words[0] >> 9 & 1, "with an APIC");
}

static void pool_and_node(void)
{
    struct xen_sysctl op = {0};

    op.u.cpupool_op.op = XEN_SYSCTL_CPUPOOL_OP_INFO;
    check_eq(sysctl(&op, XEN_SYSCTL_cpupool_op), 0, "CPU pool");
    check_eq(op.u.cpupool_op.cpupool_id, 0, "is pool 0");
    check_eq(op.u.cpupool_op.n_dom, 1, "with dom0");
    memset(&op, 0, sizeof(op));
    op.u.cpupool_op.op = XEN_SYSCTL_CPUPOOL_OP_INFO;
    op.u.cpupool_op.cpupool_id = 1;
    check_eq(sysctl(&op, XEN_SYSCTL_cpupool_op), -XEN_ENOENT, "the only one");
    memset(&op, 0, sizeof(op));
    check_eq(sysctl(&op, XEN_SYSCTL_numainfo), 0, "nodes");
    check_eq(op.u.numainfo.num_nodes, 1, "one");
    memset(&op, 0, sizeof(op));
    check_eq(sysctl(&op, XEN_SYSCTL_sched_id), 0, "scheduler");
    check_eq(op.u.sched_id.sched_id, XEN_SCHEDULER_CREDIT2, "is credit2");
}

void test_main(void)
{
    long freed = memory_op(XENMEM_get_sharing_freed_pages, 0);

    physinfo();
    pool_and_node();
    domains();
    policies();
    check(freed == 0 || freed == -XEN_ENOSYS, "no memory sharing");
}
