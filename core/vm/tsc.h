/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's TSC: host TSC * the domain's ratio + the vCPU's offset.
 *
 * The ratio is 1 unless the domain comes from a machine with another frequency
 * (XEN_DOMCTL_settscinfo).  The processor scales where it can; elsewhere RDTSC
 * exits, and the same value is calculated.
 */
#ifndef VM_TSC_H
#define VM_TSC_H

#include "cpu/time.h"

struct domain;
struct vcpu;

#define TSC_FRACTION 48 /* bits after the point of a ratio */
#define TSC_WHOLE    8  /* and before it */
#define TSC_RATIO_1  (1ull << TSC_FRACTION)

struct guest_tsc {
    uint32_t mode, incarnation; /* the toolstack's                           */
    uint32_t khz;
    bool exits;             /* RDTSC does                                */
    struct tsc_scale scale; /* its ticks to ns                           */
    uint64_t ratio;         /* with TSC_WHOLE + TSC_FRACTION bits        */
    uint64_t epoch;         /* host TSC at which that of a new vCPU is 0 */
};

/* What v reads when the host's TSC is `host`. */
uint64_t guest_tsc(const struct vcpu *v, uint64_t host);

/* For a domain that is being made: the machine's own rate. */
void tsc_init(struct domain *d, uint64_t epoch);

/*
 * Another rate (0: the machine's) and mode, by XEN_DOMCTL_settscinfo; the
 * vCPUs' TSCs go on from their values.  d is paused.  -EOPNOTSUPP: an unknown
 * mode; -EINVAL: a rate out of all proportion.
 */
int tsc_set(struct domain *d, uint32_t mode, uint32_t khz);

#endif
