/* SPDX-License-Identifier: Apache-2.0 */
/* Ports for VIRQs and IPIs: once each, on existing vCPUs, to themselves. */
/* run: as=both */
#include "test.h"

void test_main(void)
{
    struct evtchn_status s = {.dom = DOMID_SELF};
    struct evtchn_bind_vcpu move = {0, 0};
    long timer = port_virq(VIRQ_TIMER, 0), ipi;

    check(timer > 0, "bind VIRQ_TIMER");
    check_eq(port_virq(VIRQ_TIMER, 0), -XEN_EEXIST, "bind it twice");
    check_eq(port_virq(VIRQ_TIMER, 200), -XEN_ENOENT, "on no vCPU");
    check_eq(port_virq(77, 0), -XEN_EINVAL, "no such VIRQ");
    s.port = (evtchn_port_t)timer;
    check_eq(evtchn_op(EVTCHNOP_status, &s), 0, "status");
    check_eq(s.status, EVTCHNSTAT_virq, "status: VIRQ");
    check_eq(s.u.virq, VIRQ_TIMER, "status: which");
    check_eq(port_close((evtchn_port_t)timer), 0, "close");
    timer = port_virq(VIRQ_TIMER, 0);
    check(timer > 0, "bind again after close");

    ipi = port_ipi(0);
    check(ipi > 0, "bind IPI");
    check_eq(port_ipi(200), -XEN_ENOENT, "IPI for no vCPU");
    s.port = (evtchn_port_t)ipi;
    evtchn_op(EVTCHNOP_status, &s);
    check_eq(s.status, EVTCHNSTAT_ipi, "status: IPI");
    check_eq(port_send((evtchn_port_t)ipi), 0, "send IPI");
    check(port_take((evtchn_port_t)ipi), "IPI pending");
    move.port = (evtchn_port_t)ipi;
    check_eq(evtchn_op(EVTCHNOP_bind_vcpu, &move), -XEN_EINVAL, "an IPI does not move");
    move.port = (evtchn_port_t)port_unbound(DOMID_SELF);
    check_eq(evtchn_op(EVTCHNOP_bind_vcpu, &move), 0, "another port may");
    move.vcpu = 200;
    check_eq(evtchn_op(EVTCHNOP_bind_vcpu, &move), -XEN_ENOENT, "but not to no vCPU");
}
