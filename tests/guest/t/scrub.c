/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing of a dead guest's memory is seen by the next. */
#include "test.h"
#include "toolstack.h"

#define FROM   0x1800000ull /* behind the image */
#define SECRET 0x5ec2e7da7a5ec2e7ull

static long fill(long to, long b, long c)
{
    (void)b, (void)c;
    for (uint64_t p = FROM; p < (uint64_t)to; p += 8) *(volatile uint64_t *)p = SECRET;
    return 0;
}

static long search(long to, long b, long c)
{
    long found = 0;

    (void)b, (void)c;
    for (uint64_t p = FROM; p < (uint64_t)to; p += 8) found += *(volatile uint64_t *)p == SECRET;
    return found;
}

static void start(struct guest *g, unsigned int mib)
{
    guest_create(g, &(struct guest_config){.cmdline = SERVANT, .mib = mib});
    guest_unpause(g);
}

void test_main(void)
{
    struct guest g;
    uint64_t free = free_pages_settled();
    unsigned int most = (unsigned int)(free / 256) - 40;

    /* Nearly all free memory, twice: the second must get the first's pages. */
    most = most / 2 * 2;
    start(&g, most);
    guest_call(&g, fill, (long)most << 20, 0, 0);
    check(guest_call(&g, search, (long)most << 20, 0, 0) > 1000000, "written all over");
    check(guest_destroy(&g), "destroyed");
    check(free_pages_return(free) || free_pages() + 2000 > free, "memory comes back");
    start(&g, most);
    check_eq(guest_call(&g, search, (long)most << 20, 0, 0), 0, "the next finds nothing of it");
    check(guest_destroy(&g), "destroyed");
}
