/* SPDX-License-Identifier: Apache-2.0 */
/* dom0 sets the time (platform_op settime64); a guest sees it. */
#include "test.h"
#include "toolstack.h"

static long seconds(long a, long b, long c)
{
    (void)a, (void)b, (void)c;
    return (long)(shared->wc_sec + now() / NS_PER_S);
}

void test_main(void)
{
    struct xen_platform_op op = {.cmd = XENPF_settime64,
                                 .interface_version = XENPF_INTERFACE_VERSION};
    struct guest g;
    long before = seconds(0, 0, 0);

    check(before > 1500000000, "a time from the real-time clock");
    servant_start(&g, 0);
    guest_call(&g, seconds, 0, 0, 0);
    op.u.settime64.secs = (uint64_t)before + 1000000;
    op.u.settime64.system_time = now();
    check_eq(HC(__HYPERVISOR_platform_op, &op, 0, 0, 0), 0, "set");
    check_in(seconds(0, 0, 0) - before, 999999, 1000010, "dom0 sees it");
    check_in(guest_call(&g, seconds, 0, 0, 0) - before, 999999, 1000010, "a guest sees it");
    check(guest_destroy(&g), "destroyed");
}
