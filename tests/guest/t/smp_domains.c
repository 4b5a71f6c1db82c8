/* SPDX-License-Identifier: Apache-2.0 */
/* Guests of two vCPUs on two CPUs, made and destroyed while they and their
 * neighbours run at full speed. */
/* run: cpus=2 time=120 */
#include "test.h"
#include "toolstack.h"

static void spin(void *arg)
{
    (void)arg;
    for (;;) version_op(XENVER_version, 0);
}

void guest_main(const char *role)
{
    (void)role;
    apic_enable(true);
    if (!cpu_start(1)) shutdown(SHUTDOWN_crash);
    cpu_run_async(1, spin, NULL);
    say("both run\n");
    spin(NULL);
}

static bool one(unsigned int i)
{
    struct guest g;
    bool good;

    guest_create(&g, &(struct guest_config){.cmdline = "role=spin", .vcpus = 2, .mib = 24});
    guest_unpause(&g);
    good = guest_wait_said(&g, "both run", 5 * NS_PER_S);
    if (i % 2) {
        domain_pause(g.id);
        domain_unpause(g.id);
    }
    return guest_destroy(&g) && good;
}

void test_main(void)
{
    struct xen_domctl_getdomaininfo info;
    struct guest busy;
    uint64_t before, good = 0, t;

    guest_create(&busy, &(struct guest_config){.cmdline = "role=spin", .vcpus = 2, .slot = 1});
    guest_unpause(&busy);
    check(guest_wait_said(&busy, "both run", 5 * NS_PER_S), "a neighbour");
    domain_info(busy.id, &info);
    check_eq(info.nr_online_vcpus, 2, "two vCPUs online");
    for (unsigned int i = 0; i < 20; i++)
        one(i); /* stock Xen's own pools grow in the first rounds */
    before = free_pages_settled();
    for (unsigned int i = 0; i < 40; i++) good += one(i);
    check_eq(good, 40, "forty made, run, destroyed");
    free_pages_return(before);
    check_in((long)(before - free_pages()), 0, find(cmdline, "hv=xen") ? 16 : 0,
             "pages that do not come back");
    domain_info(busy.id, &info);
    t = info.cpu_time;
    nap(200 * NS_PER_MS);
    domain_info(busy.id, &info);
    check(info.cpu_time - t > 100 * NS_PER_MS, "the neighbour still runs");
    check(guest_destroy(&busy), "destroyed");
}
