/* SPDX-License-Identifier: Apache-2.0 */
/* Domains: finding, creating, stopping and destroying them. */
#include "vm/domain.h"
#include "device/hwdev.h"
#include "hypercall/control.h"
#include "hypercall/evtchn.h"
#include "hypercall/grant.h"
#include "hypercall/hypercall.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include "sched/sched.h"
#include "vm/p2m.h"
#include "vm/vcpu.h"
#include "vm/vendor.h"

#define HASH_SIZE  256u
#define POOL_PAGES 256u /* p2m tables before the toolstack sets the limit */

/* Guards: changes to all_domains, the hash chains and next_id.  Readers take
 * none: a domain is unlinked and freed only after wait_quiescent(). */
static struct spinlock list_lock = SPINLOCK(RANK_DOMAIN_LIST);
static struct domain *all_domains, *hash[HASH_SIZE];
static domid_t next_id = 1;
static struct domain *dead; /* a stack, pushed atomically */

struct domain *dom0;

static bool ref_unless_zero(struct domain *d)
{
    uint32_t refs = READ_ONCE(d->refs);

    do {
        if (!refs) return false;
    } while (!__atomic_compare_exchange_n(&d->refs, &refs, refs + 1, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_RELAXED));
    return true;
}

static struct domain *find(domid_t id)
{
    struct domain *d = READ_ONCE(hash[id % HASH_SIZE]);

    while (d && d->id != id) d = READ_ONCE(d->hash_next);
    return d;
}

struct domain *domain_get(domid_t id)
{
    struct domain *d = id == DOMID_SELF ? current_domain() : find(id);

    return d && ref_unless_zero(d) ? d : NULL;
}

struct domain *domain_get_from(domid_t id)
{
    struct domain *d = READ_ONCE(all_domains);

    while (d && (d->id < id || !ref_unless_zero(d))) d = READ_ONCE(d->next);
    return d;
}

struct domain *domain_of_owner(uint16_t owner)
{
    struct domain *d = find(owner);

    ASSERT(d);
    return d;
}

void domain_put(struct domain *d)
{
    struct domain *head;

    if (__atomic_sub_fetch(&d->refs, 1, __ATOMIC_SEQ_CST)) return;
    head = READ_ONCE(dead);
    do {
        d->reclaim = head;
    } while (
        !__atomic_compare_exchange_n(&dead, &head, d, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    cpu_ask(cpus[0], WORK_RECLAIM);
}

static void unlink(struct domain *d)
{
    struct domain **p;

    spin_lock(&list_lock);
    for (p = &all_domains; *p != d; p = &(*p)->next)
        ;
    WRITE_ONCE(*p, d->next);
    for (p = &hash[d->id % HASH_SIZE]; *p != d; p = &(*p)->hash_next)
        ;
    WRITE_ONCE(*p, d->hash_next);
    spin_unlock(&list_lock);
}

/* Everything that domain_create and vcpu_create made; any of it may be
 * missing. */
static void free_domain(struct domain *d)
{
    struct vcpu *v;

    for_each_vcpu (d, v) vcpu_free(v);
    timer_stop(&d->cap_timer);
    if (d->vendor) vendor->domain_free(d);
    grant_free(d);
    evtchn_free(d);
    cpu_policy_free(d);
    p2m_free(d);
    core_free_pages(d->shared_info, 1);
    core_free(d->e820);
    core_free(d);
}

void domains_reclaim(void)
{
    struct domain *d = __atomic_exchange_n(&dead, NULL, __ATOMIC_SEQ_CST);
    struct domain *next;
    struct vcpu *v;

    if (!d) return;
    for (next = d; next; next = next->reclaim) {
        unlink(next);
        timer_stop(&next->cap_timer);
        for (unsigned int i = 0; i < MAX_WATCHDOGS; i++) timer_stop(&next->watchdog[i]);
        for_each_vcpu (next, v) vcpu_stop_timers(v);
    }
    wait_quiescent(); /* also for timers that fire just now */
    for (; d; d = next) {
        next = d->reclaim;
        free_domain(d);
        virq_raise_dom0(VIRQ_DOM_EXC);
    }
}

static int choose_id(domid_t wanted, bool privileged, domid_t *id)
{
    if (privileged || (wanted > 0 && wanted < DOMID_FIRST_RESERVED)) {
        *id = wanted;
        return find(wanted) ? -XEN_EEXIST : 0;
    }
    for (unsigned int i = 0; i < DOMID_FIRST_RESERVED; i++) {
        domid_t try = next_id;

        next_id = try + 1u < DOMID_FIRST_RESERVED ? try + 1 : 1;
        if (!find(try)) {
            *id = try;
            return 0;
        }
    }
    return -XEN_ENOMEM;
}

static int init_parts(struct domain *d, const struct domain_config *c)
{
    int rc;

    d->shared_info = core_alloc_pages(1);
    if (!d->shared_info) return -XEN_ENOMEM;
    if ((rc = p2m_init(d)) || (rc = cpu_policy_init(d)) ||
        (rc = evtchn_init(d, c->max_evtchn_port)) ||
        (rc = grant_init(d, c->max_grant_frames, c->max_maptrack_frames)))
        return rc;
    if (d->privileged && (rc = hwdev_init(d))) return rc;
    return vendor->domain_init(d);
}

static void link(struct domain *d)
{
    struct domain **p = &all_domains;

    while (*p && (*p)->id < d->id) p = &(*p)->next;
    d->next = *p;
    d->hash_next = hash[d->id % HASH_SIZE];
    __atomic_store_n(p, d, __ATOMIC_RELEASE);
    __atomic_store_n(&hash[d->id % HASH_SIZE], d, __ATOMIC_RELEASE);
}

int domain_create(domid_t id, const struct domain_config *c, struct domain **out)
{
    struct domain *d;
    int rc;

    if (c->max_vcpus == 0 || c->max_vcpus > MAX_VCPUS) return -XEN_EINVAL;
    d = core_alloc(sizeof(*d));
    if (!d) return -XEN_ENOMEM;
    d->refs = 1;
    d->privileged = c->privileged;
    d->max_vcpus = c->max_vcpus;
    d->emulation_flags = c->emulation_flags;
    memcpy(d->handle, c->handle, sizeof(d->handle));
    spin_init(&d->lock, RANK_DOMAIN);
    d->pause_count = 1;
    d->ctl_pauses = 1;
    d->pool_pages = c->privileged ? ~0ull : POOL_PAGES;
    d->shared_info_gfn = ~0ull;
    d->weight = SCHED_DEFAULT_WEIGHT;
    d->params[HVM_PARAM_TRIPLE_FAULT_REASON] = SHUTDOWN_reboot;
    d->tsc_khz = tsc_khz;
    d->tsc_epoch = c->privileged ? 0 : read_tsc();
    d->create_time = now();
    sched_init_domain(d);
    for (unsigned int i = 0; i < MAX_WATCHDOGS; i++)
        timer_init(&d->watchdog[i], domain_watchdog_expired, d);
    /* Found by its id only when it is whole. */
    rc = choose_id(id, c->privileged, &d->id);
    if (!rc) rc = init_parts(d, c);
    if (rc) {
        free_domain(d);
        return rc;
    }
    clock_write_wall(d);
    spin_lock(&list_lock);
    link(d);
    spin_unlock(&list_lock);
    *out = d;
    return 0;
}

int domain_kill(struct domain *d)
{
    struct vcpu *v;
    int rc = 0;

    switch (d->kill_step) {
    case 0:
        domain_pause_sync(d);
        spin_lock(&d->lock);
        d->dying = DYING;
        spin_unlock(&d->lock);
        d->kill_step++;
        /* fall through */
    case 1:
        if ((rc = evtchn_release(d))) break;
        d->kill_step++;
        /* fall through */
    case 2:
        if ((rc = grant_release(d))) break;
        for_each_vcpu (d, v) vcpu_info_unmap(v);
        p2m_flush(d);
        d->kill_step++;
        /* fall through */
    case 3:
        if ((rc = p2m_release(d))) break;
        d->kill_step++;
        d->dying = DEAD;
        virq_raise_dom0(VIRQ_DOM_EXC);
        domain_put(d); /* the creator's */
        break;
    default: rc = -XEN_EINVAL; break;
    }
    return rc;
}

void domain_shutdown(struct domain *d, uint8_t reason)
{
    struct vcpu *v;
    bool first;

    if (d->privileged) dom0_shutdown(reason);
    spin_lock(&d->lock);
    first = !d->is_shut_down;
    if (first) {
        d->is_shut_down = true;
        d->shutdown_code = d->early_code ? d->early_code - 1 : reason;
        __atomic_fetch_add(&d->pause_count, 1, __ATOMIC_SEQ_CST);
    }
    spin_unlock(&d->lock);
    if (!first) return;
    for_each_vcpu (d, v) sched_stop(v);
    virq_raise_dom0(VIRQ_DOM_EXC);
}

void domain_watchdog_expired(void *data)
{
    struct domain *d = data;

    log_error("d%u: its watchdog expired", d->id);
    domain_shutdown(d, SHUTDOWN_watchdog);
}

void domain_crash(struct domain *d, const char *why)
{
    struct vcpu *v = current_vcpu();

    log_guest(LOG_ERROR, "d%u crashed: %s", d->id, why);
    if (v->domain == d) show_guest_registers(v);
    domain_shutdown(d, SHUTDOWN_crash);
}

void domain_resume(struct domain *d)
{
    bool was;

    spin_lock(&d->lock);
    was = d->is_shut_down;
    d->is_shut_down = false;
    d->shutdown_code = d->early_code = 0;
    spin_unlock(&d->lock);
    if (was) domain_unpause(d);
}

void domain_pause(struct domain *d)
{
    struct vcpu *v;

    __atomic_fetch_add(&d->pause_count, 1, __ATOMIC_SEQ_CST);
    for_each_vcpu (d, v) sched_stop(v);
}

void domain_pause_sync(struct domain *d)
{
    struct vcpu *v;

    ASSERT(current_domain() != d);
    domain_pause(d);
    for_each_vcpu (d, v) sched_wait_off_cpu(v);
}

void domain_unpause(struct domain *d)
{
    struct vcpu *v;
    int left = __atomic_sub_fetch(&d->pause_count, 1, __ATOMIC_SEQ_CST);

    ASSERT(left >= 0);
    if (left == 0)
        for_each_vcpu (d, v) sched_wake(v);
}
