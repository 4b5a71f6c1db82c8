/* SPDX-License-Identifier: Apache-2.0 */
/* A guest maps what dom0 or another guest grants; its death lets go. */
#include "test.h"
#include "toolstack.h"

#define AT ((volatile uint64_t *)WINDOW_PAGE(100))

static uint64_t page[512] __attribute__((aligned(4096)));
static grant_handle_t handle;

static long share(long ref, long to, long c)
{
    (void)c;
    page[0] = 0xfeed;
    grant_access((grant_ref_t)ref, (domid_t)to, page, false);
    return 0;
}
static long map(long of, long ref, long c)
{
    (void)c;
    return grant_map((domid_t)of, (grant_ref_t)ref, WINDOW_PAGE(100), false, &handle);
}
static long unmap(long a, long b, long c)
{
    (void)a, (void)b, (void)c;
    return grant_unmap(WINDOW_PAGE(100), handle);
}
static long read_at(long n, long b, long c)
{
    (void)b, (void)c;
    return (long)AT[n];
}
static long write_at(long n, long value, long c)
{
    (void)c;
    AT[n] = (uint64_t)value;
    return 0;
}
static long read_page(long n, long b, long c)
{
    (void)b, (void)c;
    return (long)((volatile uint64_t *)page)[n];
}
static unsigned int in_use(grant_ref_t ref)
{
    return ((volatile grant_entry_v1_t *)grants())[ref].flags & (GTF_reading | GTF_writing);
}

void test_main(void)
{
    struct guest a, b;

    servant_start(&a, 0);
    servant_start(&b, 1);
    share(30, a.id, 0);
    check_eq(guest_call(&a, map, 0, 30, 0), 0, "a guest maps dom0's page");
    check_eq(guest_call(&a, read_at, 0, 0, 0), 0xfeed, "reads it");
    guest_call(&a, write_at, 1, 11, 0);
    check_eq(read_page(1, 0, 0), 11, "and writes it");
    check(guest_call(&b, map, 0, 30, 0) < 0, "its neighbour may not");
    check_eq(guest_call(&a, unmap, 0, 0, 0), 0, "unmap");
    check_eq(in_use(30), 0, "the entry is free");
    check_eq(guest_call(&a, read_at, 0, 0, 0), -1, "a hole is left");

    guest_call(&b, share, 31, a.id, 0);
    check_eq(guest_call(&a, map, b.id, 31, 0), 0, "a guest maps another's");
    guest_call(&a, write_at, 2, 22, 0);
    check_eq(guest_call(&b, read_page, 2, 0, 0), 22, "they share it");
    check_eq(guest_call(&a, unmap, 0, 0, 0), 0, "unmap");

    check_eq(guest_call(&a, map, 0, 30, 0), 0, "mapped once more");
    check(in_use(30), "in use");
    check(guest_destroy(&a), "the mapper is destroyed");
    check_eq(in_use(30), 0, "the entry is free");
    check_eq(page[1], 11, "the page is still ours");
    check(guest_destroy(&b), "destroyed");
}
