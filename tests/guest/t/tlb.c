/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No translation outlives its mapping.  Each check warms one up, takes the
 * mapping away or changes it, and looks again at once; each fails when the
 * flush that its rule asks for is left out of the core.
 */
/* run: cpus=2 time=120 */
#include "test.h"
#include "toolstack.h"

#define OLD  0x0101010101010101l
#define NEW  0x0202020202020202l
#define HOLE (-1l) /* what a read of no memory gives */
#define FAR  (1ull << 39)

extern uint64_t pml4[];
static volatile uint64_t pages[9][512] __attribute__((aligned(4096)));
static const volatile uint64_t constant = 0x1234567890abcdef;

static long read(const volatile void *p)
{
    return *(const volatile long *)p;
}

static long peek(long n, long b, long c)
{
    (void)b, (void)c;
    return read(pages[n]);
}

static long poke(long n, long value, long c)
{
    (void)c;
    pages[n][0] = (uint64_t)value;
    return read(pages[n]);
}

/* --- in the guest, on one CPU, with no switch between look and look --- */

static long map_after_miss(long n, long b, long c)
{
    uint64_t gfn = gfn_of(pages[n]);
    long hole;

    (void)b, (void)c;
    decrease(DOMID_SELF, 0, &gfn, 1);
    hole = read(pages[n]);
    if (populate(DOMID_SELF, 0, &gfn, 1) != 1) return -2;
    pages[n][0] = NEW;
    return hole == HOLE ? read(pages[n]) : -3;
}

static long unmap(long n, long b, long c)
{
    uint64_t gfn = gfn_of(pages[n]);

    (void)b, (void)c;
    pages[n][0] = OLD;
    if (read(pages[n]) != OLD || decrease(DOMID_SELF, 0, &gfn, 1) != 1) return -2;
    return read(pages[n]);
}

static long remap(long n, long from, long c)
{
    (void)c;
    pages[from][0] = NEW;
    pages[n][0] = OLD;
    if (read(pages[n]) != OLD) return -2;
    if (add_to_physmap(DOMID_SELF, XENMAPSPACE_gmfn, gfn_of(pages[from]), gfn_of(pages[n])))
        return -3;
    return read(pages[n]);
}

/* dom0 may keep the page that is replaced. */
static long lend(long n, long ref, long c)
{
    (void)c;
    grant_access((grant_ref_t)ref, 0, (void *)pages[n], false);
    return 0;
}

/* By a page of the core's, which had no place before: nothing is unmapped. */
static long replace(long n, long b, long c)
{
    (void)b, (void)c;
    pages[n][0] = OLD;
    if (read(pages[n]) != OLD) return -2;
    if (add_to_physmap(DOMID_SELF, XENMAPSPACE_grant_table, 8, gfn_of(pages[n]))) return -3;
    return read(pages[n]);
}

/* dom0's page, writable and then not. */
static long permission(long ref, long b, long c)
{
    volatile long *at = WINDOW_PAGE(120);
    grant_handle_t handle;

    (void)b, (void)c;
    if (grant_map(0, (grant_ref_t)ref, (void *)at, false, &handle)) return -2;
    *at = OLD;
    if (grant_unmap((void *)at, handle) ||
        grant_map(0, (grant_ref_t)ref, (void *)at, true, &handle))
        return -3;
    *at = NEW; /* dropped */
    return grant_unmap((void *)at, handle) ? -4 : 0;
}

static long grant_gone(long ref, long b, long c)
{
    volatile long *at = WINDOW_PAGE(121);
    grant_handle_t handle;

    (void)b, (void)c;
    if (grant_map(0, (grant_ref_t)ref, (void *)at, false, &handle)) return -2;
    if (*at != OLD || grant_unmap((void *)at, handle)) return -3;
    return *at;
}

/* --- in the guest, while others act --- */

/* Reads until it sees something else, or for as long. */
static long watch(long n, long ms, long c)
{
    uint64_t end = now() + (uint64_t)ms * NS_PER_MS;
    long seen;

    (void)c;
    while ((seen = read(pages[n])) == OLD && now() < end) let_host_in();
    return seen;
}

/* Tables for FAR, under that root; the last, whose first entry it is. */
static uint64_t *make_tables(uint64_t *root)
{
    uint64_t *pdpt = page_alloc(), *pd = page_alloc(), *pt = page_alloc();

    root[1] = (uint64_t)pdpt | 3;
    pdpt[0] = (uint64_t)pd | 3;
    pd[0] = (uint64_t)pt | 3;
    return pt;
}

/* Points FAR at a page of the guest's, by 4 KiB tables of its own. */
static long point_far(long n, long b, long c)
{
    static uint64_t *pt;

    (void)b, (void)c;
    if (!pt) pt = make_tables(pml4);
    pt[0] = (uint64_t)pages[n] | 3;
    asm volatile("invlpg (%0)" ::"r"(FAR) : "memory");
    return read((void *)FAR);
}

static long peek_far(long a, long b, long c)
{
    (void)a, (void)b, (void)c;
    return read((void *)FAR);
}

static long peek_constant(long a, long b, long c)
{
    (void)a, (void)b, (void)c;
    return (long)constant;
}

/* --- a guest whose two vCPUs have a page each at FAR --- */

/* Words of the mailbox. */
#define LOOKS 4 /* of each vCPU */
#define WRONG 6

static uint64_t *roots[2];

static void make_root(unsigned int cpu)
{
    roots[cpu] = page_alloc();
    for (unsigned int i = 0; i < 512; i++) roots[cpu][i] = pml4[i];
    make_tables(roots[cpu])[0] = (uint64_t)pages[cpu] | 3;
    pages[cpu][0] = cpu + 1;
}

static void look_at_own(void *arg)
{
    unsigned int me = this_cpu()->index;

    (void)arg;
    asm volatile("mov %0, %%cr3" ::"r"(roots[me]) : "memory");
    for (;;) {
        if (read((void *)FAR) != (long)me + 1) MAILBOX[WRONG]++;
        MAILBOX[LOOKS + me]++;
        sched_op(SCHEDOP_yield, 0);
    }
}

void guest_main(const char *role)
{
    (void)role;
    make_root(0);
    make_root(1);
    apic_enable(true);
    if (cpu_start(1)) cpu_run_async(1, look_at_own, NULL);
    look_at_own(NULL);
}

/* --- dom0 --- */

static void pin_vcpu(const struct guest *g, unsigned int vcpu, uint8_t mask)
{
    check_eq(vcpu_pin(g->id, vcpu, mask), 0, "pin");
}

static void pin(const struct guest *g, uint8_t mask)
{
    pin_vcpu(g, 0, mask);
}

static void on_one_cpu(struct guest *g)
{
    static volatile long lent[512] __attribute__((aligned(4096)));
    grant_handle_t kept;

    check_eq(guest_call(g, map_after_miss, 0, 0, 0), NEW, "mapped after a miss");
    check_eq(guest_call(g, unmap, 1, 0, 0), HOLE, "unmapped by itself");
    check_eq(guest_call(g, remap, 2, 3, 0), NEW, "remapped");
    guest_call(g, lend, 8, 9, 0);
    check_eq(grant_map(g->id, 9, WINDOW_PAGE(122), false, &kept), 0, "dom0 keeps a page");
    check_eq(guest_call(g, replace, 8, 0, 0), 0, "replaced by a frame of its grant table");
    check_eq(*(volatile long *)WINDOW_PAGE(122), OLD, "the page is as it was");
    check_eq(grant_unmap(WINDOW_PAGE(122), kept), 0, "and goes");
    grant_access(40, g->id, (void *)lent, false);
    check_eq(guest_call(g, permission, 40, 0, 0), 0, "a grant, writable, then read-only");
    check_eq(lent[0], OLD, "the write after that is lost");
    check_eq(guest_call(g, grant_gone, 40, 0, 0), HOLE, "a grant unmapped");
}

static void from_outside(struct guest *g)
{
    long seen = 0;

    guest_call(g, poke, 4, OLD, 0);
    guest_call_async(g, watch, 4, 2000, 0);
    delay(20 * NS_PER_MS);
    check(!guest_called(g, &seen), "it looks at its page");
    check_eq(remove_from_physmap(g->id, gfn_of(pages[4])), 0, "dom0 takes the page");
    while (!guest_called(g, &seen)) nap(NS_PER_MS);
    check_eq(seen, HOLE, "unmapped by another CPU");
}

static void migration(struct guest *g)
{
    guest_call(g, poke, 5, OLD, 0);
    guest_call(g, poke, 6, NEW, 0);
    pin(g, 1);
    check_eq(guest_call(g, point_far, 5, 0, 0), OLD, "on CPU 0");
    pin(g, 2);
    check_eq(guest_call(g, point_far, 6, 0, 0), NEW, "pointed elsewhere on CPU 1");
    pin(g, 1);
    check_eq(guest_call(g, peek_far, 0, 0, 0), NEW, "its tables, back on CPU 0");
    check_eq(guest_call(g, peek, 5, 0, 0), OLD, "another page, on CPU 0");
    pin(g, 2);
    check_eq(guest_call(g, remap, 5, 6, 0), NEW, "remapped on CPU 1");
    pin(g, 1);
    check_eq(guest_call(g, peek, 5, 0, 0), NEW, "the p2m, back on CPU 0");
}

/* vCPUs of one domain, which has one p2m, meet on a CPU and part again. */
static void meeting(void)
{
    struct guest g;

    guest_create(&g, &(struct guest_config){.cmdline = "role=two", .vcpus = 2, .slot = 3});
    pin_vcpu(&g, 0, 1);
    pin_vcpu(&g, 1, 2);
    guest_unpause(&g);
    for (unsigned int i = 0; i < 12; i++) {
        uint64_t first, second;

        /* 0 and 1, both on 1, 1 and 0, both on 0 */
        pin_vcpu(&g, 0, "\1\2\2\1"[i % 4]);
        pin_vcpu(&g, 1, "\2\2\1\1"[i % 4]);
        first = g.box[LOOKS], second = g.box[LOOKS + 1];
        for (uint64_t end = now() + 2 * NS_PER_S; now() < end; nap(NS_PER_MS))
            if (g.box[LOOKS] > first + 20 && g.box[LOOKS + 1] > second + 20) break;
        check(g.box[LOOKS] > first + 20 && g.box[LOOKS + 1] > second + 20, "both look");
    }
    check_eq((long)g.box[WRONG], 0, "another vCPU's page");
    check(guest_destroy(&g), "destroyed");
}

/* A new domain may have the tables, and so the tag, of one that is gone. */
static void tag_reuse(void)
{
    struct guest g, holder;

    for (long i = 0; i < 4; i++) {
        servant_start(&g, 1);
        pin(&g, 1);
        guest_call(&g, poke, 7, i + 1, 0);
        check_eq(guest_call(&g, peek_constant, 0, 0, 0), (long)constant, "its own image");
        check(guest_destroy(&g), "destroyed");
        /* The frames it had go to another, so that the next one has others. */
        guest_create(&holder, &(struct guest_config){.slot = 2, .empty = true});
        servant_start(&g, 1);
        pin(&g, 1);
        check_eq(guest_call(&g, peek, 7, 0, 0), 0, "nothing of its predecessor");
        check(guest_destroy(&g), "destroyed");
        check(guest_destroy(&holder), "destroyed");
    }
}

void test_main(void)
{
    struct guest g;

    servant_start(&g, 0);
    pin(&g, 2);
    on_one_cpu(&g);
    from_outside(&g);
    migration(&g);
    check(guest_destroy(&g), "destroyed");
    meeting();
    tag_reuse();
}
