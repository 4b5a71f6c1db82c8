/* SPDX-License-Identifier: Apache-2.0 */
/* The real grant tables, and what has to hold of them between hypercalls. */
#include "hypercall/grant.c"
#include "machine.h"
#include <string.h>

/* The fuzzer looks for paths of the core, not of these checks. */
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

static uint32_t uses[DOMAINS][GREFS][2];

/* Every handle is free, once on the list, or stands for a mapping. */
static void check_handles(struct grant_table *t)
{
    uint32_t free = 0, taken = 0;

    for (uint32_t h = t->map_free; h != NO_HANDLE; h = map_at(t, h)->ref) {
        INSIST(h < t->map_count && !map_at(t, h)->granter && ++free <= t->map_count);
    }
    for (uint32_t h = 0; h < t->map_count; h++) {
        struct grant_map *m = map_at(t, h);

        if (!m->granter) continue;
        taken++;
        INSIST(!m->claimed);
        INSIST(m->granter->id < DOMAINS && m->ref < GREFS);
        uses[m->granter->id][m->ref][m->write]++;
    }
    INSIST(free + taken == t->map_count);
}

void check_grants(void)
{
    struct domain *d;

    memset(uses, 0, sizeof(uses));
    for_each_domain (d) check_handles(d->grants);
    for_each_domain (d) {
        struct grant_table *t = d->grants;

        INSIST(t->frames <= t->max_frames);
        for (uint32_t ref = 0; ref < t->frames * GRANTS_PER_PAGE; ref++) {
            struct grant_use *u = &t->frame[ref / GRANTS_PER_PAGE].use[ref % GRANTS_PER_PAGE];

            INSIST(u->count[0] == uses[d->id][ref][0] && u->count[1] == uses[d->id][ref][1]);
        }
    }
}

bool grant_is_live(struct domain *d, uint64_t gfn, uint64_t mfn, bool write)
{
    for (uint32_t h = 0; h < d->grants->map_count; h++) {
        struct grant_map *m = map_at(d->grants, h);

        if (m->granter && m->gfn == gfn && m->mfn == mfn && m->write == write) return true;
    }
    return false;
}

uint32_t grants_held_of(struct domain *granter)
{
    struct domain *d;
    uint32_t n = 0;

    for_each_domain (d)
        for (uint32_t h = 0; h < d->grants->map_count; h++)
            n += map_at(d->grants, h)->granter == granter;
    return n;
}

struct domain *grant_frame_owner(uint64_t mfn)
{
    struct domain *d, *owner = NULL;

    for_each_domain (d)
        for (uint32_t i = 0; i < d->grants->frames; i++)
            if (core_to_mfn(d->grants->frame[i].entries) == mfn) owner = d;
    return owner;
}

void grant_poke(struct domain *d, uint32_t ref, uint16_t flags, domid_t to, uint32_t frame)
{
    struct grant_table *t = d->grants;
    union grant_entry *e;

    if (ref >= t->frames * GRANTS_PER_PAGE) return;
    e = &t->frame[ref / GRANTS_PER_PAGE].entries[ref % GRANTS_PER_PAGE];
    WRITE_ONCE(e->v1.frame, frame);
    __atomic_store_n(&e->head, flags | (uint32_t)to << 16, __ATOMIC_RELEASE);
}

#pragma clang attribute pop
