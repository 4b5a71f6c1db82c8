/* SPDX-License-Identifier: Apache-2.0 */
/* Pause and unpause are counted; a paused guest does not run. */
#include "test.h"
#include "toolstack.h"

static volatile uint64_t *count; /* word 8 of the mailbox */

void guest_main(const char *role)
{
    volatile uint64_t *box = MAILBOX;

    (void)role;
    for (;;) {
        box[8]++;
        let_host_in();
    }
}

static bool runs(void)
{
    uint64_t before = *count;

    nap(100 * NS_PER_MS);
    return *count != before;
}

static bool shown_paused(domid_t id)
{
    struct xen_domctl_getdomaininfo info;

    return domain_info(id, &info) && (info.flags & XEN_DOMINF_paused);
}

void test_main(void)
{
    struct guest g;

    guest_create(&g, &(struct guest_config){.cmdline = "role=count"});
    count = &g.box[8];
    check(shown_paused(g.id), "made paused");
    check(!runs(), "does not run");
    check_eq(domain_unpause(g.id), 0, "unpause");
    check(!shown_paused(g.id), "not paused");
    check(runs(), "runs");
    check_eq(domain_unpause(g.id), -XEN_EINVAL, "unpause once too often");
    check_eq(domain_pause(g.id), 0, "pause");
    check(!runs(), "stands still at once");
    check_eq(domain_pause(g.id), 0, "pause again");
    check_eq(domain_unpause(g.id), 0, "unpause");
    check(shown_paused(g.id) && !runs(), "still paused once");
    check_eq(domain_unpause(g.id), 0, "unpause again");
    check(runs(), "runs again");
    check_eq(domain_pause(0), -XEN_EINVAL, "dom0 cannot pause itself");
    check_eq(domain_pause(0x7000), -XEN_ESRCH, "nobody to pause");
    domain_pause(g.id);
    check(guest_destroy(&g), "destroyed while paused");
}
