/* SPDX-License-Identifier: Apache-2.0 */
/* Watchdogs: a guest that does not set its own again in time is shut down with
 * the reason; one that does, or stops it, goes on. */
#include "test.h"
#include "toolstack.h"

static long set(uint32_t id, uint32_t seconds)
{
    struct sched_watchdog w = {id, seconds};

    return sched_op(SCHEDOP_watchdog, &w);
}

static void errors(void)
{
    long a, b;

    /* Stock Xen sets one that expires at once. */
    if (!find(cmdline, "stock")) check_eq(set(0, 0), -XEN_EINVAL, "a new one of no time");
    check_eq(set(1, 5), -XEN_EINVAL, "one that is not in use");
    check_eq(set(3, 5), -XEN_EINVAL, "an id that cannot be");
    check_eq(set(~0u, 5), -XEN_EINVAL, "the largest id");
    check_eq(sched_op(SCHEDOP_watchdog, (void *)0xdead00000000), -XEN_EFAULT, "no argument");
    a = set(0, 100);
    b = set(0, 100);
    check(a >= 1 && a <= 2 && b >= 1 && b <= 2 && a != b, "two of them");
    check_eq((int)set(0, 100), -XEN_ENOSPC, "not three");
    check_eq(set(a, 0), 0, "the first stops");
    check_eq(set(a, 0), -XEN_EINVAL, "once");
    check_eq(set(0, 100), a, "its id is given out again");
    check_eq(set(a, 0), 0, "stops");
    check_eq(set(b, 0), 0, "the second stops");
}

void guest_main(const char *role)
{
    long id;

    errors();
    id = set(0, *role == 'k' ? 3 : 1);
    if (*role == 'k') { /* keeps it alive */
        for (int i = 0; i < 4; i++) {
            nap(NS_PER_S);
            check_eq(set(id, 3), 0, "set again in time");
        }
        set(id, 0);
        nap(3500 * NS_PER_MS);
        shutdown(SHUTDOWN_poweroff);
    }
    __asm__ volatile("cli");
    for (;;) cpu_relax();
}

void test_main(void)
{
    bool stock = find(cmdline, "hv=xen");
    struct guest g;
    uint64_t start;

    guest_create(&g,
                 &(struct guest_config){.cmdline = stock ? "role=keeper stock" : "role=keeper"});
    guest_unpause(&g);
    check_eq(guest_wait(&g, 20 * NS_PER_S), SHUTDOWN_poweroff, "one that reports lives");
    check(guest_destroy(&g), "destroyed");

    guest_create(&g, &(struct guest_config){.cmdline = stock ? "role=hung stock" : "role=hung"});
    start = now();
    guest_unpause(&g);
    check_eq(guest_wait(&g, 20 * NS_PER_S), SHUTDOWN_watchdog, "a hung one is stopped");
    check(now() - start >= NS_PER_S, "not before its time");
    check(guest_destroy(&g), "destroyed");
}
