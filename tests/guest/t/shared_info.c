/* SPDX-License-Identifier: Apache-2.0 */
/* The shared page moves on request; the old place becomes a hole. */
/* run: as=both */
#include "test.h"

void test_main(void)
{
    volatile uint32_t *old = (volatile uint32_t *)shared;
    struct shared_info *page = page_alloc();
    uint64_t before = now();

    memset(page, 0x5a, PAGE_SIZE);
    shared->evtchn_mask[5] = 0x123456789abcdefull;
    check_eq(add_to_physmap(DOMID_SELF, XENMAPSPACE_shared_info, 0, gfn_of(page)), 0, "move");
    shared = page;
    check_eq(shared->evtchn_mask[5], 0x123456789abcdefll, "same content");
    check(now() >= before, "the clock is there");
    check_eq(old[640], 0xffffffff, "old place reads all ones");
    old[640] = 0;
    check_eq(shared->evtchn_mask[0], -1, "old place is not the page");
    events_on(); /* stock writes the wall clock at this moment at latest */
    check(shared->wc_version % 2 == 0 && shared->wc_sec > 1500000000, "wall clock");
    check_eq(add_to_physmap(DOMID_SELF, XENMAPSPACE_shared_info, 1, 0x1000), -XEN_EINVAL,
             "there is no second shared page");
}
