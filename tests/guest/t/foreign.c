/* SPDX-License-Identifier: Apache-2.0 */
/* Foreign maps are dom0's alone, of frames that exist. */
#include "test.h"
#include "toolstack.h"

static uint64_t page[512] __attribute__((aligned(4096)));

static long put_word(long n, long value, long c)
{
    (void)c;
    page[n] = (uint64_t)value;
    return (long)page;
}

static long get_word(long n, long b, long c)
{
    (void)b, (void)c;
    return (long)((volatile uint64_t *)page)[n];
}

/* In a guest: map a frame of another domain. */
static long attack_map(long domid, long gfn, long c)
{
    (void)c;
    return foreign_map(WINDOW_PAGE(100), (domid_t)domid, (uint64_t)gfn, 1);
}

/* In a guest: the other spaces and calls that reach a foreign p2m. */
static long attack_add(long domid, long space, long idx)
{
    return add_to_physmap((domid_t)domid, (unsigned int)space, (uint64_t)idx, 0x30000);
}

static void as_guest(struct guest *a, struct guest *b)
{
    check_eq(guest_call(a, attack_map, 0, 0x1000, 0), -XEN_EPERM, "a guest does not map dom0");
    check(guest_call(a, attack_map, b->id, 0x1000, 0) < 0, "a guest does not map its neighbour");
    check(guest_call(a, attack_map, DOMID_XEN, 0x1000, 0) < 0,
          "a guest does not map the hypervisor");
    check(guest_call(a, attack_map, DOMID_IO, 0xfee00, 0) < 0, "a guest does not map devices");
    check_eq(guest_call(a, attack_add, 0, XENMAPSPACE_shared_info, 0), -XEN_EPERM,
             "a guest does not move dom0's shared page");
    check_eq(guest_call(a, attack_add, b->id, XENMAPSPACE_grant_table, 0), -XEN_EPERM,
             "a guest does not map its neighbour's grants");
}

void test_main(void)
{
    volatile uint64_t *at = WINDOW_PAGE(100);
    struct guest a, b;
    uint64_t gfn;

    servant_start(&a, 0);
    servant_start(&b, 1);
    gfn = gfn_of(guest_call(&a, put_word, 3, 333, 0));
    guest_call(&b, put_word, 3, 444, 0);
    check_eq(foreign_map(WINDOW_PAGE(100), a.id, gfn, 1), 0, "map");
    check_eq(at[3], 333, "the guest's word");
    at[4] = 44;
    check_eq(guest_call(&a, get_word, 4, 0, 0), 44, "the guest sees ours");
    check_eq(foreign_map(WINDOW_PAGE(101), b.id, gfn, 1), 0, "of another");
    check_eq(*(volatile uint64_t *)((char *)WINDOW_PAGE(101) + 24), 444, "its own word");
    foreign_unmap(WINDOW_PAGE(100), 2);
    check_eq(at[3], -1, "a hole is left");

    check(foreign_map(WINDOW_PAGE(100), a.id, 0x30000, 1) < 0, "no frame there");
    check(foreign_map(WINDOW_PAGE(100), a.id, 1ull << 50, 1) < 0, "no such address");
    check_eq(foreign_map(WINDOW_PAGE(100), 0x7000, 0x1000, 1), -XEN_ESRCH, "no such domain");
    check(foreign_map(WINDOW_PAGE(100), 0, 0x1000, 1) < 0, "dom0's own");
    as_guest(&a, &b);
    check_eq(guest_call(&b, get_word, 3, 0, 0), 444, "the neighbour is well");
    check(guest_destroy(&a), "destroyed");
    check(guest_destroy(&b), "destroyed");
}
