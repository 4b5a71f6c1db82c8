/* SPDX-License-Identifier: Apache-2.0 */
/* The hypervisor as a test sees it: hypercalls, shared pages, events, time. */
#ifndef HYPER_H
#define HYPER_H

#define __XEN_TOOLS__             1
#define __XEN_INTERFACE_VERSION__ 0x00041100
#include "cpu.h"
#include <xen/xen.h>
#include <xen/errno.h>
#include <xen/arch-x86/hvm/start_info.h>
#include <xen/callback.h>
#include <xen/domctl.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/io/console.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/platform.h>
#include <xen/sched.h>
#include <xen/sysctl.h>
#include <xen/vcpu.h>
#include <xen/version.h>

#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

/* The raw call; also what a hostile test uses. */
long hypercall(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e);
#define HC(nr, a, b, c, d) \
    hypercall(nr, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), 0)

#define memory_op(cmd, arg)     HC(__HYPERVISOR_memory_op, cmd, arg, 0, 0)
#define version_op(cmd, arg)    HC(__HYPERVISOR_xen_version, cmd, arg, 0, 0)
#define console_op(cmd, n, buf) HC(__HYPERVISOR_console_io, cmd, n, buf, 0)
#define grant_op(cmd, arg, n)   HC(__HYPERVISOR_grant_table_op, cmd, arg, n, 0)
#define vcpu_op(cmd, vcpu, arg) HC(__HYPERVISOR_vcpu_op, cmd, vcpu, arg, 0)
#define sched_op(cmd, arg)      HC(__HYPERVISOR_sched_op, cmd, arg, 0, 0)
#define evtchn_op(cmd, arg)     HC(__HYPERVISOR_event_channel_op, cmd, arg, 0, 0)
#define hvm_op(cmd, arg)        HC(__HYPERVISOR_hvm_op, cmd, arg, 0, 0)
#define physdev_op(cmd, arg)    HC(__HYPERVISOR_physdev_op, cmd, arg, 0, 0)

/* Fills in the version; the error of the call. */
long domctl(struct xen_domctl *op, uint32_t cmd, domid_t domid);
long sysctl(struct xen_sysctl *op, uint32_t cmd);

extern const struct hvm_start_info *start_info;
extern const char *cmdline;
extern bool is_dom0;
extern domid_t self_id; /* from CPUID leaf 0x40000004 */
extern uint32_t xen_leaf;

/* The shared page, mapped before a test begins, and vCPU 0's info in it. */
extern struct shared_info *shared;
struct vcpu_info *vcpu_info(void); /* of the calling vCPU (legacy place) */

/* System time of this vCPU in nanoseconds (pvclock). */
uint64_t now(void);
void delay(uint64_t ns); /* busy */
void nap(uint64_t ns);   /* lets others run */

/* Events.  events_on makes vector 0xF3 the callback; handlers count. */
#define EVENT_VECTOR 0xf3
void events_on(void);
/* Ports: the port, or the (negative) error. */
long port_unbound(domid_t remote);
long port_bind(domid_t remote, evtchn_port_t remote_port);
long port_virq(uint32_t virq, uint32_t vcpu);
long port_ipi(uint32_t vcpu);
long port_close(evtchn_port_t port);
long port_send(evtchn_port_t port);
long port_unmask(evtchn_port_t port);
bool port_pending(evtchn_port_t port);
void port_mask(evtchn_port_t port);
bool port_take(evtchn_port_t port); /* clears; was it pending? */
/* Waits (by poll) for the port, at most ns; takes it. */
bool port_wait(evtchn_port_t port, uint64_t ns);

/* Memory of this domain. */
long add_to_physmap(domid_t d, unsigned int space, uint64_t idx, uint64_t gfn);
long remove_from_physmap(domid_t d, uint64_t gfn);
/* Order-0 lists: the number done, or the error. */
long populate(domid_t d, unsigned int order, uint64_t *gfns, unsigned long n);
long decrease(domid_t d, unsigned int order, uint64_t *gfns, unsigned long n);
long hvm_get(domid_t d, uint32_t index, uint64_t *value);
long hvm_set(domid_t d, uint32_t index, uint64_t value);
#define gfn_of(p) ((uint64_t)(p) >> 12)

/* Grants (version 1); 8 grant frames are mapped at the first call. */
grant_entry_v1_t *grants(void);
void grant_access(grant_ref_t ref, domid_t to, const void *page, bool ro);
/* The GNTST_* status, or the hypercall's error if it failed. */
long grant_map(domid_t of, grant_ref_t ref, void *at, bool ro, grant_handle_t *handle);
long grant_unmap(void *at, grant_handle_t handle);

#endif
