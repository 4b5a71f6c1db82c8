/* SPDX-License-Identifier: Apache-2.0 */
/* Grant tables: map, unmap, copy, the end of either domain, two CPUs. */
#define GROUP "grant"
#include "fake_vm.h"
#include "hypercall/grant.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include <pthread.h>
#include <string.h>
#include <xen/grant_table.h>

#define NR    __HYPERVISOR_grant_table_op
#define RW    (GNTMAP_host_map)
#define RO    (GNTMAP_host_map | GNTMAP_readonly)
#define AT(g) ((uint64_t)(g) << PAGE_SHIFT)

static struct domain *d0, *d1, *d2;
static volatile struct grant_entry_v1 *table; /* d1's */

/* d0: frames 0-15 at gfn 0-15; d1: frames 32-47 at gfn 0-15; d2: none. */
static void setup(void)
{
    memset(&fake, 0, sizeof(fake));
    fake_init();
    d0 = fake_domain(0, true, 2);
    d1 = fake_domain(1, false, 1);
    d2 = fake_domain(2, false, 1);
    CHECK_EQ(grant_init(d0, -1, -1), 0);
    CHECK_EQ(grant_init(d1, 4, 1), 0);
    CHECK_EQ(grant_init(d2, 1, 0), 0);
    for (int i = 0; i < 16; i++) {
        fake_give(d0, i, i);
        fake_give(d1, i, 32 + i);
    }
    table = core_from_mfn(grant_table_frame(d1, 0));
}

/* As domain_kill does. */
static void kill(struct domain *d)
{
    d->dying = DYING;
    while (grant_release(d))
        ;
    while (p2m_release(d))
        ;
    d->dying = DEAD;
}

static void teardown(void)
{
    struct domain *all[] = {d0, d1, d2};

    for (int i = 0; i < 3; i++) kill(all[i]);
    CHECK_EQ(fake_frames_used(), 0);
    for (int i = 0; i < 3; i++) {
        grant_free(all[i]);
        fake_domain_free(all[i]);
    }
    CHECK_EQ(fake_heap_used(), 0);
}

static void grant(uint32_t ref, domid_t to, uint32_t gfn, uint16_t flags)
{
    table[ref].domid = to;
    table[ref].frame = gfn;
    table[ref].flags = GTF_permit_access | flags;
}

static long op(struct domain *d, unsigned int cmd, void *ops, unsigned int n)
{
    return fake_call(d->vcpus[0], NR, cmd, (uintptr_t)ops, n);
}

/* Returns the status; the handle in *h. */
static int map(struct domain *by, domid_t dom, uint32_t ref, uint64_t gfn, uint32_t flags,
               uint32_t *h)
{
    struct gnttab_map_grant_ref m = {
        .host_addr = AT(gfn), .flags = flags, .ref = ref, .dom = dom, .status = 77};

    CHECK_EQ(op(by, GNTTABOP_map_grant_ref, &m, 1), 0);
    *h = m.handle;
    return m.status;
}

static int unmap(struct domain *by, uint64_t gfn, uint32_t h)
{
    struct gnttab_unmap_grant_ref u = {.host_addr = AT(gfn), .handle = h, .status = 77};

    CHECK_EQ(op(by, GNTTABOP_unmap_grant_ref, &u, 1), 0);
    return u.status;
}

static void test_map_unmap(void)
{
    uint32_t h, h2;
    uint64_t refs;

    setup();
    refs = d1->refs;
    grant(8, 0, 3, 0);
    CHECK_EQ(map(d0, 1, 8, 100, RW, &h), GNTST_okay);
    CHECK_EQ(p2m_lookup(d0, 100).mfn, 35);
    CHECK_EQ(p2m_lookup(d0, 100).type, P2M_GRANT_RW);
    CHECK_EQ(table[8].flags, GTF_permit_access | GTF_reading | GTF_writing);
    CHECK_EQ(d1->refs, refs + 1);
    CHECK_EQ(map(d0, 1, 8, 101, RO, &h2), GNTST_okay);
    CHECK_EQ(p2m_lookup(d0, 101).type, P2M_GRANT_RO);
    CHECK(h != h2);

    CHECK_EQ(unmap(d0, 101, h), GNTST_bad_virt_addr);
    CHECK_EQ(unmap(d0, 100, 12345678), GNTST_bad_handle);
    CHECK_EQ(unmap(d1, 100, h), GNTST_bad_handle); /* not its handle */
    CHECK_EQ(unmap(d0, 100, h), GNTST_okay);
    CHECK_EQ(p2m_lookup(d0, 100).type, P2M_NONE);
    CHECK_EQ(table[8].flags, GTF_permit_access | GTF_reading);
    CHECK_EQ(unmap(d0, 100, h), GNTST_bad_handle);
    CHECK_EQ(unmap(d0, 101, h2), GNTST_okay);
    CHECK_EQ(table[8].flags, GTF_permit_access);
    CHECK_EQ(d1->refs, refs);
    /* Over RAM of its own: that frame is given back. */
    CHECK_EQ(map(d0, 1, 8, 5, RW, &h), GNTST_okay);
    CHECK_EQ(fake_frames_used(), 31);
    CHECK_EQ(unmap(d0, 5, h), GNTST_okay);
    CHECK_EQ(p2m_lookup(d0, 5).type, P2M_NONE);
    teardown();
}

static void test_refusals(void)
{
    uint32_t h;

    setup();
    grant(8, 0, 3, GTF_readonly);
    CHECK_EQ(map(d0, 1, 8, 100, RW, &h), GNTST_general_error);
    CHECK_EQ(table[8].flags, GTF_permit_access | GTF_readonly);
    CHECK_EQ(map(d2, 1, 8, 100, RO, &h), GNTST_no_device_space);
    CHECK_EQ(map(d1, 1, 8, 100, RO, &h), GNTST_general_error); /* for dom0 */
    CHECK_EQ(map(d0, 1, 9, 100, RO, &h), GNTST_general_error); /* empty */
    CHECK_EQ(map(d0, 1, 512, 100, RO, &h), GNTST_bad_gntref);
    CHECK_EQ(map(d0, 1, 0xffffffff, 100, RO, &h), GNTST_bad_gntref);
    CHECK_EQ(map(d0, 6, 8, 100, RO, &h), GNTST_bad_domain);
    CHECK_EQ(map(d0, DOMID_SELF, 8, 100, RO, &h), GNTST_bad_domain);
    CHECK_EQ(map(d0, 1, 8, 100, RO | GNTMAP_device_map, &h), GNTST_general_error);
    CHECK_EQ(map(d0, 1, 8, 100, GNTMAP_readonly, &h), GNTST_general_error);
    CHECK_EQ(map(d0, 1, 8, 1ull << 36, RO, &h), GNTST_general_error);
    CHECK_EQ(table[8].flags, GTF_permit_access | GTF_readonly);
    grant(8, 0, 16, 0); /* no memory there */
    CHECK_EQ(map(d0, 1, 8, 100, RO, &h), GNTST_bad_page);
    CHECK_EQ(table[8].flags, GTF_permit_access);
    table[8].flags = GTF_accept_transfer;
    CHECK_EQ(map(d0, 1, 8, 100, RO, &h), GNTST_general_error);
    CHECK_EQ(op(d0, GNTTABOP_map_grant_ref, NULL, 1), -XEN_EFAULT);
    CHECK_EQ(op(d0, GNTTABOP_map_grant_ref, NULL, 0xffffffff), -XEN_EINVAL);
    CHECK_EQ(op(d0, GNTTABOP_map_grant_ref, NULL, 0), 0);
    CHECK_EQ(op(d0, GNTTABOP_transfer, NULL, 1), -XEN_ENOSYS);
    CHECK_EQ(op(d0, GNTTABOP_unmap_and_replace, NULL, 1), -XEN_ENOSYS);
    CHECK_EQ(op(d0, 0xffff, NULL, 1), -XEN_ENOSYS);
    /* What dom0 has mapped of d1 is not dom0's to grant. */
    grant(8, 0, 3, 0);
    CHECK_EQ(map(d0, 1, 8, 100, RW, &h), GNTST_okay);
    table = core_from_mfn(grant_table_frame(d0, 0));
    grant(8, 1, 100, 0);
    CHECK_EQ(map(d1, 0, 8, 200, RW, &h), GNTST_bad_page);
    teardown();
}

static void test_maptrack_limit(void)
{
    uint32_t h;
    int n = 0, status;

    setup(); /* d1 may have 256 mappings */
    table = core_from_mfn(grant_table_frame(d0, 0));
    grant(1, 1, 2, 0);
    while ((status = map(d1, 0, 1, 1000 + n, RW, &h)) == GNTST_okay && n < 999) n++;
    CHECK_EQ(status, GNTST_no_device_space);
    CHECK_EQ(n, 256);
    CHECK_EQ(unmap(d1, 1000 + 255, 255), GNTST_okay);
    CHECK_EQ(map(d1, 0, 1, 2000, RW, &h), GNTST_okay);
    CHECK_EQ(h, 255);
    teardown();
}

/* The mapper replaced the page itself before it unmapped. */
static void test_replaced(void)
{
    struct p2m_entry old;
    uint32_t h, h2;

    setup();
    grant(8, 0, 3, 0);
    grant(9, 0, 4, 0);
    CHECK_EQ(map(d0, 1, 8, 100, RW, &h), GNTST_okay);
    CHECK_EQ(map(d0, 1, 9, 100, RW, &h2), GNTST_okay);
    CHECK_EQ(frame_owner(35), 1);
    CHECK_EQ(unmap(d0, 100, h), GNTST_okay);
    CHECK_EQ(p2m_lookup(d0, 100).mfn, 36); /* the second stays */
    CHECK_EQ(p2m_remove(d0, 100, ORDER_4K, MFN_INVALID, P2M_NONE, &old), 0);
    p2m_drop_entry(&old);
    CHECK_EQ(unmap(d0, 100, h2), GNTST_okay);
    CHECK_EQ(table[9].flags, GTF_permit_access);
    teardown();
}

static void test_granter_dies(void)
{
    uint32_t h;

    setup();
    grant(8, 0, 3, 0);
    CHECK_EQ(map(d0, 1, 8, 100, RW, &h), GNTST_okay);
    strcpy(fake_ram[35], "still there");
    kill(d1);
    CHECK_EQ(fake_frames_used(), 17); /* one of d1 lives on */
    CHECK_EQ(strcmp(fake_ram[35], "still there"), 0);
    CHECK(d1->refs > 1);
    CHECK_EQ(map(d0, 1, 8, 101, RW, &h), GNTST_bad_domain);
    CHECK_EQ(unmap(d0, 100, 0), GNTST_okay);
    CHECK_EQ(fake_frames_used(), 16);
    CHECK_EQ(d1->refs, 1);
    teardown();
}

static void test_mapper_dies(void)
{
    uint32_t h;

    setup();
    grant(8, 0, 3, 0);
    for (int i = 0; i < 300; i++) CHECK_EQ(map(d0, 1, 8, 100 + i, i % 2 ? RO : RW, &h), GNTST_okay);
    fake.preempt_every = 3;
    kill(d0);
    fake.preempt_every = 0;
    CHECK_EQ(table[8].flags, GTF_permit_access);
    CHECK_EQ(fake_frames_used(), 16);
    teardown();
}

/* What is mapped after a soft reset goes at the domain's end, too. */
static void test_released_twice(void)
{
    uint64_t refs;
    uint32_t h;

    setup();
    refs = d1->refs;
    grant(8, 0, 3, 0);
    CHECK_EQ(map(d0, 1, 8, 100, RW, &h), GNTST_okay);
    CHECK_EQ(grant_release(d0), 0);
    CHECK_EQ(d1->refs, refs);
    CHECK_EQ(map(d0, 1, 8, 100, RW, &h), GNTST_okay);
    CHECK_EQ(grant_release(d0), 0);
    CHECK_EQ(d1->refs, refs);
    CHECK_EQ(p2m_lookup(d0, 100).type, P2M_NONE);
    teardown();
}

static void test_batch(void)
{
    struct gnttab_map_grant_ref m[100];
    struct gnttab_unmap_grant_ref u[100];
    uint64_t generation;

    setup();
    memset(m, 0, sizeof(m));
    for (int i = 0; i < 100; i++) {
        grant(i, 0, i % 16, 0);
        m[i] = (struct gnttab_map_grant_ref){
            .host_addr = AT(100 + i), .flags = RW, .ref = i, .dom = 1};
    }
    m[50].ref = 600; /* one bad among good ones */
    fake.preempt_every = 1;
    CHECK_EQ(op(d0, GNTTABOP_map_grant_ref, m, 100), 0);
    CHECK_EQ(fake.continuations, 3);
    fake.preempt_every = 0;
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(m[i].status, i == 50 ? GNTST_bad_gntref : GNTST_okay);
        u[i] = (struct gnttab_unmap_grant_ref){.host_addr = m[i].host_addr, .handle = m[i].handle};
    }
    u[50].handle = u[49].handle; /* twice in one batch */
    u[50].host_addr = u[49].host_addr;
    generation = d0->p2m->generation;
    CHECK_EQ(op(d0, GNTTABOP_unmap_grant_ref, u, 100), 0);
    CHECK_EQ(d0->p2m->generation, generation + 4); /* one flush in 32 */
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(u[i].status, i == 50 ? GNTST_bad_handle : GNTST_okay);
        CHECK_EQ(table[i].flags, GTF_permit_access);
        CHECK_EQ(p2m_lookup(d0, 100 + i).type, P2M_NONE);
    }
    teardown();
}

static int copy(struct domain *by, struct gnttab_copy c)
{
    c.status = 77;
    CHECK_EQ(op(by, GNTTABOP_copy, &c, 1), 0);
    return c.status;
}

static void test_copy(void)
{
    struct gnttab_copy c = {
        .source = {.u.ref = 8, .domid = 1, .offset = 100},
        .dest = {.u.gmfn = 2, .domid = DOMID_SELF, .offset = 4000},
        .len = 96,
        .flags = GNTCOPY_source_gref,
    };

    setup();
    grant(8, 0, 3, GTF_readonly);
    strcpy(fake_ram[35] + 100, "hello");
    CHECK_EQ(copy(d0, c), GNTST_okay);
    CHECK_EQ(strcmp(fake_ram[2] + 4000, "hello"), 0);
    CHECK_EQ(table[8].flags, GTF_permit_access | GTF_readonly);
    c.len = 97;
    CHECK_EQ(copy(d0, c), GNTST_bad_copy_arg);
    c.len = 10;
    c.source.offset = 0xffff;
    CHECK_EQ(copy(d0, c), GNTST_bad_copy_arg);
    c.source.offset = 0;
    c.source.u.ref = 9;
    CHECK_EQ(copy(d0, c), GNTST_general_error);
    c.source.domid = 6;
    CHECK_EQ(copy(d0, c), GNTST_bad_domain);
    c.flags = 0; /* a frame of another by its number */
    c.source.domid = 1;
    c.source.u.gmfn = 3;
    CHECK_EQ(copy(d0, c), GNTST_permission_denied);
    c.source.domid = DOMID_SELF;
    c.source.u.gmfn = 99;
    CHECK_EQ(copy(d0, c), GNTST_bad_page);
    c.source.u.gmfn = 0;
    CHECK_EQ(copy(d0, c), GNTST_okay);
    /* Into a read-only grant: no. */
    c.flags = GNTCOPY_dest_gref;
    c.dest.u.ref = 8;
    c.dest.domid = 1;
    CHECK_EQ(copy(d0, c), GNTST_general_error);
    grant(8, 0, 3, 0);
    CHECK_EQ(copy(d2, c), GNTST_bad_page); /* d2 has no memory at all */
    CHECK_EQ(copy(d1, c), GNTST_general_error);
    CHECK_EQ(copy(d0, c), GNTST_okay);
    CHECK_EQ(table[8].flags, GTF_permit_access);
    teardown();
}

/* Sides that are kept open from one operation to the next. */
static void test_copy_batch(void)
{
    struct gnttab_copy c[40];
    uint64_t refs;

    setup();
    refs = d1->refs;
    memset(c, 0, sizeof(c));
    for (int i = 0; i < 40; i++) {
        grant(i, 0, i % 16, 0);
        fake_ram[1][i] = i + 1;
        c[i] = (struct gnttab_copy){
            .source = {.u.gmfn = 1, .domid = DOMID_SELF, .offset = i},
            .dest = {.u.ref = i / 4, .domid = 1, .offset = i},
            .len = 1,
            .flags = GNTCOPY_dest_gref,
        };
    }
    c[7].dest.u.ref = 511; /* not granted; the next is good again */
    CHECK_EQ(op(d0, GNTTABOP_copy, c, 40), 0);
    for (int i = 0; i < 40; i++) {
        CHECK_EQ(c[i].status, i == 7 ? GNTST_general_error : GNTST_okay);
        CHECK_EQ(fake_ram[32 + i / 4][i], i == 7 ? 0 : i + 1);
        CHECK_EQ(table[i].flags, GTF_permit_access);
    }
    CHECK_EQ(d1->refs, refs);
    teardown();
}

static void test_table(void)
{
    struct gnttab_query_size q = {.dom = DOMID_SELF};
    struct gnttab_get_version g = {.dom = DOMID_SELF};
    struct gnttab_set_version s = {1};
    struct gnttab_setup_table t = {.dom = DOMID_SELF, .nr_frames = 3};
    xen_pfn_t list[4] = {0};
    uint64_t mfn;

    setup();
    CHECK_EQ(op(d1, GNTTABOP_query_size, &q, 1), 0);
    CHECK_EQ(q.status, GNTST_okay);
    CHECK_EQ(q.nr_frames, 1);
    CHECK_EQ(q.max_nr_frames, 4);
    CHECK_EQ(op(d1, GNTTABOP_query_size, &q, 2), -XEN_EINVAL);
    q.dom = 0;
    CHECK_EQ(op(d1, GNTTABOP_query_size, &q, 1), 0);
    CHECK_EQ(q.status, GNTST_permission_denied);
    mfn = grant_table_frame(d1, 2); /* the highest first */
    CHECK(mfn != MFN_INVALID);
    CHECK_EQ(grant_table_frames(d1), 3);
    CHECK_EQ(grant_table_frame(d1, 2), mfn);
    CHECK_EQ(grant_table_frame(d1, 4), MFN_INVALID);
    CHECK_EQ(grant_table_frame(d1, 0xffffffff), MFN_INVALID);
    fake.no_memory = true;
    CHECK_EQ(grant_table_frame(d1, 3), MFN_INVALID);
    fake.no_memory = false;
    CHECK_EQ(grant_table_frames(d1), 3);
    t.frame_list.p = list;
    CHECK_EQ(op(d1, GNTTABOP_setup_table, &t, 1), 0);
    CHECK_EQ(t.status, GNTST_okay);
    CHECK_EQ(list[2], ~0ul);
    CHECK_EQ(list[3], 0);
    t.nr_frames = 5;
    CHECK_EQ(op(d1, GNTTABOP_setup_table, &t, 1), 0);
    CHECK_EQ(t.status, GNTST_general_error);
    CHECK_EQ(op(d1, GNTTABOP_get_version, &g, 1), 0);
    CHECK_EQ(g.version, 1);
    CHECK_EQ(op(d1, GNTTABOP_set_version, &s, 1), 0);
    s.version = 2;
    CHECK_EQ(op(d1, GNTTABOP_set_version, &s, 1), -XEN_EOPNOTSUPP);
    s.version = 3;
    CHECK_EQ(op(d1, GNTTABOP_set_version, &s, 1), -XEN_EINVAL);
    CHECK_EQ(grant_table_frames(d2), 1);
    CHECK_EQ(grant_table_frames(d1), 3);
    teardown();
}

/* --- two CPUs of dom0 at one grant --- */

#define ROUNDS 20000

static void *race(void *data)
{
    struct vcpu *v = data;

    fake_init();
    for (int i = 0; i < ROUNDS; i++) {
        struct gnttab_map_grant_ref m = {.host_addr = AT(100), .flags = RW, .ref = 8, .dom = 1};
        struct gnttab_unmap_grant_ref u = {.host_addr = AT(100)};
        struct gnttab_copy c = {
            .source = {.u.ref = 8, .domid = 1},
            .dest = {.u.gmfn = 2, .domid = DOMID_SELF},
            .len = 8,
            .flags = GNTCOPY_source_gref,
        };

        fake_call(v, NR, GNTTABOP_map_grant_ref, (uintptr_t)&m, 1);
        CHECK_EQ(m.status, GNTST_okay);
        fake_call(v, NR, GNTTABOP_copy, (uintptr_t)&c, 1);
        CHECK_EQ(c.status, GNTST_okay);
        for (u.handle = 0; u.handle < 2; u.handle++)
            fake_call(v, NR, GNTTABOP_unmap_grant_ref, (uintptr_t)&u, 1);
    }
    return NULL;
}

static void test_race(void)
{
    pthread_t a, b;
    uint64_t refs;

    setup();
    refs = d1->refs;
    grant(8, 0, 3, 0);
    pthread_create(&a, NULL, race, d0->vcpus[0]);
    pthread_create(&b, NULL, race, d0->vcpus[1]);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    for (uint32_t h = 0; h < 2; h++) unmap(d0, 100, h);
    CHECK_EQ(table[8].flags, GTF_permit_access);
    CHECK_EQ(d1->refs, refs);
    CHECK_EQ(frame_owner(35), 1);
    teardown();
}

int main(void)
{
    RUN(map_unmap);
    RUN(refusals);
    RUN(maptrack_limit);
    RUN(replaced);
    RUN(granter_dies);
    RUN(mapper_dies);
    RUN(released_twice);
    RUN(batch);
    RUN(copy);
    RUN(copy_batch);
    RUN(table);
    RUN(race);
    return test_failed != 0;
}
