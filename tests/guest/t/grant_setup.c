/* SPDX-License-Identifier: Apache-2.0 */
/* The grant table itself: size, growth, frames, versions. */
/* run: as=both */
#include "test.h"

static uint8_t frame[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t other[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static struct gnttab_query_size query(domid_t d)
{
    struct gnttab_query_size q = {.dom = d};

    if (grant_op(GNTTABOP_query_size, &q, 1)) q.status = 99;
    return q;
}

void test_main(void)
{
    struct gnttab_query_size q = query(DOMID_SELF);
    struct gnttab_set_version two = {.version = 3};
    struct gnttab_get_version v = {.dom = DOMID_SELF};

    check_eq(q.status, GNTST_okay, "query_size");
    check_in(q.max_nr_frames, 8, 64, "most frames");
    check_in(q.nr_frames, 0, 8, "frames at first");
    check_eq(add_to_physmap(DOMID_SELF, XENMAPSPACE_grant_table, 5, gfn_of(frame)), 0,
             "map frame 5: the table grows");
    check_in(query(DOMID_SELF).nr_frames, 6, 64, "frames now");
    check_eq(*(volatile uint64_t *)frame, 0, "an empty frame");
    ((volatile uint32_t *)frame)[9] = 77;
    check_eq(add_to_physmap(DOMID_SELF, XENMAPSPACE_grant_table, 5, gfn_of(other)), 0,
             "map it elsewhere");
    check_eq(((volatile uint32_t *)other)[9], 77, "the same frame");
    check_eq(((volatile uint32_t *)frame)[9], 0xffffffff, "the old place is a hole");
    check_eq(remove_from_physmap(DOMID_SELF, gfn_of(other)), 0, "remove it");
    check(add_to_physmap(DOMID_SELF, XENMAPSPACE_grant_table, q.max_nr_frames, gfn_of(other)) < 0,
          "no frame behind the last");
    check(add_to_physmap(DOMID_SELF, XENMAPSPACE_grant_table, 0x7fffffff, gfn_of(other)) < 0,
          "nor far behind it");
    check(grant_op(GNTTABOP_set_version, &two, 1) < 0, "version 3");
    check(grant_op(GNTTABOP_get_version, &v, 1) == -XEN_ENOSYS || v.version == 1, "version 1");
    check(query(0x7000).status != GNTST_okay, "of nobody");
    if (!is_dom0) check(query(0).status != GNTST_okay, "of dom0");
}
