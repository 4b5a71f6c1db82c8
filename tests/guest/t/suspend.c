/* SPDX-License-Identifier: Apache-2.0 */
/* A guest suspends and is resumed in place: it goes on, told "cancelled" by
 * the toolstack's word in RAX. */
#include "test.h"
#include "toolstack.h"

void guest_main(const char *role)
{
    struct sched_shutdown s = {SHUTDOWN_suspend};
    long result;

    (void)role;
    say("suspending\n");
    result = sched_op(SCHEDOP_shutdown, &s);
    say("resumed with %ld\n", result);
    shutdown(SHUTDOWN_poweroff);
}

void test_main(void)
{
    static struct vcpu_guest_context c;
    struct xen_domctl op = {0};
    struct guest g;

    guest_create(&g, &(struct guest_config){.cmdline = "role=sleeper"});
    guest_unpause(&g);
    check_eq(guest_wait(&g, 5 * NS_PER_S), SHUTDOWN_suspend, "suspended");
    set_xen_guest_handle(op.u.vcpucontext.ctxt, &c);
    check_eq(domctl(&op, XEN_DOMCTL_getvcpucontext, g.id), 0, "get context");
    c.user_regs.rax = 1;
    check_eq(domctl(&op, XEN_DOMCTL_setvcpucontext, g.id), 0, "set RAX");
    memset(&op, 0, sizeof(op));
    check_eq(domctl(&op, XEN_DOMCTL_resumedomain, g.id), 0, "resume");
    check(guest_wait_said(&g, "resumed with 1", 5 * NS_PER_S), "it goes on");
    check_eq(guest_wait(&g, 5 * NS_PER_S), SHUTDOWN_poweroff, "to its end");
    check(guest_destroy(&g), "destroyed");
}
