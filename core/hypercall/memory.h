/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of memory_op (hypercall/memory_op.c, memory_map.c). */
#ifndef HYPERCALL_MEMORY_H
#define HYPERCALL_MEMORY_H

#include "hypercall/hypercall.h"

/* The first argument: the sub-op, above it the items done before. */
#define MEMOP_BITS 6
#define MEMOP_MASK ((1ul << MEMOP_BITS) - 1)

/* Items between two looks at hypercall_preempt(). */
#define MEMOP_BATCH 16u

/* One sub-op: the word above, and the address of its structure. */
typedef long memory_fn(struct vcpu *v, uint64_t word, uint64_t arg);

memory_fn memory_add, memory_add_batch, memory_remove, memory_acquire;

/* Goes on later with `done` items behind it. */
long memory_continue(struct vcpu *v, uint64_t word, uint64_t done);

/* A domain whose memory is about to be changed, referenced; another's is
 * locked, so that it does not start to die.  -ESRCH, -EPERM. */
int memory_begin(domid_t id, struct domain **d) must_use;
void memory_end(struct domain *d);

#endif
