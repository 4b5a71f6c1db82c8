/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what to whom: every place where two domains meet asks here.
 */
#ifndef HYPERCALL_ACCESS_H
#define HYPERCALL_ACCESS_H

#include "lib/base.h"
#include "vm/domain.h"
#include <xen/errno.h>

/* May a and b share events and memory?  The place for tenants' policy. */
static inline bool access_allowed(const struct domain *a, const struct domain *b)
{
    (void)a;
    (void)b;
    return true;
}

/* May the caller's domain act for d? */
static inline bool access_controls(const struct domain *caller, const struct domain *d)
{
    return caller == d || caller->privileged;
}

/* The domain named by an id (DOMID_SELF too), referenced, if the current one
 * may act for it.  -ESRCH, -EPERM. */
must_use static inline int domain_get_controlled(domid_t id, struct domain **out)
{
    struct domain *d = domain_get(id);

    if (!d) return -XEN_ESRCH;
    if (!access_controls(current_domain(), d)) {
        domain_put(d);
        return -XEN_EPERM;
    }
    *out = d;
    return 0;
}

/* The vCPU that a guest names by its number; NULL when there is none. */
static inline struct vcpu *domain_vcpu(struct domain *d, uint32_t id)
{
    if (id >= d->max_vcpus) return NULL;
    return READ_ONCE(d->vcpus[index_nospec(id, d->max_vcpus)]);
}

#endif
