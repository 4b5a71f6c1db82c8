/* SPDX-License-Identifier: Apache-2.0 */
/* Impossible domains are refused, and a refusal leaks nothing. */
#include "test.h"
#include "toolstack.h"

static long create(struct xen_domctl_createdomain config, domid_t id)
{
    struct xen_domctl op = {0};
    long err;

    op.u.createdomain = config;
    err = domctl(&op, XEN_DOMCTL_createdomain, id);
    if (!err) domain_destroy(op.domain);
    return err;
}

static const struct xen_domctl_createdomain good = {
    .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
    .max_vcpus = 1,
    .max_evtchn_port = 1023,
    .max_grant_frames = -1,
    .max_maptrack_frames = -1,
    .grant_opts = XEN_DOMCTL_GRANT_version(1),
    .arch = {.emulation_flags = XEN_X86_EMU_LAPIC},
};

static void bad_configs(void)
{
    struct xen_domctl_createdomain c;

    check_eq(create(good, 0), 0, "the good configuration");
    c = good, c.flags |= 1u << 31;
    check(create(c, 0) < 0, "unknown flag");
    c = good, c.max_vcpus = 0;
    check_eq(create(c, 0), -XEN_EINVAL, "no vCPUs");
    c = good, c.max_vcpus = 100000;
    check_eq(create(c, 0), -XEN_EINVAL, "100000 vCPUs");
    c = good, c.arch.emulation_flags = 0xffffffff;
    check(create(c, 0) < 0, "unknown emulated devices");
    c = good, c.cpupool_id = 77;
    check(create(c, 0) < 0, "no such CPU pool");
    c = good, c.grant_opts = XEN_DOMCTL_GRANT_version(3);
    check(create(c, 0) < 0, "grant version 3");
    check_eq(create(good, DOMID_SELF), 0, "any id that is none: allocated");
}

static long plain(uint32_t cmd, domid_t id)
{
    struct xen_domctl op = {0};

    return domctl(&op, cmd, id);
}

static void nobody(void)
{
    static const uint8_t cmd[] = {XEN_DOMCTL_pausedomain,   XEN_DOMCTL_unpausedomain,
                                  XEN_DOMCTL_destroydomain, XEN_DOMCTL_max_vcpus,
                                  XEN_DOMCTL_max_mem,       XEN_DOMCTL_settscinfo,
                                  XEN_DOMCTL_gethvmcontext, XEN_DOMCTL_sethvmcontext,
                                  XEN_DOMCTL_scheduler_op,  XEN_DOMCTL_set_cpu_policy,
                                  XEN_DOMCTL_getvcpuinfo,   XEN_DOMCTL_getvcpuaffinity,
                                  XEN_DOMCTL_resumedomain,  XEN_DOMCTL_set_paging_mempool_size};
    uint64_t value;
    char name[32];

    for (unsigned int i = 0; i < sizeof(cmd); i++) {
        format(name, sizeof(name), "domctl %u for nobody", cmd[i]);
        check_eq(plain(cmd[i], 0x7000), -XEN_ESRCH, name);
    }
    check_eq(plain(XEN_DOMCTL_getdomaininfo, 0x7000), -XEN_ESRCH, "no domain at or above");
    check_eq(plain(XEN_DOMCTL_destroydomain, 0), -XEN_EINVAL, "dom0 does not destroy itself");
    check_eq(hvm_get(0x7000, HVM_PARAM_STORE_PFN, &value), -XEN_ESRCH, "parameter of nobody");
}

static void bad_contexts(domid_t id)
{
    static uint8_t buf[16384];
    struct xen_domctl op = {0};
    uint32_t size;

    check_eq(domctl(&op, XEN_DOMCTL_gethvmcontext, id), 0, "context size");
    size = op.u.hvmcontext.size;
    check_in(size, 1000, 65536, "a sensible one");
    op.u.hvmcontext.size = sizeof(buf);
    set_xen_guest_handle(op.u.hvmcontext.buffer, buf);
    check_eq(domctl(&op, XEN_DOMCTL_gethvmcontext, id), 0, "context");
    check_eq(op.u.hvmcontext.size <= size, 1, "not larger than told");
    size = op.u.hvmcontext.size;
    check_eq(domctl(&op, XEN_DOMCTL_sethvmcontext, id), 0, "set the same");
    op.u.hvmcontext.size = size - 8; /* END is missing */
    check(domctl(&op, XEN_DOMCTL_sethvmcontext, id) < 0, "cut short");
    op.u.hvmcontext.size = 3;
    check(domctl(&op, XEN_DOMCTL_sethvmcontext, id) < 0, "3 bytes");
    op.u.hvmcontext.size = 0xfffffff0;
    check(domctl(&op, XEN_DOMCTL_sethvmcontext, id) < 0, "4 GiB");
    memset(buf, 0xff, sizeof(buf));
    op.u.hvmcontext.size = sizeof(buf);
    check(domctl(&op, XEN_DOMCTL_sethvmcontext, id) < 0, "all ones");
    memset(buf, 0, sizeof(buf));
    check(domctl(&op, XEN_DOMCTL_sethvmcontext, id) < 0, "all zeros");
}

static void limits(domid_t id)
{
    uint64_t gfn[512];

    for (unsigned int i = 0; i < 512; i++) gfn[i] = 0x40000 + i;
    check_in(populate(id, 0, gfn, 512), 0, 300, "no memory above max_mem");
    check_eq(plain(XEN_DOMCTL_unpausedomain, 0), -XEN_EINVAL, "unpause of dom0");
    check_eq(hvm_set(id, 500, 1), -XEN_EINVAL, "parameter 500");
}

void test_main(void)
{
    struct guest g;
    uint64_t before;

    guest_create(&g, &(struct guest_config){.empty = true});
    guest_destroy(&g);
    before = free_pages_settled();
    bad_configs();
    nobody();
    guest_create(&g, &(struct guest_config){.empty = true});
    bad_contexts(g.id);
    limits(g.id);
    check(guest_destroy(&g), "destroyed");
    check(free_pages_return(before), "all memory comes back");
}
