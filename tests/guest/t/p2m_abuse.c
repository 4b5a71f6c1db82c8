/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest maps grants and moves pages over everything: its own RAM, the
 * shared page, its grant table, holes, other grants; and takes away what lies
 * there, in any order, and dies of old age.  All memory must come back.
 * (Stock Xen crashes it at the first map over another map.)
 */
#include "test.h"
#include "toolstack.h"

#define RAM  0x1c00ull /* frames of the guest behind its image */
#define HOLE 0x38000ull

static uint8_t lent[4][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint64_t seed;

static uint64_t random(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return seed >> 33;
}

/* A frame number: mostly of a few that are fought over. */
static uint64_t frame(void)
{
    switch (random() % 8) {
    case 0: return gfn_of(shared);
    case 1: return gfn_of(grants()) + random() % 2;
    case 2: return HOLE + random() % 4;
    case 3: return 0xfee00;                     /* the local APIC */
    case 4: return (1ull << 40) + random() % 4; /* beyond the address width? */
    case 5: return 0x1e00 + random() % 2;       /* within another 2 MiB */
    default: return RAM + random() % 4;
    }
}

static long abuse(long rounds, long start, long c)
{
    static grant_handle_t handle[16];
    static uint64_t where[16];
    unsigned int used = 0;

    (void)c;
    seed = (uint64_t)start;
    grants();
    for (long i = 0; i < rounds; i++) {
        uint64_t gfn = frame();

        switch (random() % 8) {
        case 0:
        case 1:
            where[used % 16] = gfn << 12;
            if (grant_map(0, (grant_ref_t)(40 + random() % 4), (void *)(gfn << 12), random() % 2,
                          &handle[used % 16]) == 0)
                used++;
            break;
        case 2:
            gfn = random() % 16;
            grant_unmap((void *)where[gfn], handle[gfn]);
            break;
        case 3: decrease(DOMID_SELF, 0, &gfn, 1); break;
        case 4: populate(DOMID_SELF, 0, &gfn, 1); break;
        case 5: remove_from_physmap(DOMID_SELF, gfn); break;
        case 6: add_to_physmap(DOMID_SELF, XENMAPSPACE_gmfn, frame(), gfn); break;
        case 7:
            add_to_physmap(DOMID_SELF,
                           random() % 2 ? XENMAPSPACE_shared_info : XENMAPSPACE_grant_table, 0,
                           gfn);
            break;
        }
    }
    return used;
}

void test_main(void)
{
    uint64_t before = 0, first = argument("seed=", 1);
    struct guest g;
    long used;

    for (uint64_t i = first; i < first + 11; i++) {
        used = -1; /* it died of it */
        servant_start(&g, 0);
        for (unsigned int k = 0; k < 4; k++) grant_access(40 + k, g.id, lent[k], false);
        guest_call_async(&g, abuse, 2000, (long)i, 0);
        for (unsigned int n = 0; n < 3000 && !guest_called(&g, &used); n++) {
            struct xen_domctl_getdomaininfo info;

            domain_info(g.id, &info);
            if (info.flags & XEN_DOMINF_shutdown) break;
            nap(NS_PER_MS);
        }
        print("seed %lu: %ld maps\n", i, used);
        if (!guest_destroy(&g)) check(false, "destroyed");
        if (i == first) /* the first warms the pools up */
            before = free_pages_settled();
    }
    check(free_pages_return(before), "all memory comes back");
    check_eq(free_pages(), before, "free pages");
    for (unsigned int k = 0; k < 4; k++)
        check_eq(((volatile grant_entry_v1_t *)grants())[40 + k].flags &
                     (GTF_reading | GTF_writing),
                 0, "the lent page is free");
}
