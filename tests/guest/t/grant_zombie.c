/* SPDX-License-Identifier: Apache-2.0 */
/* A guest dies while dom0 has one of its pages mapped: the page lives on
 * until it is unmapped, then everything is free. */
#include "test.h"
#include "toolstack.h"

static uint64_t page[512] __attribute__((aligned(4096)));

static long share(long ref, long b, long c)
{
    (void)b, (void)c;
    page[0] = 0x600df00d;
    grant_access((grant_ref_t)ref, 0, page, false);
    return 0;
}

static void die(bool by_grant, const char *name)
{
    volatile uint64_t *at = WINDOW_PAGE(100);
    struct xen_domctl_getdomaininfo info;
    grant_handle_t h = 0;
    struct guest g;

    print("%s\n", name);
    servant_start(&g, 0);
    guest_call(&g, share, 9, 0, 0);
    check_eq(by_grant ? grant_map(g.id, 9, WINDOW_PAGE(100), false, &h)
                      : foreign_map(WINDOW_PAGE(100), g.id, gfn_of(page), 1),
             0, "mapped");
    check(!guest_destroy(&g), "destroyed, but not gone");
    check(domain_info(g.id, &info) && (info.flags & XEN_DOMINF_dying), "listed as dying");
    check_eq(at[0], 0x600df00d, "the page is as it was");
    at[1] = 1;
    check_eq(at[1], 1, "and can be written");
    check(domain_unpause(g.id) != 0 || at[0] == 0x600df00d, "the dead do not run");
    if (by_grant)
        check_eq(grant_unmap(WINDOW_PAGE(100), h), 0, "unmapped");
    else
        check_eq(remove_from_physmap(DOMID_SELF, gfn_of(WINDOW_PAGE(100))), 0, "unmapped");
    nap(50 * NS_PER_MS);
    check(!domain_info(g.id, &info), "now it is gone");
    check_eq(at[0], -1, "a hole is left");
}

void test_main(void)
{
    struct guest g;
    uint64_t before;

    die(true, "by grant");
    before = free_pages_settled();
    die(true, "by grant again");
    die(false, "by foreign map");
    check(free_pages_return(before), "all memory comes back");
    servant_start(&g, 0);
    check_eq(guest_call(&g, share, 9, 0, 0), 0, "a new guest works");
    check(guest_destroy(&g), "and goes");
}
