/* SPDX-License-Identifier: Apache-2.0 */
/* Two of dom0's CPUs map, read and unmap the same guest's grants, in batches,
 * while it is destroyed under their hands. */
/* run: cpus=2 time=120 */
#include "test.h"
#include "toolstack.h"

#define BATCH 16

static uint8_t page[BATCH][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static domid_t victim;
static uint64_t maps[2], wrong;
static volatile bool stop;

static long share(long a, long b, long c)
{
    (void)a, (void)b, (void)c;
    for (unsigned int i = 0; i < BATCH; i++) {
        memset(page[i], 0x40 + (int)i, PAGE_SIZE);
        grant_access(20 + i, 0, page[i], false);
    }
    return 0;
}

static long busy_flags(long a, long b, long c)
{
    long n = 0;

    (void)a, (void)b, (void)c;
    for (unsigned int i = 0; i < BATCH; i++)
        n += (((volatile grant_entry_v1_t *)grants())[20 + i].flags &
              (GTF_reading | GTF_writing)) != 0;
    return n;
}

/* One batch; what was mapped is read and unmapped. */
static void batch(unsigned int cpu)
{
    struct gnttab_map_grant_ref m[BATCH];
    struct gnttab_unmap_grant_ref u[BATCH];
    unsigned int n = 0;

    for (unsigned int i = 0; i < BATCH; i++)
        m[i] = (struct gnttab_map_grant_ref){.host_addr = (uint64_t)WINDOW_PAGE(100 + 32 * cpu + i),
                                             .flags = GNTMAP_host_map,
                                             .ref = 20 + i,
                                             .dom = victim};
    if (grant_op(GNTTABOP_map_grant_ref, m, BATCH)) wrong++;
    for (unsigned int i = 0; i < BATCH; i++) {
        if (m[i].status != GNTST_okay) continue;
        if (*(volatile uint8_t *)m[i].host_addr != 0x40 + i) wrong++;
        u[n++] =
            (struct gnttab_unmap_grant_ref){.host_addr = m[i].host_addr, .handle = m[i].handle};
    }
    maps[cpu] += n;
    if (n && grant_op(GNTTABOP_unmap_grant_ref, u, n)) wrong++;
    for (unsigned int i = 0; i < n; i++) wrong += u[i].status != GNTST_okay;
}

static void work(void *arg)
{
    uint64_t end = now() + 30 * NS_PER_S; /* a slow emulator's limit */
    unsigned int cpu = this_cpu()->index;

    while (arg ? !stop : maps[cpu] <= 10 * BATCH && now() < end) batch(cpu);
}

void test_main(void)
{
    struct xen_domctl_getdomaininfo info;
    struct guest g;

    apic_enable(true);
    if (!check(cpu_start(1), "second CPU")) return;
    servant_start(&g, 0);
    victim = g.id;
    guest_call(&g, share, 0, 0, 0);
    cpu_run_async(1, work, NULL);
    work(NULL);
    cpu_wait(1);
    print("%lu and %lu maps\n", maps[0], maps[1]);
    check(maps[0] > 100 && maps[1] > 100, "both mapped");
    check_eq(wrong, 0, "every map and unmap was right");
    check_eq(guest_call(&g, busy_flags, 0, 0, 0), 0, "the entries are free");

    cpu_run_async(1, work, &g);
    nap(20 * NS_PER_MS);
    guest_destroy(&g); /* may be a zombie for a moment */
    nap(20 * NS_PER_MS);
    stop = true;
    cpu_wait(1);
    check_eq(wrong, 0, "right also while it died");
    nap(100 * NS_PER_MS);
    check(!domain_info(victim, &info), "in the end it is gone");
}
