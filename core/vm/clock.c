/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests' clocks: pvclock records, wall clock, TSC offsets.
 *
 * System time is a fixed linear function of the host's TSC, the same on every
 * CPU, so a record is good for as long as its vCPU's TSC offset is.
 */
#include "vm/guest.h"
#include "lib/string.h"
#include "vm/domain.h"
#include "vm/vcpu.h"
#include "vm/vendor.h"

/* Guards: the wall clock. */
static struct spinlock wall_lock = SPINLOCK(RANK_DOMAIN);
static uint64_t wall_sec;
static uint32_t wall_nsec;

void clock_update_vcpu(struct vcpu *v)
{
    /* The same point for all vCPUs, so that rounding is the same, too. */
    static const uint64_t base = 1ull << 20;
    struct vcpu_time_info *to = &READ_ONCE(v->info)->time;
    struct vcpu_time_info t = {
        .version = (READ_ONCE(to->version) | 1) + 1,
        .tsc_timestamp = guest_tsc(v, time_boot_tsc() + base),
        .system_time = tsc_to_ns(base),
        .tsc_to_system_mul = v->domain->tsc.scale.mul,
        .tsc_shift = v->domain->tsc.scale.shift,
        .flags = tsc_agrees ? XEN_PVCLOCK_TSC_STABLE_BIT : 0,
    };
    const size_t head = offsetof(struct vcpu_time_info, tsc_timestamp);
    uint64_t va;

    WRITE_ONCE(to->version, t.version - 1); /* odd: being written */
    smp_mb();
    memcpy(&to->tsc_timestamp, &t.tsc_timestamp, sizeof(t) - head);
    smp_mb();
    WRITE_ONCE(to->version, t.version);
    va = READ_ONCE(v->time_va);
    if (va && v == current_vcpu() && copy_to_guest(va, &t, sizeof(t))) WRITE_ONCE(v->time_va, 0);
}

void clock_write_wall(struct domain *d)
{
    struct shared_info *s = d->shared_info;
    uint64_t sec;

    spin_lock(&wall_lock);
    sec = wall_sec + d->time_offset;
    WRITE_ONCE(s->wc_version, s->wc_version | 1);
    smp_mb();
    s->wc_sec = sec;
    s->wc_nsec = wall_nsec;
    s->wc_sec_hi = sec >> 32;
    smp_mb();
    WRITE_ONCE(s->wc_version, s->wc_version + 1);
    spin_unlock(&wall_lock);
}

void clock_set_wall(uint64_t sec, uint32_t nsec, uint64_t at)
{
    uint64_t total = sec * NS_PER_SEC + nsec - at;
    struct domain *d;

    spin_lock(&wall_lock);
    wall_sec = total / NS_PER_SEC;
    wall_nsec = total % NS_PER_SEC;
    spin_unlock(&wall_lock);
    for_each_domain (d) clock_write_wall(d);
}
