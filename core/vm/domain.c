/* SPDX-License-Identifier: Apache-2.0 */
/* Domains: finding, creating, stopping and destroying them. */
#include "vm/domain.h"
#include "device/hwdev.h"
#include "hypercall/evtchn.h"
#include "hypercall/grant.h"
#include "hypercall/hypercall.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include "sched/sched.h"
#include "vm/cpu_policy.h"
#include "vm/p2m.h"
#include "vm/vcpu.h"
#include "vm/vendor.h"
#include <xen/domctl.h>

#define POOL_PAGES 256u /* p2m tables before the toolstack sets the limit */

/*
 * All domains, by id.  Readers take no lock: a domain is taken out and freed
 * only after wait_quiescent().  Entries are filled under domctl's lock and
 * emptied by CPU 0, when nobody holds a reference.
 */
static struct domain *table[DOMID_FIRST_RESERVED];
static unsigned int table_end; /* one above the highest id so far */

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
    return id < ARRAY_SIZE(table) ? READ_ONCE(table[index_nospec(id, ARRAY_SIZE(table))]) : NULL;
}

struct domain *domain_get(domid_t id)
{
    struct domain *d = id == DOMID_SELF ? current_domain() : find(id);

    return d && ref_unless_zero(d) ? d : NULL;
}

struct domain *domain_get_from(domid_t id)
{
    for (unsigned int i = id; i < READ_ONCE(table_end); i++) {
        struct domain *d = find(i);

        if (d && ref_unless_zero(d)) return d;
    }
    return NULL;
}

struct domain *domain_of_owner(uint16_t owner)
{
    struct domain *d = find(owner);

    ASSERT(d);
    return d;
}

void domain_put(struct domain *d)
{
    if (!__atomic_sub_fetch(&d->refs, 1, __ATOMIC_SEQ_CST)) cpu_ask(cpus[0], WORK_RECLAIM);
}

/* Everything that domain_create and vcpu_create made; any of it may be
 * missing. */
static void free_domain(struct domain *d)
{
    struct vcpu *v;

    for_each_vcpu (d, v) vcpu_free(v);
    timer_stop(&d->cap_timer);
    grant_free(d);
    evtchn_free(d);
    core_free(d->policy);
    p2m_free(d);
    core_free_pages(d->apic_page, 1);
    core_free_pages(d->shared_info, 1);
    core_free(d->e820);
    core_free(d);
}

void domains_reclaim(void)
{
    for (unsigned int id = 0; id < table_end; id++) {
        struct domain *d = table[id];
        struct vcpu *v;

        if (!d || READ_ONCE(d->refs)) continue;
        mitigate_forget(id);
        WRITE_ONCE(table[id], NULL);
        sched_remove_domain(d);
        for (unsigned int i = 0; i < MAX_WATCHDOGS; i++) timer_stop(&d->watchdog[i]);
        for_each_vcpu (d, v) vcpu_stop_timers(v);
        wait_quiescent(); /* also for timers that fire just now */
        free_domain(d);
        virq_raise_dom0(VIRQ_DOM_EXC);
    }
}

static int choose_id(struct domain *d)
{
    static domid_t last;

    if (d->privileged || (d->id > 0 && d->id < ARRAY_SIZE(table)))
        return find(d->id) ? -XEN_EEXIST : 0;
    for (unsigned int i = 1; i < ARRAY_SIZE(table); i++) {
        d->id = last = last % (ARRAY_SIZE(table) - 1) + 1;
        if (!find(last)) return 0;
    }
    return -XEN_ENOMEM;
}

static int init_parts(struct domain *d, const struct xen_domctl_createdomain *c)
{
    int rc;

    d->shared_info = core_alloc_pages(1);
    if (!d->shared_info) return -XEN_ENOMEM;
    if ((rc = p2m_init(d)) || (rc = cpu_policy_init(d)) ||
        (rc = evtchn_init(d, c->max_evtchn_port)) ||
        (rc = grant_init(d, c->max_grant_frames, c->max_maptrack_frames)))
        return rc;
    if (d->privileged) return hwdev_init(d);
    vpci_assign(d);
    return 0;
}

/* A watchdog was not set again in time; dom0's resets the machine. */
static void watchdog_expired(void *data)
{
    struct domain *d = data;

    log_error("d%u: its watchdog expired", d->id);
    domain_shutdown(d, SHUTDOWN_watchdog);
}

int domain_create(domid_t id, bool privileged, const struct xen_domctl_createdomain *c,
                  struct domain **out)
{
    struct domain *d;
    int rc;

    if (c->max_vcpus == 0 || c->max_vcpus > MAX_VCPUS) return -XEN_EINVAL;
    d = core_alloc(sizeof(*d));
    if (!d) return -XEN_ENOMEM;
    d->id = id;
    d->refs = 1;
    d->privileged = d->pci = privileged;
    d->max_vcpus = c->max_vcpus;
    d->emulation_flags = c->arch.emulation_flags;
    memcpy(d->handle, c->handle, sizeof(d->handle));
    spin_init(&d->lock, RANK_DOMAIN);
    d->pause_count = 1;
    d->ctl_pauses = 1;
    d->pool_pages = privileged ? ~0ull : POOL_PAGES;
    d->shared_info_gfn = ~0ull;
    d->weight = SCHED_DEFAULT_WEIGHT;
    d->params[HVM_PARAM_TRIPLE_FAULT_REASON] = SHUTDOWN_reboot;
    tsc_init(d, privileged ? 0 : read_tsc());
    sched_init_domain(d);
    for (unsigned int i = 0; i < MAX_WATCHDOGS; i++)
        timer_init(&d->watchdog[i], watchdog_expired, d);
    /* Found by its id only when it is whole. */
    rc = choose_id(d);
    if (!rc) rc = init_parts(d, c);
    if (rc) {
        free_domain(d);
        return rc;
    }
    clock_write_wall(d);
    __atomic_store_n(&table[d->id], d, __ATOMIC_RELEASE);
    WRITE_ONCE(table_end, MAX(table_end, d->id + 1u));
    *out = d;
    return 0;
}

/* Every part begins where it stopped, and does nothing when it is through. */
int domain_kill(struct domain *d)
{
    int rc;

    if (d->dying == ALIVE) {
        domain_pause_sync(d);
        spin_lock(&d->lock);
        WRITE_ONCE(d->dying, DYING);
        spin_unlock(&d->lock);
    }
    if ((rc = vpci_release(d)) || (rc = evtchn_release(d)) || (rc = grant_release(d))) return rc;
    vcpu_info_unmap(d);
    p2m_flush(d);
    if ((rc = p2m_release(d))) return rc;
    WRITE_ONCE(d->dying, DEAD);
    virq_raise_dom0(VIRQ_DOM_EXC);
    domain_put(d); /* the creator's */
    return 0;
}

/* Callable with d's lock held. */
static void pause(struct domain *d)
{
    struct vcpu *v;

    __atomic_fetch_add(&d->pause_count, 1, __ATOMIC_SEQ_CST);
    for_each_vcpu (d, v) sched_stop(v);
}

void domain_shutdown(struct domain *d, uint8_t reason)
{
    uint8_t early;
    bool first;

    if (d->privileged) dom0_shutdown(reason);
    spin_lock(&d->lock);
    early = READ_ONCE(d->early_code);
    first = !d->is_shut_down;
    if (first) {
        d->is_shut_down = true;
        d->shutdown_code = early ? early - 1 : reason;
        pause(d);
    }
    spin_unlock(&d->lock);
    if (first) virq_raise_dom0(VIRQ_DOM_EXC);
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
    d->shutdown_code = 0;
    WRITE_ONCE(d->early_code, 0);
    spin_unlock(&d->lock);
    if (was) domain_unpause(d);
}

void domain_pause_sync(struct domain *d)
{
    struct vcpu *v;

    ASSERT(current_domain() != d);
    pause(d);
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
