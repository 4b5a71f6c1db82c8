/* SPDX-License-Identifier: Apache-2.0 */
/* A guest is made, runs, speaks, ends for each reason, and leaves nothing. */
#include "test.h"
#include "toolstack.h"

void guest_main(const char *role)
{
    say("hello from %s\n", role);
    shutdown((unsigned int)(role[0] - '0'));
}

static void live(unsigned int reason)
{
    static const char *const names[] = {"poweroff", "reboot",   "suspend",
                                        "crash",    "watchdog", "soft_reset"};
    struct xen_domctl_getdomaininfo info;
    struct guest g;
    char line[32], name[64];

    format(line, sizeof(line), "role=%u", reason);
    guest_create(&g, &(struct guest_config){.cmdline = line});
    guest_unpause(&g);
    format(name, sizeof(name), "ends by %s", names[reason]);
    check_eq(guest_wait(&g, 10 * NS_PER_S), reason, name);
    domain_info(g.id, &info);
    format(name, sizeof(name), "%s: state", names[reason]);
    check_eq(info.flags &
                 (XEN_DOMINF_dying | XEN_DOMINF_hvm_guest | XEN_DOMINF_shutdown | XEN_DOMINF_hap),
             XEN_DOMINF_hvm_guest | XEN_DOMINF_shutdown | XEN_DOMINF_hap, name);
    format(line, sizeof(line), "hello from %u", reason);
    check(strcmp(g.said, line) == 0, "its line reached its console");
    check(info.cpu_time > 0, "CPU time is counted");
    check(guest_destroy(&g), "destroyed");
    check(!domain_info(g.id, &info), "not listed any more");
}

void test_main(void)
{
    uint64_t before;

    live(SHUTDOWN_poweroff); /* also what stays allocated after a first use */
    before = free_pages_settled();
    for (unsigned int reason = 0; reason <= SHUTDOWN_soft_reset; reason++) live(reason);
    check(free_pages_return(before), "all memory comes back");
    check_eq(free_pages(), before, "free pages");
}
