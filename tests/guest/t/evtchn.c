/* SPDX-License-Identifier: Apache-2.0 */
/* A channel's life: unbound, bound, sent, closed; here to oneself. */
/* run: as=both */
#include "test.h"

static struct evtchn_status status(evtchn_port_t port)
{
    struct evtchn_status s = {.dom = DOMID_SELF, .port = port};

    if (evtchn_op(EVTCHNOP_status, &s)) s.status = 99;
    return s;
}

static void bind_and_send(evtchn_port_t a)
{
    struct evtchn_status s;
    long b = port_bind(DOMID_SELF, a);

    check(b > 0 && b != a, "bind_interdomain");
    check(port_take((evtchn_port_t)b), "the binder's port is pending");
    s = status(a);
    check_eq(s.status, EVTCHNSTAT_interdomain, "status: interdomain");
    check_eq(s.u.interdomain.port, b, "status: the other port");
    check_eq(port_bind(DOMID_SELF, a), -XEN_EINVAL, "bind it twice");
    port_take(a);
    check_eq(port_send((evtchn_port_t)b), 0, "send");
    check_eq(port_send((evtchn_port_t)b), 0, "send again");
    check(!port_pending((evtchn_port_t)b), "not pending at the sender");
    check(port_take(a) && !port_pending(a), "pending once at the other end");
    check_eq(port_close((evtchn_port_t)b), 0, "close");
    check_eq(status((evtchn_port_t)b).status, EVTCHNSTAT_closed, "status: closed");
    check_eq(status(a).status, EVTCHNSTAT_unbound, "the other end: unbound");
    check(port_send(a) <= 0, "send on an unbound port");
    check_eq(port_send((evtchn_port_t)b), -XEN_EINVAL, "send on a closed port");
}

static void upcall(evtchn_port_t a)
{
    long b = port_bind(DOMID_SELF, a);

    vcpu_info()->evtchn_upcall_pending = 0;
    vcpu_info()->evtchn_pending_sel = 0;
    port_mask(a);
    port_take(a);
    port_send((evtchn_port_t)b);
    check(port_pending(a), "masked: pending");
    check_eq(vcpu_info()->evtchn_upcall_pending, 0, "masked: no upcall");
    check_eq(port_unmask(a), 0, "unmask");
    check_eq(vcpu_info()->evtchn_upcall_pending, 1, "unmask: upcall");
    check_eq(vcpu_info()->evtchn_pending_sel, 1ull << a / 64, "unmask: word selected");
    check_eq(shared->evtchn_mask[a / 64] >> a % 64 & 1, 0, "unmasked");
}

static void refused(void)
{
    check_eq(port_send(0), -XEN_EINVAL, "send on port 0");
    check_eq(port_close(0), -XEN_EINVAL, "close port 0");
    check_eq(port_send(100000), -XEN_EINVAL, "send on port 100000");
    check_eq(port_close(100000), -XEN_EINVAL, "close port 100000");
    check_eq(port_unmask(100000), -XEN_EINVAL, "unmask port 100000");
    check_eq(port_bind(DOMID_SELF, 100000), -XEN_EINVAL, "bind port 100000");
    check_eq(port_bind(DOMID_SELF, 200), -XEN_EINVAL, "bind a closed port");
    check_eq(port_bind(0x7000, 1), -XEN_ESRCH, "bind to nobody");
}

void test_main(void)
{
    long a = port_unbound(DOMID_SELF);
    struct evtchn_reset reset = {DOMID_SELF};

    if (!check(a > 0, "alloc_unbound")) return;
    check_eq(status((evtchn_port_t)a).status, EVTCHNSTAT_unbound, "status: unbound");
    bind_and_send((evtchn_port_t)a);
    upcall((evtchn_port_t)a);
    refused();
    check_eq(evtchn_op(EVTCHNOP_reset, &reset), 0, "reset");
    check_eq(status((evtchn_port_t)a).status, EVTCHNSTAT_closed, "reset closes");
}
