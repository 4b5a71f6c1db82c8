/* SPDX-License-Identifier: Apache-2.0 */
/* memory_op, domctl and sysctl, as dom0 and as a guest that may not. */
#define GROUP "control"
#include "fake_control.h"
#include "hypercall/control.h"
#include "hypercall/evtchn.h"
#include "hypercall/grant.h"
#include "sched/sched.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include "vm/cpu_policy.h"
#include "vm/vcpu.h"
#include <stdlib.h>
#include <string.h>
#include <xen/domctl.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/sysctl.h>

static struct domain *d0, *d1;
static struct vcpu *v0, *v1;

static void setup(void)
{
    memset(&fake, 0, sizeof(fake));
    memset(&control, 0, sizeof(control));
    fake_init();
    d0 = fake_domain(0, true, 1);
    d1 = fake_domain(1, false, 2);
    fake_control_init(d0);
    fake_control_init(d1);
    CHECK_EQ(evtchn_init(d0, 4095), 0);
    CHECK_EQ(evtchn_init(d1, 4095), 0);
    CHECK_EQ(grant_init(d0, 4, 4), 0);
    CHECK_EQ(grant_init(d1, 4, 4), 0);
    d0->shared_info_gfn = d1->shared_info_gfn = ~0ull;
    v0 = d0->vcpus[0];
    v1 = d1->vcpus[0];
    d1->ctl_pauses = 1;
    cpu_count = 1;
    cpus[0] = this_cpu();
}

static void teardown(void)
{
    struct domain *all[] = {d0, d1};
    struct vcpu *v;

    for (int i = 0; i < 2; i++)
        while (p2m_release(all[i]))
            ;
    CHECK_EQ(fake_frames_used(), 0);
    for (int i = 0; i < 2; i++) {
        for_each_vcpu (all[i], v) core_free_pages(v->fpu, 1);
        core_free(all[i]->policy);
        evtchn_free(all[i]);
        grant_free(all[i]);
        core_free(all[i]->e820);
        fake_domain_free(all[i]);
    }
    CHECK_EQ(fake_heap_used(), 0);
    cpu_count = 0;
}

static long mem(struct vcpu *v, unsigned int cmd, void *arg)
{
    return fake_call(v, __HYPERVISOR_memory_op, cmd, (uintptr_t)arg, 0);
}

static long reservation(struct vcpu *v, unsigned int cmd, domid_t id, uint64_t *gfns,
                        unsigned long n, unsigned int order)
{
    struct xen_memory_reservation r = {.nr_extents = n, .extent_order = order, .domid = id};

    r.extent_start.p = gfns;
    return mem(v, cmd, &r);
}

static long domctl(struct vcpu *v, unsigned int cmd, domid_t id, struct xen_domctl *op)
{
    op->cmd = cmd;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op->domain = id;
    return fake_call(v, __HYPERVISOR_domctl, (uintptr_t)op, 0, 0);
}

static long sysctl(struct vcpu *v, unsigned int cmd, struct xen_sysctl *op)
{
    op->cmd = cmd;
    op->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    return fake_call(v, __HYPERVISOR_sysctl, (uintptr_t)op, 0, 0);
}

/* --- memory --- */

static void test_populate(void)
{
    uint64_t gfn[100];

    setup();
    for (int i = 0; i < 100; i++) gfn[i] = 1000 + i;
    /* A guest for itself, but not for dom0; dom0 for it. */
    CHECK_EQ(reservation(v1, 6, DOMID_SELF, gfn, 10, 0), 10);
    CHECK_EQ(reservation(v1, 6, 0, gfn, 10, 0), -XEN_EPERM);
    CHECK_EQ(reservation(v0, 6, 1, gfn + 10, 90, 0), 90);
    CHECK_EQ(fake_frames_used(), 100);
    /* What is there stays; how far it came is told. */
    gfn[0] = 5000;
    CHECK_EQ(reservation(v0, 6, 1, gfn, 5, 0), 1);
    CHECK_EQ(fake_frames_used(), 101);
    /* Nonsense. */
    CHECK_EQ(reservation(v0, 6, 7, gfn, 5, 0), 0);
    CHECK_EQ(reservation(v0, 6, 1, gfn, 5, 3), 0);
    CHECK_EQ(reservation(v0, 6, 1, gfn, ~0ul, 0), 0);
    CHECK_EQ(reservation(v0, 6, 1, (uint64_t *)8, 5, 0), 0);
    gfn[0] = ~0ull;
    CHECK_EQ(reservation(v0, 6, 1, gfn, 5, 0), 0);
    gfn[0] = 1ull << 52;
    CHECK_EQ(reservation(v0, 6, 1, gfn, 5, 0), 0);
    CHECK_EQ(mem(v0, 6, (void *)8), -XEN_EFAULT);
    CHECK_EQ(fake_frames_used(), 101);
    /* Not into a domain that is dying. */
    gfn[0] = 6000;
    d1->dying = DYING;
    CHECK_EQ(reservation(v0, 6, 1, gfn, 1, 0), 0);
    d1->dying = ALIVE;
    teardown();
}

/* To look for low frames takes long; only dom0 may ask for that. */
static void test_populate_low(void)
{
    uint64_t gfn = 1000;
    struct xen_memory_reservation r = {
        .nr_extents = 1, .domid = 1, .mem_flags = XENMEMF_address_bits(32)};

    setup();
    fake.low_allocs = 0;
    r.extent_start.p = &gfn;
    CHECK_EQ(mem(v1, XENMEM_populate_physmap, &r), 1);
    CHECK_EQ(fake.low_allocs, 0);
    gfn++;
    CHECK_EQ(mem(v0, XENMEM_populate_physmap, &r), 1);
    CHECK_EQ(fake.low_allocs, 1);
    teardown();
}

static void test_continue(void)
{
    uint64_t gfn[200];

    setup();
    for (int i = 0; i < 200; i++) gfn[i] = i;
    fake.preempt_every = 2;
    CHECK_EQ(reservation(v0, 6, 1, gfn, 200, 0), 200);
    CHECK_EQ(fake_frames_used(), 200);
    CHECK_EQ(reservation(v1, 1, DOMID_SELF, gfn, 200, 0), 200);
    CHECK_EQ(fake_frames_used(), 0);
    /* A forged start beyond the end does nothing. */
    CHECK_EQ(reservation(v0, 6 | 300 << 6, 1, gfn, 200, 0), 300);
    CHECK_EQ(fake_frames_used(), 0);
    teardown();
}

static void test_decrease(void)
{
    uint64_t gfn[4] = {1, 2, 3, 4};

    setup();
    fake_give(d1, 1, 10);
    fake_give(d1, 2, 11);
    fake_give(d1, 4, 12);
    CHECK(frame_get(11, 1)); /* someone else still has it */
    fake.flushes = 0;
    CHECK_EQ(reservation(v1, 1, DOMID_SELF, gfn, 4, 0), 2); /* 3 is a hole */
    CHECK_EQ(p2m_lookup(d1, 1).type, P2M_NONE);
    CHECK_EQ(p2m_lookup(d1, 2).type, P2M_NONE);
    CHECK_EQ(p2m_lookup(d1, 4).type, P2M_RAM);
    CHECK_EQ(fake_frames_used(), 2);
    frame_put(11);
    CHECK_EQ(fake_frames_used(), 1);
    CHECK_EQ(reservation(v1, 1, 0, gfn, 1, 0), -XEN_EPERM);
    teardown();
}

static long add(struct vcpu *v, domid_t id, unsigned int space, uint64_t idx, uint64_t gfn)
{
    struct xen_add_to_physmap a = {.domid = id, .space = space, .idx = idx, .gpfn = gfn};

    return mem(v, XENMEM_add_to_physmap, &a);
}

static long drop(struct vcpu *v, domid_t id, uint64_t gfn)
{
    struct xen_remove_from_physmap r = {.domid = id, .gpfn = gfn};

    return mem(v, XENMEM_remove_from_physmap, &r);
}

static void test_physmap(void)
{
    setup();
    fake_give(d1, 1, 10);
    fake_give(d1, 2, 11);
    /* shared_info takes the place of RAM, which is freed; then it moves. */
    CHECK_EQ(add(v1, DOMID_SELF, XENMAPSPACE_shared_info, 0, 1), 0);
    CHECK_EQ(fake_frames_used(), 1);
    CHECK_EQ(p2m_lookup(d1, 1).mfn, core_to_mfn(d1->shared_info));
    CHECK_EQ(d1->shared_info_gfn, 1);
    CHECK_EQ(add(v1, DOMID_SELF, XENMAPSPACE_shared_info, 0, 7), 0);
    CHECK_EQ(p2m_lookup(d1, 1).type, P2M_NONE);
    CHECK_EQ(p2m_lookup(d1, 7).type, P2M_SHARED);
    CHECK_EQ(add(v1, DOMID_SELF, XENMAPSPACE_shared_info, 1, 7), -XEN_EINVAL);
    /* Grant frames grow to the index asked for, up to the limit. */
    CHECK_EQ(add(v1, DOMID_SELF, XENMAPSPACE_grant_table, 3, 20), 0);
    CHECK_EQ(grant_table_frames(d1), 4);
    CHECK_EQ(add(v1, DOMID_SELF, XENMAPSPACE_grant_table, 3, 21), 0);
    CHECK_EQ(p2m_lookup(d1, 21).mfn, grant_table_frame(d1, 3));
    CHECK_EQ(p2m_lookup(d1, 20).type, P2M_NONE);
    CHECK_EQ(add(v1, DOMID_SELF, XENMAPSPACE_grant_table, 4, 20), -XEN_EINVAL);
    CHECK_EQ(add(v1, DOMID_SELF, XENMAPSPACE_grant_table, 1u << 31, 20), -XEN_EINVAL);
    CHECK_EQ(add(v1, DOMID_SELF, XENMAPSPACE_grant_table, ~0ull, 20), -XEN_EINVAL);
    /* RAM moves. */
    CHECK_EQ(add(v1, DOMID_SELF, XENMAPSPACE_gmfn, 2, 30), 0);
    CHECK_EQ(p2m_lookup(d1, 30).mfn, 11);
    CHECK_EQ(p2m_lookup(d1, 2).type, P2M_NONE);
    CHECK_EQ(add(v1, DOMID_SELF, XENMAPSPACE_gmfn, 2, 30), -XEN_EINVAL);
    CHECK_EQ(add(v1, DOMID_SELF, XENMAPSPACE_gmfn, 30, 1ull << 50), -XEN_EINVAL);
    CHECK_EQ(p2m_lookup(d1, 30).mfn, 11);
    /* Others' address spaces are none of a guest's business. */
    CHECK_EQ(add(v1, 0, XENMAPSPACE_shared_info, 0, 1), -XEN_EPERM);
    CHECK_EQ(add(v1, DOMID_SELF, XENMAPSPACE_gmfn_foreign, 0, 1), -XEN_EOPNOTSUPP);
    CHECK_EQ(drop(v1, 0, 1), -XEN_EPERM);
    CHECK_EQ(drop(v1, DOMID_SELF, 7), 0);
    CHECK_EQ(d1->shared_info_gfn, ~0ull);
    CHECK_EQ(drop(v1, DOMID_SELF, 7), -XEN_ENOENT);
    CHECK_EQ(drop(v0, 1, 30), 0);
    CHECK_EQ(fake_frames_used(), 0);
    teardown();
}

static void test_foreign(void)
{
    uint64_t idx[40], gfn[40];
    int err[40];
    struct xen_add_to_physmap_batch b = {.domid = DOMID_SELF, .size = 40};

    setup();
    b.space = XENMAPSPACE_gmfn_foreign;
    b.u.foreign_domid = 1;
    b.idxs.p = idx;
    b.gpfns.p = gfn;
    b.errs.p = err;
    for (int i = 0; i < 40; i++) {
        idx[i] = i;
        gfn[i] = 0x100000 + i;
        if (i != 5) fake_give(d1, i, i);
    }
    gfn[6] = 1ull << 60;
    fake.preempt_every = 1;
    CHECK_EQ(mem(v0, XENMEM_add_to_physmap_batch, &b), 0);
    for (int i = 0; i < 40; i++) CHECK_EQ(err[i], i == 5 || i == 6 ? -XEN_EINVAL : 0);
    CHECK_EQ(p2m_lookup(d0, gfn[7]).mfn, 7);
    CHECK_EQ(p2m_lookup(d0, gfn[7]).type, P2M_FOREIGN);
    /* The frame outlives its place in its owner. */
    CHECK_EQ(reservation(v1, 1, DOMID_SELF, idx, 1, 0), 1);
    CHECK_EQ(fake_frames_used(), 39);
    CHECK_EQ(drop(v0, DOMID_SELF, gfn[0]), 0);
    CHECK_EQ(fake_frames_used(), 38);
    /* Not of oneself, not for others, not by a guest. */
    b.u.foreign_domid = 0;
    CHECK_EQ(mem(v0, XENMEM_add_to_physmap_batch, &b), -XEN_EINVAL);
    b.u.foreign_domid = DOMID_SELF;
    CHECK_EQ(mem(v0, XENMEM_add_to_physmap_batch, &b), -XEN_EINVAL);
    b.u.foreign_domid = 6;
    CHECK_EQ(mem(v0, XENMEM_add_to_physmap_batch, &b), -XEN_ESRCH);
    b.u.foreign_domid = 0;
    CHECK_EQ(mem(v1, XENMEM_add_to_physmap_batch, &b), -XEN_EPERM);
    b.domid = 1;
    b.u.foreign_domid = 0;
    CHECK_EQ(mem(v0, XENMEM_add_to_physmap_batch, &b), -XEN_EOPNOTSUPP);
    b.domid = DOMID_SELF;
    b.u.foreign_domid = 1;
    b.errs.p = (int *)8;
    b.size = 1;
    idx[0] = 1;
    CHECK_EQ(mem(v0, XENMEM_add_to_physmap_batch, &b), -XEN_EFAULT);
    teardown();
}

static void test_resource(void)
{
    uint64_t gfn[2] = {0x2000, 0x2001};
    struct xen_mem_acquire_resource r = {.domid = 1, .type = XENMEM_resource_grant_table};
    struct gnttab_map_grant_ref map = {
        .host_addr = gfn[0] << PAGE_SHIFT, .flags = GNTMAP_host_map, .ref = 8, .dom = 1};
    struct gnttab_unmap_grant_ref unmap = {.host_addr = map.host_addr};
    struct grant_entry_v1 *entry;
    uint32_t refs;

    setup();
    CHECK_EQ(mem(v0, XENMEM_acquire_resource, &r), 0);
    CHECK_EQ(r.nr_frames, 4);
    refs = d1->refs;
    r.nr_frames = 2;
    r.frame_list.p = gfn;
    CHECK_EQ(mem(v0, XENMEM_acquire_resource, &r), 0);
    CHECK_EQ(p2m_lookup(d0, 0x2001).mfn, grant_table_frame(d1, 1));
    CHECK_EQ(d1->refs, refs + 2);                      /* the pages may not go before */
    CHECK_EQ(mem(v0, XENMEM_acquire_resource, &r), 0); /* once more */
    CHECK_EQ(d1->refs, refs + 2);
    CHECK_EQ(drop(v0, DOMID_SELF, 0x2000), 0);
    CHECK_EQ(drop(v0, DOMID_SELF, 0x2001), 0);
    CHECK_EQ(d1->refs, refs);
    /* What else is put there lets it go too. */
    CHECK_EQ(mem(v0, XENMEM_acquire_resource, &r), 0);
    CHECK_EQ(add(v0, DOMID_SELF, XENMAPSPACE_shared_info, 0, 0x2001), 0);
    fake_give(d1, 9, 19);
    refs = d1->refs;
    entry = core_from_mfn(grant_table_frame(d1, 0));
    entry[8] = (struct grant_entry_v1){GTF_permit_access, 0, 9};
    CHECK_EQ(fake_call(v0, __HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, (uintptr_t)&map, 1),
             0);
    CHECK_EQ(map.status, GNTST_okay);
    CHECK_EQ(d1->refs, refs); /* the handle's instead of the resource's */
    unmap.handle = map.handle;
    CHECK_EQ(
        fake_call(v0, __HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, (uintptr_t)&unmap, 1),
        0);
    CHECK_EQ(d1->refs, --refs);
    r.frame = 3;
    CHECK_EQ(mem(v0, XENMEM_acquire_resource, &r), -XEN_EIO);
    CHECK_EQ(d1->refs, refs + 1);
    CHECK_EQ(drop(v0, DOMID_SELF, 0x2000), 0);
    r.frame = 1ull << 40;
    CHECK_EQ(mem(v0, XENMEM_acquire_resource, &r), -XEN_EINVAL);
    r.nr_frames = 1000;
    CHECK_EQ(mem(v0, XENMEM_acquire_resource, &r), -XEN_E2BIG);
    r.nr_frames = 1;
    r.id = 1;
    CHECK_EQ(mem(v0, XENMEM_acquire_resource, &r), -XEN_EOPNOTSUPP);
    r.id = 0;
    CHECK_EQ(mem(v1, XENMEM_acquire_resource, &r), -XEN_EPERM);
    r.domid = 0;
    CHECK_EQ(mem(v0, XENMEM_acquire_resource, &r), -XEN_EPERM);
    r.pad = 1;
    CHECK_EQ(mem(v0, XENMEM_acquire_resource, &r), -XEN_EINVAL);
    CHECK_EQ(d1->refs, refs);
    teardown();
}

static void test_memory_map(void)
{
    struct e820_entry in[3] = {{0, 4096, 1}, {4096, 4096, 2}, {8192, 1, 3}};
    struct e820_entry out[3];
    struct xen_foreign_memory_map m = {.domid = 1, .map = {.nr_entries = 3}};
    struct xen_memory_map got = {.nr_entries = 2};

    setup();
    got.buffer.p = out;
    m.map.buffer.p = in;
    CHECK_EQ(mem(v1, XENMEM_memory_map, &got), -XEN_ENOSYS);
    CHECK_EQ(mem(v0, XENMEM_set_memory_map, &m), 0);
    CHECK_EQ(mem(v0, XENMEM_set_memory_map, &m), 0); /* the old one is freed */
    CHECK_EQ(mem(v1, XENMEM_memory_map, &got), 0);
    CHECK_EQ(got.nr_entries, 2);
    CHECK(!memcmp(in, out, 2 * sizeof(*in)));
    got.nr_entries = 100;
    CHECK_EQ(mem(v1, XENMEM_memory_map, &got), 0);
    CHECK_EQ(got.nr_entries, 3);
    m.map.nr_entries = 129;
    CHECK_EQ(mem(v0, XENMEM_set_memory_map, &m), -XEN_EINVAL);
    m.map.nr_entries = 3;
    m.domid = 0;
    CHECK_EQ(mem(v1, XENMEM_set_memory_map, &m), -XEN_EPERM);
    m.map.buffer.p = (void *)8;
    CHECK_EQ(mem(v0, XENMEM_set_memory_map, &m), -XEN_EFAULT);
    teardown();
}

static void test_numbers(void)
{
    struct xen_memory_domain m = {.domid = 1};
    struct xen_pod_target t = {.domid = 1, .target_pages = 5};

    setup();
    d1->tot_pages = 12;
    d1->max_pages = 34;
    fake_give(d1, 0xfefff, 3);
    CHECK_EQ(mem(v0, XENMEM_current_reservation, &m), 12);
    CHECK_EQ(mem(v0, XENMEM_maximum_reservation, &m), 34);
    CHECK_EQ(mem(v0, XENMEM_maximum_gpfn, &m), 0xfefff);
    m.domid = 0;
    CHECK_EQ(mem(v1, XENMEM_maximum_gpfn, &m), -XEN_EPERM);
    CHECK_EQ(mem(v0, XENMEM_set_pod_target, &t), 0);
    CHECK(t.tot_pages == 12 && t.pod_entries == 0);
    CHECK_EQ(mem(v1, XENMEM_get_pod_target, &t), -XEN_EPERM);
    CHECK_EQ(mem(v0, XENMEM_get_sharing_freed_pages, NULL), 0);
    for (unsigned int cmd = 29; cmd < 64; cmd++) CHECK_EQ(mem(v0, cmd, NULL), -XEN_ENOSYS);
    CHECK_EQ(mem(v0, XENMEM_exchange, NULL), -XEN_ENOSYS);
    CHECK_EQ(mem(v0, XENMEM_claim_pages, NULL), -XEN_ENOSYS);
    teardown();
}

/* --- domctl --- */

static void test_domctl_entry(void)
{
    struct xen_domctl op = {0};

    setup();
    CHECK_EQ(domctl(v1, XEN_DOMCTL_getdomaininfo, 1, &op), -XEN_EPERM);
    for (unsigned int cmd = 0; cmd < 1100; cmd++) CHECK_EQ(domctl(v1, cmd, 1, &op), -XEN_EPERM);
    op.interface_version = 0x14;
    op.cmd = XEN_DOMCTL_getdomaininfo;
    CHECK_EQ(fake_call(v0, __HYPERVISOR_domctl, (uintptr_t)&op, 0, 0), -XEN_EACCES);
    CHECK_EQ(fake_call(v0, __HYPERVISOR_domctl, 8, 0, 0), -XEN_EFAULT);
    CHECK_EQ(domctl(v0, 0, 1, &op), -XEN_ENOSYS);
    CHECK_EQ(domctl(v0, 87, 1, &op), -XEN_ENOSYS);
    CHECK_EQ(domctl(v0, ~0u, 1, &op), -XEN_ENOSYS);
    CHECK_EQ(domctl(v0, XEN_DOMCTL_max_mem, 6, &op), -XEN_ESRCH);
    op.u.shadow_op.op = XEN_DOMCTL_SHADOW_OP_ENABLE_TEST;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_shadow_op, 1, &op), -XEN_EOPNOTSUPP);
    op.u.shadow_op.op = XEN_DOMCTL_SHADOW_OP_CLEAN;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_shadow_op, 1, &op), -XEN_EINVAL); /* it is off */
    teardown();
}

static void test_info(void)
{
    struct xen_domctl op = {0};
    struct xen_domctl_getdomaininfo *i = &op.u.getdomaininfo;

    setup();
    d1->tot_pages = 7;
    d1->max_pages = 8;
    d1->is_shut_down = true;
    d1->shutdown_code = 3;
    v1->runstate.time[0] = 40;
    d1->vcpus[1]->runstate.time[0] = 2;
    d1->vcpus[1]->holds = HOLD_BLOCKED;
    v1->holds = HOLD_DOWN;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_getdomaininfo, 1, &op), 0);
    CHECK_EQ(op.domain, 1);
    CHECK_EQ(i->domain, 1);
    CHECK_EQ(i->flags, 2 | 4 | 8 | 16 | 256 | 3 << 16);
    CHECK(i->tot_pages == 7 && i->max_pages == 8 && i->cpu_time == 42);
    CHECK(i->nr_online_vcpus == 1 && i->max_vcpu_id == 1);
    CHECK_EQ(i->shared_info_frame, ~0ull);
    /* The next one at or after the id, or none. */
    CHECK_EQ(domctl(v0, XEN_DOMCTL_getdomaininfo, 2, &op), -XEN_ESRCH);
    CHECK_EQ(domctl(v0, XEN_DOMCTL_getdomaininfo, 0, &op), 0);
    CHECK_EQ(op.domain, 0);
    teardown();
}

static void test_create(void)
{
    struct xen_domctl good = {0}, op;
    struct xen_domctl_createdomain *c = &good.u.createdomain;
    struct domain *d;

    setup();
    *c = (struct xen_domctl_createdomain){.flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
                                          .max_vcpus = 2,
                                          .max_evtchn_port = 1023,
                                          .max_grant_frames = -1,
                                          .max_maptrack_frames = -1,
                                          .grant_opts = 1,
                                          .arch.emulation_flags = XEN_X86_EMU_LAPIC};
    memset(c->handle, 0x42, 16);
#define REFUSED(change, error)                                         \
    do {                                                               \
        op = good;                                                     \
        c = &op.u.createdomain;                                        \
        change;                                                        \
        CHECK_EQ(domctl(v0, XEN_DOMCTL_createdomain, 0, &op), -error); \
    } while (0)
    REFUSED(c->flags = 0, XEN_EOPNOTSUPP);
    REFUSED(c->flags &= ~XEN_DOMCTL_CDF_hap, XEN_EOPNOTSUPP);
    REFUSED(c->flags |= XEN_DOMCTL_CDF_iommu, XEN_EINVAL);
    REFUSED(c->flags |= XEN_DOMCTL_CDF_nested_virt, XEN_EINVAL);
    REFUSED(c->arch.emulation_flags = XEN_X86_EMU_ALL, XEN_EOPNOTSUPP);
    REFUSED(c->max_vcpus = 0, XEN_EINVAL);
    REFUSED(c->max_vcpus = 129, XEN_EINVAL);
    REFUSED(c->grant_opts = 2, XEN_EINVAL);
    REFUSED(c->cpupool_id = 1, XEN_EINVAL);
    REFUSED(c->vmtrace_size = 4096, XEN_EINVAL);
    op = good;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_createdomain, 0, &op), 0);
    CHECK_EQ(op.domain, 5);
    d = domain_get(5);
    CHECK(d && d->handle[3] == 0x42 && d->emulation_flags == 1);
    domain_put(d);
    fake_domain_free(d);
    teardown();
}

static void test_life(void)
{
    struct xen_domctl op = {0};

    setup();
    CHECK_EQ(domctl(v0, XEN_DOMCTL_pausedomain, 1, &op), 0);
    CHECK_EQ(d1->ctl_pauses, 2);
    CHECK(!d1->started);
    CHECK_EQ(domctl(v0, XEN_DOMCTL_unpausedomain, 1, &op), 0);
    CHECK_EQ(domctl(v0, XEN_DOMCTL_unpausedomain, 1, &op), 0);
    CHECK_EQ(domctl(v0, XEN_DOMCTL_unpausedomain, 1, &op), -XEN_EINVAL);
    CHECK(d1->started);
    CHECK_EQ(domctl(v0, XEN_DOMCTL_pausedomain, 0, &op), -XEN_EINVAL);
    CHECK_EQ(domctl(v0, XEN_DOMCTL_destroydomain, 0, &op), -XEN_EINVAL);
    d1->is_shut_down = true;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_resumedomain, 1, &op), 0);
    CHECK(!d1->is_shut_down);
    control.kill_after = 3;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_destroydomain, 1, &op), 0);
    CHECK_EQ(control.killed, 4);
    CHECK_EQ(domctl(v0, XEN_DOMCTL_destroydomain, 1, &op), 0);
    CHECK_EQ(control.killed, 4);
    CHECK_EQ(domctl(v0, XEN_DOMCTL_max_mem, 1, &op), -XEN_ESRCH);
    CHECK_EQ(domctl(v0, XEN_DOMCTL_getdomaininfo, 1, &op), 0);
    CHECK(op.u.getdomaininfo.flags & XEN_DOMINF_dying);
    teardown();
}

static void test_attributes(void)
{
    struct xen_domctl op = {0};

    setup();
    op.u.max_mem.max_memkb = 4096;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_max_mem, 1, &op), 0);
    CHECK_EQ(d1->max_pages, 1024);
    op.u.paging_mempool.size = 8192;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_set_paging_mempool_size, 1, &op), 0);
    op.u.paging_mempool.size = 8193;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_set_paging_mempool_size, 1, &op), -XEN_EINVAL);
    CHECK_EQ(domctl(v0, XEN_DOMCTL_get_paging_mempool_size, 1, &op), 0);
    CHECK_EQ(op.u.paging_mempool.size, 8192);
    memset(op.u.setdomainhandle.handle, 9, 16);
    CHECK_EQ(domctl(v0, XEN_DOMCTL_setdomainhandle, 1, &op), 0);
    CHECK_EQ(d1->handle[15], 9);
    op.u.settimeoffset.time_offset_seconds = -5;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_settimeoffset, 1, &op), 0);
    CHECK(d1->time_offset == -5 && control.wall_writes == 1);
    memset(&op.u, 0, sizeof(op.u));
    op.u.tsc_info.incarnation = 3;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_settscinfo, 1, &op), 0);
    CHECK_EQ(domctl(v0, XEN_DOMCTL_gettscinfo, 1, &op), 0);
    CHECK_EQ(op.u.tsc_info.incarnation, 3);
    op.u.tsc_info = (struct xen_domctl_tsc_info){.tsc_mode = 3};
    CHECK_EQ(domctl(v0, XEN_DOMCTL_settscinfo, 1, &op), -XEN_EOPNOTSUPP);
    op.u.max_vcpus.max = 3;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_max_vcpus, 1, &op), -XEN_EINVAL);
    op.u.max_vcpus.max = 2;
    fake.preempt_every = 1; /* what is there already is no reason to wait */
    CHECK_EQ(domctl(v0, XEN_DOMCTL_max_vcpus, 1, &op), 0);
    fake.preempt_every = 0;
    teardown();
}

static void test_scheduling(void)
{
    struct xen_domctl op = {0};
    struct xen_domctl_scheduler_op *s = &op.u.scheduler_op;
    uint8_t hard = 0xff, soft = 0;

    setup();
    s->sched_id = XEN_SCHEDULER_CREDIT;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_scheduler_op, 1, &op), -XEN_EINVAL);
    s->sched_id = XEN_SCHEDULER_CREDIT2;
    s->u.credit2.weight = 512;
    s->u.credit2.cap = 50;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_scheduler_op, 1, &op), 0);
    s->cmd = XEN_DOMCTL_SCHEDOP_getinfo;
    s->u.credit2.weight = s->u.credit2.cap = 0;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_scheduler_op, 1, &op), 0);
    CHECK(s->u.credit2.weight == 512 && s->u.credit2.cap == 50);
    s->cmd = XEN_DOMCTL_SCHEDOP_putvcpuinfo;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_scheduler_op, 1, &op), -XEN_EINVAL);

    memset(&op.u, 0, sizeof(op.u));
    op.u.vcpuaffinity.vcpu = 1;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_setvcpuaffinity, 1, &op), -XEN_EINVAL);
    op.u.vcpuaffinity.flags = 1;
    op.u.vcpuaffinity.cpumap_hard.bitmap.p = &hard;
    op.u.vcpuaffinity.cpumap_hard.nr_bits = 8;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_setvcpuaffinity, 1, &op), 0);
    CHECK_EQ(hard, 1); /* the CPUs that exist */
    hard = 0xfe;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_setvcpuaffinity, 1, &op), -XEN_EINVAL);
    op.u.vcpuaffinity.flags = 3;
    op.u.vcpuaffinity.cpumap_soft.bitmap.p = &soft;
    op.u.vcpuaffinity.cpumap_soft.nr_bits = 8;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_getvcpuaffinity, 1, &op), 0);
    CHECK_EQ(hard, 1);
    op.u.vcpuaffinity.vcpu = 2;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_getvcpuaffinity, 1, &op), -XEN_EINVAL);

    op.u.getvcpuinfo.vcpu = 9;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_getvcpuinfo, 1, &op), -XEN_EINVAL);
    v1->holds = HOLD_BLOCKED;
    v1->runstate.time[0] = 55;
    op.u.getvcpuinfo.vcpu = 0;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_getvcpuinfo, 1, &op), 0);
    CHECK(op.u.getvcpuinfo.online && op.u.getvcpuinfo.blocked && !op.u.getvcpuinfo.running &&
          op.u.getvcpuinfo.cpu_time == 55);
    teardown();
}

static void test_vcpu_context(void)
{
    static struct vcpu_guest_context c;
    struct xen_domctl op = {0};

    setup();
    op.u.vcpucontext.ctxt.p = &c;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_getvcpucontext, 1, &op), -XEN_ENODATA);
    v1->initialised = true;
    v1->holds = 0;
    for (int i = 0; i < 16; i++) v1->regs.gpr[i] = i + 50;
    v1->regs.rflags = 0x202;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_getvcpucontext, 1, &op), 0);
    CHECK(c.user_regs.rax == 50 && c.user_regs.rbx == 53 && c.user_regs.rsp == 54 &&
          c.user_regs.rbp == 55 && c.user_regs.rdi == 57 && c.user_regs.r8 == 58 &&
          c.user_regs.r15 == 65 && c.user_regs.rip == v1->regs.rip);
    CHECK(c.flags & VGCF_online);
    c.user_regs.rax = 1;
    c.user_regs.rflags = ~0ull;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_setvcpucontext, 1, &op), 0);
    CHECK_EQ(v1->regs.rax, 1);
    CHECK_EQ(v1->regs.r15, 65);
    CHECK_EQ(v1->regs.rflags, 0x3f7fd7);
    CHECK_EQ(control.pauses, 0);
    op.u.vcpucontext.ctxt.p = (void *)8;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_getvcpucontext, 1, &op), -XEN_EFAULT);
    CHECK_EQ(domctl(v0, XEN_DOMCTL_setvcpucontext, 1, &op), -XEN_EFAULT);
    op.u.vcpucontext.vcpu = 70000;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_getvcpucontext, 1, &op), -XEN_EINVAL);
    CHECK_EQ(domctl(v0, XEN_DOMCTL_getvcpucontext, 0, &op), -XEN_EINVAL);
    teardown();
}

static void test_hvm_context(void)
{
    static uint8_t buf[65536];
    struct hvm_hw_mtrr mtrr;
    struct xen_domctl op = {0};
    struct xen_domctl_hvmcontext *h = &op.u.hvmcontext;
    struct xen_domctl_hvmcontext_partial *p = &op.u.hvmcontext_partial;
    uint32_t size;

    setup();
    CHECK_EQ(domctl(v0, XEN_DOMCTL_gethvmcontext, 1, &op), 0);
    size = h->size;
    CHECK(size > 2000 && size < sizeof(buf));
    h->buffer.p = buf;
    h->size = size - 1;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_gethvmcontext, 1, &op), -XEN_ENOSPC);
    h->size = sizeof(buf);
    CHECK_EQ(domctl(v0, XEN_DOMCTL_gethvmcontext, 1, &op), 0);
    CHECK_EQ(h->size, size);
    CHECK_EQ(domctl(v0, XEN_DOMCTL_sethvmcontext, 1, &op), 0);
    h->size = 10;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_sethvmcontext, 1, &op), -XEN_EINVAL);
    h->size = 2u << 20;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_sethvmcontext, 1, &op), -XEN_EINVAL);
    h->size = size;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_sethvmcontext, 0, &op), -XEN_EINVAL);
    fake.no_memory = true;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_sethvmcontext, 1, &op), -XEN_ENOMEM);
    CHECK_EQ(domctl(v0, XEN_DOMCTL_gethvmcontext, 1, &op), -XEN_ENOMEM);
    fake.no_memory = false;
    memset(&op.u, 0, sizeof(op.u));
    p->type = HVM_SAVE_CODE(MTRR);
    p->instance = 1;
    p->bufsz = sizeof(mtrr);
    p->buffer.p = (uint8_t *)&mtrr;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_gethvmcontext_partial, 1, &op), 0);
    CHECK_EQ(mtrr.msr_mtrr_def_type, 0xc06);
    p->instance = 2;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_gethvmcontext_partial, 1, &op), -XEN_ENOENT);
    CHECK_EQ(control.pauses, 0);
    teardown();
}

static void test_policy(void)
{
    static xen_cpuid_leaf_t leaves[POLICY_LEAVES];
    xen_msr_entry_t msrs[2];
    struct xen_domctl op = {0};
    struct xen_domctl_cpu_policy *p = &op.u.cpu_policy;

    setup();
    p->nr_leaves = POLICY_LEAVES;
    p->nr_msrs = 2;
    p->leaves.p = leaves;
    p->msrs.p = msrs;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_get_cpu_policy, 1, &op), 0);
    CHECK_EQ(domctl(v0, XEN_DOMCTL_set_cpu_policy, 1, &op), 0);
    leaves[0].a = 0xff;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_set_cpu_policy, 1, &op), -XEN_EINVAL);
    CHECK_EQ(p->err_leaf, 0);
    CHECK_EQ(p->err_msr, ~0u);
    d1->started = true;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_set_cpu_policy, 1, &op), -XEN_EEXIST);
    teardown();
}

static void test_page_types(void)
{
    uint64_t a[1024];
    struct xen_domctl op = {0};
    struct xen_domctl_getpageframeinfo3 *p = &op.u.getpageframeinfo3;

    setup();
    fake_give(d1, 700, 3);
    for (int i = 0; i < 1024; i++) a[i] = i;
    a[5] = ~0ull;
    p->num = 1024;
    p->array.p = a;
    fake.preempt_every = 1;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_getpageframeinfo3, 1, &op), 0);
    for (int i = 0; i < 1024; i++) CHECK_EQ(a[i], i == 700 ? 0 : XEN_DOMCTL_PFINFO_XTAB);
    p->num = 1025;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_getpageframeinfo3, 1, &op), -XEN_E2BIG);
    teardown();
}

static void test_soft_reset(void)
{
    struct xen_domctl op = {0};

    setup();
    CHECK_EQ(domctl(v0, XEN_DOMCTL_soft_reset, 1, &op), -XEN_EINVAL);
    d1->is_shut_down = true;
    d1->shutdown_code = SHUTDOWN_soft_reset;
    d1->params[1] = 5;
    v1->holds = 0;
    CHECK_EQ(domctl(v0, XEN_DOMCTL_soft_reset, 1, &op), 0);
    CHECK(!d1->is_shut_down && v1->holds & HOLD_DOWN && !d1->params[1]);
    CHECK_EQ(control.pauses, 0);
    teardown();
}

/* --- sysctl --- */

static void test_sysctl(void)
{
    static struct xen_domctl_getdomaininfo list[4];
    struct xen_sysctl op = {0};
    char text[64] = {0};
    uint8_t map = 0xff;

    setup();
    for (unsigned int cmd = 0; cmd < 40; cmd++) CHECK_EQ(sysctl(v1, cmd, &op), -XEN_EPERM);
    op.interface_version = 1;
    CHECK_EQ(fake_call(v0, __HYPERVISOR_sysctl, (uintptr_t)&op, 0, 0), -XEN_EACCES);
    CHECK_EQ(sysctl(v0, 0, &op), -XEN_ENOSYS);
    CHECK_EQ(sysctl(v0, ~0u, &op), -XEN_ENOSYS);
    CHECK_EQ(sysctl(v0, XEN_SYSCTL_physinfo, &op), 0);
    CHECK_EQ(op.u.physinfo.capabilities, 0x109);
    CHECK(op.u.physinfo.nr_cpus == 1 && op.u.physinfo.nr_nodes == 1);
    CHECK_EQ(op.u.physinfo.total_pages, FAKE_FRAMES);

    memset(&op.u, 0, sizeof(op.u));
    op.u.getdomaininfolist.max_domains = 4;
    op.u.getdomaininfolist.buffer.p = list;
    CHECK_EQ(sysctl(v0, XEN_SYSCTL_getdomaininfolist, &op), 0);
    CHECK_EQ(op.u.getdomaininfolist.num_domains, 2);
    CHECK(list[0].domain == 0 && list[1].domain == 1);
    op.u.getdomaininfolist.first_domain = 1;
    CHECK_EQ(sysctl(v0, XEN_SYSCTL_getdomaininfolist, &op), 0);
    CHECK_EQ(op.u.getdomaininfolist.num_domains, 1);

    memset(&op.u, 0, sizeof(op.u));
    op.u.readconsole.buffer.p = text;
    op.u.readconsole.count = 10;
    CHECK_EQ(sysctl(v0, XEN_SYSCTL_readconsole, &op), 0);
    CHECK(op.u.readconsole.count == 10 && !strcmp(text, "hello from"));
    op.u.readconsole.incremental = 1;
    op.u.readconsole.count = sizeof(text);
    CHECK_EQ(sysctl(v0, XEN_SYSCTL_readconsole, &op), 0);
    CHECK_EQ(op.u.readconsole.count, 9);

    memset(&op.u, 0, sizeof(op.u));
    op.u.debug_keys.keys.p = "hq";
    op.u.debug_keys.nr_keys = 2;
    CHECK_EQ(sysctl(v0, XEN_SYSCTL_debug_keys, &op), 0);
    CHECK(!strcmp(control.keys, "hq"));

    memset(&op.u, 0, sizeof(op.u));
    op.u.cpupool_op.op = XEN_SYSCTL_CPUPOOL_OP_INFO;
    op.u.cpupool_op.cpumap.bitmap.p = &map;
    op.u.cpupool_op.cpumap.nr_bits = 8;
    CHECK_EQ(sysctl(v0, XEN_SYSCTL_cpupool_op, &op), 0);
    CHECK(map == 1 && op.u.cpupool_op.n_dom == 2 && op.u.cpupool_op.sched_id == 6);
    op.u.cpupool_op.cpupool_id = 1;
    CHECK_EQ(sysctl(v0, XEN_SYSCTL_cpupool_op, &op), -XEN_ENOENT);
    teardown();
}

static void test_sysctl_scheduler(void)
{
    static const struct {
        uint32_t us;
        int rc;
    } limit[] = {{100, 0}, {99, -XEN_EINVAL}, {500000, 0}, {500001, -XEN_EINVAL}, {0, 0}};
    struct xen_sysctl op = {0};
    struct xen_sysctl_scheduler_op *s = &op.u.scheduler_op;

    setup();
    s->sched_id = XEN_SCHEDULER_CREDIT2;
    for (unsigned int i = 0; i < ARRAY_SIZE(limit); i++) {
        uint32_t before = sched_ratelimit_us;

        s->cmd = XEN_SYSCTL_SCHEDOP_putinfo;
        s->u.sched_credit2.ratelimit_us = limit[i].us;
        CHECK_EQ(sysctl(v0, XEN_SYSCTL_scheduler_op, &op), limit[i].rc);
        s->cmd = XEN_SYSCTL_SCHEDOP_getinfo;
        CHECK_EQ(sysctl(v0, XEN_SYSCTL_scheduler_op, &op), 0);
        CHECK_EQ(s->u.sched_credit2.ratelimit_us, limit[i].rc ? before : limit[i].us);
    }
    teardown();
}

static void test_sysctl_policy(void)
{
    struct xen_sysctl op = {0};
    uint32_t words[FEATURE_WORDS];

    setup();
    for (unsigned int i = 0; i < 7; i++) {
        op.u.cpu_policy.index = i;
        CHECK_EQ(sysctl(v0, XEN_SYSCTL_get_cpu_policy, &op), i > 5              ? -XEN_EINVAL
                                                             : i == 2 || i == 4 ? -XEN_EOPNOTSUPP
                                                                                : 0);
    }
    op.u.cpu_policy.index = 5;
    op.u.cpu_policy._rsvd = 1;
    CHECK_EQ(sysctl(v0, XEN_SYSCTL_get_cpu_policy, &op), -XEN_EINVAL);
    memset(&op.u, 0, sizeof(op.u));
    op.u.cpu_featureset.index = XEN_SYSCTL_cpu_featureset_hvm;
    CHECK_EQ(sysctl(v0, XEN_SYSCTL_get_cpu_featureset, &op), 0);
    CHECK_EQ(op.u.cpu_featureset.nr_features, FEATURE_WORDS);
    op.u.cpu_featureset.features.p = words;
    CHECK_EQ(sysctl(v0, XEN_SYSCTL_get_cpu_featureset, &op), 0);
    CHECK_EQ(words[1], cpu_policy_word(d1->policy, 1));
    op.u.cpu_featureset.nr_features = 3;
    CHECK_EQ(sysctl(v0, XEN_SYSCTL_get_cpu_featureset, &op), -XEN_ENOBUFS);
    op.u.cpu_featureset.index = 4;
    CHECK_EQ(sysctl(v0, XEN_SYSCTL_get_cpu_featureset, &op), -XEN_EOPNOTSUPP);
    teardown();
}

int main(void)
{
    RUN(populate);
    RUN(populate_low);
    RUN(continue);
    RUN(decrease);
    RUN(physmap);
    RUN(foreign);
    RUN(resource);
    RUN(memory_map);
    RUN(numbers);
    RUN(domctl_entry);
    RUN(info);
    RUN(create);
    RUN(life);
    RUN(attributes);
    RUN(scheduling);
    RUN(vcpu_context);
    RUN(hvm_context);
    RUN(policy);
    RUN(page_types);
    RUN(soft_reset);
    RUN(sysctl);
    RUN(sysctl_scheduler);
    RUN(sysctl_policy);
    return test_failed != 0;
}
