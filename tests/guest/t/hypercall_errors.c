/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that do not exist, are not allowed, or point nowhere. */
/* run: as=both */
#include "test.h"

#define HOLE ((void *)0x7f0000000000ull) /* canonical, not mapped */

static uint8_t user_stack[4096] __attribute__((aligned(16)));

static void no_such_call(void)
{
    static const uint16_t none[] = {0, 1, 2, 10, 14, 23, 28, 30, 37, 38, 48, 56, 63, 64, 255, 4096};
    char name[32];

    for (unsigned int i = 0; i < sizeof(none) / sizeof(*none); i++) {
        format(name, sizeof(name), "hypercall %u", none[i]);
        check_eq(HC(none[i], 0, 0, 0, 0), -XEN_ENOSYS, name);
    }
    check_eq(hypercall(~0ull, 0, 0, 0, 0, 0), -XEN_ENOSYS, "hypercall -1");
}

static void no_such_operation(void)
{
    check_eq(sched_op(99, 0), -XEN_ENOSYS, "sched_op 99");
    check_eq(vcpu_op(99, 0, 0), -XEN_ENOSYS, "vcpu_op 99");
    check_eq(evtchn_op(99, 0), -XEN_ENOSYS, "event_channel_op 99");
    check_eq(memory_op(60, 0), -XEN_ENOSYS, "memory_op 60");
    check_eq(hvm_op(99, 0), -XEN_ENOSYS, "hvm_op 99");
    check_eq(grant_op(60, 0, 0), -XEN_ENOSYS, "grant_table_op 60");
    check_eq(vcpu_op(VCPUOP_is_up, 200, 0), -XEN_ENOENT, "vcpu_op on vCPU 200");
}

/* The whole 64 bits of a number count; in the lower half it is a multicall again. */
static void no_such_call_of_many(void)
{
    static struct multicall_entry e;

    e.op = 1ull << 32 | __HYPERVISOR_multicall;
    e.args[0] = (unsigned long)&e;
    e.args[1] = 1;
    check_eq(HC(__HYPERVISOR_multicall, &e, 1, 0, 0), 0, "multicall");
    check_eq(e.result, -XEN_ENOSYS, "a multicall's call 2^32 + 13");
}

static void bad_pointers(void)
{
    struct xen_memory_map op = {.nr_entries = 128};

    check_eq(memory_op(XENMEM_memory_map, HOLE), -XEN_EFAULT, "argument in a hole");
    set_xen_guest_handle(op.buffer, HOLE);
    check_eq(memory_op(XENMEM_memory_map, &op), -XEN_EFAULT, "result in a hole");
    check_eq(evtchn_op(EVTCHNOP_send, HOLE), -XEN_EFAULT, "event argument in a hole");
    check_eq(HC(__HYPERVISOR_domctl, HOLE, 0, 0, 0), -XEN_EFAULT, "domctl in a hole");
    check_eq(HC(__HYPERVISOR_sysctl, HOLE, 0, 0, 0), -XEN_EFAULT, "sysctl in a hole");
}

static long call_version(void)
{
    return version_op(XENVER_version, 0);
}

static void versions(void)
{
    struct xen_domctl d = {.interface_version = 0x14};
    struct xen_sysctl s = {.interface_version = 0x14};
    struct xen_platform_op p = {.interface_version = 1};

    check_eq(HC(__HYPERVISOR_domctl, &d, 0, 0, 0), -XEN_EACCES, "domctl of another version");
    check_eq(HC(__HYPERVISOR_sysctl, &s, 0, 0, 0), -XEN_EACCES, "sysctl of another version");
    check(HC(__HYPERVISOR_platform_op, &p, 0, 0, 0) < 0, "platform_op of another version");
}

void test_main(void)
{
    no_such_call();
    no_such_call_of_many();
    no_such_operation();
    bad_pointers();
    versions();
    check_eq(user_call(call_version, user_stack + sizeof(user_stack)), -XEN_EPERM,
             "hypercall from ring 3");
    check_eq(call_version(), 0x40011, "hypercall from ring 0");
}
