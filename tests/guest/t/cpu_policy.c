/* SPDX-License-Identifier: Apache-2.0 */
/* set_cpu_policy: what the toolstack hides, the guest does not see; what the
 * host does not have, nobody gets. */
#include "test.h"
#include "toolstack.h"

#define GP 13

static xen_cpuid_leaf_t leaf[256];
static xen_msr_entry_t msr[64];
static struct xen_domctl op;

static long read_leaf(long n, long reg, long c)
{
    struct cpuid r = cpuid((uint32_t)n, 0);

    (void)c;
    return ((uint32_t *)&r)[reg];
}

/* CR4.MCE, which is always set in truth: what the guest reads of it before and after
 * it writes. */
static long machine_checks(long on, long b, long c)
{
    uint64_t before, after;

    (void)b;
    (void)c;
    asm volatile("mov %%cr4, %0" : "=r"(before));
    asm volatile("mov %0, %%cr4" ::"r"((before & ~0x40ull) | (on ? 0x40 : 0)));
    asm volatile("mov %%cr4, %0" : "=r"(after));
    return (long)(before >> 6 & 1) << 1 | (long)(after >> 6 & 1) | (before ^ after) >> 7 << 2;
}

static void do_write_cr4(void *value)
{
    asm volatile("mov %0, %%cr4" ::"r"(value) : "memory");
}

/* Writes CR4 with these bits changed, and as it was: the vector of the exception or -1. */
static long change_cr4(long bits, long b, long c)
{
    uint64_t before, after;
    long vector;

    (void)b;
    (void)c;
    asm volatile("mov %%cr4, %0" : "=r"(before));
    vector = try_call(do_write_cr4, (void *)(before ^ (uint64_t)bits));
    asm volatile("mov %%cr4, %0" : "=r"(after));
    if (after != (vector < 0 ? before ^ (uint64_t)bits : before)) return 1000;
    do_write_cr4((void *)before);
    return vector;
}

static xen_cpuid_leaf_t *find_leaf(uint32_t n)
{
    for (uint32_t i = 0; i < op.u.cpu_policy.nr_leaves; i++)
        if (leaf[i].leaf == n) return &leaf[i];
    fatal("no leaf %x", n);
}

static void get(domid_t d)
{
    memset(&op, 0, sizeof(op));
    op.u.cpu_policy.nr_leaves = 256;
    op.u.cpu_policy.nr_msrs = 64;
    set_xen_guest_handle(op.u.cpu_policy.leaves, leaf);
    set_xen_guest_handle(op.u.cpu_policy.msrs, msr);
    check_eq(domctl(&op, XEN_DOMCTL_get_cpu_policy, d), 0, "get");
}

static long set(domid_t d)
{
    return domctl(&op, XEN_DOMCTL_set_cpu_policy, d);
}

void test_main(void)
{
    uint32_t sse3 = 1u << 0, host_max;
    struct guest g;

    check(cpuid(1, 0).c & sse3, "the processor has SSE3");
    guest_create(&g, &(struct guest_config){.cmdline = SERVANT});
    get(g.id);
    check_eq(set(g.id), 0, "set what it has");
    find_leaf(1)->c &= ~sse3;
    check_eq(set(g.id), 0, "hide SSE3");
    get(g.id);
    check_eq(find_leaf(1)->c & sse3, 0, "it reads back");
    host_max = find_leaf(0)->a;
    find_leaf(0)->a = 0xffff;
    check(set(g.id) < 0, "more leaves than the processor");
    find_leaf(0)->a = host_max;
    leaf[0].leaf = 0x12345678;
    check(set(g.id) < 0, "no such leaf");
    get(g.id);
    find_leaf(1)->c |= 1u << 5;            /* VMX */
    find_leaf(1)->d |= 1u << 7 | 1u << 14; /* MCE, MCA */
    find_leaf(1)->d &= ~(1u << 2);         /* DE */
    set(g.id);
    guest_unpause(&g);
    check_eq(guest_call(&g, read_leaf, 1, 2, 0) & sse3, 0, "the guest sees no SSE3");
    check_eq(guest_call(&g, read_leaf, 1, 2, 0) >> 5 & 1, 0, "nor VMX");
    check_eq(guest_call(&g, read_leaf, 1, 2, 0) >> 31 & 1, 1, "but a hypervisor");
    if (guest_call(&g, read_leaf, 1, 3, 0) >> 7 & 1) {
        check_eq(guest_call(&g, machine_checks, 1, 0, 0), 1, "CR4.MCE is set");
        check_eq(guest_call(&g, machine_checks, 0, 0, 0), 2, "and cleared");
        check_eq(guest_call(&g, machine_checks, 0, 0, 0), 0, "and stays so");
    }
    check_eq(guest_call(&g, change_cr4, 1 << 2, 0, 0), -1, "CR4.TSD");
    check_eq(guest_call(&g, change_cr4, 1 << 7, 0, 0), -1, "CR4.PGE");
    check_eq(guest_call(&g, change_cr4, 1 << 3, 0, 0), GP, "CR4.DE, which it does not have");
    check_eq(guest_call(&g, change_cr4, 1 << 5, 0, 0), GP, "CR4.PAE cleared in long mode");
    check_eq(guest_call(&g, change_cr4, 1 << 13, 0, 0), GP, "CR4.VMXE");
    check_eq(guest_call(&g, change_cr4, 1l << 40, 0, 0), GP, "a bit that does not exist");
    check_eq(change_cr4(1 << 3, 0, 0), -1, "dom0 has DE");
    check(cpuid(1, 0).c & sse3, "dom0 still sees SSE3");
    check(set(g.id) < 0, "too late: it has run");
    check(guest_destroy(&g), "destroyed");
}
