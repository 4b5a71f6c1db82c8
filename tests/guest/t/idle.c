/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests that do nothing as an idle Linux does it: each halts until its singleshot
 * timer, which it sets again, four times a second.  They all wake as often as they
 * want.  bench/run counts what the hypervisor executes in the quiet time, and reads
 * the line `idle:` and what debug key m says before and after.
 * guests=100 seconds=30: so many, for so long.
 */
/* run: mem=3072 time=300 */
#include "test.h"
#include "toolstack.h"

#define WAKES  4  /* a second, of each guest */
#define MIB    22 /* of a guest: its image lies from 16 MiB to 21 */
#define MOST   128
#define ASLEEP "asleep"

static struct guest guests[MOST];

void guest_main(const char *role)
{
    evtchn_port_t port = (evtchn_port_t)port_virq(VIRQ_TIMER, 0);
    struct vcpu_set_singleshot_timer timer = {0};

    (void)role;
    events_on();
    vcpu_op(VCPUOP_stop_periodic_timer, 0, 0);
    port_unmask(port);
    say(ASLEEP "\n");
    for (timer.timeout_abs_ns = now();; ++*MAILBOX) {
        timer.timeout_abs_ns += NS_PER_S / WAKES;
        vcpu_op(VCPUOP_set_singleshot_timer, 0, &timer);
        while (!port_take(port)) cpu_halt();
    }
}

/* What is mapped of it goes, so that all can have the same slot. */
static void start(struct guest *g)
{
    guest_create(g, &(struct guest_config){.cmdline = "role=sleeper", .mib = MIB});
    guest_unpause(g);
    if (!guest_wait_said(g, ASLEEP, 10 * NS_PER_S)) fatal("guest %u does not start", g->id);
    foreign_unmap((void *)(uintptr_t)g->ring, 1);
    foreign_unmap((void *)(uintptr_t)g->box, 1);
}

static uint64_t wakes(const struct guest *g)
{
    uint64_t n;

    guest_read(g->id, (uint64_t)MAILBOX, &n, sizeof(n));
    return n;
}

/* KiB that a guest has for its nested tables: on stock Xen they are taken at once. */
static uint64_t pool_of(const struct guest *g)
{
    struct xen_domctl op = {0};

    if (domctl(&op, XEN_DOMCTL_get_paging_mempool_size, g->id)) fatal("no pool");
    return op.u.paging_mempool.size >> 10;
}

static void show_frames(void)
{
    static char key[] = "m";
    struct xen_sysctl op = {0};

    op.u.debug_keys.nr_keys = 1;
    set_xen_guest_handle(op.u.debug_keys.keys, key);
    if (sysctl(&op, XEN_SYSCTL_debug_keys)) fatal("no debug key");
}

void test_main(void)
{
    uint64_t n = argument("guests=", 8), seconds = argument("seconds=", 2), before, taken, woke = 0;
    uint64_t pools = 0;

    if (n > MOST) fatal("at most %u", MOST);
    guest_create(&guests[0], &(struct guest_config){.mib = MIB, .empty = true});
    guest_destroy(&guests[0]); /* dom0's own tables grow with the first */
    before = free_pages_settled();
    show_frames();
    for (uint64_t i = 0; i < n; i++) start(&guests[i]);
    taken = before - free_pages_settled() - n * (MIB * 256 + 2);
    show_frames();
    for (uint64_t i = 0; i < n; i++) {
        pools += pool_of(&guests[i]);
        woke -= wakes(&guests[i]);
    }
    nap(seconds * NS_PER_S);
    for (uint64_t i = 0; i < n; i++) woke += wakes(&guests[i]);
    print("idle: %lu guests, %lu KiB beside their memory, pools of %lu KiB, %lu wakes in %lu s\n",
          n, taken * 4, pools, woke, seconds);
    check_in((long)woke, (long)(n * seconds * WAKES * 9 / 10), (long)(n * (seconds + 5) * WAKES),
             "each wakes as often as it wants");
    if (argument("stay=", 0)) return; /* bench/run wants no end of theirs */
    for (uint64_t i = 0; i < n; i++)
        if (domain_destroy(guests[i].id)) fatal("guest %u stays", guests[i].id);
    check(free_pages_return(before), "all memory comes back");
}
