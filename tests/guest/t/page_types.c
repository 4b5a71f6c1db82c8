/* SPDX-License-Identifier: Apache-2.0 */
/* getpageframeinfo3: what a save asks about each frame of a guest. */
#include "test.h"
#include "toolstack.h"

void test_main(void)
{
    uint64_t gfn[4] = {0, 0x1000, 0x30000, 0xfefff};
    struct xen_domctl op = {0};
    struct guest g;

    guest_create(&g, &(struct guest_config){.empty = true});
    op.u.getpageframeinfo3.num = 4;
    set_xen_guest_handle(op.u.getpageframeinfo3.array, gfn);
    check_eq(domctl(&op, XEN_DOMCTL_getpageframeinfo3, g.id), 0, "ask");
    check_eq(gfn[0], XEN_DOMCTL_PFINFO_NOTAB, "RAM");
    check_eq(gfn[1], XEN_DOMCTL_PFINFO_NOTAB, "RAM");
    check_eq(gfn[2], XEN_DOMCTL_PFINFO_XTAB, "nothing");
    check_eq(gfn[3], XEN_DOMCTL_PFINFO_NOTAB, "a special page");
    op.u.getpageframeinfo3.num = 100000;
    check(domctl(&op, XEN_DOMCTL_getpageframeinfo3, g.id) < 0, "100000 at once");
    check_in(memory_op(XENMEM_maximum_gpfn, &g.id), 0xfefff, 0xfffff, "the last frame");
    check(guest_destroy(&g), "destroyed");
}
