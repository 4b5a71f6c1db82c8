/* SPDX-License-Identifier: Apache-2.0 */
/* dom0 maps what a guest grants: for reading, for writing, or not at all. */
#include "test.h"
#include "toolstack.h"

#define AT ((volatile uint64_t *)WINDOW_PAGE(100))

static uint64_t page[8][512] __attribute__((aligned(4096)));

/* In the guest. */
static long share(long ref, long to, long ro)
{
    page[ref % 8][0] = 0xabcd0000u + (uint64_t)ref;
    grant_access((grant_ref_t)ref, (domid_t)to, page[ref % 8], ro);
    return 0;
}

static long share_hole(long ref, long to, long b)
{
    (void)b;
    grant_access((grant_ref_t)ref, (domid_t)to, (void *)0x30000000, false);
    return 0;
}

static long flags_of(long ref, long b, long c)
{
    (void)b, (void)c;
    return ((volatile grant_entry_v1_t *)grants())[ref].flags;
}

static long word_of(long ref, long n, long c)
{
    (void)c;
    return (long)((volatile uint64_t *)page[ref % 8])[n];
}

static long try_map(struct guest *g, grant_ref_t ref, bool ro)
{
    grant_handle_t h;
    long status = grant_map(g->id, ref, (void *)(uintptr_t)AT, ro, &h);

    if (status == GNTST_okay) grant_unmap((void *)(uintptr_t)AT, h);
    return status;
}

static void write_through(struct guest *g)
{
    grant_handle_t h, h2;

    check_eq(grant_map(g->id, 10, (void *)(uintptr_t)AT, false, &h), 0, "map for writing");
    check_eq(AT[0], 0xabcd000a, "the guest's content");
    AT[5] = 77;
    check_eq(guest_call(g, word_of, 10, 5, 0), 77, "the guest sees the write");
    check_eq(guest_call(g, flags_of, 10, 0, 0) & (GTF_reading | GTF_writing),
             GTF_reading | GTF_writing, "entry: in use");
    check_eq(grant_map(g->id, 10, WINDOW_PAGE(101), true, &h2), 0, "map it a second time");
    check(h != h2, "another handle");
    check_eq(grant_unmap(WINDOW_PAGE(101), h2), 0, "unmap the second");
    check(guest_call(g, flags_of, 10, 0, 0) & GTF_writing, "still in use");
    check_eq(grant_unmap((void *)(uintptr_t)AT, h), 0, "unmap");
    check_eq(guest_call(g, flags_of, 10, 0, 0) & (GTF_reading | GTF_writing), 0, "entry: free");
    check_eq(AT[0], -1, "a hole is left");
    check_eq(grant_unmap((void *)(uintptr_t)AT, h), GNTST_bad_handle, "unmap twice");
    check_eq(grant_unmap((void *)(uintptr_t)AT, 0xffff), GNTST_bad_handle, "no such handle");
}

static void read_only(struct guest *g)
{
    grant_handle_t h;

    check(try_map(g, 11, false) < 0, "read-only grant: not for writing");
    check_eq(grant_map(g->id, 11, (void *)(uintptr_t)AT, true, &h), 0,
             "read-only grant: for reading");
    check_eq(AT[0], 0xabcd000b, "the guest's content");
    check_eq(guest_call(g, flags_of, 11, 0, 0) & (GTF_reading | GTF_writing), GTF_reading,
             "entry: being read");
    check_eq(grant_unmap((void *)(uintptr_t)AT, h), 0, "unmap");
}

static void refused(struct guest *g)
{
    check(try_map(g, 12, false) < 0, "granted to another domain");
    check(try_map(g, 13, false) < 0, "not granted");
    check(try_map(g, 14, false) < 0, "granted, but there is no frame");
    check_eq(try_map(g, 1u << 20, false), GNTST_bad_gntref, "no such entry");
    check_eq(try_map(g, ~0u, false), GNTST_bad_gntref, "entry -1");
    check_eq(try_map(&(struct guest){.id = 0x7000}, 10, false), GNTST_bad_domain, "no such domain");
    check(HC(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, 0x7f0000000000, 1, 0) ==
              -XEN_EFAULT,
          "list in a hole");
}

void test_main(void)
{
    struct guest g;
    uint64_t before;

    servant_start(&g, 0);
    guest_call(&g, share, 10, 0, false);
    try_map(&g, 10, false); /* what a first map allocates, stays */
    guest_destroy(&g);
    before = free_pages_settled();

    servant_start(&g, 0);
    guest_call(&g, share, 10, 0, false);
    guest_call(&g, share, 11, 0, true);
    guest_call(&g, share, 12, 5, false);
    guest_call(&g, share_hole, 14, 0, 0);
    write_through(&g);
    read_only(&g);
    refused(&g);
    check(guest_destroy(&g), "destroyed");
    check(free_pages_return(before), "all memory comes back");
}
