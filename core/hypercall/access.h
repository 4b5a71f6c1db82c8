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

/* The domain named by an id (DOMID_SELF too), referenced, if the current one
 * may act for it: it is its own, or it is dom0.  -ESRCH, -EPERM. */
must_use static inline int domain_get_controlled(domid_t id, struct domain **out)
{
    struct domain *d = domain_get(id), *caller = current_domain();

    if (!d) return -XEN_ESRCH;
    if (d != caller && !caller->privileged) {
        domain_put(d);
        return -XEN_EPERM;
    }
    *out = d;
    return 0;
}

#endif
