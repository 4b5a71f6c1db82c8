/* SPDX-License-Identifier: Apache-2.0 */
/* Channels between domains: only the named end may bind; both may close. */
#include "test.h"
#include "toolstack.h"

static long g_unbound(long remote, long b, long c)
{
    (void)b, (void)c;
    return port_unbound((domid_t)remote);
}
static long g_bind(long remote, long port, long c)
{
    (void)c;
    return port_bind((domid_t)remote, (evtchn_port_t)port);
}
static long g_send(long port, long b, long c)
{
    (void)b, (void)c;
    return port_send((evtchn_port_t)port);
}
static long g_take(long port, long b, long c)
{
    (void)b, (void)c;
    return port_take((evtchn_port_t)port);
}
static long g_close(long port, long b, long c)
{
    (void)b, (void)c;
    return port_close((evtchn_port_t)port);
}
static long g_status(long dom, long port, long c)
{
    struct evtchn_status s = {.dom = (domid_t)dom, .port = (evtchn_port_t)port};
    long err = evtchn_op(EVTCHNOP_status, &s);

    (void)c;
    return err ? err : (long)s.status;
}
static long g_alloc_for(long dom, long remote, long c)
{
    struct evtchn_alloc_unbound op = {(domid_t)dom, (domid_t)remote, 0};
    long err = evtchn_op(EVTCHNOP_alloc_unbound, &op);

    (void)c;
    return err ? err : (long)op.port;
}
static long g_reset(long dom, long b, long c)
{
    struct evtchn_reset op = {(domid_t)dom};

    (void)b, (void)c;
    return evtchn_op(EVTCHNOP_reset, &op);
}

/* A channel that a opened for dom0. */
static long talk(struct guest *a)
{
    long theirs = guest_call(a, g_unbound, 0, 0, 0), mine;

    check(theirs > 0, "the guest opens a port for dom0");
    mine = port_bind(a->id, (evtchn_port_t)theirs);
    check(mine > 0, "dom0 binds it");
    port_take((evtchn_port_t)mine);
    guest_call(a, g_take, theirs, 0, 0);
    check_eq(port_send((evtchn_port_t)mine), 0, "dom0 sends");
    check_eq(guest_call(a, g_take, theirs, 0, 0), 1, "it arrives");
    check_eq(guest_call(a, g_send, theirs, 0, 0), 0, "the guest sends");
    check(port_wait((evtchn_port_t)mine, NS_PER_S), "it arrives");
    check_eq(g_status(DOMID_SELF, mine, 0), EVTCHNSTAT_interdomain, "interdomain");
    check_eq(guest_call(a, g_close, theirs, 0, 0), 0, "the guest closes");
    check_eq(g_status(DOMID_SELF, mine, 0), EVTCHNSTAT_unbound, "dom0's end is unbound");
    return mine;
}

static void refused(struct guest *a, struct guest *b)
{
    long port = guest_call(a, g_unbound, 0, 0, 0);

    check_eq(guest_call(b, g_bind, a->id, port, 0), -XEN_EINVAL,
             "a port for dom0 is not the neighbour's");
    check(guest_call(b, g_bind, 0, 1, 0) < 0, "nor is one of dom0's");
    check_eq(guest_call(b, g_send, 900, 0, 0), -XEN_EINVAL, "send on a closed port");
    check_eq(guest_call(b, g_status, 0, 1, 0), -XEN_EPERM, "a guest does not ask for dom0's ports");
    check_eq(guest_call(b, g_alloc_for, a->id, b->id, 0), -XEN_EPERM, "nor open a neighbour's");
    check_eq(guest_call(b, g_reset, a->id, 0, 0), -XEN_EPERM, "nor reset a neighbour");
    check_eq(g_status(a->id, port, 0), EVTCHNSTAT_unbound, "the neighbour's port is as it was");
}

void test_main(void)
{
    struct guest a, b;
    long mine, theirs;

    servant_start(&a, 0);
    servant_start(&b, 1);
    talk(&a);
    refused(&a, &b);
    theirs = guest_call(&a, g_unbound, b.id, 0, 0);
    check(guest_call(&b, g_bind, a.id, theirs, 0) > 0, "two guests find each other");
    theirs = g_alloc_for(a.id, 0, 0);
    check(theirs > 0, "dom0 opens a port on a guest's behalf");
    mine = port_bind(a.id, (evtchn_port_t)theirs);
    check(mine > 0, "and binds it");
    check(guest_destroy(&a), "destroyed while bound");
    check_eq(g_status(DOMID_SELF, mine, 0), EVTCHNSTAT_unbound, "dom0's end is unbound");
    check(port_send((evtchn_port_t)mine) <= 0, "a send goes nowhere");
    check(guest_destroy(&b), "destroyed");
}
