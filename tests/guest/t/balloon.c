/* SPDX-License-Identifier: Apache-2.0 */
/* Memory given back and taken again: counted and bounded. */
/* run: as=both */
#include "test.h"

#define BIG 0x1d00000ull /* 29 MiB: RAM of ours behind the image */

static long pages(void)
{
    domid_t self = DOMID_SELF;

    return memory_op(XENMEM_current_reservation, &self);
}

static void one_page(void)
{
    volatile uint64_t *page = page_alloc();
    uint64_t gfn = gfn_of(page);
    long before = pages();

    page[7] = 0x1234;
    check_eq(decrease(DOMID_SELF, 0, &gfn, 1), 1, "decrease");
    check_eq(pages(), before - 1, "one page less");
    check_eq(page[7], -1, "a hole reads all ones");
    page[7] = 0;
    check_eq(page[7], -1, "a hole forgets writes");
    check_eq(decrease(DOMID_SELF, 0, &gfn, 1), 0, "decrease of a hole");
    check_eq(pages(), before - 1, "changes nothing");
    check_eq(populate(DOMID_SELF, 0, &gfn, 1), 1, "populate");
    check_eq(pages(), before, "one page more");
    page[7] = 5;
    check_eq(page[7], 5, "it is RAM");
}

static void superpage(void)
{
    volatile uint64_t *at = (volatile uint64_t *)(BIG & ~0x1fffffull);
    uint64_t gfn = gfn_of(at), piece = gfn + 3;
    long before = pages();

    check_eq(decrease(DOMID_SELF, 0, &piece, 1), 1, "one of 512");
    check(at[3 * 512] == ~0ull && at[2 * 512] != ~0ull && at[4 * 512] != ~0ull,
          "only that one is gone");
    check_eq(populate(DOMID_SELF, 0, &piece, 1), 1, "and back");
    check_eq(decrease(DOMID_SELF, 9, &gfn, 1), 1, "decrease of 2 MiB");
    check_eq(pages(), before - 512, "512 pages less");
    check_eq(at[511 * 512], -1, "all of it is a hole");
    check_eq(populate(DOMID_SELF, 9, &gfn, 1), 1, "populate of 2 MiB");
    check_eq(pages(), before, "512 pages more");
}

static void bounds(void)
{
    uint64_t gfn = 0x40000, n = 0;
    uint64_t *hole = (uint64_t *)0x7f0000000000;

    check(populate(DOMID_SELF, 20, &gfn, 1) <= 0, "4 GiB in one extent");
    check(populate(DOMID_SELF, 63, &gfn, 1) <= 0, "order 63");
    check(populate(DOMID_SELF, 0, hole, 1) <= 0, "list in a hole");
    check(decrease(DOMID_SELF, 0, hole, 1) <= 0, "list in a hole: decrease");
    gfn = ~0ull;
    check(populate(DOMID_SELF, 0, &gfn, 1) <= 0, "frame number -1");
    check(decrease(DOMID_SELF, 0, &gfn, 1) <= 0, "frame number -1: decrease");
    gfn = 1ull << 40;
    check(populate(DOMID_SELF, 0, &gfn, 1) <= 0, "frame beyond the address");
    check_eq(remove_from_physmap(DOMID_SELF, 0x50000), -XEN_ENOENT,
             "remove_from_physmap of a hole");
    check(populate(0x7000, 0, &gfn, 1) <= 0, "for nobody");
    if (is_dom0) return;
    gfn = 0x1000;
    check(populate(0, 0, &gfn, 1) <= 0, "for dom0");
    check(decrease(0, 0, &gfn, 1) <= 0, "from dom0");
    check_eq(remove_from_physmap(0, 0x1000), -XEN_EPERM, "remove from dom0");
    for (gfn = 0x40000; n < 5000 && populate(DOMID_SELF, 0, &gfn, 1) == 1; n++) gfn++;
    check_in((long)n, 1, 300, "pages up to the limit");
}

void test_main(void)
{
    one_page();
    superpage();
    bounds();
}
