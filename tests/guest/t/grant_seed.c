/* SPDX-License-Identifier: Apache-2.0 */
/* The toolstack writes grants into a new guest's table, as xl does for the
 * console and the store: by acquired resource, or through a scratch frame. */
#include "test.h"
#include "toolstack.h"

static long acquire(domid_t d, void *at, uint32_t frame, uint32_t n)
{
    uint64_t gfn[4] = {gfn_of(at), gfn_of(at) + 1, gfn_of(at) + 2, gfn_of(at) + 3};
    struct xen_mem_acquire_resource op = {.domid = d,
                                          .type = XENMEM_resource_grant_table,
                                          .id = XENMEM_resource_grant_table_id_shared,
                                          .nr_frames = n,
                                          .frame = frame};

    set_xen_guest_handle(op.frame_list, gfn);
    return memory_op(XENMEM_acquire_resource, &op);
}

static long entry(long ref, long b, long c)
{
    volatile grant_entry_v1_t *e = (grant_entry_v1_t *)grants() + ref;

    (void)b, (void)c;
    return (long)((uint64_t)e->frame << 32 | (uint64_t)e->domid << 16 | e->flags);
}

static void seed(void *table, grant_ref_t ref, uint32_t frame)
{
    volatile grant_entry_v1_t *e = (grant_entry_v1_t *)table + ref;

    e->frame = frame;
    e->domid = 0;
    e->flags = GTF_permit_access;
}

void test_main(void)
{
    struct xen_mem_acquire_resource size = {.type = XENMEM_resource_grant_table};
    void *at = WINDOW_PAGE(100), *at2 = WINDOW_PAGE(110);
    grant_handle_t h;
    struct guest g;
    uint64_t scratch;

    guest_create(&g, &(struct guest_config){.cmdline = SERVANT});
    size.domid = g.id;
    check_eq(memory_op(XENMEM_acquire_resource, &size), 0, "size");
    check_in(size.nr_frames, 4, 64, "frames that could be acquired");
    check_eq(acquire(g.id, at, 0, 1), 0, "acquire its grant frame 0");
    seed(at, 0, 0xfefff);
    seed(at, 1, 0xfeffe);
    check_eq(remove_from_physmap(DOMID_SELF, gfn_of(at)), 0, "let go");

    scratch = (uint64_t)memory_op(XENMEM_maximum_gpfn, &g.id) + 1;
    check_in((long)scratch, 0xff000, 0x1000000, "a scratch frame number");
    check_eq(add_to_physmap(g.id, XENMAPSPACE_grant_table, 0, scratch), 0,
             "map it there for the guest");
    if (foreign_map(at2, g.id, scratch, 1) == 0) {
        check_eq(((volatile grant_entry_v1_t *)at2)[0].frame, 0xfefff, "the same frame for us");
        foreign_unmap(at2, 1);
    } else {
        skip("the scratch frame for us", "refused: acquire instead");
    }
    check_eq(remove_from_physmap(g.id, scratch), 0, "remove it");

    guest_unpause(&g);
    check_eq(guest_call(&g, entry, 0, 0, 0), 0xfefff00000001, "entry 0");
    check_eq(guest_call(&g, entry, 1, 0, 0), 0xfeffe00000001, "entry 1");
    check_eq(grant_map(g.id, 0, at, false, &h), 0, "map the console by grant");
    check_eq(grant_unmap(at, h), 0, "unmap");
    check(acquire(0x7000, at, 0, 1) < 0, "of nobody");
    check(acquire(g.id, at, 5000, 1) < 0, "behind the limit");
    check(guest_destroy(&g), "destroyed");
}
