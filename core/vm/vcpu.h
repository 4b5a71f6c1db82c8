/* SPDX-License-Identifier: Apache-2.0 */
/* vCPUs, for those that make and run them. */
#ifndef VM_VCPU_H
#define VM_VCPU_H

#include "lib/base.h"

struct domain;
struct vcpu;

/* The vCPU that stands for "nothing to run" on a CPU; never in a domain of
 * its own that anyone can name. */
struct vcpu *vcpu_create_idle(void);
void vcpu_free(struct vcpu *v);        /* it never ran or is off its CPU  */
void vcpu_stop_timers(struct vcpu *v); /* one may still run elsewhere */
void vcpu_info_unmap(struct vcpu *v);  /* hypercall/vcpu_op.c             */
void vcpu_switch_in(struct vcpu *v);   /* on the CPU that will run it     */
void vcpu_switch_out(struct vcpu *v);
bool vcpu_event_pending(struct vcpu *v); /* reason to end HLT               */
void domains_reclaim(void);              /* WORK_RECLAIM                    */
void dom0_shutdown(uint8_t reason);      /* returns only for SHUTDOWN_suspend */
void sched_init_domain(struct domain *d);
void show_guest_registers(struct vcpu *v);
uint64_t time_boot_tsc(void);

#endif
