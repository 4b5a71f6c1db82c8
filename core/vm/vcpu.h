/* SPDX-License-Identifier: Apache-2.0 */
/* vCPUs, for those that make and run them; what an exit leads to. */
#ifndef VM_VCPU_H
#define VM_VCPU_H

#include "cpu/cpu.h"
#include "vm/vendor.h"

/* The vCPU that stands for "nothing to run" on a CPU; never in a domain of
 * its own that anyone can name. */
struct vcpu *vcpu_create_idle(void);
void vcpu_free(struct vcpu *v);         /* it never ran or is off its CPU  */
void vcpu_stop_timers(struct vcpu *v);  /* one may still run elsewhere */
void vcpu_info_unmap(struct domain *d); /* hypercall/vcpu_op.c; d is paused */
/* Logs the registered pages as dirty (vm/logdirty.h). */
void vcpu_info_mark_dirty(struct domain *d);
void vcpu_switch_in(struct vcpu *v); /* on the CPU that will run it     */
void vcpu_switch_out(struct vcpu *v);
bool vcpu_event_pending(struct vcpu *v); /* reason to end HLT               */
void domains_reclaim(void);              /* WORK_RECLAIM                    */
void dom0_shutdown(uint8_t reason);      /* boot/dom0.c; does not return */
void show_guest_registers(struct vcpu *v);

/* --- from an exit to its handler --- */
void handle_exit(struct vcpu *v, struct vm_exit *e);

/* vm/msr.c: 0, or -1 for #GP.  v is current. */
int msr_read(struct vcpu *v, uint32_t msr, uint64_t *value);
int msr_write(struct vcpu *v, uint32_t msr, uint64_t value);

/* vm/cpu_policy.c: fills what the guest sees. */
void cpuid_guest(struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out);

/* device/hwdev.c: one port access; value in and out through v->regs.rax. */
void handle_io(struct vcpu *v, const struct vm_exit *e);
/* device/mmio.c: an access to a gpa where no RAM is mapped.  Decodes and
 * carries out the instruction. */
void handle_mmio(struct vcpu *v, uint64_t gpa, bool write);

#endif
