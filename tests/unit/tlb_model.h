/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A processor's translations as a model: whatever it may keep, it keeps until
 * it is told to drop it.  test_tlb.c has the model and the cases; tlb_svm.c and
 * tlb_vmx.c run the real code by which each vendor chooses tags and flushes.
 */
#ifndef TLB_MODEL_H
#define TLB_MODEL_H

#include "fake_vm.h"

/* By what translations are told apart. */
struct tags {
    uint64_t linear; /* guest virtual address to frame   */
    uint64_t nested; /* gfn to frame, gfn to table       */
};

/* On CPU c: everything; by nested tag; the linear ones. */
void model_drop_all(struct cpu *c);
void model_drop_nested(struct cpu *c, uint64_t nested);
void model_drop_linear(struct cpu *c);

extern void (*fake_iommu_flushed)(struct domain *d); /* fake_iommu.c */

/* The vendor's part. */
extern const char *const model_name;
void model_cpu(struct cpu *c);
void model_skip(struct cpu *c, unsigned int left); /* all tags but so many */
void model_vcpu(struct vcpu *v);
struct tags model_enter(struct vcpu *v, struct cpu *c);
void model_ask_flush(struct vcpu *v);
void model_fail(struct vcpu *v, struct cpu *c); /* an entry that the processor refuses */

#endif
