/* SPDX-License-Identifier: Apache-2.0 */
/* hvm_op: a domain's parameters, and the way it takes its events. */
#include "device/vlapic.h"
#include "hypercall/access.h"
#include "hypercall/evtchn.h"
#include "hypercall/hypercall.h"
#include "vm/guest.h"
#include <xen/hvm/hvm_op.h>
#include <xen/sched.h>

#define FIRST_VECTOR 0x10 /* below it are exceptions */

/* What a domain may do with its own parameters; others' are dom0's. */
enum { SELF_GET = 1, SELF_SET = 2, GONE = 4 };

static const uint8_t rights[HVM_NR_PARAMS] = {
    [HVM_PARAM_CALLBACK_IRQ] = SELF_GET | SELF_SET,
    [HVM_PARAM_STORE_PFN] = SELF_GET,
    [HVM_PARAM_STORE_EVTCHN] = SELF_GET,
    [HVM_PARAM_CONSOLE_PFN] = SELF_GET,
    [HVM_PARAM_CONSOLE_EVTCHN] = SELF_GET,
    [HVM_PARAM_ALTP2M] = SELF_GET,
    [HVM_PARAM_PAE_ENABLED] = GONE,
    [HVM_PARAM_DM_DOMAIN] = GONE,
    [HVM_PARAM_MEMORY_EVENT_CR0] = GONE,
    [HVM_PARAM_MEMORY_EVENT_CR3] = GONE,
    [HVM_PARAM_MEMORY_EVENT_CR4] = GONE,
    [HVM_PARAM_MEMORY_EVENT_INT3] = GONE,
    [HVM_PARAM_NESTEDHVM] = GONE,
    [HVM_PARAM_MEMORY_EVENT_SINGLE_STEP] = GONE,
    [HVM_PARAM_BUFIOREQ_EVTCHN] = GONE,
    [HVM_PARAM_MEMORY_EVENT_MSR] = GONE,
};

/* The largest value, for those that have one. */
static bool value_ok(uint32_t index, uint64_t value)
{
    switch (index) {
    case HVM_PARAM_TIMER_MODE: return value <= HVMPTM_one_missed_tick_pending;
    case HVM_PARAM_TRIPLE_FAULT_REASON: return value <= SHUTDOWN_MAX;
    case HVM_PARAM_ALTP2M:
    case HVM_PARAM_VIRIDIAN: return value == 0;
    default: return true;
    }
}

/* A vector that is injected while an event is pending; the other ways need a
 * chip that these guests do not have. */
static void set_callback(struct domain *d, uint64_t via)
{
    uint8_t type = via >> 56, vector = via;
    struct vcpu *v;

    d->upcall_vector = vector;
    d->upcall_via_vector = type == HVM_PARAM_CALLBACK_TYPE_VECTOR && vector >= FIRST_VECTOR;
    for_each_vcpu (d, v)
        if (evtchn_upcall_pending(v)) vcpu_notify(v);
}

static long param(uint64_t va, bool set)
{
    struct xen_hvm_param op;
    struct domain *d;
    uint8_t right;
    int rc;

    if (copy_from_guest(&op, va, sizeof(op))) return -XEN_EFAULT;
    if (op.index >= HVM_NR_PARAMS) return -XEN_EINVAL;
    op.index = index_nospec(op.index, HVM_NR_PARAMS);
    rc = domain_get_controlled(op.domid, &d);
    if (rc) return rc;
    right = rights[op.index];
    if (right & GONE || (set && !value_ok(op.index, op.value)))
        rc = -XEN_EINVAL;
    else if (d == current_domain() && !(right & (set ? SELF_SET : SELF_GET)))
        rc = -XEN_EPERM;
    else if (!set)
        op.value = READ_ONCE(d->params[op.index]);
    else {
        WRITE_ONCE(d->params[op.index], op.value);
        if (op.index == HVM_PARAM_CALLBACK_IRQ) set_callback(d, op.value);
    }
    domain_put(d);
    return rc || set ? rc : copy_to_guest(va, &op, sizeof(op));
}

/* Events of one vCPU come as an interrupt of its local APIC. */
static long set_upcall_vector(struct domain *d, uint64_t va)
{
    struct xen_hvm_evtchn_upcall_vector op;
    struct vcpu *v;

    if (copy_from_guest(&op, va, sizeof(op))) return -XEN_EFAULT;
    v = domain_vcpu(d, op.vcpu);
    if (!v) return -XEN_ENOENT;
    if (op.vector < FIRST_VECTOR) return -XEN_EINVAL;
    WRITE_ONCE(v->upcall_vector, op.vector);
    if (evtchn_upcall_pending(v)) vlapic_set_irq(v, op.vector, false);
    return 0;
}

long hc_hvm_op(struct vcpu *v, const struct hc_args *args)
{
    switch ((uint32_t)args->a[0]) {
    case HVMOP_set_param: return param(args->a[1], true);
    case HVMOP_get_param: return param(args->a[1], false);
    case HVMOP_set_evtchn_upcall_vector: return set_upcall_vector(v->domain, args->a[1]);
    default: return -XEN_ENOSYS;
    }
}
