/* SPDX-License-Identifier: Apache-2.0 */
/* SCHEDOP_poll: pending, masked, time limits, several ports, errors. */
/* run: as=both */
#include "test.h"

static long poll(evtchn_port_t *ports, unsigned int n, uint64_t timeout)
{
    struct sched_poll p = {.nr_ports = n, .timeout = timeout};

    set_xen_guest_handle(p.ports, ports);
    return sched_op(SCHEDOP_poll, &p);
}

void test_main(void)
{
    evtchn_port_t port[3] = {(evtchn_port_t)port_ipi(0), (evtchn_port_t)port_ipi(0),
                             (evtchn_port_t)port_ipi(0)};
    evtchn_port_t bad = 100000;
    uint64_t start = now();

    vcpu_info()->evtchn_upcall_pending = 0;
    port_send(port[1]);
    check_eq(poll(port + 1, 1, 0), 0, "pending and masked: at once");
    check_eq(poll(port, 3, 0), 0, "one of three: at once");
    check_in((long)(now() - start), 0, 500 * NS_PER_MS, "no wait");
    port_take(port[1]);
    start = now();
    check_eq(poll(port, 3, start + 20 * NS_PER_MS), 0, "nothing: time limit");
    check_in((long)(now() - start), 20 * NS_PER_MS, 500 * NS_PER_MS, "about that long");
    check_eq(poll(port, 1, 1), 0, "time limit in the past");
    check_eq(poll(&bad, 1, now() + NS_PER_S), -XEN_EINVAL, "no such port");
    check_eq(poll(port, 129, 0), -XEN_EINVAL, "129 ports");
    check_eq(poll((evtchn_port_t *)0x7f0000000000, 1, 0), -XEN_EFAULT, "ports in a hole");
}
