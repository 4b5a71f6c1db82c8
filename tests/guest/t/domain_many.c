/* SPDX-License-Identifier: Apache-2.0 */
/* Two hundred guests, one after the other: free memory does not move. */
/* run: time=300 args=n=200 */
#include "test.h"
#include "toolstack.h"

void guest_main(const char *role)
{
    (void)role;
}

static bool one(void)
{
    struct guest g;

    guest_create(&g, &(struct guest_config){.cmdline = "role=x", .mib = 24});
    guest_unpause(&g);
    return guest_wait(&g, 10 * NS_PER_S) == SHUTDOWN_poweroff && guest_destroy(&g);
}

void test_main(void)
{
    uint64_t n = argument("n=", 200), good = 0, before, middle;

    one();
    before = free_pages_settled();
    for (uint64_t i = 0; i < n; i++) good += one();
    check_eq(good, n, "guests that ran and went");
    middle = free_pages();
    check(free_pages_return(before), "all memory comes back");
    check_eq(free_pages(), before, "free pages");
    print("right after the last destroy: %lu of %lu\n", middle, before);
}
