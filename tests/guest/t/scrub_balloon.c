/* SPDX-License-Identifier: Apache-2.0 */
/* Insula also scrubs what a living guest gives back.  (Stock Xen leaves that
 * to the guest's kernel.) */
/* run: hv=insula */
#include "test.h"
#include "toolstack.h"

#define FROM   0x1800000ull
#define SECRET 0x5ec2e7da7a5ec2e7ull
#define PAGES  512

static uint64_t list[PAGES];

static long give_back(long a, long b, long c)
{
    (void)a, (void)b, (void)c;
    for (unsigned int i = 0; i < PAGES; i++) {
        list[i] = (FROM >> 12) + i;
        *(volatile uint64_t *)(list[i] << 12) = SECRET;
    }
    return decrease(DOMID_SELF, 0, list, PAGES);
}

static long search(long mib, long b, long c)
{
    long found = 0;

    (void)b, (void)c;
    for (uint64_t p = FROM; p < (uint64_t)mib << 20; p += 4096)
        found += *(volatile uint64_t *)p == SECRET;
    return found;
}

void test_main(void)
{
    struct guest a, b;
    unsigned int most;

    servant_start(&a, 0);
    check_eq(guest_call(&a, give_back, 0, 0, 0), PAGES, "given back");
    most = (unsigned int)(free_pages_settled() / 256 - 40) / 2 * 2;
    guest_create(&b, &(struct guest_config){.cmdline = SERVANT, .mib = most, .slot = 1});
    guest_unpause(&b);
    check_eq(guest_call(&b, search, most, 0, 0), 0, "the neighbour finds nothing of it");
    check(guest_destroy(&a) && guest_destroy(&b), "destroyed");
}
