/* SPDX-License-Identifier: Apache-2.0 */
/* The way into a hypercall, and sched_op, vcpu_op, hvm_op, console_io,
 * xen_version, physdev_op, platform_op, vm_assist. */
#define GROUP "vcpu"
#include "fake_vm.h"
#include "hypercall/evtchn.h"
#include "hypercall/grant.h"
#include "memory/frame.h"
#include "vm/vcpu.h"
#include <string.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/hvm/hvm_op.h>
#include <xen/physdev.h>
#include <xen/platform.h>
#include <xen/sched.h>
#include <xen/version.h>

static struct domain *d0, *d1;
static struct vcpu *v0, *v1, *other; /* dom0's, d1's first and second */

static void setup(void)
{
    memset(&fake, 0, sizeof(fake));
    fake_init();
    d0 = fake_domain(0, true, 1);
    d1 = fake_domain(1, false, 2);
    CHECK_EQ(evtchn_init(d0, 4095), 0);
    CHECK_EQ(evtchn_init(d1, 4095), 0);
    v0 = d0->vcpus[0];
    v1 = d1->vcpus[0];
    other = d1->vcpus[1];
    other->holds = HOLD_DOWN;
    for (int i = 0; i < 4; i++) fake_give(d1, i, 16 + i);
}

static void teardown(void)
{
    struct domain *all[] = {d0, d1};

    for (int i = 0; i < 2; i++) {
        vcpu_info_unmap(all[i]);
        while (p2m_release(all[i]))
            ;
    }
    CHECK_EQ(fake_frames_used(), 0);
    for (int i = 0; i < 2; i++) {
        evtchn_free(all[i]);
        fake_domain_free(all[i]);
    }
    CHECK_EQ(fake_heap_used(), 0);
}

static long call(struct vcpu *v, unsigned int nr, uint64_t cmd, void *arg)
{
    return fake_call(v, nr, cmd, (uintptr_t)arg, 0);
}

static long vcpu_op(struct vcpu *v, unsigned int cmd, uint64_t id, void *arg)
{
    return fake_call(v, __HYPERVISOR_vcpu_op, cmd, id, (uintptr_t)arg);
}

static void test_dispatch(void)
{
    setup();
    CHECK_EQ(call(v1, __HYPERVISOR_xen_version, XENVER_version, NULL), 0x40011);
    CHECK_EQ(fake.skipped, 3);
    fake.cpl = 3;
    CHECK_EQ(call(v1, __HYPERVISOR_xen_version, 0, NULL), -XEN_EPERM);
    fake.cpl = 0;
    fake.code32 = true;
    CHECK_EQ(call(v1, __HYPERVISOR_xen_version, 0, NULL), -XEN_ENOSYS);
    fake.code32 = false;
    for (unsigned int n = 0; n < 256; n++) {
        long rc;

        if (n == __HYPERVISOR_set_timer_op || n == __HYPERVISOR_multicall) continue;
        rc = fake_call(v1, n, 0xffffffff, 0xffffffff, 0xffffffff);
        CHECK(rc == -XEN_ENOSYS || rc == -XEN_ENOENT || rc == -XEN_EINVAL || rc == -XEN_EPERM);
    }
    CHECK_EQ(call(v1, 0xffffffff, 0, NULL), -XEN_ENOSYS);
    CHECK_EQ(call(v1, __HYPERVISOR_mmu_update, 0, NULL), -XEN_ENOSYS);
    teardown();
}

static void test_multicall(void)
{
    struct multicall_entry e[] = {
        {.op = __HYPERVISOR_xen_version, .args = {XENVER_version}},
        {.op = __HYPERVISOR_multicall, .result = 77},
        {.op = 0xffffffff},
    };

    setup();
    CHECK_EQ(fake_call(v1, __HYPERVISOR_multicall, (uintptr_t)e, 3, 0), 0);
    CHECK_EQ(e[0].result, 0x40011);
    CHECK_EQ(e[1].result, (unsigned long)-XEN_EINVAL);
    CHECK_EQ(e[2].result, (unsigned long)-XEN_ENOSYS);
    e[0].op = 1ull << 32 | __HYPERVISOR_multicall; /* of itself, for ever */
    e[0].args[0] = (uintptr_t)e;
    e[0].args[1] = 1;
    CHECK_EQ(fake_call(v1, __HYPERVISOR_multicall, (uintptr_t)e, 1, 0), 0);
    CHECK_EQ(e[0].result, -XEN_ENOSYS);
    CHECK_EQ(call(v1, __HYPERVISOR_multicall, 8, (void *)1), -XEN_EFAULT);
    teardown();
}

static void test_version(void)
{
    char text[1024];
    struct xen_feature_info f = {.submap_idx = 0};

    setup();
    memset(text, 'x', sizeof(text));
    CHECK_EQ(call(v1, __HYPERVISOR_xen_version, XENVER_extraversion, text), 0);
    CHECK_EQ(strcmp(text, ".7-insula"), 0);
    CHECK_EQ(text[16], 'x'); /* no more than its size is written */
    CHECK_EQ(call(v1, __HYPERVISOR_xen_version, XENVER_capabilities, text), 0);
    CHECK(strstr(text, "hvm-3.0-x86_32 ") && strstr(text, "x86_64"));
    CHECK_EQ(call(v1, __HYPERVISOR_xen_version, XENVER_commandline, text), 0);
    CHECK_EQ(strcmp(text, "<denied>"), 0);
    CHECK_EQ(call(v0, __HYPERVISOR_xen_version, XENVER_commandline, text), 0);
    CHECK(strstr(text, "dom0_mem=") != NULL);
    CHECK_EQ(call(v1, __HYPERVISOR_xen_version, XENVER_pagesize, NULL), 4096);
    CHECK_EQ(call(v1, __HYPERVISOR_xen_version, XENVER_get_features, &f), 0);
    CHECK_EQ(f.submap, 1 << XENFEAT_writable_page_tables | 1 << XENFEAT_auto_translated_physmap |
                           1 << XENFEAT_hvm_callback_vector | 1 << XENFEAT_hvm_safe_pvclock |
                           1 << XENFEAT_memory_op_vnode_supported | 1 << XENFEAT_not_direct_mapped);
    CHECK_EQ(call(v0, __HYPERVISOR_xen_version, XENVER_get_features, &f), 0);
    CHECK(f.submap & 1 << XENFEAT_dom0);
    f.submap_idx = 1;
    CHECK_EQ(call(v1, __HYPERVISOR_xen_version, XENVER_get_features, &f), -XEN_EINVAL);
    CHECK_EQ(call(v1, __HYPERVISOR_xen_version, XENVER_extraversion, NULL), -XEN_EFAULT);
    CHECK_EQ(call(v1, __HYPERVISOR_xen_version, XENVER_build_id, text), -XEN_ENOSYS);
    CHECK_EQ(call(v1, __HYPERVISOR_xen_version, 77, text), -XEN_ENOSYS);
    teardown();
}

static long poll(struct vcpu *v, uint32_t *ports, unsigned int n, uint64_t t)
{
    struct sched_poll p = {.nr_ports = n, .timeout = t};

    p.ports.p = ports;
    return call(v, __HYPERVISOR_sched_op, SCHEDOP_poll, &p);
}

static long ipi(struct vcpu *v)
{
    struct evtchn_bind_ipi b = {.vcpu = 0};

    CHECK_EQ(call(v, __HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, &b), 0);
    return b.port;
}

static void test_poll(void)
{
    uint32_t p[200];

    setup();
    for (unsigned int i = 0; i < 200; i++) p[i] = 4096;
    p[0] = ipi(v1);
    p[1] = ipi(v1);
    for (int i = 0; i < 2; i++)
        set_bit(p[i], d1->shared_info->evtchn_mask); /* masked ports count */
    CHECK_EQ(poll(v1, p, 1, 0), 0);
    CHECK_EQ(v1->holds, HOLD_POLL);
    CHECK_EQ(fake.stopped, 1);
    CHECK(!timer_is_set(&v1->poll_timer));
    /* The other port does not wake it; its own does. */
    CHECK_EQ(call(other, __HYPERVISOR_event_channel_op, EVTCHNOP_send, &p[1]), 0);
    CHECK_EQ(v1->holds, HOLD_POLL);
    CHECK_EQ(call(other, __HYPERVISOR_event_channel_op, EVTCHNOP_send, &p[0]), 0);
    CHECK_EQ(v1->holds, 0);
    CHECK_EQ(fake.woken[1][0], 1);
    /* Pending already: no wait. */
    CHECK_EQ(poll(v1, p, 1, 0), 0);
    CHECK_EQ(v1->holds, 0);
    CHECK_EQ(fake.stopped, 1);
    /* Several ports, with a time limit. */
    memset(d1->shared_info->evtchn_pending, 0, 512);
    CHECK_EQ(poll(v1, p, 2, 12345), 0);
    CHECK_EQ(v1->holds, HOLD_POLL);
    CHECK(timer_is_set(&v1->poll_timer));
    CHECK_EQ(v1->poll_timer.expires, 12345);
    CHECK_EQ(call(other, __HYPERVISOR_event_channel_op, EVTCHNOP_send, &p[1]), 0);
    CHECK_EQ(v1->holds, 0);
    /* An interrupt that it would take ends the wait before it begins. */
    memset(d1->shared_info->evtchn_pending, 0, 512);
    v1->info->evtchn_upcall_pending = 1;
    v1->regs.rflags = RFLAGS_IF;
    CHECK_EQ(poll(v1, p, 1, 0), 0);
    CHECK_EQ(v1->holds, 0);
    v1->regs.rflags = 0; /* not with interrupts off */
    CHECK_EQ(poll(v1, p, 1, 0), 0);
    CHECK_EQ(v1->holds, HOLD_POLL);
    v1->holds = 0;
    CHECK_EQ(poll(v1, p, 3, 0), -XEN_EINVAL);
    CHECK_EQ(poll(v1, p, 129, 0), -XEN_EINVAL);
    CHECK_EQ(poll(v1, NULL, 1, 0), -XEN_EFAULT);
    CHECK_EQ(v1->holds, 0);
    teardown();
}

static void test_sched(void)
{
    struct sched_shutdown s = {SHUTDOWN_reboot};
    struct sched_remote_shutdown r = {1, SHUTDOWN_crash};

    setup();
    CHECK_EQ(call(v1, __HYPERVISOR_sched_op, SCHEDOP_yield, NULL), 0);
    CHECK_EQ(fake.yielded, 1);
    CHECK_EQ(call(v1, __HYPERVISOR_sched_op, SCHEDOP_block, NULL), 0);
    CHECK_EQ(v1->holds, HOLD_BLOCKED);
    v1->holds = 0;
    v1->info->evtchn_upcall_pending = 1;
    CHECK_EQ(call(v1, __HYPERVISOR_sched_op, SCHEDOP_block, NULL), 0);
    CHECK_EQ(v1->holds, 0);
    CHECK_EQ(call(v1, __HYPERVISOR_sched_op, SCHEDOP_shutdown, NULL), -XEN_EFAULT);
    CHECK_EQ(fake.shutdown_code, -1);
    CHECK_EQ(call(v1, __HYPERVISOR_sched_op, SCHEDOP_shutdown, &s), 0);
    CHECK_EQ(fake.shutdown_domain, 1);
    CHECK_EQ(fake.shutdown_code, SHUTDOWN_reboot);
    CHECK_EQ(call(v1, __HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, &r), -XEN_EPERM);
    CHECK_EQ(call(v0, __HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, &r), 0);
    CHECK_EQ(fake.shutdown_code, SHUTDOWN_crash);
    r.domain_id = 5;
    CHECK_EQ(call(v0, __HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, &r), -XEN_ESRCH);
    s.reason = SHUTDOWN_MAX + 1;
    CHECK_EQ(call(v1, __HYPERVISOR_sched_op, SCHEDOP_shutdown_code, &s), -XEN_EINVAL);
    s.reason = SHUTDOWN_poweroff;
    CHECK_EQ(call(v1, __HYPERVISOR_sched_op, SCHEDOP_shutdown_code, &s), 0);
    CHECK_EQ(d1->early_code, SHUTDOWN_poweroff + 1);
    CHECK_EQ(call(v1, __HYPERVISOR_sched_op, SCHEDOP_watchdog, NULL), -XEN_EFAULT);
    CHECK_EQ(call(v1, __HYPERVISOR_sched_op, 77, NULL), -XEN_ENOSYS);
    teardown();
}

static long register_info(struct vcpu *v, unsigned int id, uint64_t gfn, uint32_t offset)
{
    struct vcpu_register_vcpu_info r = {.mfn = gfn, .offset = offset};

    return vcpu_op(v, VCPUOP_register_vcpu_info, id, &r);
}

static struct vcpu_info *first_info;

/* Nobody gets at the page any more, but all who have it in hand still may. */
static void in_use(void)
{
    if (fake.core_flushes == 1) CHECK(v1->info == first_info && !fake.leaving);
}

static void test_vcpu_info(void)
{
    struct vcpu_info *first, *info = (void *)(fake_ram[18] + 0x40);
    uint32_t port;

    setup();
    first_info = first = v1->info;
    port = ipi(v1);
    first->arch.cr2 = 0x1234;
    CHECK_EQ(register_info(v1, 0, 2, PAGE_SIZE - 60), -XEN_ENXIO);
    CHECK_EQ(register_info(v1, 0, 2, 0x41), -XEN_ENXIO);
    CHECK_EQ(register_info(v1, 0, 2, 0xffffffc0), -XEN_ENXIO);
    CHECK_EQ(register_info(v1, 0, 99, 0), -XEN_EINVAL);
    CHECK_EQ(register_info(v1, 0, ~0ull, 0), -XEN_EINVAL);
    CHECK_EQ(register_info(v1, 2, 2, 0), -XEN_ENOENT);
    fake.no_memory = true;
    CHECK_EQ(register_info(v1, 0, 2, 0x40), -XEN_ENOMEM);
    fake.no_memory = false;
    CHECK(v1->info == first);
    CHECK_EQ(register_info(v1, 0, 2, 0x40), 0);
    CHECK(v1->info == info);
    CHECK_EQ(info->arch.cr2, 0x1234);
    CHECK_EQ(info->evtchn_pending_sel, ~0ul);
    CHECK_EQ(info->evtchn_upcall_pending, 1);
    CHECK_EQ(register_info(v1, 0, 3, 0), -XEN_EINVAL); /* once */
    info->evtchn_pending_sel = 0;
    CHECK_EQ(call(v1, __HYPERVISOR_event_channel_op, EVTCHNOP_send, &port), 0);
    CHECK_EQ(info->evtchn_pending_sel, 1);
    /* For another one only while that is down. */
    CHECK_EQ(register_info(v1, 1, 2, 0x80), 0);
    CHECK_EQ(register_info(other, 0, 2, 0x80), -XEN_EINVAL);
    /* The page stays though the guest gives it away. */
    {
        struct p2m_entry old;

        CHECK_EQ(p2m_remove(d1, 2, ORDER_4K, MFN_INVALID, P2M_NONE, &old), 0);
        p2m_drop_entry(&old);
        CHECK_EQ(frame_owner(18), 1);
    }
    fake.core_flushes = 0;
    fake.core_flush = in_use;
    vcpu_info_unmap(d1);
    fake.core_flush = NULL;
    vcpu_info_unmap(d1); /* no harm */
    CHECK(v1->info == first);
    CHECK_EQ(frame_owner(18), OWNER_FREE);
    teardown();
}

static void test_vcpu(void)
{
    struct vcpu_set_singleshot_timer t = {.timeout_abs_ns = 500};
    struct vcpu_runstate_info area, got;
    struct vcpu_register_runstate_memory_area r;
    struct vcpu_register_time_memory_area m;

    setup();
    fake.now = 1000;
    CHECK_EQ(vcpu_op(v1, VCPUOP_is_up, 0, NULL), 1);
    CHECK_EQ(vcpu_op(v1, VCPUOP_is_up, 1, NULL), 0);
    CHECK_EQ(vcpu_op(v1, VCPUOP_up, 1, NULL), -XEN_EINVAL); /* no state yet */
    other->initialised = true;
    CHECK_EQ(vcpu_op(v1, VCPUOP_up, 1, NULL), 0);
    CHECK_EQ(vcpu_op(v1, VCPUOP_is_up, 1, NULL), 1);
    CHECK_EQ(vcpu_op(v1, VCPUOP_down, 1, NULL), 0);
    CHECK_EQ(other->holds, HOLD_DOWN);
    CHECK_EQ(vcpu_op(v1, VCPUOP_is_up, 2, NULL), -XEN_ENOENT);
    CHECK_EQ(vcpu_op(v1, VCPUOP_stop_periodic_timer, 0, NULL), 0);
    CHECK_EQ(vcpu_op(v1, VCPUOP_set_periodic_timer, 0, &t), -XEN_ENOSYS);
    CHECK_EQ(vcpu_op(v1, VCPUOP_set_singleshot_timer, 0, &t), 0);
    CHECK(timer_is_set(&v1->oneshot) && v1->oneshot.expires == 500);
    CHECK_EQ(vcpu_op(v1, VCPUOP_stop_singleshot_timer, 0, NULL), 0);
    CHECK(!timer_is_set(&v1->oneshot));
    t.flags = VCPU_SSHOTTMR_future;
    CHECK_EQ(vcpu_op(v1, VCPUOP_set_singleshot_timer, 0, &t), -XEN_ETIME);
    CHECK_EQ(vcpu_op(v1, VCPUOP_set_singleshot_timer, 1, &t), -XEN_EINVAL);
    CHECK_EQ(vcpu_op(v1, VCPUOP_set_singleshot_timer, 0, NULL), -XEN_EFAULT);
    v1->runstate.time[1] = 42;
    r.addr.p = (uintptr_t)&area;
    CHECK_EQ(vcpu_op(v1, VCPUOP_register_runstate_memory_area, 0, &r), 0);
    CHECK_EQ(area.time[1], 42);
    CHECK_EQ(v1->runstate_va, (uintptr_t)&area);
    r.addr.p = 8;
    CHECK_EQ(vcpu_op(v1, VCPUOP_register_runstate_memory_area, 0, &r), -XEN_EFAULT);
    CHECK_EQ(v1->runstate_va, 0);
    CHECK_EQ(vcpu_op(v1, VCPUOP_register_runstate_memory_area, 1, &r), 0);
    CHECK_EQ(other->runstate_va, 8); /* is tried when that one runs */
    CHECK_EQ(vcpu_op(v1, VCPUOP_get_runstate_info, 0, &got), 0);
    CHECK_EQ(got.time[1], 42);
    m.addr.p = 0x5000;
    CHECK_EQ(vcpu_op(v1, VCPUOP_register_vcpu_time_memory_area, 0, &m), 0);
    CHECK_EQ(v1->time_va, 0x5000);
    m.addr.p = 0;
    CHECK_EQ(vcpu_op(v1, VCPUOP_register_vcpu_time_memory_area, 0, &m), 0);
    CHECK_EQ(v1->time_va, 0);
    CHECK_EQ(vcpu_op(v1, VCPUOP_send_nmi, 1, NULL), 0);
    CHECK(other->nmi_pending);
    CHECK_EQ(fake.notified[1][1], 1);
    CHECK_EQ(vcpu_op(v1, VCPUOP_initialise, 0, NULL), -XEN_ENOSYS);
    CHECK_EQ(fake_call(v1, __HYPERVISOR_set_timer_op, 777, 0, 0), 0);
    CHECK_EQ(v1->oneshot.expires, 777);
    CHECK_EQ(fake_call(v1, __HYPERVISOR_set_timer_op, 0, 0, 0), 0);
    CHECK(!timer_is_set(&v1->oneshot));
    teardown();
}

static long set_param(struct vcpu *v, domid_t dom, uint32_t index, uint64_t x)
{
    struct xen_hvm_param p = {.domid = dom, .index = index, .value = x};

    return call(v, __HYPERVISOR_hvm_op, HVMOP_set_param, &p);
}

static long get_param(struct vcpu *v, domid_t dom, uint32_t index)
{
    struct xen_hvm_param p = {.domid = dom, .index = index, .value = 99};
    long rc = call(v, __HYPERVISOR_hvm_op, HVMOP_get_param, &p);

    return rc ? rc : (long)p.value;
}

static void test_params(void)
{
    /* What a save reads (all of them must answer). */
    static const uint8_t saved[] = {1, 5, 6, 27, 28, 29, 37, 17, 19, 9, 12, 34, 32, 33, 36, 38};
    struct xen_hvm_evtchn_upcall_vector u = {.vcpu = 1, .vector = 0xf3};

    setup();
    CHECK_EQ(set_param(v0, 1, HVM_PARAM_STORE_PFN, 0xfeffc), 0);
    CHECK_EQ(get_param(v1, DOMID_SELF, HVM_PARAM_STORE_PFN), 0xfeffc);
    CHECK_EQ(get_param(v1, 1, HVM_PARAM_STORE_PFN), 0xfeffc);
    CHECK_EQ(set_param(v1, DOMID_SELF, HVM_PARAM_STORE_PFN, 1), -XEN_EPERM);
    CHECK_EQ(set_param(v1, 0, HVM_PARAM_CALLBACK_IRQ, 1), -XEN_EPERM);
    CHECK_EQ(get_param(v1, 0, HVM_PARAM_STORE_PFN), -XEN_EPERM);
    CHECK_EQ(get_param(v1, DOMID_SELF, HVM_PARAM_IDENT_PT), -XEN_EPERM);
    CHECK_EQ(get_param(v0, 0, HVM_PARAM_STORE_EVTCHN), 0);
    CHECK_EQ(set_param(v0, 1, HVM_NR_PARAMS, 1), -XEN_EINVAL);
    CHECK_EQ(get_param(v1, 1, 0xffffffff), -XEN_EINVAL);
    CHECK_EQ(set_param(v0, 6, 1, 1), -XEN_ESRCH);
    CHECK_EQ(get_param(v0, 1, HVM_PARAM_NESTEDHVM), -XEN_EINVAL);
    for (unsigned int i = 0; i < sizeof(saved); i++) CHECK(get_param(v0, 1, saved[i]) >= 0);
    CHECK_EQ(set_param(v0, 1, HVM_PARAM_TIMER_MODE, 3), 0);
    CHECK_EQ(set_param(v0, 1, HVM_PARAM_TIMER_MODE, 4), -XEN_EINVAL);
    CHECK_EQ(set_param(v0, 1, HVM_PARAM_ALTP2M, 0), 0);
    CHECK_EQ(set_param(v0, 1, HVM_PARAM_ALTP2M, 1), -XEN_EINVAL);
    CHECK_EQ(set_param(v0, 1, HVM_PARAM_TRIPLE_FAULT_REASON, 6), -XEN_EINVAL);

    v1->info->evtchn_upcall_pending = 1;
    CHECK_EQ(set_param(v1, DOMID_SELF, HVM_PARAM_CALLBACK_IRQ, 2ull << 56 | 0xf3), 0);
    CHECK(d1->upcall_via_vector && d1->upcall_vector == 0xf3);
    CHECK_EQ(fake.notified[1][0], 1);
    CHECK_EQ(fake.notified[1][1], 0);
    CHECK_EQ(set_param(v1, DOMID_SELF, HVM_PARAM_CALLBACK_IRQ, 1), 0);
    CHECK(!d1->upcall_via_vector);
    CHECK_EQ(get_param(v0, 1, HVM_PARAM_CALLBACK_IRQ), 1);
    CHECK_EQ(set_param(v1, DOMID_SELF, HVM_PARAM_CALLBACK_IRQ, 2ull << 56 | 8), 0);
    CHECK(!d1->upcall_via_vector); /* no exceptions from there */

    CHECK_EQ(call(v1, __HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, &u), 0);
    CHECK_EQ(other->upcall_vector, 0xf3);
    CHECK_EQ(fake.lapic_irqs, 0);
    u.vcpu = 0; /* one with an event waiting */
    CHECK_EQ(call(v1, __HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, &u), 0);
    CHECK_EQ(fake.lapic_irqs, 1);
    u.vector = 15;
    CHECK_EQ(call(v1, __HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, &u), -XEN_EINVAL);
    u.vcpu = 2;
    CHECK_EQ(call(v1, __HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, &u), -XEN_ENOENT);
    CHECK_EQ(call(v1, __HYPERVISOR_hvm_op, HVMOP_pagetable_dying, &u), -XEN_ENOSYS);
    teardown();
}

static void test_console(void)
{
    static char text[5000];
    char buf[8] = "";

    setup();
    for (unsigned int i = 0; i < sizeof(text); i++) text[i] = 'a' + i % 26;
    CHECK_EQ(fake_call(v1, __HYPERVISOR_console_io, CONSOLEIO_write, 5, (uintptr_t)text),
             -XEN_EPERM);
    fake.preempt_every = 2;
    CHECK_EQ(fake_call(v0, __HYPERVISOR_console_io, CONSOLEIO_write, sizeof(text), (uintptr_t)text),
             0);
    CHECK(fake.continuations > 5);
    CHECK_EQ(fake.console_len, sizeof(text));
    CHECK_EQ(memcmp(fake.console, text, sizeof(text)), 0);
    CHECK_EQ(fake_call(v0, __HYPERVISOR_console_io, CONSOLEIO_write, 1, 0), -XEN_EFAULT);
    CHECK_EQ(fake_call(v0, __HYPERVISOR_console_io, CONSOLEIO_write, 0x80000000, (uintptr_t)text),
             -XEN_EINVAL);
    fake.input = "hello";
    CHECK_EQ(fake_call(v0, __HYPERVISOR_console_io, CONSOLEIO_read, 3, (uintptr_t)buf), 3);
    CHECK_EQ(strcmp(buf, "hel"), 0);
    fake.input = "";
    CHECK_EQ(fake_call(v0, __HYPERVISOR_console_io, CONSOLEIO_read, 3, (uintptr_t)buf), 0);
    teardown();
}

static void test_platform(void)
{
    struct xen_platform_op p = {.cmd = XENPF_settime64,
                                .interface_version = XENPF_INTERFACE_VERSION};

    setup();
    p.u.settime64.secs = 1700000000;
    p.u.settime64.nsecs = 5;
    p.u.settime64.system_time = 77;
    CHECK_EQ(call(v1, __HYPERVISOR_platform_op, (uintptr_t)&p, NULL), -XEN_EPERM);
    CHECK_EQ(call(v0, __HYPERVISOR_platform_op, (uintptr_t)&p, NULL), 0);
    CHECK_EQ(fake.wall_sec, 1700000000);
    CHECK_EQ(fake.wall_nsec, 5);
    CHECK_EQ(fake.wall_at, 77);
    p.u.settime64.nsecs = 1000000000;
    CHECK_EQ(call(v0, __HYPERVISOR_platform_op, (uintptr_t)&p, NULL), -XEN_EINVAL);
    p.u.settime64.nsecs = 0;
    p.u.settime64.mbz = 1;
    CHECK_EQ(call(v0, __HYPERVISOR_platform_op, (uintptr_t)&p, NULL), -XEN_EINVAL);
    p.cmd = 64;
    CHECK_EQ(call(v0, __HYPERVISOR_platform_op, (uintptr_t)&p, NULL), -XEN_ENOSYS);
    p.interface_version++;
    CHECK_EQ(call(v0, __HYPERVISOR_platform_op, (uintptr_t)&p, NULL), -XEN_EACCES);
    CHECK_EQ(call(v0, __HYPERVISOR_platform_op, 0, NULL), -XEN_EFAULT);
    CHECK_EQ(call(v0, __HYPERVISOR_physdev_op, PHYSDEVOP_pci_device_add, NULL), 0);
    CHECK_EQ(call(v1, __HYPERVISOR_physdev_op, PHYSDEVOP_pci_device_add, NULL), -XEN_ENOSYS);
    CHECK_EQ(call(v0, __HYPERVISOR_physdev_op, PHYSDEVOP_map_pirq, NULL), -XEN_ENOSYS);
    CHECK_EQ(fake_call(v1, __HYPERVISOR_vm_assist, VMASST_CMD_enable,
                       VMASST_TYPE_runstate_update_flag, 0),
             0);
    CHECK(d1->runstate_update_flag);
    CHECK_EQ(fake_call(v1, __HYPERVISOR_vm_assist, VMASST_CMD_disable,
                       VMASST_TYPE_runstate_update_flag, 0),
             0);
    CHECK(!d1->runstate_update_flag);
    CHECK_EQ(fake_call(v1, __HYPERVISOR_vm_assist, VMASST_CMD_enable, 2, 0), -XEN_EINVAL);
    teardown();
}

int main(void)
{
    RUN(dispatch);
    RUN(multicall);
    RUN(version);
    RUN(poll);
    RUN(sched);
    RUN(vcpu_info);
    RUN(vcpu);
    RUN(params);
    RUN(console);
    RUN(platform);
    return test_failed != 0;
}
