/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of domctl (hypercall/domctl.c, domctl_vcpu.c), and what sysctl
 * shares with it. */
#ifndef HYPERCALL_DOMCTL_H
#define HYPERCALL_DOMCTL_H

#include "hypercall/hypercall.h"
#include <xen/domctl.h>

/*
 * One operation on a domain that the caller holds a reference to.  Changes in
 * *op go back to the caller's memory.  -XEN_ERESTART: call again.
 */
typedef int domctl_fn(struct domain *d, struct xen_domctl *op);

domctl_fn domctl_max_vcpus, domctl_get_vcpu_info, domctl_get_vcpu_context, domctl_set_vcpu_context,
    domctl_get_affinity, domctl_set_affinity, domctl_scheduler, domctl_get_context,
    domctl_get_context_partial, domctl_set_context, domctl_get_policy, domctl_set_policy;

/* Fills in what the tools see of a domain. */
void domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info);

/* Bitmaps in the caller's memory; `bits` is the length of map. */
int bitmap_read(unsigned long *map, unsigned int bits, const struct xenctl_bitmap *b) must_use;
int bitmap_write(const struct xenctl_bitmap *b, const unsigned long *map,
                 unsigned int bits) must_use;

#endif
