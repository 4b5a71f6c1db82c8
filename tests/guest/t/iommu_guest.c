/* SPDX-License-Identifier: Apache-2.0 */
/* A driver domain's device reaches what that guest has and nothing else: not
 * free memory, dom0's, another guest's or the core's image. */
/* run: device=edu,dma_mask=0xffffffffffffffff,addr=4 iommu=intel-iommu+amd-iommu time=150 */
/* run: core=driver-domain=000102030405060708090a0b0c0d0e0f,00:04.0 hv=insula */
#include "edu.h"
#include "test.h"
#include "toolstack.h"

#define DEV  4          /* the device's number on the machine */
#define CORE 0x200000ul /* where the core's image is */
/* RAM of a guest that nothing uses. */
#define SPARE      0x400000ul
#define SPARE_END  0xf00000ul
#define DOM0_SPARE 0x8000000ul /* RAM of dom0, beyond the guest's */
#define STEP       0x400000ul
#define SEED       29

static uint64_t *mine, *back;

/* --- in the driver domain --- */

static long open_device(long a, long b, long c)
{
    (void)a, (void)b, (void)c;
    mine = page_alloc();
    back = page_alloc();
    return edu_open();
}
/* Does a pattern pass through the device to that address of ours? */
static long reach(long gpa, long seed, long c)
{
    (void)c;
    memset((void *)gpa, 0, EDU_BYTES);
    edu_load(mine, (uint64_t)seed);
    dma_write((uint64_t)gpa);
    return holds((void *)gpa, (uint64_t)seed);
}
/* Reads from there: is what came the device's old bytes, or one value for all? */
static long try_read(long gpa, long b, long c)
{
    bool same = true;

    (void)b, (void)c;
    edu_load(mine, 5);
    fill(back, 0);
    dma_read((uint64_t)gpa);
    dma_write((uint64_t)back);
    for (unsigned int i = 1; i < EDU_BYTES / 8; i++) same = same && back[i] == back[0];
    return same || holds(back, 5);
}
static long try_write(long gpa, long end, long step)
{
    edu_load(mine, 7);
    for (; gpa < end; gpa += step) dma_write((uint64_t)gpa);
    return 0;
}
static long give_back(long gpa, long b, long c)
{
    uint64_t gfn = (uint64_t)gpa >> 12;

    (void)b, (void)c;
    return decrease(DOMID_SELF, 0, &gfn, 1);
}
static grant_handle_t handle;
static long map(long of, long at, long c)
{
    (void)c;
    return grant_map((domid_t)of, 9, (void *)at, false, &handle);
}
static long unmap(long at, long b, long c)
{
    (void)b, (void)c;
    return grant_unmap((void *)at, handle);
}
static long start_write(long gpa, long b, long c)
{
    (void)b, (void)c;
    edu_load(mine, 7);
    edu_begin((uint64_t)gpa, true, 64);
    return 0;
}

/* --- in another guest --- */

static long keep(long driver, long b, long c)
{
    (void)b, (void)c;
    for (uint64_t at = SPARE; at < SPARE_END; at += 4096) fill((void *)at, SEED);
    grant_access(9, (domid_t)driver, (void *)SPARE, false);
    return 0;
}
static long kept(long from, long seed, long c)
{
    (void)c;
    if (!holds((void *)SPARE, (uint64_t)seed)) return 0;
    for (uint64_t at = (uint64_t)from; at < SPARE_END; at += 4096)
        if (!holds((void *)at, SEED)) return 0;
    return 1;
}

/* --- in dom0 --- */

static struct guest driver, other;

static void driver_start(void)
{
    static xen_domain_handle_t uuid;

    for (uint8_t i = 0; i < sizeof(uuid); i++) uuid[i] = i;
    guest_create(&driver, &(struct guest_config){.cmdline = SERVANT, .handle = &uuid});
    guest_unpause(&driver);
    check_eq(guest_call(&driver, open_device, 0, 0, 0), 1, "the guest finds its device");
    check_eq(guest_call(&driver, reach, SPARE, 3, 0), 1, "its memory is read and written");
}

static void refused(uint64_t gpa, const char *what)
{
    char name[80];

    format(name, sizeof(name), "%s: not read", what);
    check_eq(guest_call(&driver, try_read, (long)gpa, 0, 0), 1, name);
    format(name, sizeof(name), "%s: reading is logged", what);
    logged(DEV, "read", gpa, name);
    guest_call(&driver, try_write, (long)gpa, (long)gpa + 1, 1);
    format(name, sizeof(name), "%s: writing is logged", what);
    logged(DEV, "write", gpa, name);
}

/* What others have at the same address of the machine; the guest's own memory
 * is lower, but for the core's. */
static void others_memory(void)
{
    const struct hvm_memmap_table_entry *m = (void *)start_info->memmap_paddr;
    uint64_t *page = (void *)DOM0_SPARE;
    bool any = false;

    check_eq(guest_call(&driver, reach, CORE, 11, 0), 1, "the core's address is its own page");
    check_eq(guest_call(&driver, give_back, CORE, 0, 0), 1, "until it gives that back");
    refused(CORE, "the core's image");
    for (unsigned int i = 0; i < start_info->memmap_entries; i++) {
        uint64_t end = m[i].addr + m[i].size;

        if (m[i].type != 5 || m[i].size < 64 << 20) continue;
        refused((m[i].addr + m[i].size / 2) & ~0xfffull, "free memory");
        guest_call(&driver, try_write, (long)((m[i].addr + STEP) & ~(STEP - 1)), (long)end, STEP);
        any = true;
    }
    check(any, "there is free memory to try, guests' lies between");
    nap(1100 * NS_PER_MS); /* that was too much to be logged, all in one second */
    check_eq(guest_call(&other, kept, SPARE, SEED, 0), 1, "another guest's memory has not changed");
    foreign_map(WINDOW_PAGE(100), other.id, SPARE >> 12, 1);
    check(holds(WINDOW_PAGE(100), SEED), "dom0 maps some of it");
    refused((uint64_t)WINDOW_PAGE(100), "where dom0 has it");
    foreign_unmap(WINDOW_PAGE(100), 1);
    fill(page, 13);
    refused((uint64_t)page, "dom0's memory");
    check(holds(page, 13), "dom0's memory has not changed");
}

static void granted_memory(void)
{
    long at = (long)WINDOW_PAGE(200);

    check_eq(guest_call(&driver, map, other.id, at, 0), 0, "a grant is mapped");
    check_eq(guest_call(&driver, reach, at, 17, 0), 1, "the device reaches it");
    check_eq(guest_call(&other, kept, SPARE + 4096, 17, 0), 1, "the other guest has it");
    check_eq(guest_call(&driver, unmap, at, 0, 0), 0, "the grant is unmapped");
    refused((uint64_t)at, "what was a grant");
    check_eq(guest_call(&other, kept, SPARE + 4096, 17, 0), 1, "it has not changed since");
}

/* The guest dies as its device is about to write; the next one gets it. */
static void restart(void)
{
    guest_call(&driver, map, other.id, (long)WINDOW_PAGE(200), 0);
    guest_call(&driver, start_write, (long)WINDOW_PAGE(200), 0, 0);
    check(guest_destroy(&driver), "the driver domain is destroyed");
    nap(200 * NS_PER_MS);
    check_eq(guest_call(&other, kept, SPARE + 4096, 17, 0), 1, "the granted page has not changed");
    driver_start();
}

void test_main(void)
{
    check_eq(edu_open(), 0, "dom0 has no such device");
    servant_start(&other, 1);
    driver_start();
    guest_call(&other, keep, driver.id, 0, 0);
    others_memory();
    granted_memory();
    restart();
    check(guest_destroy(&driver) && guest_destroy(&other), "the guests are destroyed");
}
