/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hypercalls: one table names them all (table.c), one file holds each.
 *
 * A handler gets the arguments as the guest passed them and returns what the
 * guest finds in RAX.  A long one does a part, notes in v->regs' argument
 * registers or the guest's structure what is left, and returns HC_CONTINUE: it
 * is called again, at once or, when something else is due, by the guest's
 * instruction being executed once more.
 */
#ifndef HYPERCALL_HYPERCALL_H
#define HYPERCALL_HYPERCALL_H

#include "lib/base.h"
#include "vm/domain.h"
#include <xen/errno.h>

struct vm_exit;

struct hc_args {
    uint64_t a[5]; /* RDI RSI RDX R10 R8 */
};

typedef long hypercall_fn(struct vcpu *v, const struct hc_args *args);

#define XEN_VERSION 0x00040011 /* 4.17 */
/* Not part of the ABI: no guest ever sees it. */
#define XEN_ERESTART 85
#define HC_CONTINUE  (-XEN_ERESTART)

/* Called by the exit dispatcher; sets RAX.  True: RIP is to move on. */
bool do_hypercall(struct vcpu *v, const struct vm_exit *e);
/* True when a long operation should make way: work pending for this CPU, or
 * PREEMPT_US of it over (vm/run.c).  Check every few microseconds. */
bool hypercall_preempt(void);

/* In a continuation: argument n (0 = RDI) the next time. */
void hc_set_arg(struct vcpu *v, unsigned int n, uint64_t value);

hypercall_fn hc_memory_op, hc_xen_version, hc_console_io, hc_grant_table_op, hc_vcpu_op,
    hc_sched_op, hc_event_channel_op, hc_hvm_op, hc_sysctl, hc_domctl, hc_platform_op,
    hc_physdev_op, hc_vm_assist, hc_multicall, hc_set_timer_op;

/*
 * A sub-operation whose argument is the address of one structure, and what is
 * done for it.  `d` is the domain that the flags say, else the current one.
 */
struct subop {
    long (*fn)(struct domain *d, void *arg); /* arg: the core's copy */
    uint8_t size, flags;
};
#define SUBOP_MAX 64 /* bytes of the largest structure */
enum {
    SUBOP_OUT = 1,    /* the structure goes back to the guest after a 0         */
    SUBOP_DOM0 = 2,   /* for dom0 only                                          */
    SUBOP_DOMAIN = 4, /* begins with the id of a domain: domain_get_controlled  */
    SUBOP_LOCKED = 8, /* the same, and domain_get_locked                        */
};
/* Carries out operation cmd of n ones. */
long subop_call(const struct subop *ops, unsigned int n, uint32_t cmd, uint64_t va);

/* A domain whose memory is about to be changed, referenced; another's is
 * locked, so that it does not start to die.  -ESRCH, -EPERM. */
int domain_get_locked(domid_t id, struct domain **out) must_use;
void domain_put_locked(struct domain *d);

/* Errors are Xen's: -XEN_EINVAL etc. from <xen/errno.h>. */

#endif
