/* SPDX-License-Identifier: Apache-2.0 */
/* What sysctl shares with domctl (hypercall/domctl.c). */
#ifndef HYPERCALL_DOMCTL_H
#define HYPERCALL_DOMCTL_H

#include "hypercall/hypercall.h"
#include <xen/domctl.h>

/* Fills in what the tools see of a domain. */
void domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info);

/* A bitmap into the caller's memory; `bits` is the length of map. */
int bitmap_write(const struct xenctl_bitmap *b, const unsigned long *map,
                 unsigned int bits) must_use;

#endif
