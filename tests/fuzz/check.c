/* SPDX-License-Identifier: Apache-2.0 */
/* What has to hold of frames, p2ms, logs and TLBs between hypercalls. */
#include "lib/bitops.h"
#include "machine.h"
#include "memory/frame.h"
#include "msan.h"
#include "vm/p2m_tables.h"
#include <string.h>

/* The fuzzer looks for paths of the core, not of these checks. */
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

#define TLB_ENTRIES 4096u

/* A guest that has touched all it may: what its TLBs may hold. */
static struct tlb {
    struct {
        uint64_t gfn, mfn;
        unsigned int order;
        bool write;
    } entry[TLB_ENTRIES];
    unsigned int n;
    uint64_t generation, iommu_flushes;
} tlbs[DOMAINS];

static uint32_t expected[RAM_FRAMES]; /* references */
static bool own_mapped[RAM_FRAMES];
static uint16_t owners[RAM_FRAMES]; /* after the last step */
static uint32_t domain_refs[DOMAINS];
static uint64_t owned[DOMAINS];

void check_reset(void)
{
    memset(tlbs, 0, sizeof(tlbs));
    for (unsigned int i = 0; i < RAM_FRAMES; i++) owners[i] = OWNER_FREE;
}

/* --- TLBs --- */

/* Entries from before are still good: there was no flush. */
static bool unflushed(const struct tlb *t, struct domain *d)
{
    return t->generation == d->p2m->generation ||
           (d->p2m->dma && t->iommu_flushes == machine_shared.iommu_flushes);
}

static void check_tlb(struct domain *d)
{
    struct tlb *t = &tlbs[d->id];

    if (!unflushed(t, d)) t->n = 0;
    for (unsigned int i = 0; i < t->n; i++) {
        struct p2m_entry e = p2m_lookup(d, t->entry[i].gfn);
        unsigned int level;

        INSIST(e.mfn == t->entry[i].mfn);
        if (!t->entry[i].write) continue;
        INSIST(*p2m_find(d->p2m, t->entry[i].gfn, &level) & ENTRY_WRITE);
    }
    t->n = 0;
    t->generation = d->p2m->generation;
    t->iommu_flushes = machine_shared.iommu_flushes;
}

static void tlb_add(struct domain *d, uint64_t gfn, const struct p2m_entry *e, bool write)
{
    struct tlb *t = &tlbs[d->id];

    if (d->dying != ALIVE || t->n == TLB_ENTRIES) return;
    t->entry[t->n].gfn = gfn;
    t->entry[t->n].mfn = e->mfn;
    t->entry[t->n].order = e->order;
    t->entry[t->n++].write = write;
}

void check_frame_freed(uint64_t mfn)
{
    for (domid_t id = 0; id < DOMAINS; id++) {
        struct domain *d = domain_get(id);
        const struct tlb *t = &tlbs[id];

        for (unsigned int i = 0; d && unflushed(t, d) && i < t->n; i++)
            INSIST(mfn - t->entry[i].mfn >= 1ull << t->entry[i].order);
        if (d) domain_put(d);
    }
}

/* --- one leaf --- */

static bool logged(struct logdirty *log, uint64_t gfn)
{
    unsigned long ***dir = (unsigned long ***)log->piece[gfn >> 24]; /* bits come first */

    return dir && dir[gfn >> 15 & 511] &&
           test_bit(gfn & 0x7fff, (unsigned long *)dir[gfn >> 15 & 511]);
}

static void check_leaf(struct domain *d, uint64_t gfn, const struct p2m_entry *e, bool write)
{
    uint64_t n = 1ull << e->order;
    struct domain *other;

    INSIST(e->mfn + n <= RAM_FRAMES);
    for (uint64_t i = e->mfn; i < e->mfn + n; i++) {
        uint16_t owner = frame_owner(i);

        TO_GUEST(ram(i), PAGE_SIZE);
        switch (e->type) {
        case P2M_RAM:
            INSIST(owner == d->id && !own_mapped[i]);
            own_mapped[i] = true;
            expected[i]++;
            if (write && d->p2m->log.on && !d->p2m->log.failed)
                INSIST(logged(&d->p2m->log, gfn + i - e->mfn));
            break;
        case P2M_GRANT_RW:
        case P2M_GRANT_RO:
            INSIST(owner < DOMAINS && grant_is_live(d, gfn, i, e->type == P2M_GRANT_RW));
            INSIST(!write || e->type == P2M_GRANT_RW);
            expected[i]++;
            break;
        case P2M_FOREIGN:
            INSIST(d->privileged && owner < DOMAINS && owner != d->id);
            expected[i]++;
            break;
        case P2M_SHARED:
            INSIST(owner == OWNER_CORE &&
                   (i == core_to_mfn(d->shared_info) || grant_frame_owner(i) == d));
            break;
        case P2M_RESOURCE:
            other = grant_frame_owner(i);
            INSIST(owner == OWNER_CORE && d->privileged && other && other != d);
            domain_refs[other->id]++;
            break;
        default: INSIST(!"a type that nobody maps here");
        }
    }
    tlb_add(d, gfn, e, write);
}

/* The tables below; how many there are. */
static uint64_t check_table(struct domain *d, const uint64_t *t, uint64_t gfn, unsigned int level,
                            bool write)
{
    uint64_t tables = 1;

    for (uint64_t i = 0; i < 512; i++) {
        uint64_t e = t[i], at = gfn + (i << LEVEL_SHIFT(level));
        bool w = write && e & ENTRY_WRITE;

        if (!e) continue;
        if (is_table(e, level)) {
            tables += check_table(d, table_at(e), at, level - 1, w);
        } else if (is_present(e)) {
            struct p2m_entry old = {(e & ENTRY_ADDR) >> PAGE_SHIFT, entry_type(e),
                                    LEVEL_SHIFT(level)};

            check_leaf(d, at, &old, w);
        }
    }
    return tables;
}

static uint64_t log_pages(const struct logdirty *log)
{
    uint64_t n = 0;

    for (unsigned int i = 0; log->piece && i < 512; i++) {
        n += log->piece[i] != NULL;
        for (unsigned int j = 0; log->piece[i] && j < 512; j++) n += 2 * !!log->piece[i][j];
    }
    return n;
}

static void count_pin(struct domain *d, uint64_t mfn)
{
    INSIST(frame_owner(mfn) == d->id);
    expected[mfn]++;
}

static void check_domain(struct domain *d)
{
    struct vcpu *v;

    INSIST(d->id < DOMAINS);
    check_tlb(d);
    INSIST(d->p2m->tables == check_table(d, d->p2m->root, 0, 4, true) + log_pages(&d->p2m->log));
    for_each_vcpu (d, v) {
        if (v->info_mfn == MFN_INVALID) continue;
        INSIST(frame_owner(v->info_mfn) == d->id);
        INSIST((uint8_t *)v->info - ram(v->info_mfn) <= (long)(PAGE_SIZE - sizeof(*v->info)));
        expected[v->info_mfn]++;
    }
    fifo_pins(d, count_pin);
    INSIST(d->dying != ALIVE || d->pause_count == d->is_shut_down + d->ctl_pauses);
    domain_refs[d->id] += grants_held_of(d) + (d->dying != DEAD);
}

static void check_zero(uint64_t mfn)
{
    const uint64_t *p = (const uint64_t *)ram(mfn);

    for (unsigned int i = 0; i < PAGE_SIZE / sizeof(*p); i++) INSIST(!p[i]);
}

void check_machine(bool fresh_zero)
{
    struct domain *d;

    memset(expected, 0, sizeof(expected));
    memset(own_mapped, 0, sizeof(own_mapped));
    memset(domain_refs, 0, sizeof(domain_refs));
    memset(owned, 0, sizeof(owned));
    for (domid_t id = 0; id < DOMAINS; id++) {
        d = domain_get(id);
        if (d)
            domain_put(d);
        else
            tlbs[id].n = 0;
    }
    for_each_domain (d) check_domain(d);
    for (uint64_t i = 0; i < RAM_FRAMES; i++) {
        uint16_t owner = frame_owner(i);

        if (owner == OWNER_CORE) owners[i] = owner;
        if (owner == OWNER_CORE) continue;
        INSIST(owner == OWNER_FREE || owner < DOMAINS);
        INSIST(frame_refs(i) == expected[i] && (owner == OWNER_FREE) == !expected[i]);
        if (owner != OWNER_FREE) owned[owner]++;
        if (owner != OWNER_FREE && owner != owners[i]) {
            if (fresh_zero) check_zero(i);
            memset(ram(i), 0x40 + owner, PAGE_SIZE);
        }
        owners[i] = owner;
    }
    for_each_domain (d) {
        INSIST(d->tot_pages == owned[d->id]);
        INSIST(d->refs == domain_refs[d->id] + owned[d->id] + 1); /* the loop's own */
    }
    check_ports();
    check_grants();
}

#pragma clang attribute pop
