/* SPDX-License-Identifier: Apache-2.0 */
/* sched_op: a guest gives up its CPU, waits, or stops. */
#include "sched/sched.h"
#include "hypercall/access.h"
#include "hypercall/evtchn.h"
#include "hypercall/hypercall.h"
#include "lib/print.h"
#include "vm/guest.h"
#include "vm/vcpu.h"
#include <xen/sched.h>

#define MAX_POLL_PORTS 128

/* An event waits that v would take now. */
static bool event_ready(struct vcpu *v)
{
    return vcpu_event_pending(v) && v->regs.rflags & RFLAGS_IF;
}

static long do_block(struct vcpu *v)
{
    __atomic_fetch_or(&v->holds, HOLD_BLOCKED, __ATOMIC_SEQ_CST);
    if (vcpu_event_pending(v))
        __atomic_fetch_and(&v->holds, ~HOLD_BLOCKED, __ATOMIC_SEQ_CST);
    else
        sched_stop(v);
    return 0;
}

/* Waits for one of some ports, any interrupt, or a time (ns, absolute). */
static long do_poll(struct vcpu *v, uint64_t va)
{
    struct sched_poll op;
    evtchn_port_t ports[MAX_POLL_PORTS];

    if (copy_from_guest(&op, va, sizeof(op))) return -XEN_EFAULT;
    if (op.nr_ports > MAX_POLL_PORTS) return -XEN_EINVAL;
    if (copy_from_guest(ports, HANDLE(op.ports), op.nr_ports * sizeof(ports[0])))
        return -XEN_EFAULT;
    for (unsigned int i = 0; i < op.nr_ports; i++)
        if (!evtchn_port_valid(v->domain, ports[i])) return -XEN_EINVAL;
    if (timer_is_set(&v->poll_timer)) timer_stop(&v->poll_timer);
    if (!evtchn_poll_begin(v, ports, op.nr_ports)) return 0;
    if (event_ready(v)) {
        evtchn_poll_end(v);
        return 0;
    }
    if (op.timeout) timer_set(&v->poll_timer, op.timeout);
    sched_stop(v);
    return 0;
}

static long do_shutdown(struct domain *d, uint64_t va)
{
    struct sched_shutdown op;

    if (copy_from_guest(&op, va, sizeof(op))) return -XEN_EFAULT;
    log_info("d%u: shuts down, reason %u", d->id, op.reason);
    domain_shutdown(d, op.reason);
    return 0;
}

/* The reason to be reported whenever and however this domain stops. */
static long set_shutdown_code(struct domain *d, uint64_t va)
{
    struct sched_shutdown op;

    if (copy_from_guest(&op, va, sizeof(op))) return -XEN_EFAULT;
    if (op.reason > SHUTDOWN_MAX) return -XEN_EINVAL;
    d->early_code = op.reason + 1;
    return 0;
}

static long remote_shutdown(struct vcpu *v, uint64_t va)
{
    struct sched_remote_shutdown op;
    struct domain *d;
    int rc;

    if (copy_from_guest(&op, va, sizeof(op))) return -XEN_EFAULT;
    if (!v->domain->privileged) return -XEN_EPERM;
    rc = domain_get_controlled(op.domain_id, &d);
    if (rc) return rc;
    domain_shutdown(d, op.reason);
    domain_put(d);
    return 0;
}

/* Sets (id 0: takes a free one and returns its id), sets again or stops (0
 * seconds) a watchdog of the caller's. */
static long set_watchdog(struct domain *d, uint64_t va)
{
    struct sched_watchdog op;
    unsigned int i = 0;
    long rc = 0;

    if (copy_from_guest(&op, va, sizeof(op))) return -XEN_EFAULT;
    if (op.id > MAX_WATCHDOGS || (!op.id && !op.timeout)) return -XEN_EINVAL;
    spin_lock(&d->lock);
    if (op.id) {
        i = index_nospec(op.id - 1, MAX_WATCHDOGS);
        if (timer_is_set(&d->watchdog[i]))
            timer_stop(&d->watchdog[i]);
        else
            rc = -XEN_EINVAL;
    } else {
        while (i < MAX_WATCHDOGS && timer_is_set(&d->watchdog[i])) i++;
        rc = i < MAX_WATCHDOGS ? (long)i + 1 : -XEN_ENOSPC;
    }
    if (rc >= 0 && op.timeout) timer_set(&d->watchdog[i], now() + op.timeout * NS_PER_SEC);
    spin_unlock(&d->lock);
    return rc;
}

long hc_sched_op(struct vcpu *v, const struct hc_args *args)
{
    uint64_t va = args->a[1];

    switch ((uint32_t)args->a[0]) {
    case SCHEDOP_yield: sched_yield(v); return 0;
    case SCHEDOP_block: return do_block(v);
    case SCHEDOP_shutdown: return do_shutdown(v->domain, va);
    case SCHEDOP_poll: return do_poll(v, va);
    case SCHEDOP_watchdog: return set_watchdog(v->domain, va);
    case SCHEDOP_remote_shutdown: return remote_shutdown(v, va);
    case SCHEDOP_shutdown_code: return set_shutdown_code(v->domain, va);
    default: return -XEN_ENOSYS;
    }
}
