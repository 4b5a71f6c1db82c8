/* SPDX-License-Identifier: Apache-2.0 */
/* From an exit to its handler, and the handlers that need no file of theirs. */
#ifndef VM_EXIT_H
#define VM_EXIT_H

#include "vm/vendor.h"

struct vcpu;

void handle_exit(struct vcpu *v, struct vm_exit *e);

/* vm/msr.c: 0, or -1 for #GP.  v is current. */
int msr_read(struct vcpu *v, uint32_t msr, uint64_t *value);
int msr_write(struct vcpu *v, uint32_t msr, uint64_t value);

/* vm/cpu_policy.c: fills what the guest sees. */
struct cpuid_regs;
void cpuid_guest(struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out);

/* device/io.c: one port access; value in and out through v->regs.rax. */
void handle_io(struct vcpu *v, const struct vm_exit *e);
/* device/mmio.c: an access to a gpa where no RAM is mapped.  Decodes and
 * carries out the instruction. */
void handle_mmio(struct vcpu *v, uint64_t gpa, bool write);

#endif
