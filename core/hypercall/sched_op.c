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

static long op_yield(maybe_unused struct domain *d, maybe_unused void *arg)
{
    sched_yield(current_vcpu());
    return 0;
}

static long op_block(maybe_unused struct domain *d, maybe_unused void *arg)
{
    struct vcpu *v = current_vcpu();

    __atomic_fetch_or(&v->holds, HOLD_BLOCKED, __ATOMIC_SEQ_CST);
    if (vcpu_event_pending(v))
        __atomic_fetch_and(&v->holds, ~HOLD_BLOCKED, __ATOMIC_SEQ_CST);
    else
        sched_stop(v);
    return 0;
}

/* Waits for one of some ports, any interrupt, or a time (ns, absolute). */
static long op_poll(maybe_unused struct domain *d, void *arg)
{
    const struct sched_poll *op = arg;
    evtchn_port_t ports[MAX_POLL_PORTS];
    struct vcpu *v = current_vcpu();
    int rc;

    if (op->nr_ports > MAX_POLL_PORTS) return -XEN_EINVAL;
    if (copy_from_guest(ports, HANDLE(op->ports), op->nr_ports * sizeof(ports[0])))
        return -XEN_EFAULT;
    if (timer_is_set(&v->poll_timer)) timer_stop(&v->poll_timer);
    rc = evtchn_poll_begin(v, ports, op->nr_ports);
    if (rc) return MIN(rc, 0);
    /* An event that v would take now. */
    if (vcpu_event_pending(v) && v->regs.rflags & RFLAGS_IF) {
        evtchn_poll_end(v);
        return 0;
    }
    if (op->timeout) timer_set(&v->poll_timer, op->timeout);
    sched_stop(v);
    return 0;
}

static long op_shutdown(struct domain *d, void *arg)
{
    const struct sched_shutdown *op = arg;

    log_info("d%u: shuts down, reason %u", d->id, op->reason);
    domain_shutdown(d, op->reason);
    return 0;
}

/* The reason to be reported whenever and however this domain stops. */
static long op_shutdown_code(struct domain *d, void *arg)
{
    const struct sched_shutdown *op = arg;

    if (op->reason > SHUTDOWN_MAX) return -XEN_EINVAL;
    WRITE_ONCE(d->early_code, op->reason + 1);
    return 0;
}

static long op_remote_shutdown(struct domain *d, void *arg)
{
    domain_shutdown(d, ((struct sched_remote_shutdown *)arg)->reason);
    return 0;
}

/* Sets (id 0: takes a free one and returns its id), sets again or stops (0
 * seconds) a watchdog of the caller's. */
static long op_watchdog(struct domain *d, void *arg)
{
    const struct sched_watchdog *op = arg;
    unsigned int i = 0;
    long rc = 0;

    if (op->id > MAX_WATCHDOGS || (!op->id && !op->timeout)) return -XEN_EINVAL;
    spin_lock(&d->lock);
    if (op->id) {
        i = index_nospec(op->id - 1, MAX_WATCHDOGS);
        if (timer_is_set(&d->watchdog[i]))
            timer_stop(&d->watchdog[i]);
        else
            rc = -XEN_EINVAL;
    } else {
        while (i < MAX_WATCHDOGS && timer_is_set(&d->watchdog[i])) i++;
        rc = i < MAX_WATCHDOGS ? (long)i + 1 : -XEN_ENOSPC;
    }
    if (rc >= 0 && op->timeout) timer_set(&d->watchdog[i], now() + op->timeout * NS_PER_SEC);
    spin_unlock(&d->lock);
    return rc;
}

long hc_sched_op(maybe_unused struct vcpu *v, const struct hc_args *args)
{
    static const struct subop ops[] = {
        [SCHEDOP_yield] = {op_yield, 0, 0},
        [SCHEDOP_block] = {op_block, 0, 0},
        [SCHEDOP_shutdown] = {op_shutdown, sizeof(struct sched_shutdown), 0},
        [SCHEDOP_poll] = {op_poll, sizeof(struct sched_poll), 0},
        [SCHEDOP_remote_shutdown] = {op_remote_shutdown, sizeof(struct sched_remote_shutdown),
                                     SUBOP_DOM0 | SUBOP_DOMAIN},
        [SCHEDOP_shutdown_code] = {op_shutdown_code, sizeof(struct sched_shutdown), 0},
        [SCHEDOP_watchdog] = {op_watchdog, sizeof(struct sched_watchdog), 0},
    };

    return subop_call(ops, ARRAY_SIZE(ops), args->a[0], args->a[1]);
}
