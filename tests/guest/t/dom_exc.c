/* SPDX-License-Identifier: Apache-2.0 */
/* VIRQ_DOM_EXC tells dom0 that a guest has ended, and that it is gone. */
#include "test.h"
#include "toolstack.h"

void guest_main(const char *role)
{
    nap(5 * NS_PER_MS);
    shutdown((unsigned int)(role[0] - '0'));
}

void test_main(void)
{
    long port = port_virq(VIRQ_DOM_EXC, 0);
    struct xen_domctl_getdomaininfo info;
    struct guest g;

    if (!check(port > 0, "bind")) return;
    guest_create(&g, &(struct guest_config){.cmdline = "role=1"});
    port_take((evtchn_port_t)port);
    guest_unpause(&g);
    check(port_wait((evtchn_port_t)port, 5 * NS_PER_S), "told of the end");
    check(domain_info(g.id, &info) && (info.flags & XEN_DOMINF_shutdown), "and it is seen");
    nap(20 * NS_PER_MS);
    port_take((evtchn_port_t)port);
    guest_destroy(&g);
    check(port_wait((evtchn_port_t)port, 5 * NS_PER_S), "told that it is gone");
}
