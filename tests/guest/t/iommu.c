/* SPDX-License-Identifier: Apache-2.0 */
/* A device reaches what its domain has mapped and nothing else, whatever its
 * driver tells it; what it tried is in the hypervisor's log. */
/* run: device=edu,dma_mask=0xffffffffffffffff iommu=intel-iommu+amd-iommu time=120 hv=insula */
#include "edu.h"
#include "test.h"
#include "toolstack.h"

#define CORE 0x200000u /* where the core's image is */

static uint32_t dev;
static uint64_t *mine, *back;

/* The device's memory holds `seed` from now on. */
static void load(uint64_t seed)
{
    edu_load(mine, seed);
}

/* Reads and writes there are refused and logged. */
static void refused(uint64_t gpa, const char *what)
{
    char name[80];
    bool same = true;

    load(5);
    fill(back, 0);
    dma_read(gpa);
    dma_write((uint64_t)back);
    /* The device's old bytes or one value for all, never what is there. */
    for (unsigned int i = 1; i < EDU_BYTES / 8; i++) same = same && back[i] == back[0];
    format(name, sizeof(name), "%s: not read", what);
    check(same || holds(back, 5), name);
    format(name, sizeof(name), "%s: reading is logged", what);
    logged(dev, "read", gpa, name);
    load(7);
    dma_write(gpa);
    format(name, sizeof(name), "%s: writing is logged", what);
    logged(dev, "write", gpa, name);
}

static void own_memory(void)
{
    uint64_t gfn = gfn_of(back), other;

    load(3);
    dma_write((uint64_t)back);
    check(holds(back, 3), "own memory is read and written");
    /* New frames, not where the machine has them. */
    check_eq(decrease(DOMID_SELF, 0, &gfn, 1), 1, "decrease");
    refused((uint64_t)back, "what was given back");
    other = gfn_of(page_alloc());
    check_eq(decrease(DOMID_SELF, 0, &other, 1), 1, "decrease another");
    check_eq(populate(DOMID_SELF, 0, &gfn, 1), 1, "populate");
    check_eq(populate(DOMID_SELF, 0, &other, 1), 1, "populate another");
    load(9);
    dma_write((uint64_t)back);
    check(holds(back, 9), "a new frame is reached at once");
    dma_write(other << 12);
    check(holds((void *)(other << 12), 9), "and the other");
}

static uint64_t page[512] __attribute__((aligned(4096)));
static long address_of_page(long a, long b, long c)
{
    (void)a, (void)b, (void)c;
    return (long)page;
}

static void guests_memory(void)
{
    volatile uint64_t *at = WINDOW_PAGE(100);
    struct guest g;
    uint64_t gpa;

    servant_start(&g, 0);
    gpa = (uint64_t)guest_call(&g, address_of_page, 0, 0, 0);
    check_eq(foreign_map((void *)at, g.id, gfn_of(gpa), 1), 0, "map a guest's page");
    load(11);
    dma_write((uint64_t)at);
    check(holds(at, 11), "a page that dom0 maps is reached");
    foreign_unmap((void *)at, 1);
    refused((uint64_t)at, "a guest's page, unmapped again");
    check_eq(foreign_map((void *)at, g.id, gfn_of(gpa), 1), 0, "map it again");
    check(holds(at, 11), "it has not changed");
    foreign_unmap((void *)at, 1);
    check(guest_destroy(&g), "the guest is destroyed");
}

/* In a guest: gives dom0 the page; later, it is the guest's alone. */
static long share(long a, long b, long c)
{
    (void)a, (void)b, (void)c;
    grant_access(9, 0, page, false);
    return 0;
}
static long own(long seed, long b, long c)
{
    (void)b, (void)c;
    fill(page, (uint64_t)seed);
    return 0;
}
static long owned(long seed, long b, long c)
{
    (void)b, (void)c;
    return holds(page, (uint64_t)seed);
}

/* The grant is unmapped before, while and after the device writes through it. */
static void unmapped_in_flight(void)
{
    volatile uint64_t *at = WINDOW_PAGE(100);
    unsigned int reached = 0, kept = 0, failed = 0;
    grant_handle_t h;
    struct guest g;

    servant_start(&g, 0);
    guest_call(&g, share, 0, 0, 0);
    load(13);
    for (unsigned int i = 0; i < 12; i++) {
        guest_call(&g, own, 17, 0, 0);
        failed += grant_map(g.id, 9, (void *)at, false, &h) != 0;
        edu_begin((uint64_t)at, true, 64);
        nap(i * 12 * NS_PER_MS);
        reached += at[0] == 13;
        failed += grant_unmap((void *)at, h) != 0;
        guest_call(&g, own, 19, 0, 0);
        edu_finish();
        kept += guest_call(&g, owned, 19, 0, 0) == 1;
    }
    check_eq(failed, 0, "mapped and unmapped twelve times");
    check_eq(kept, 12, "after the unmap the device does not reach the page");
    check(reached > 0 && reached < 12, "the device was sometimes faster, sometimes not");
    check(guest_destroy(&g), "the guest is destroyed");
}

/* A guest dies and its page is unmapped while the device is about to write:
 * who has the frames next finds them empty. */
static void destroyed_in_flight(void)
{
    volatile uint64_t *at = WINDOW_PAGE(100);
    uint64_t gfns[64], gpa, dirty = 0;
    struct guest g;

    for (unsigned int i = 0; i < 64; i++) gfns[i] = gfn_of(page_alloc());
    servant_start(&g, 0);
    gpa = (uint64_t)guest_call(&g, address_of_page, 0, 0, 0);
    check_eq(foreign_map((void *)at, g.id, gfn_of(gpa), 1), 0, "map a guest's page");
    load(23);
    check_eq(decrease(DOMID_SELF, 0, gfns, 64), 64, "decrease");
    edu_begin((uint64_t)at, true, 64);
    check_eq(domain_destroy(g.id), 0, "destroy the guest");
    foreign_unmap((void *)at, 1);
    check_eq(populate(DOMID_SELF, 0, gfns, 64), 64, "populate");
    edu_finish();
    for (unsigned int i = 0; i < 64; i++)
        for (unsigned int j = 0; j < 512; j++) dirty |= ((uint64_t *)(gfns[i] << 12))[j];
    check_eq(dirty, 0, "the frames' next owner finds nothing of the device");
}

/* RAM of the machine that is neither dom0's nor the core's image. */
static void free_memory(void)
{
    const struct hvm_memmap_table_entry *m = (void *)start_info->memmap_paddr;
    bool any = false;

    for (unsigned int i = 0; i < start_info->memmap_entries; i++) {
        if (m[i].type != 5 || m[i].size < 64 << 20) continue;
        refused((m[i].addr + m[i].size / 2) & ~0xfffull, "free memory");
        any = true;
    }
    check(any, "there is free memory to try");
}

void test_main(void)
{
    dev = edu_open();
    if (!dev) fatal("no edu device");
    mine = page_alloc();
    back = page_alloc();
    own_memory();
    refused(CORE, "the core's image");
    refused(CORE + 0x10000, "the core's text");
    free_memory();
    guests_memory();
    unmapped_in_flight();
    destroyed_in_flight();
    refused(0x7ffffff000, "beyond all memory");
}
