/* SPDX-License-Identifier: Apache-2.0 */
/* A guest asks for all that is dom0's: every control call is refused, and
 * the neighbour notices nothing. */
#include "test.h"
#include "toolstack.h"

#define VICTIM_WORD 0x1234567

static struct xen_domctl dop;
static struct xen_sysctl sop;
static struct xen_platform_op pop;

static long g_domctl(long cmd, long domid, long c)
{
    (void)c;
    memset(&dop, 0, sizeof(dop));
    return domctl(&dop, (uint32_t)cmd, (domid_t)domid);
}
static long g_sysctl(long cmd, long b, long c)
{
    (void)b, (void)c;
    memset(&sop, 0, sizeof(sop));
    return sysctl(&sop, (uint32_t)cmd);
}
static long g_platform(long cmd, long b, long c)
{
    (void)b, (void)c;
    memset(&pop, 0, sizeof(pop));
    pop.cmd = (uint32_t)cmd;
    pop.interface_version = XENPF_INTERFACE_VERSION;
    return HC(__HYPERVISOR_platform_op, &pop, 0, 0, 0);
}
static long g_console(long cmd, long b, long c)
{
    static char text[] = "a guest must not write this\n";

    (void)b, (void)c;
    return console_op(cmd, sizeof(text) - 1, text);
}
static long g_set_param(long dom, long index, long value)
{
    return hvm_set((domid_t)dom, (uint32_t)index, (uint64_t)value);
}
static long g_get_param(long dom, long index, long c)
{
    uint64_t v;

    (void)c;
    return hvm_get((domid_t)dom, (uint32_t)index, &v);
}
static long g_physdev(long cmd, long b, long c)
{
    struct physdev_pci_device_add add = {0};

    (void)b, (void)c;
    return physdev_op(cmd, &add);
}
static long g_remote_shutdown(long dom, long b, long c)
{
    struct sched_remote_shutdown op = {(domid_t)dom, SHUTDOWN_crash};

    (void)b, (void)c;
    return sched_op(SCHEDOP_remote_shutdown, &op);
}
static long g_memory(long cmd, long dom, long c)
{
    static uint64_t list[64];
    struct xen_memory_reservation op = {.nr_extents = 1, .extent_order = 0, .domid = (domid_t)dom};

    (void)c;
    list[0] = 0x1000;
    set_xen_guest_handle(op.extent_start, list);
    return memory_op(cmd, &op);
}
static long g_setup_table(long dom, long b, long c)
{
    static uint64_t frames[8];
    struct gnttab_setup_table op = {.dom = (domid_t)dom, .nr_frames = 1};
    long err;

    (void)b, (void)c;
    set_xen_guest_handle(op.frame_list, frames);
    err = grant_op(GNTTABOP_setup_table, &op, 1);
    return err ? err : op.status;
}
static long g_acquire(long dom, long type, long c)
{
    static uint64_t frames[1] = {0x30000};
    struct xen_mem_acquire_resource op = {
        .domid = (domid_t)dom, .type = (uint16_t)type, .nr_frames = 1};

    (void)c;
    set_xen_guest_handle(op.frame_list, frames);
    return memory_op(XENMEM_acquire_resource, &op);
}
static long g_word(long b, long c, long d)
{
    (void)b, (void)c, (void)d;
    return VICTIM_WORD;
}

static void control_calls(struct guest *a, struct guest *b)
{
    unsigned int allowed = 0;

    for (long cmd = 0; cmd < 100; cmd++)
        for (unsigned int i = 0; i < 3; i++)
            if (guest_call(a, g_domctl, cmd, i == 0 ? 0 : i == 1 ? b->id : a->id, 0) >= 0)
                print("domctl %ld allowed\n", cmd), allowed++;
    for (long cmd = 1000; cmd < 1004; cmd++) allowed += guest_call(a, g_domctl, cmd, b->id, 0) >= 0;
    check_eq(allowed, 0, "no domctl, on dom0, a neighbour or itself");
    allowed = 0;
    for (long cmd = 0; cmd < 40; cmd++)
        if (guest_call(a, g_sysctl, cmd, 0, 0) >= 0) print("sysctl %ld allowed\n", cmd), allowed++;
    check_eq(allowed, 0, "no sysctl");
    allowed = 0;
    for (long cmd = 0; cmd < 70; cmd++) allowed += guest_call(a, g_platform, cmd, 0, 0) >= 0;
    check_eq(allowed, 0, "no platform_op");
    allowed = 0;
    for (long cmd = 0; cmd < 40; cmd++)
        if (cmd != PHYSDEVOP_eoi) /* harmless where it exists */
            allowed += guest_call(a, g_physdev, cmd, 0, 0) >= 0;
    check_eq(allowed, 0, "no physdev_op");
}

static void other_calls(struct guest *a, struct guest *b)
{
    check_eq(guest_call(a, g_console, CONSOLEIO_write, 0, 0), -XEN_EPERM, "no console write");
    check_eq(guest_call(a, g_console, CONSOLEIO_read, 0, 0), -XEN_EPERM, "no console read");
    for (long i = 0; i < 2; i++) {
        long d = i ? b->id : 0;

        check_eq(guest_call(a, g_set_param, d, HVM_PARAM_STORE_PFN, 1), -XEN_EPERM,
                 i ? "neighbour's parameter" : "dom0's parameter");
        check_eq(guest_call(a, g_get_param, d, HVM_PARAM_STORE_PFN, 0), -XEN_EPERM,
                 "nor to read one");
        check_eq(guest_call(a, g_remote_shutdown, d, 0, 0), -XEN_EPERM, "no shutdown of others");
        check(guest_call(a, g_setup_table, d, 0, 0) < 0, "no grant table of others");
        check(guest_call(a, g_acquire, d, 1, 0) < 0, "no resource of others");
        check(guest_call(a, g_memory, XENMEM_claim_pages, d, 0) < 0, "no claim");
    }
    check_eq(guest_call(a, g_set_param, a->id, HVM_PARAM_STORE_PFN, 1), -XEN_EPERM,
             "nor its own store page");
    check(guest_call(a, g_memory, XENMEM_set_memory_map, a->id, 0) < 0, "nor its own memory map");
    check(guest_call(a, g_memory, XENMEM_machine_memory_map, 0, 0) < 0, "nor the machine's");
}

void test_main(void)
{
    struct xen_domctl_getdomaininfo info;
    struct guest a, b, c;

    servant_start(&a, 0);
    servant_start(&b, 1);
    servant_start(&c, 2);
    control_calls(&a, &b);
    other_calls(&a, &b);
    check_eq(guest_call(&b, g_word, 0, 0, 0), VICTIM_WORD, "the neighbour answers");
    check_eq(guest_call(&c, g_word, 0, 0, 0), VICTIM_WORD, "and another one");
    check(domain_info(a.id, &info) && !(info.flags & (XEN_DOMINF_shutdown | XEN_DOMINF_dying)),
          "the attacker itself still runs");
    check(guest_destroy(&a), "destroyed");
    check(guest_destroy(&b), "destroyed");
    check(guest_destroy(&c), "destroyed");
}
