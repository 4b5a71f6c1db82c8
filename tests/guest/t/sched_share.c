/* SPDX-License-Identifier: Apache-2.0 */
/* Two busy guests on one CPU share it by weight; a cap holds; dom0, which
 * sleeps most of the time, is woken at once. */
#include "test.h"
#include "toolstack.h"

void guest_main(const char *role)
{
    (void)role;
    for (;;) cpu_relax();
}

static uint64_t cpu_time(struct guest *g)
{
    struct xen_domctl_getdomaininfo info;

    domain_info(g->id, &info);
    return info.cpu_time;
}

static long set(struct guest *g, uint16_t weight, uint16_t cap)
{
    struct xen_domctl op = {0};

    op.u.scheduler_op.sched_id = XEN_SCHEDULER_CREDIT2;
    op.u.scheduler_op.cmd = XEN_DOMCTL_SCHEDOP_putinfo;
    op.u.scheduler_op.u.credit2.weight = weight;
    op.u.scheduler_op.u.credit2.cap = cap;
    return domctl(&op, XEN_DOMCTL_scheduler_op, g->id);
}

/* Sleeps in short naps; the longest that one was late. */
static uint64_t sleep(uint64_t ns)
{
    uint64_t end = now() + ns, worst = 0;

    while (now() < end) {
        uint64_t t = now();

        nap(10 * NS_PER_MS);
        t = now() - t - 10 * NS_PER_MS;
        worst = t > worst ? t : worst;
    }
    return worst;
}

void test_main(void)
{
    struct guest a, b;
    uint64_t ta, tb, t, worst;

    guest_create(&a, &(struct guest_config){.cmdline = "role=busy"});
    guest_create(&b, &(struct guest_config){.cmdline = "role=busy", .slot = 1});
    check_eq(set(&a, 256, 0), 0, "weight 256");
    check_eq(set(&b, 512, 0), 0, "weight 512");
    guest_unpause(&a);
    guest_unpause(&b);
    sleep(NS_PER_S);
    /* The emulator's own CPU may be taken away for a while: three tries. */
    for (unsigned int i = 0; i < 3; i++) {
        ta = cpu_time(&a), tb = cpu_time(&b), t = now();
        worst = sleep(4 * NS_PER_S);
        ta = cpu_time(&a) - ta, tb = cpu_time(&b) - tb, t = now() - t;
        if (tb * 100 / ta >= 180 && tb * 100 / ta <= 220 && (ta + tb) * 100 / t >= 90) break;
    }
    print("%lu and %lu ms, dom0 late by %lu us at worst\n", ta / 1000000, tb / 1000000,
          worst / 1000);
    check_in((long)(tb * 100 / ta), 180, 220, "share 1:2 (percent)");
    check_in((long)((ta + tb) * 100 / t), 90, 101, "the CPU is not idle");

    domain_pause(a.id);
    check_eq(set(&b, 512, 50), 0, "cap of 50%");
    sleep(NS_PER_S);
    for (unsigned int i = 0; i < 3; i++) {
        tb = cpu_time(&b), t = now();
        sleep(3 * NS_PER_S);
        tb = cpu_time(&b) - tb, t = now() - t;
        if (tb * 1000 / t >= 440 && tb * 1000 / t <= 530) break;
    }
    check_in((long)(tb * 1000 / t), 440, 530, "its share (per mille; stock 462)");
    check(guest_destroy(&a) && guest_destroy(&b), "destroyed");
}
