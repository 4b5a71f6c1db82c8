/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log-dirty: what a guest, the core and other domains write to a guest's
 * memory is in the log, and nothing else of it is; twice in the same page,
 * after being watched again, is there twice; off, all is as before.
 */
/* run: time=120 */
#include "test.h"
#include "toolstack.h"

#define BASE  0x1600000ul /* of the watched region: above the guest's image */
#define GFN   (BASE >> 12)
#define PAGES 2048ul
#define ALL   8192ul
#define ON    XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY
#define OFF   XEN_DOMCTL_SHADOW_OP_OFF
#define CLEAN XEN_DOMCTL_SHADOW_OP_CLEAN
#define PEEK  XEN_DOMCTL_SHADOW_OP_PEEK

static bool stock; /* it answers with an empty map when it is off, and does not
                    * report what is mapped, came or went */
static uint64_t log[ALL / 64];
static uint8_t want[PAGES];

static long shadow(domid_t d, unsigned int op, unsigned int mode, uint64_t pages, void *bitmap)
{
    struct xen_domctl c = {0};
    long rc;

    c.u.shadow_op.op = op;
    c.u.shadow_op.mode = mode;
    c.u.shadow_op.pages = pages;
    set_xen_guest_handle(c.u.shadow_op.dirty_bitmap, bitmap);
    rc = domctl(&c, XEN_DOMCTL_shadow_op, d);
    if (!rc && c.u.shadow_op.pages != pages) return -1;
    return rc;
}

static bool logged(uint64_t page)
{
    return log[(GFN + page) / 64] >> (GFN + page) % 64 & 1;
}

/* Compares the region with want[], which it clears. */
static void look(struct guest *g, unsigned int op, unsigned int mode, const char *what)
{
    unsigned int missing = 0, extra = 0;

    if (!check_eq(shadow(g->id, op, mode, ALL, log), 0, what)) return;
    for (uint64_t i = 0; i < PAGES; i++) {
        missing += want[i] && !logged(i);
        extra += !want[i] && logged(i);
        if (op == CLEAN) want[i] = 0;
    }
    if (!stock) check_eq(missing, 0, "no written page is missing");
    check_eq(extra, 0, "no other page is there");
}

/* --- in the guest --- */

static long write_pages(long first, long step, long n)
{
    for (long i = 0; i < n; i++) ((volatile uint64_t *)BASE)[(first + i * step) * 512] += 1;
    return 0;
}

static long random_writes(long seed, long n, long c)
{
    uint64_t x = (uint64_t)seed;

    (void)c;
    for (long i = 0; i < n; i++) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        ((volatile uint8_t *)BASE)[(x >> 33) % (PAGES << 12)] ^= 1;
    }
    return 0;
}

static long ask_version(long page, long b, long c)
{
    (void)b, (void)c;
    return version_op(XENVER_extraversion, (void *)(BASE + ((uint64_t)page << 12)));
}

static long share_page(long ref, long to, long page)
{
    grant_access((grant_ref_t)ref, (domid_t)to, (void *)(BASE + ((uint64_t)page << 12)), false);
    return 0;
}

static long copy_own(long from, long to, long c)
{
    struct gnttab_copy op = {.source = {.u.gmfn = GFN + (uint64_t)from, .domid = DOMID_SELF},
                             .dest = {.u.gmfn = GFN + (uint64_t)to, .domid = DOMID_SELF},
                             .len = 64};

    (void)c;
    grant_op(GNTTABOP_copy, &op, 1);
    return op.status;
}

static long drop_page(long page, long b, long c)
{
    uint64_t gfn = GFN + (uint64_t)page;

    (void)b, (void)c;
    return decrease(DOMID_SELF, 0, &gfn, 1);
}

static long get_page(long page, long b, long c)
{
    uint64_t gfn = GFN + (uint64_t)page;

    (void)b, (void)c;
    return populate(DOMID_SELF, 0, &gfn, 1);
}

/* INT3 in a page of the stack that nothing has written. */
static void breakpoint(void *behind)
{
    asm volatile(
        "lea 1f(%%rip), %%rax; mov %%rax, (%0); sub $8192, %%rsp; int3; 1: add $8192, %%rsp"
        :
        : "r"(behind)
        : "rax", "memory");
}

static long int3(long a, long b, long c)
{
    uint64_t behind;

    (void)a, (void)b, (void)c;
    if (try_call(breakpoint, &behind) != 3) return -1;
    return (long)(this_cpu()->rip - behind);
}

static long check_pages(long first, long step, long value)
{
    for (uint64_t i = (uint64_t)first; i < PAGES; i += (uint64_t)step)
        if (*(volatile uint64_t *)(BASE + (i << 12)) != (uint64_t)value) return (long)i;
    return -1;
}

/* --- in dom0 --- */

static void errors(struct guest *g)
{
    check(stock || shadow(g->id, CLEAN, 0, ALL, log) < 0, "clean: it is off");
    check(stock || shadow(g->id, PEEK, 0, ALL, log) < 0, "peek: it is off");
    check(shadow(DOMID_SELF, ON, 0, 0, NULL) < 0, "of the caller");
    check(shadow(g->id, 77, 0, 0, NULL) < 0, "no such operation");
    check_eq(shadow(g->id, OFF, 0, 0, NULL), 0, "off: it is off");
}

static void by_the_guest(struct guest *g)
{
    guest_call(g, write_pages, 0, 1, (long)PAGES);
    check_eq(shadow(g->id, ON, 0, 0, NULL), 0, "on");
    guest_call(g, write_pages, 5, 1, 1);
    check(shadow(g->id, ON, 0, 0, NULL) < 0, "on: it is on");
    want[5] = 1;
    look(g, CLEAN, 0, "clean: written right after");
    look(g, CLEAN, 0, "clean: nothing more");
    guest_call(g, write_pages, 3, 1, 1);
    want[3] = 1;
    look(g, PEEK, 0, "peek");
    look(g, CLEAN, 0, "clean: one page");
    look(g, CLEAN, 0, "clean: nothing new");
    guest_call(g, write_pages, 3, 1, 1);
    want[3] = 1;
    look(g, CLEAN, 0, "clean: the same page again");
    guest_call(g, write_pages, 0, 17, 100);
    for (unsigned int i = 0; i < 100; i++) want[17 * i] = 1;
    look(g, CLEAN, 0, "clean: a hundred pages");
    guest_call(g, write_pages, 512, 1, 1024);
    for (unsigned int i = 0; i < 1024; i++) want[512 + i] = 1;
    look(g, CLEAN, 0, "clean: two superpages' worth");
    check_eq(guest_call(g, check_pages, 1, 17 * 512, 1), -1, "the guest reads what it wrote");
    check_eq(guest_call(g, int3, 0, 0, 0), 0, "INT3 whose frame is in a watched page");
}

static void by_the_core(struct guest *g)
{
    static uint64_t page[512] __attribute__((aligned(4096)));
    struct gnttab_copy op = {.source = {.u.gmfn = gfn_of(page), .domid = DOMID_SELF},
                             .dest = {.u.ref = 20, .domid = g->id},
                             .len = 4096,
                             .flags = GNTCOPY_dest_gref};
    grant_handle_t h;

    check_eq(guest_call(g, ask_version, 7, 0, 0), 0, "a hypercall's result");
    want[7] = 1;
    look(g, CLEAN, 0, "clean: written by a hypercall");
    guest_call(g, share_page, 20, 0, 9);
    grant_op(GNTTABOP_copy, &op, 1);
    check_eq(op.status, 0, "grant copy");
    want[9] = 1;
    look(g, CLEAN, 0, "clean: written by a grant copy");
    check_eq(guest_call(g, copy_own, 10, 11, 0), 0, "copy within the guest");
    want[11] = 1;
    look(g, CLEAN, 0, "clean: written by its own copy");
    guest_call(g, share_page, 21, 0, 13);
    check_eq(grant_map(g->id, 21, WINDOW_PAGE(200), false, &h), 0, "grant map");
    look(g, CLEAN, 0, "clean: mapped for writing, not final");
    *(volatile uint64_t *)WINDOW_PAGE(200) = 5;
    want[13] = 1;
    look(g, CLEAN, XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL, "final: mapped for writing");
    check_eq(grant_unmap(WINDOW_PAGE(200), h), 0, "grant unmap");
    want[13] = 1;
    look(g, CLEAN, 0, "clean: unmapped");
    check_eq(grant_map(g->id, 21, WINDOW_PAGE(200), true, &h), 0, "grant map for reading");
    check_eq(grant_unmap(WINDOW_PAGE(200), h), 0, "grant unmap");
    look(g, CLEAN, 0, "clean: read only");
    check_eq(guest_call(g, drop_page, 15, 0, 0), 1, "a page goes");
    want[15] = 1;
    look(g, CLEAN, 0, "clean: a page that went");
    check_eq(guest_call(g, get_page, 15, 0, 0), 1, "a page comes");
    want[15] = 1;
    look(g, CLEAN, 0, "clean: a page that came");
}

static void at_random(struct guest *g)
{
    for (unsigned int round = 0; round < 20; round++) {
        uint64_t x = round + 100, n = 1ul << round % 13;

        guest_call(g, random_writes, (long)x, (long)n, 0);
        for (uint64_t i = 0; i < n; i++) {
            x = x * 6364136223846793005ull + 1442695040888963407ull;
            want[(x >> 33) % (PAGES << 12) >> 12] = 1;
        }
        look(g, CLEAN, 0, "clean: random pages");
    }
}

static void bad_buffers(struct guest *g)
{
    check(shadow(g->id, CLEAN, 0, ALL, (void *)0x7f0000000000) == -XEN_EFAULT, "buffer in a hole");
    check(shadow(g->id, CLEAN, 0, ~0ul, NULL) < 0, "a map of more pages than can be");
    check_eq(shadow(g->id, OFF, 0, 0, NULL), 0, "off");
    check_eq(shadow(g->id, ON, 0, 0, NULL), 0, "on again");
    memset(log, 0xff, sizeof(log));
    check_eq(shadow(g->id, CLEAN, 0, 3, log), 0, "three pages");
    check((log[0] & 0xff) < 8 && log[1] == ~0ul, "only their byte is written");
}

void test_main(void)
{
    struct guest g;
    uint64_t before, running;
    grant_handle_t h;

    stock = find(cmdline, "hv=xen");
    check_eq(shadow(0, ON, 0, 0, NULL), -XEN_EINVAL, "not of dom0, whose devices write unseen");
    servant_start(&g, 0);
    guest_call(&g, share_page, 20, 0, 9);
    check_eq(grant_map(g.id, 20, WINDOW_PAGE(200), false, &h), 0, "dom0's tables are there");
    check_eq(grant_unmap(WINDOW_PAGE(200), h), 0, "grant unmap");
    guest_destroy(&g);
    before = free_pages_settled();
    servant_start(&g, 0);
    guest_call(&g, share_page, 20, 0, 9);
    errors(&g);
    running = free_pages_settled();
    by_the_guest(&g);
    by_the_core(&g);
    at_random(&g);
    bad_buffers(&g);
    check_eq(shadow(g.id, OFF, 0, 0, NULL), 0, "off");
    guest_call(&g, write_pages, 0, 1, (long)PAGES);
    check(stock || shadow(g.id, CLEAN, 0, ALL, log) < 0, "clean: it is off");
    check_in((long)(running - free_pages_settled()), 0, 4, "the tables are whole again");
    check_eq(shadow(g.id, ON, 0, 0, NULL), 0, "on, and destroyed so");
    guest_call(&g, write_pages, 0, 9, 200);
    check(guest_destroy(&g), "destroyed");
    check(free_pages_return(before), "all memory comes back");
}
