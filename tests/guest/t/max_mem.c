/* SPDX-License-Identifier: Apache-2.0 */
/* max_mem while the guest runs, as xl mem-max and mem-set ask for it. */
#include "test.h"
#include "toolstack.h"

static uint64_t list[1024];

static long take(long n, long b, long c)
{
    (void)b, (void)c;
    for (long i = 0; i < n; i++) list[i] = 0x40000 + (uint64_t)i;
    return populate(DOMID_SELF, 0, list, (unsigned long)n);
}
static long give(long n, long b, long c)
{
    (void)b, (void)c;
    for (long i = 0; i < n; i++) list[i] = 0x40000 + (uint64_t)i;
    return decrease(DOMID_SELF, 0, list, (unsigned long)n);
}

static long limit(domid_t d, uint64_t kib)
{
    struct xen_domctl op = {0};

    op.u.max_mem.max_memkb = kib;
    return domctl(&op, XEN_DOMCTL_max_mem, d);
}

static uint64_t pages(domid_t d)
{
    struct xen_domctl_getdomaininfo info;

    domain_info(d, &info);
    return info.tot_pages;
}

void test_main(void)
{
    struct xen_domctl_getdomaininfo info;
    struct guest g;
    uint64_t have;
    long n;

    servant_start(&g, 0);
    guest_call(&g, give, 0, 0, 0);
    have = pages(g.id);
    n = guest_call(&g, take, 1024, 0, 0);
    check_in(n, 200, 260, "pages below the first limit");
    check_eq(pages(g.id), have + (uint64_t)n, "counted");
    check_eq(limit(g.id, 40 << 10), 0, "a higher limit");
    domain_info(g.id, &info);
    check_eq(info.max_pages, 10240, "seen");
    check_eq(guest_call(&g, give, n, 0, 0), n, "give them back");
    check_eq(guest_call(&g, take, 1024, 0, 0), 1024, "now more can be had");
    check_eq(limit(g.id, 33 << 10), 0, "a limit below what it has");
    check_eq(pages(g.id), have + 1024, "takes nothing away");
    check_eq(guest_call(&g, give, 1, 0, 0), 1, "one page back");
    check_eq(guest_call(&g, take, 1, 0, 0), 0, "is not to be had again");
    check(guest_destroy(&g), "destroyed");
}
