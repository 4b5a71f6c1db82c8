/* SPDX-License-Identifier: Apache-2.0 */
/* The guest-physical map: leaves of all sizes, limits, references, release. */
#define _GNU_SOURCE
#include "fake_vm.h"
#include "memory/frame.h"
#include "vm/p2m_tables.h"
#include "vm/vendor.h"
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#define GROUP    "p2m"
#define PAGES_2M 512ul
#define PAGES_1G (512ul * 512)

static struct domain *d;

static struct p2m_entry at(uint64_t gfn)
{
    return p2m_lookup(d, gfn);
}

static void test_add(void)
{
    fake_give(d, 5, 9);
    CHECK_EQ(at(5).mfn, 9);
    CHECK_EQ(at(5).type, P2M_RAM);
    CHECK_EQ(at(5).order, 0);
    CHECK_EQ(at(4).type, P2M_NONE);
    CHECK(at(4).mfn == MFN_INVALID);
    CHECK_EQ(p2m_add(d, 5, 10, 0, P2M_RAM), -XEN_EEXIST);
    CHECK_EQ(p2m_add(d, 0, 0, ORDER_2M, P2M_RAM), -XEN_EEXIST);
    CHECK_EQ(p2m_add(d, 0, 0, ORDER_1G, P2M_RAM), -XEN_EEXIST);
    CHECK_EQ(at(5).mfn, 9);
    CHECK_EQ(d->p2m->max_gfn, 5);
}

static void test_bad_place(void)
{
    struct p2m_entry old;

    CHECK_EQ(p2m_add(d, 1, 512, ORDER_2M, P2M_RAM), -XEN_EINVAL);
    CHECK_EQ(p2m_add(d, 512, 1, ORDER_2M, P2M_RAM), -XEN_EINVAL);
    CHECK_EQ(p2m_add(d, 512, 512, ORDER_1G, P2M_RAM), -XEN_EINVAL);
    CHECK_EQ(p2m_add(d, 0, 0, 1, P2M_RAM), -XEN_EINVAL);
    CHECK_EQ(p2m_add(d, 0, 0, 27, P2M_RAM), -XEN_EINVAL);
    CHECK_EQ(p2m_add(d, 1ul << 36, 1, 0, P2M_RAM), -XEN_EINVAL);
    CHECK_EQ(p2m_add(d, ~0ul, 1, 0, P2M_RAM), -XEN_EINVAL);
    CHECK_EQ(p2m_replace(d, 1ul << 36, 1, P2M_RAM, &old), -XEN_EINVAL);
    CHECK_EQ(p2m_remove(d, 1ul << 36, ORDER_4K, MFN_INVALID, P2M_NONE, &old), -XEN_ENOENT);
    CHECK_EQ(at(~0ul).type, P2M_NONE);
    CHECK_EQ(d->p2m->tables, 1);
    CHECK_EQ(p2m_add(d, (1ul << 36) - 1, 7, 0, P2M_RAM), 0);
    CHECK_EQ(at((1ul << 36) - 1).mfn, 7);
    CHECK_EQ(p2m_remove(d, (1ul << 36) - 1, ORDER_4K, 7, P2M_RAM, &old), 0);
}

/* One page out of a large leaf: the others keep their frames and type. */
static void split_one(unsigned int order, uint64_t hole)
{
    uint64_t mfn = 4 * PAGES_1G, gfn = 2 * PAGES_1G;
    struct p2m_entry old;

    CHECK_EQ(p2m_add(d, gfn, mfn, order, P2M_RAM_RO), 0);
    CHECK_EQ(at(gfn + hole).order, order);
    CHECK_EQ(p2m_remove(d, gfn + hole, ORDER_4K, mfn + hole + 1, P2M_NONE, &old), -XEN_ENOENT);
    CHECK_EQ(p2m_remove(d, gfn + hole, ORDER_4K, MFN_INVALID, P2M_RAM, &old), -XEN_ENOENT);
    CHECK_EQ(at(gfn + hole).order, order);
    CHECK_EQ(p2m_remove(d, gfn + hole, ORDER_4K, mfn + hole, P2M_RAM_RO, &old), 0);
    CHECK_EQ(old.mfn, mfn + hole);
    CHECK_EQ(old.order, 0);
    for (uint64_t i = 0; i < 1ul << order; i += i % 1021 ? 1 : 7) {
        struct p2m_entry e = at(gfn + i);

        CHECK(i == hole ? e.type == P2M_NONE : e.type == P2M_RAM_RO && e.mfn == mfn + i);
    }
    CHECK_EQ(p2m_add(d, gfn, mfn, order, P2M_RAM), -XEN_EEXIST);
    CHECK_EQ(p2m_add(d, gfn + hole, 3, 0, P2M_RAM), 0);
    CHECK_EQ(at(gfn + hole).mfn, 3);
}

static void test_split_2m(void)
{
    split_one(ORDER_2M, 77);
}

static void test_split_1g(void)
{
    split_one(ORDER_1G, 300 * PAGES_2M + 511);
    CHECK_EQ(at(2 * PAGES_1G).order, ORDER_2M);
}

static void test_leaf(void)
{
    struct p2m_entry old;

    CHECK_EQ(p2m_add(d, PAGES_2M, PAGES_2M, ORDER_2M, P2M_MMIO), 0);
    CHECK_EQ(d->p2m->max_gfn, 0); /* MMIO is not the guest's memory */
    CHECK_EQ(p2m_remove(d, 0, ORDER_1G, MFN_INVALID, P2M_NONE, &old), -XEN_ENOENT);
    CHECK_EQ(p2m_remove(d, PAGES_2M + 1, ORDER_2M, MFN_INVALID, P2M_NONE, &old), -XEN_ENOENT);
    CHECK_EQ(p2m_remove(d, PAGES_2M, ORDER_2M, MFN_INVALID, P2M_NONE, &old), 0);
    CHECK_EQ(old.mfn, PAGES_2M);
    CHECK_EQ(old.order, ORDER_2M);
    CHECK_EQ(at(PAGES_2M + 3).type, P2M_NONE);
    /* An empty table left behind is no obstacle. */
    CHECK_EQ(p2m_add(d, 0, 0, 0, P2M_MMIO), 0);
    CHECK_EQ(p2m_remove(d, 0, ORDER_2M, MFN_INVALID, P2M_NONE, &old), -XEN_ENOENT);
    CHECK_EQ(p2m_remove(d, 0, ORDER_4K, 0, P2M_MMIO, &old), 0);
    CHECK_EQ(p2m_add(d, 0, PAGES_1G, ORDER_1G, P2M_MMIO), 0);
    CHECK_EQ(at(PAGES_1G - 1).mfn, 2 * PAGES_1G - 1);
    CHECK_EQ(at(PAGES_1G).type, P2M_NONE);
}

/* Without tables to be had, a change fails and changes nothing. */
static void test_limit(void)
{
    struct p2m_entry old;

    CHECK_EQ(p2m_add(d, 0, PAGES_2M, ORDER_2M, P2M_MMIO), 0);
    d->pool_pages = d->p2m->tables;
    CHECK_EQ(p2m_remove(d, 4, ORDER_4K, MFN_INVALID, P2M_NONE, &old), -XEN_ENOMEM);
    CHECK_EQ(p2m_replace(d, 4, 1, P2M_RAM, &old), -XEN_ENOMEM);
    CHECK_EQ(at(4).order, ORDER_2M);
    CHECK_EQ(p2m_add(d, PAGES_1G, 1, 0, P2M_MMIO), -XEN_ENOMEM);
    d->pool_pages++; /* one of the two that it needs */
    CHECK_EQ(p2m_add(d, PAGES_1G, 1, 0, P2M_MMIO), -XEN_ENOMEM);
    CHECK_EQ(at(PAGES_1G).type, P2M_NONE);
    d->pool_pages++;
    CHECK_EQ(p2m_add(d, PAGES_1G, 1, 0, P2M_MMIO), 0);
    fake.no_memory = true;
    d->pool_pages = 1024;
    CHECK_EQ(p2m_remove(d, 4, ORDER_4K, MFN_INVALID, P2M_NONE, &old), -XEN_ENOMEM);
    fake.no_memory = false;
    CHECK_EQ(p2m_remove(d, 4, ORDER_4K, MFN_INVALID, P2M_NONE, &old), 0);
}

/* A range that must be made of small leaves fails half-way: all is undone. */
static void test_undo(void)
{
    struct p2m_entry old;
    unsigned int filled = 0, left = 0;
    const struct vendor_ops *usual = vendor;
    struct vendor_ops small = *vendor;

    for (uint64_t g = 0; g < PAGES_1G; g += PAGES_2M) {
        CHECK_EQ(p2m_add(d, g, 1, 0, P2M_MMIO), 0);
        CHECK_EQ(p2m_remove_noflush(d, g, ORDER_4K, 1, P2M_MMIO, &old), 0);
    }
    d->pool_pages = d->p2m->tables;
    CHECK_EQ(p2m_add(d, 0, 0, ORDER_1G, P2M_MMIO), 0);
    CHECK_EQ(at(PAGES_1G / 2 + 3).mfn, PAGES_1G / 2 + 3);
    CHECK_EQ(p2m_add(d, PAGES_1G, 0, ORDER_1G, P2M_MMIO), 0);
    CHECK_EQ(p2m_remove(d, PAGES_1G, ORDER_1G, MFN_INVALID, P2M_NONE, &old), 0);
    d->pool_pages++;
    CHECK_EQ(p2m_add(d, PAGES_1G, 1, 0, P2M_MMIO), -XEN_ENOMEM);
    CHECK_EQ(p2m_add(d, PAGES_1G, 0, ORDER_2M, P2M_MMIO), 0);
    for (uint64_t i = 0; i < 2 * PAGES_2M; i++) filled += at(PAGES_1G + i).type != P2M_NONE;
    CHECK_EQ(filled, PAGES_2M);
    /* Hardware without large leaves: the tables are used up on the way. */
    small.max_level = 1;
    vendor = &small;
    d->pool_pages = d->p2m->tables + 5;
    CHECK_EQ(p2m_add(d, 2 * PAGES_1G, 0, ORDER_1G, P2M_MMIO), -XEN_ENOMEM);
    vendor = usual;
    for (uint64_t i = 0; i < PAGES_1G; i++) left += at(2 * PAGES_1G + i).type != P2M_NONE;
    CHECK_EQ(left, 0);
}

static bool executable(uint64_t gfn)
{
    unsigned int level;

    return *p2m_find(d->p2m, gfn, &level) & BIT(2);
}

/* Where superpages may not be executed, one is split by a fetch, and no other. */
static void test_fetch(void)
{
    const struct vendor_ops *usual = vendor;
    struct vendor_ops small = *vendor;
    uint64_t mfn = 4 * PAGES_1G, tables;

    small.small_bits = BIT(2);
    vendor = &small;
    CHECK_EQ(p2m_add(d, 0, mfn, ORDER_1G, P2M_RAM), 0);
    CHECK(!executable(PAGES_2M));
    CHECK(p2m_allow_fetch(d, PAGES_2M + 1));
    CHECK(executable(PAGES_2M + 1) && executable(PAGES_2M + 7));
    CHECK_EQ(at(PAGES_2M + 1).mfn, mfn + PAGES_2M + 1);
    CHECK_EQ(at(PAGES_2M + 1).order, 0);
    CHECK_EQ(at(0).order, ORDER_2M);
    CHECK(!executable(0) && !executable(2 * PAGES_2M));
    tables = d->p2m->tables;
    CHECK(p2m_allow_fetch(d, PAGES_2M + 2) && p2m_allow_fetch(d, PAGES_1G));
    CHECK_EQ(d->p2m->tables, tables); /* nothing to be split */
    d->pool_pages = tables;
    CHECK(!p2m_allow_fetch(d, 0) && !executable(0));
    d->pool_pages = 1024;
    /* The end of log-dirty makes it one leaf again. */
    CHECK_EQ(logdirty_on(d), 0);
    CHECK(logdirty_fault(d, PAGES_2M + 1));
    CHECK_EQ(logdirty_off(d), 0);
    CHECK(at(PAGES_2M + 1).order > 0 && !executable(PAGES_2M + 1));
    CHECK(p2m_allow_fetch(d, PAGES_2M + 1) && executable(PAGES_2M + 1));
    vendor = usual;
    CHECK_EQ(p2m_add(d, PAGES_1G, PAGES_1G, ORDER_2M, P2M_RAM), 0);
    CHECK(p2m_allow_fetch(d, PAGES_1G) && executable(PAGES_1G));
    CHECK_EQ(at(PAGES_1G).order, ORDER_2M);
}

static void test_replace(void)
{
    struct p2m_entry old;
    uint64_t generation;

    CHECK_EQ(p2m_replace(d, 6, 20, P2M_SHARED, &old), 0);
    CHECK_EQ(old.type, P2M_NONE);
    generation = d->p2m->generation;
    fake_give(d, 7, 21);
    CHECK_EQ(p2m_replace(d, 7, 22, P2M_SHARED, &old), 0);
    CHECK_EQ(old.mfn, 21);
    CHECK_EQ(old.type, P2M_RAM);
    CHECK(d->p2m->generation > generation); /* the TLBs were flushed */
    p2m_drop_entry(&old);
    CHECK_EQ(fake_frames_used(), 0);
    p2m_drop_entry(&(struct p2m_entry){22, P2M_SHARED, 0}); /* holds none */
}

static void test_get_frame(void)
{
    static const struct {
        enum p2m_type type;
        bool write, any, ok;
    } t[] = {
        {P2M_RAM, true, false, true},       {P2M_RAM_RO, false, false, true},
        {P2M_RAM_RO, true, true, false},    {P2M_SHARED, false, false, false},
        {P2M_SHARED, true, true, true},     {P2M_GRANT_RO, true, true, false},
        {P2M_GRANT_RO, false, true, true},  {P2M_GRANT_RW, true, true, true},
        {P2M_GRANT_RW, true, false, false}, {P2M_FOREIGN, true, true, true},
        {P2M_FOREIGN, false, false, false}, {P2M_MMIO, false, true, false},
    };
    struct p2m_entry old;

    fake_give(d, 1, 30);
    for (unsigned int i = 0; i < ARRAY_SIZE(t); i++) {
        uint64_t mfn;

        CHECK_EQ(p2m_replace(d, 1, 30, t[i].type, &old), 0);
        mfn = p2m_get_frame(d, 1, t[i].write, t[i].any);
        CHECK_EQ(mfn, t[i].ok ? 30 : MFN_INVALID);
        if (mfn == 30) frame_put(mfn);
    }
    CHECK(p2m_get_frame(d, 2, false, true) == MFN_INVALID);
    CHECK(p2m_get_frame(d, ~0ul, false, true) == MFN_INVALID);
    /* A frame that is no longer the domain's. */
    CHECK_EQ(p2m_replace(d, 1, 31, P2M_RAM, &old), 0);
    CHECK(p2m_get_frame(d, 1, false, false) == MFN_INVALID);
    CHECK_EQ(p2m_replace(d, 1, 30, P2M_RAM, &old), 0);
}

/* Another CPU gives the frame back, which comes to the domain again, elsewhere. */
static void moved_away(void)
{
    struct p2m_entry old;

    fake.before_get = NULL;
    CHECK_EQ(p2m_remove(d, 1, ORDER_4K, 30, P2M_RAM, &old), 0);
    p2m_drop_entry(&old);
    fake_give(d, 2, 30);
}

static void released(void)
{
    fake.before_get = NULL;
    CHECK_EQ(p2m_release(d), 0);
    fake_give(d, 2, 31);
}

static void test_get_frame_race(void)
{
    struct p2m_entry old;

    fake_give(d, 1, 30);
    fake.before_get = moved_away;
    CHECK(p2m_get_frame(d, 1, false, false) == MFN_INVALID);
    CHECK_EQ(p2m_get_frame(d, 2, false, false), 30);
    frame_put(30);
    fake_give(d, 1, 31);
    fake.before_get = released;
    CHECK(p2m_get_frame(d, 1, false, true) == MFN_INVALID);
    CHECK_EQ(p2m_remove(d, 2, ORDER_4K, 31, P2M_RAM, &old), 0);
    p2m_drop_entry(&old);
    CHECK_EQ(fake_frames_used(), 0); /* no reference is left behind */
}

/* Another CPU acts between two instructions of this one. */
static struct {
    unsigned int until; /* instructions before it acts */
    uint64_t *entry, becomes;
} other;

static void trace(bool on)
{
    if (on)
        __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" : : : "cc", "memory"); /* TF */
    else
        __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" : : : "cc", "memory");
}

static void step(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)info;
    if (other.until && --other.until) return;
    *other.entry = other.becomes;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~(1 << 8);
}

/* A superpage is split, or made whole, at any point of a lookup. */
static void look_while(uint64_t *entry, uint64_t before, uint64_t after)
{
    struct p2m_entry e;

    for (unsigned int n = 1; other.entry = entry, n < 2000; n++) {
        *entry = before;
        other.becomes = after;
        other.until = n;
        trace(true);
        e = p2m_lookup(d, PAGES_2M + 5);
        trace(false);
        if (e.mfn != FAKE_HEAP_MFN + 2048 + 5 || e.type != P2M_RAM) {
            CHECK_EQ(e.mfn, FAKE_HEAP_MFN + 2048 + 5);
            printf("# after %u instructions\n", n);
            break;
        }
        if (other.until) break; /* it was through before */
    }
    *entry = before;
}

static void test_lookup_race(void)
{
    struct sigaction on_step = {.sa_sigaction = step, .sa_flags = SA_SIGINFO};
    uint64_t *entry, leaf, table;
    struct p2m_entry old;
    unsigned int level;

    sigaction(SIGTRAP, &on_step, NULL);
    CHECK_EQ(p2m_add(d, PAGES_2M, FAKE_HEAP_MFN + 2048, ORDER_2M, P2M_RAM), 0);
    entry = p2m_find(d->p2m, PAGES_2M, &level);
    leaf = *entry;
    spin_lock(&d->p2m->lock);
    CHECK(p2m_split(d->p2m, entry, 2));
    spin_unlock(&d->p2m->lock);
    table = *entry;
    look_while(entry, leaf, table);
    look_while(entry, table, leaf);
    *entry = table;
    for (unsigned int i = 0; i < PAGES_2M; i++)
        CHECK_EQ(p2m_remove(d, PAGES_2M + i, 0, MFN_INVALID, P2M_RAM, &old), 0);
}

static void test_release(void)
{
    unsigned int restarts = 0;

    for (unsigned int i = 0; i < 20; i++) fake_give(d, i * 1000003ul, i);
    CHECK_EQ(p2m_add(d, PAGES_1G, 0, ORDER_2M, P2M_SHARED), 0);
    CHECK_EQ(fake_frames_used(), 20);
    fake.preempt_every = 3;
    while (p2m_release(d) == -XEN_ERESTART) restarts++;
    fake.preempt_every = 0;
    CHECK(restarts >= 6 && restarts < 80);
    CHECK_EQ(fake_frames_used(), 0);
    for (unsigned int i = 0; i < 20; i++) CHECK_EQ(at(i * 1000003ul).type, P2M_NONE);
    CHECK_EQ(at(PAGES_1G).type, P2M_NONE);
}

#define TABLES 200u

/* One page at each 2 MiB: as many tables. */
static void spread(void)
{
    for (unsigned int i = 0; i < TABLES; i++) fake_give(d, i * PAGES_2M, i);
    CHECK(d->p2m->tables >= TABLES);
    fake.preempt_every = 1;
}

/* A guest's empty tables count for how long each step takes. */
static void test_release_empty(void)
{
    unsigned int restarts = 0;
    struct p2m_entry old;

    spread();
    for (unsigned int i = 0; i < TABLES; i++) {
        CHECK_EQ(p2m_remove(d, i * PAGES_2M, 0, i, P2M_RAM, &old), 0);
        p2m_drop_entry(&old);
    }
    while (p2m_release(d)) restarts++;
    CHECK(restarts >= TABLES - 1 && restarts <= TABLES + 1);
    fake.preempt_every = 0;
}

/* A superpage of 1 GiB, and no table left to split it with. */
static void test_release_1g(void)
{
    unsigned int restarts = 0;

    CHECK_EQ(p2m_add(d, PAGES_1G, FAKE_MANY_MFN, ORDER_1G, P2M_RAM), 0);
    CHECK_EQ(p2m_add(d, 0, FAKE_MANY_MFN + PAGES_1G, ORDER_2M, P2M_RAM), 0);
    d->pool_pages = d->p2m->tables;
    fake.preempt_every = 1;
    while (p2m_release(d)) restarts++;
    fake.preempt_every = 0;
    CHECK(restarts > PAGES_1G / PAGES_2M && restarts < PAGES_2M + 8);
    CHECK_EQ(fake.many_puts, PAGES_1G + PAGES_2M);
}

static void test_logdirty_off(void)
{
    unsigned int restarts = 0, level;

    spread();
    CHECK_EQ(logdirty_on(d), 0);
    for (unsigned int i = 0; i < TABLES; i++) CHECK(logdirty_fault(d, i * PAGES_2M));
    while (logdirty_off(d)) restarts++;
    CHECK(restarts >= TABLES / 32 && restarts < TABLES / 8);
    CHECK(!d->p2m->log.on);
    for (unsigned int i = 0; i < TABLES; i++)
        CHECK(*p2m_find(d->p2m, i * PAGES_2M, &level) & ENTRY_WRITE);
    fake.preempt_every = 0;
}

#define EACH(name)                        \
    do {                                  \
        size_t used = fake_heap_used();   \
        d = fake_domain(1, false, 1);     \
        fake_run(d->vcpus[0]);            \
        RUN(name);                        \
        while (p2m_release(d))            \
            ;                             \
        fake_domain_free(d);              \
        CHECK_EQ(fake_heap_used(), used); \
    } while (0)

int main(void)
{
    fake_init();
    EACH(add);
    EACH(bad_place);
    EACH(leaf);
    EACH(limit);
    EACH(undo);
    EACH(replace);
    EACH(get_frame);
    EACH(get_frame_race);
    EACH(lookup_race);
    EACH(release);
    EACH(release_empty);
    EACH(release_1g);
    EACH(logdirty_off);
    /* Their frames are none of the fake machine's. */
#define ALONE(name)                   \
    do {                              \
        d = fake_domain(1, false, 1); \
        fake_run(d->vcpus[0]);        \
        RUN(name);                    \
        fake_domain_free(d);          \
    } while (0)
    ALONE(split_2m);
    ALONE(split_1g);
    ALONE(fetch);
    return test_failed != 0;
}
