/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No translation outlives its mapping.  Here are a model of what processors
 * and an IOMMU may keep, and a case for each rule of when the core has to flush.
 * docs/testing.md says which case fails when which flush is taken out.
 */
#include "tlb_model.h"
#include "hypercall/grant.h"
#include "memory/frame.h"
#include "vm/p2m_tables.h"
#include "vm/vcpu.h"
#include "vm/vendor.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xen/grant_table.h>
#include <xen/memory.h>

#define GROUP model_name
#define CPUS  3
#define KEPT  64
#define VAS   16         /* pages of the guest that it looks at           */
#define BIG   (1ul << 9) /* gfn of a 2 MiB page                           */
#define HOLE  MFN_INVALID
#define LOST  (MFN_INVALID - 1) /* a write that the guest may not do         */

struct kept {
    uint64_t tag, at; /* tag 0: free                                       */
    struct tags both; /* of a linear one                                   */
    uint64_t mfn;     /* of a nested one that is a pointer: 0              */
    uint64_t *table;
    bool write;
};

/* What one CPU keeps, and for whom it runs. */
static struct {
    struct kept linear[KEPT], nested[KEPT], pointer[KEPT];
    struct vcpu *guest;
    struct tags now;
} model[CPUS];
static struct kept dma[KEPT]; /* the IOMMU's, by gfn */

static struct cpu machine[CPUS], *first;
static struct domain idle_domain = {.id = DOMID_IDLE};
static struct vcpu idle = {.domain = &idle_domain};
static struct domain *d0, *d1;
static uint64_t guest_table[VAS]; /* d1's own: page to gfn */

/* --- what is kept --- */

static struct kept *find(struct kept *k, uint64_t tag, uint64_t at)
{
    for (unsigned int i = 0; i < KEPT; i++)
        if (k[i].tag == tag && k[i].at == at) return &k[i];
    return NULL;
}

static struct kept *keep(struct kept *k, const struct kept *what)
{
    struct kept *room = find(k, what->tag, what->at);

    if (!room) room = find(k, 0, 0);
    ASSERT(room); /* of a test's size */
    *room = *what;
    return room;
}

static void drop(struct kept *k, bool all, uint64_t nested)
{
    for (unsigned int i = 0; i < KEPT; i++)
        if (all || k[i].both.nested == nested) k[i] = (struct kept){0};
}

void model_drop_linear(struct cpu *c)
{
    drop(model[c->id].linear, true, 0);
}

void model_drop_nested(struct cpu *c, uint64_t nested)
{
    drop(model[c->id].linear, false, nested);
    drop(model[c->id].nested, false, nested);
    drop(model[c->id].pointer, false, nested);
}

void model_drop_all(struct cpu *c)
{
    memset(model[c->id].linear, 0, sizeof(model[c->id].linear));
    memset(model[c->id].nested, 0, sizeof(model[c->id].nested));
    memset(model[c->id].pointer, 0, sizeof(model[c->id].pointer));
}

static void iommu_flushed(struct domain *d)
{
    CHECK(d == d1);
    memset(dma, 0, sizeof(dma));
}

/* --- walks --- */

/* Looks gfn up in the tables; the lowest table may be known already.  False:
 * nothing there. */
static bool walk(struct domain *d, uint64_t gfn, const struct kept *known, struct kept *leaf,
                 struct kept *pointer)
{
    uint64_t *t = known ? known->table : d->p2m->root, e = 0;
    unsigned int level = known ? 1 : 4;

    leaf->write = known ? known->write : true;
    for (;; t = table_at(e), level--) {
        if (level == 1) {
            pointer->table = t;
            pointer->write = leaf->write;
        }
        e = t[index_at(gfn, level)];
        if (!is_present(e)) return false;
        leaf->write &= !!(e & ENTRY_WRITE);
        if (!is_table(e, level)) break;
    }
    leaf->mfn = ((e & ENTRY_ADDR) >> PAGE_SHIFT) + (gfn & (LEAF_PAGES(level) - 1));
    return true;
}

/* gfn by what CPU c keeps of nested translations, else by the tables. */
static const struct kept *nested(unsigned int c, uint64_t gfn)
{
    uint64_t tag = model[c].now.nested;
    struct kept *k = find(model[c].nested, tag, gfn), *known;
    struct kept leaf = {.tag = tag, .at = gfn, .both = model[c].now};
    struct kept pointer = {.tag = tag, .at = gfn >> 9, .both = model[c].now};
    bool there;

    if (k) return k;
    known = find(model[c].pointer, tag, gfn >> 9);
    there = walk(model[c].guest->domain, gfn, known, &leaf, &pointer);
    if (pointer.table && !known) keep(model[c].pointer, &pointer);
    return there ? keep(model[c].nested, &leaf) : NULL;
}

/* --- CPUs and guests --- */

static void as_cpu(unsigned int c)
{
    first->self = c ? &machine[c] : first;
}

static struct cpu *cpu(unsigned int c)
{
    return cpus[c];
}

static void enter(unsigned int c, struct vcpu *v)
{
    cpu(c)->current = v;
    model[c].guest = v;
    model[c].now = model_enter(v, cpu(c));
    cpu(c)->passes++;
    CHECK(!(cpu(c)->passes & 1));
}

static void leave(unsigned int c)
{
    cpu(c)->passes++;
    CHECK(cpu(c)->passes & 1);
    model[c].guest = NULL;
}

/* An interrupt: out of the guest and in again. */
static void kick(struct cpu *c)
{
    struct vcpu *v = model[c->id].guest;

    CHECK(v != NULL);
    leave(c->id);
    enter(c->id, v);
}

/* The guest on CPU c looks at a page, or writes to it: the frame that it gets. */
static uint64_t look(unsigned int c, unsigned int page, bool write)
{
    struct domain *d = model[c].guest->domain;

    for (unsigned int tries = 0; tries < 4; tries++) {
        struct kept *l = find(model[c].linear, model[c].now.linear, page);
        struct vcpu *v = model[c].guest;
        bool ours;

        if (!l) {
            const struct kept *n = nested(c, guest_table[page]);

            if (!n) return HOLE;
            l = keep(model[c].linear, &(struct kept){.tag = model[c].now.linear,
                                                     .at = page,
                                                     .both = model[c].now,
                                                     .mfn = n->mfn,
                                                     .write = n->write});
        }
        if (!write || l->write) return l->mfn;
        leave(c);
        as_cpu(c);
        ours = logdirty_fault(d, guest_table[page]);
        as_cpu(0);
        enter(c, v);
        if (!ours) return LOST;
    }
    return LOST; /* the same fault for ever */
}

static uint64_t reads(unsigned int c, unsigned int page)
{
    return look(c, page, false);
}

static uint64_t writes(unsigned int c, unsigned int page)
{
    return look(c, page, true);
}

/* What is there. */
static uint64_t truth(unsigned int page)
{
    return p2m_lookup(d1, guest_table[page]).mfn;
}

/* The guest changes a table of its own, and says so to its CPU. */
static void guest_maps(unsigned int c, unsigned int page, uint64_t gfn)
{
    struct kept *l = find(model[c].linear, model[c].now.linear, page);

    guest_table[page] = gfn;
    if (l) *l = (struct kept){0};
}

/* A device of d1 looks at gfn. */
static uint64_t dma_reads(uint64_t gfn)
{
    struct kept *k = find(dma, 1, gfn);

    if (!k) {
        struct p2m_entry e = p2m_lookup(d1, gfn);

        if (e.type == P2M_NONE && !iommu.caches_empty) return HOLE;
        k = keep(dma, &(struct kept){.tag = 1, .at = gfn, .mfn = e.mfn});
    }
    return k->mfn;
}

static void setup(void)
{
    memset(&fake, 0, sizeof(fake));
    memset(model, 0, sizeof(model));
    memset(dma, 0, sizeof(dma));
    fake_init();
    first = this_cpu();
    cpu_count = CPUS;
    for (unsigned int i = 0; i < CPUS; i++) {
        cpus[i] = i ? &machine[i] : first;
        cpus[i]->self = cpus[i];
        cpus[i]->id = i;
        cpus[i]->passes = 1;
        cpus[i]->current = &idle;
        model_cpu(cpus[i]);
    }
    fake.kick = kick;
    d0 = fake_domain(0, true, 1);
    d1 = fake_domain(1, false, CPUS);
    CHECK(!grant_init(d0, 1, 1) && !grant_init(d1, 1, 1));
    for (unsigned int i = 0; i < VAS; i++) {
        guest_table[i] = i;
        if (i < VAS / 2) fake_give(d1, i, 32 + i);
    }
    CHECK_EQ(p2m_add(d1, BIG, BIG, ORDER_2M, P2M_RAM), 0); /* in no RAM of the fake's */
    guest_table[VAS - 2] = BIG + 5;
    guest_table[VAS - 1] = BIG + 6;
    for (unsigned int i = 0; i < CPUS; i++) model_vcpu(d1->vcpus[i]);
}

/* As domain_kill does. */
static void empty(struct domain *d)
{
    struct p2m_entry old;

    for (unsigned int i = 0; i < 512; i++)
        (void)!p2m_remove(d, BIG + i, 0, MFN_INVALID, P2M_RAM, &old);
    while (grant_release(d) || p2m_release(d))
        ;
}

static void teardown(void)
{
    fake.kick = NULL;
    iommu.caches_empty = false;
    fake_iommu_flushed = NULL;
    for (unsigned int i = 0; i < CPUS; i++) cpus[i]->passes = 1;
    empty(d1);
    empty(d0);
    CHECK_EQ(fake_frames_used(), 0);
    grant_free(d1);
    grant_free(d0);
    fake_domain_free(d1);
    fake_domain_free(d0);
    CHECK_EQ(fake_heap_used(), 0);
}

static void replace(uint64_t gfn, uint64_t mfn)
{
    struct p2m_entry old;

    CHECK_EQ(p2m_replace(d1, gfn, mfn, P2M_SHARED, &old), 0);
    p2m_drop_entry(&old);
}

static long memory_op_large(unsigned int cmd, uint64_t gfn, unsigned int order)
{
    struct xen_memory_reservation r = {.nr_extents = 1, .extent_order = order, .domid = 1};

    r.extent_start.p = &gfn;
    return fake_call(d0->vcpus[0], __HYPERVISOR_memory_op, cmd, (uintptr_t)&r, 0);
}

static long memory_op(unsigned int cmd, uint64_t gfn)
{
    return memory_op_large(cmd, gfn, ORDER_4K);
}

/* --- the rules; dom0 acts on CPU 0, guests run on all that have entered --- */

/* A page that was missing: processors keep no such thing, an IOMMU may. */
static void test_map(void)
{
    setup();
    enter(1, d1->vcpus[1]);
    d1->p2m->dma = true;
    iommu.caches_empty = true;
    fake_iommu_flushed = iommu_flushed;
    CHECK_EQ(reads(1, 9), HOLE);
    CHECK_EQ(dma_reads(9), HOLE);
    CHECK_EQ(memory_op(XENMEM_populate_physmap, 9), 1);
    CHECK(truth(9) != HOLE);
    CHECK_EQ(reads(1, 9), truth(9));
    CHECK_EQ(dma_reads(9), truth(9));
    teardown();
}

static void test_unmap(void)
{
    setup();
    enter(1, d1->vcpus[1]);
    d1->p2m->dma = true;
    fake_iommu_flushed = iommu_flushed;
    CHECK_EQ(reads(1, 3), 35);
    CHECK_EQ(dma_reads(3), 35);
    CHECK_EQ(memory_op(XENMEM_decrease_reservation, 3), 1);
    CHECK_EQ(reads(1, 3), HOLE);
    CHECK_EQ(dma_reads(3), HOLE);
    leave(1);
    enter(2, d1->vcpus[2]);
    CHECK_EQ(reads(2, 4), 36);
    leave(2); /* as in a hypercall of its own */
    CHECK_EQ(memory_op(XENMEM_decrease_reservation, 4), 1);
    enter(2, d1->vcpus[2]);
    CHECK_EQ(reads(2, 4), HOLE);
    teardown();
}

/* CPU 1 does not answer before CPU 2 is told, too. */
static void kick_late(struct cpu *c)
{
    if (c->id == 2) kick(cpu(1));
    if (c->id == 2) kick(c);
}

/* A large extent of small pages: one flush, of all CPUs at once. */
static void test_unmap_large(void)
{
    uint64_t generation;

    setup();
    enter(1, d1->vcpus[1]);
    enter(2, d1->vcpus[2]);
    CHECK_EQ(reads(1, 3), 35);
    CHECK_EQ(reads(2, 4), 36);
    generation = d1->p2m->generation;
    fake.kick = kick_late;
    alarm(20);
    CHECK_EQ(memory_op_large(XENMEM_decrease_reservation, 0, ORDER_2M), 0); /* not all */
    alarm(0);
    CHECK_EQ(d1->p2m->generation, generation + 1);
    CHECK_EQ(reads(1, 3), HOLE);
    CHECK_EQ(reads(2, 4), HOLE);
    teardown();
}

static void test_remove(void)
{
    struct p2m_entry old;

    setup();
    enter(1, d1->vcpus[1]);
    CHECK_EQ(reads(1, 3), 35);
    CHECK_EQ(reads(1, VAS - 2), BIG + 5);
    CHECK_EQ(p2m_remove(d1, 3, 0, 35, P2M_RAM, &old), 0);
    p2m_drop_entry(&old);
    CHECK_EQ(reads(1, 3), HOLE);
    CHECK_EQ(p2m_remove(d1, BIG + 5, 0, BIG + 5, P2M_RAM, &old), 0);
    CHECK_EQ(reads(1, VAS - 2), HOLE);
    CHECK_EQ(reads(1, VAS - 1), BIG + 6);
    teardown();
}

static void test_remap(void)
{

    setup();
    enter(1, d1->vcpus[1]);
    CHECK_EQ(reads(1, 2), 34);
    replace(2, 60);
    CHECK_EQ(reads(1, 2), 60);
    CHECK_EQ(writes(1, 2), 60);
    teardown();
}

/* Log-dirty takes the right to write away, twice, and gives it back. */
static void test_permission(void)
{
    unsigned long log[BIG * 2 / 64];

    setup();
    enter(1, d1->vcpus[1]);
    enter(2, d1->vcpus[2]);
    CHECK_EQ(writes(1, 3), 35);
    CHECK_EQ(logdirty_on(d1), 0);
    for (unsigned int i = 0; i < 2; i++) {
        CHECK_EQ(writes(1, 3), 35);
        CHECK_EQ(logdirty_copy(d1, (uintptr_t)log, BIG * 2, true), 0);
        CHECK_EQ(log[0], 8);
    }
    /* Who comes second to a page that the first has opened. */
    CHECK_EQ(reads(2, 3), 35);
    CHECK_EQ(writes(1, 3), 35);
    CHECK_EQ(writes(2, 3), 35);
    CHECK_EQ(logdirty_off(d1), 0);
    teardown();
}

/* Tables that are given back, pointers to which a processor may keep. */
static void test_table_gone(void)
{
    setup();
    enter(1, d1->vcpus[1]);
    CHECK_EQ(logdirty_on(d1), 0);
    CHECK_EQ(writes(1, VAS - 2), BIG + 5);
    CHECK_EQ(p2m_lookup(d1, BIG).order, 0);
    CHECK_EQ(logdirty_off(d1), 0);
    CHECK_EQ(p2m_lookup(d1, BIG).order, ORDER_2M);
    CHECK_EQ(reads(1, VAS - 1), BIG + 6);
    teardown();
}

static void test_grant(void)
{
    grant_entry_v1_t *table;
    struct gnttab_map_grant_ref m = {
        .host_addr = 10 << PAGE_SHIFT, .flags = GNTMAP_host_map, .ref = 8, .dom = 0};
    struct gnttab_unmap_grant_ref u = {.host_addr = 10 << PAGE_SHIFT};
    struct vcpu *by;

    setup();
    by = d1->vcpus[0];
    fake_give(d0, 3, 80);
    table = core_from_mfn(grant_table_frame(d0, 0));
    table[8] = (grant_entry_v1_t){.flags = GTF_permit_access, .domid = 1, .frame = 3};
    enter(1, d1->vcpus[1]);
    for (unsigned int i = 0; i < 2; i++) {
        CHECK_EQ(
            fake_call(by, __HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, (uintptr_t)&m, 1),
            0);
        CHECK_EQ(m.status, 0);
        CHECK_EQ(reads(1, 10), 80);
        CHECK_EQ(writes(1, 10), i ? LOST : 80); /* the second is read-only */
        u.handle = m.handle;
        CHECK_EQ(
            fake_call(by, __HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, (uintptr_t)&u, 1),
            0);
        CHECK_EQ(u.status, 0);
        CHECK_EQ(reads(1, 10), HOLE);
        m.flags |= GNTMAP_readonly;
    }
    teardown();
}

/* What a CPU kept while its vCPU was elsewhere. */
static void test_migration(void)
{
    struct vcpu *v;

    setup();
    v = d1->vcpus[0];
    enter(1, v);
    CHECK_EQ(reads(1, 1), 33);
    CHECK_EQ(reads(1, 2), 34);
    leave(1);
    enter(2, v);
    guest_maps(2, 1, 5); /* the guest knows of one CPU */
    CHECK_EQ(reads(2, 1), 37);
    leave(2);
    enter(1, v);
    CHECK_EQ(reads(1, 1), 37);
    leave(1);
    cpu(1)->current = &idle;
    enter(2, v);
    replace(2, 60); /* CPU 1 is not told */
    CHECK_EQ(reads(2, 2), 60);
    leave(2);
    enter(1, v);
    CHECK_EQ(reads(1, 2), 60);
    teardown();
}

/* A vCPU that comes to a CPU for the first time, where another one of its
 * domain was before the change. */
static void test_newcomer(void)
{

    setup();
    enter(1, d1->vcpus[0]);
    CHECK_EQ(reads(1, 2), 34);
    leave(1);
    cpu(1)->current = &idle;
    replace(2, 60);
    enter(1, d1->vcpus[1]);
    CHECK_EQ(reads(1, 2), 60);
    teardown();
}

/* Two vCPUs of a domain have tables of their own: no tag is theirs both. */
static void test_own_tags(void)
{
    setup();
    enter(1, d1->vcpus[0]);
    CHECK_EQ(reads(1, 2), 34);
    leave(1);
    guest_table[2] = 4; /* in the tables of vCPU 1 */
    enter(1, d1->vcpus[1]);
    CHECK_EQ(reads(1, 2), 36);
    teardown();
}

/* Each had the same tag where it was. */
static void test_meeting(void)
{
    setup();
    enter(1, d1->vcpus[1]);
    enter(2, d1->vcpus[2]);
    leave(1);
    leave(2);
    enter(1, d1->vcpus[2]);
    CHECK_EQ(reads(1, 2), 34);
    leave(1);
    guest_table[2] = 4;
    enter(1, d1->vcpus[1]);
    CHECK_EQ(reads(1, 2), 36);
    teardown();
}

/* State that is set from outside: CR3 and all that. */
static void test_request(void)
{
    setup();
    enter(1, d1->vcpus[0]);
    CHECK_EQ(reads(1, 2), 34);
    leave(1);
    guest_table[2] = 4;
    model_ask_flush(d1->vcpus[0]);
    enter(1, d1->vcpus[0]);
    CHECK_EQ(reads(1, 2), 36);
    teardown();
}

/* v looks at page 2, by a table of its own. */
static void looks_at(struct vcpu *v, uint64_t gfn)
{
    guest_table[2] = gfn;
    enter(1, v);
    CHECK_EQ(reads(1, 2), 32 + gfn);
    leave(1);
}

/* When all tags are used up they are given out again. */
static void test_tag_reuse(void)
{
    setup();
    for (unsigned int round = 0; round < 8; round++) {
        if (round == 4) model_skip(cpu(1), 2);
        model_ask_flush(d1->vcpus[0]); /* a new tag, and another table */
        looks_at(d1->vcpus[0], round % 8);
    }
    teardown();
}

/* Who has a tag of the time before may not go on with it. */
static void test_old_tag(void)
{
    setup();
    looks_at(d1->vcpus[2], 2);
    model_skip(cpu(1), 2);
    for (unsigned int round = 0; round < 8; round++) {
        model_ask_flush(d1->vcpus[0]);
        looks_at(d1->vcpus[0], 3);
        looks_at(d1->vcpus[2], 2);
    }
    teardown();
}

/* The entry that was to flush when all tags were used up did not take place. */
static void test_failed_entry(void)
{
    setup();
    looks_at(d1->vcpus[1], 2);
    looks_at(d1->vcpus[2], 3);
    model_skip(cpu(1), 0);
    model_fail(d1->vcpus[0], cpu(1));
    looks_at(d1->vcpus[1], 5);
    looks_at(d1->vcpus[0], 6);
    teardown();
}

/* A new domain has the root table of one that is gone. */
static void test_root_reuse(void)
{
    uint64_t *root;

    setup();
    root = d1->p2m->root;
    enter(1, d1->vcpus[0]);
    CHECK_EQ(reads(1, 2), 34);
    leave(1);
    cpu(1)->current = &idle;
    empty(d1);
    p2m_free(d1);
    CHECK(!p2m_init(d1));
    CHECK(d1->p2m->root == root);
    CHECK_EQ(p2m_add(d1, 2, 50, 0, P2M_SHARED), 0);
    for (unsigned int i = 0; i < CPUS; i++) model_vcpu(d1->vcpus[i]);
    enter(1, d1->vcpus[0]);
    CHECK_EQ(reads(1, 2), 50);
    teardown();
}

int main(void)
{
    RUN(map);
    RUN(unmap);
    RUN(unmap_large);
    RUN(remove);
    RUN(remap);
    RUN(permission);
    RUN(table_gone);
    RUN(grant);
    RUN(migration);
    RUN(newcomer);
    RUN(own_tags);
    RUN(meeting);
    RUN(request);
    RUN(tag_reuse);
    RUN(old_tag);
    RUN(failed_entry);
    RUN(root_reuse);
    return test_failed != 0;
}
