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

/* Sets of parameters: that a domain may read and set of its own (others' are
 * dom0's), and that nobody has any more. */
static const uint64_t self_set = BIT(HVM_PARAM_CALLBACK_IRQ);
static const uint64_t self_get = BIT(HVM_PARAM_CALLBACK_IRQ) | BIT(HVM_PARAM_STORE_PFN) |
                                 BIT(HVM_PARAM_STORE_EVTCHN) | BIT(HVM_PARAM_CONSOLE_PFN) |
                                 BIT(HVM_PARAM_CONSOLE_EVTCHN) | BIT(HVM_PARAM_ALTP2M);
static const uint64_t gone = BIT(HVM_PARAM_PAE_ENABLED) | BIT(HVM_PARAM_DM_DOMAIN) |
                             BIT(HVM_PARAM_MEMORY_EVENT_CR0) | BIT(HVM_PARAM_MEMORY_EVENT_CR3) |
                             BIT(HVM_PARAM_MEMORY_EVENT_CR4) | BIT(HVM_PARAM_MEMORY_EVENT_INT3) |
                             BIT(HVM_PARAM_NESTEDHVM) | BIT(HVM_PARAM_MEMORY_EVENT_SINGLE_STEP) |
                             BIT(HVM_PARAM_BUFIOREQ_EVTCHN) | BIT(HVM_PARAM_MEMORY_EVENT_MSR);

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

    WRITE_ONCE(d->upcall_vector, vector);
    WRITE_ONCE(d->upcall_via_vector,
               type == HVM_PARAM_CALLBACK_TYPE_VECTOR && vector >= FIRST_VECTOR);
    for_each_vcpu (d, v)
        if (evtchn_upcall_pending(v)) vcpu_notify(v);
}

static int check_param(const struct domain *d, uint32_t index, uint64_t self)
{
    if (index >= HVM_NR_PARAMS || BIT(index) & gone) return -XEN_EINVAL;
    return d == current_domain() && !(BIT(index) & self) ? -XEN_EPERM : 0;
}

static long op_get_param(struct domain *d, void *arg)
{
    struct xen_hvm_param *op = arg;
    int rc = check_param(d, op->index, self_get);

    if (!rc) op->value = READ_ONCE(d->params[index_nospec(op->index, HVM_NR_PARAMS)]);
    return rc;
}

static long op_set_param(struct domain *d, void *arg)
{
    const struct xen_hvm_param *op = arg;
    int rc = value_ok(op->index, op->value) ? check_param(d, op->index, self_set) : -XEN_EINVAL;

    if (rc) return rc;
    WRITE_ONCE(d->params[index_nospec(op->index, HVM_NR_PARAMS)], op->value);
    if (op->index == HVM_PARAM_CALLBACK_IRQ) set_callback(d, op->value);
    return 0;
}

/* Events of one vCPU come as an interrupt of its local APIC. */
static long op_set_upcall_vector(struct domain *d, void *arg)
{
    const struct xen_hvm_evtchn_upcall_vector *op = arg;
    struct vcpu *v = domain_vcpu(d, op->vcpu);

    if (!v) return -XEN_ENOENT;
    if (op->vector < FIRST_VECTOR) return -XEN_EINVAL;
    WRITE_ONCE(v->upcall_vector, op->vector);
    if (evtchn_upcall_pending(v)) vlapic_set_upcall(v, op->vector);
    return 0;
}

long hc_hvm_op(maybe_unused struct vcpu *v, const struct hc_args *args)
{
    static const struct subop ops[] = {
        [HVMOP_set_param] = {op_set_param, sizeof(struct xen_hvm_param), SUBOP_DOMAIN},
        [HVMOP_get_param] = {op_get_param, sizeof(struct xen_hvm_param), SUBOP_DOMAIN | SUBOP_OUT},
        [HVMOP_set_evtchn_upcall_vector] = {op_set_upcall_vector,
                                            sizeof(struct xen_hvm_evtchn_upcall_vector), 0},
    };

    return subop_call(ops, ARRAY_SIZE(ops), args->a[0], args->a[1]);
}
