/* SPDX-License-Identifier: Apache-2.0 */
/* Grant copy: both ways, within pages, only what is granted. */
#include "test.h"
#include "toolstack.h"

static uint8_t page[4][4096] __attribute__((aligned(4096)));

static long share(long ref, long to, long ro)
{
    for (unsigned int i = 0; i < 4096; i++) page[ref % 4][i] = (uint8_t)(i * 7);
    grant_access((grant_ref_t)ref, (domid_t)to, page[ref % 4], ro);
    return 0;
}

static long byte_of(long ref, long i, long c)
{
    (void)c;
    return ((volatile uint8_t *)page[ref % 4])[i];
}

static struct gnttab_copy from_guest(domid_t d, grant_ref_t ref, void *to)
{
    struct gnttab_copy op = {.len = 100, .flags = GNTCOPY_source_gref};

    op.source.domid = d;
    op.source.u.ref = ref;
    op.source.offset = 50;
    op.dest.domid = DOMID_SELF;
    op.dest.u.gmfn = gfn_of(to);
    op.dest.offset = 10;
    return op;
}

static struct gnttab_copy to_guest(domid_t d, grant_ref_t ref, void *from)
{
    struct gnttab_copy op = {.len = 100, .flags = GNTCOPY_dest_gref};

    op.source.domid = DOMID_SELF;
    op.source.u.gmfn = gfn_of(from);
    op.dest.domid = d;
    op.dest.u.ref = ref;
    op.dest.offset = 50;
    return op;
}

static long copy(struct gnttab_copy op)
{
    long err = grant_op(GNTTABOP_copy, &op, 1);

    return err ? err : op.status;
}

static void good(domid_t d, struct guest *g, uint8_t *mine)
{
    check_eq(copy(from_guest(d, 20, mine)), 0, "from the guest");
    check(mine[10] == (uint8_t)(50 * 7) && mine[109] == (uint8_t)(149 * 7), "its bytes");
    check(mine[9] == 0 && mine[110] == 0, "and no others");
    mine[0] = 0x99;
    check_eq(copy(to_guest(d, 20, mine)), 0, "to the guest");
    check_eq(guest_call(g, byte_of, 20, 50, 0), 0x99, "it sees the byte");
    check_eq(guest_call(g, byte_of, 20, 49, 0), (uint8_t)(49 * 7), "and the one before as it was");
}

static void refused(domid_t d, uint8_t *mine)
{
    struct gnttab_copy op;

    check(copy(to_guest(d, 21, mine)) < 0, "to a read-only grant");
    check_eq(copy(from_guest(d, 21, mine)), 0, "from a read-only grant");
    check(copy(from_guest(d, 22, mine)) < 0, "granted to another domain");
    check(copy(from_guest(d, 23, mine)) < 0, "not granted");
    check(copy(from_guest(d, 1u << 20, mine)) < 0, "no such entry");
    check(copy(from_guest(0x7000, 20, mine)) < 0, "no such domain");
    check(copy(from_guest(d, 20, (void *)0x50000000)) < 0, "into a hole");
    op = from_guest(d, 20, mine), op.len = 4090;
    check_eq(copy(op), GNTST_bad_copy_arg, "across the page's end");
    op = from_guest(d, 20, mine), op.dest.offset = 5000;
    check_eq(copy(op), GNTST_bad_copy_arg, "offset beyond the page");
    op = from_guest(d, 20, mine), op.flags = 0, op.source.u.gmfn = 0x1000;
    check_eq(copy(op), GNTST_permission_denied, "a foreign frame, no grant");
    op = to_guest(d, 20, mine), op.flags = 0, op.dest.u.gmfn = 0x1000;
    check_eq(copy(op), GNTST_permission_denied, "to a foreign frame");
}

static void batch(domid_t d, uint8_t *mine)
{
    static struct gnttab_copy ops[256];
    unsigned int good = 0;

    for (unsigned int i = 0; i < 256; i++) {
        ops[i] = from_guest(d, i == 100 ? 23 : 20, mine);
        ops[i].dest.offset = (uint16_t)i;
    }
    check_eq(grant_op(GNTTABOP_copy, ops, 256), 0, "256 at once");
    for (unsigned int i = 0; i < 256; i++) good += ops[i].status == GNTST_okay;
    check(good == 255 && ops[100].status < 0, "only the bad one failed");
}

void test_main(void)
{
    uint8_t *mine = page_alloc();
    struct guest g;

    servant_start(&g, 0);
    guest_call(&g, share, 20, 0, false);
    guest_call(&g, share, 21, 0, true);
    guest_call(&g, share, 22, 5, false);
    good(g.id, &g, mine);
    refused(g.id, mine);
    batch(g.id, mine);
    check(guest_destroy(&g), "destroyed");
}
