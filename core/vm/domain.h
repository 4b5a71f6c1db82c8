/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Domains and vCPUs: the objects that everything above hangs on.
 *
 * Life of a domain: created paused -> running -> (shut down: all vCPUs
 * stopped, memory still there) -> dying (its memory is being given back) ->
 * dead (memory still mapped by others keeps it listed) -> gone.
 */
#ifndef VM_DOMAIN_H
#define VM_DOMAIN_H

#include "cpu/cpu.h"
#include "cpu/lock.h"
#include "cpu/time.h"
#include "lib/base.h"
#include "lib/list.h"
#include "vm/regs.h"
#include "vm/tsc.h"
#include <xen/xen.h>
#include <xen/hvm/params.h>
#include <xen/sched.h>
#include <xen/vcpu.h>

#define MAX_VCPUS     128 /* per domain */
#define MAX_WATCHDOGS 2

struct xen_domctl_createdomain;

/* v->mtrr: 8 bases and masks, the fixed ones, the default type. */
enum { MTRR_FIXED = 16, MTRR_DEF_TYPE = 27, MTRRS };

enum dying { ALIVE, DYING, DEAD };

/* Why a vCPU does not run, apart from being paused. */
enum vcpu_hold {
    HOLD_DOWN = 1,    /* not started, or taken down            */
    HOLD_BLOCKED = 2, /* waits for an event (HLT, SCHEDOP_block) */
    HOLD_POLL = 4,    /* waits for the ports of SCHEDOP_poll   */
    HOLD_SHOWN = 8,   /* a debug key looks at its registers    */
};

struct sched_unit {   /* guarded by the run queue's lock */
    struct list link; /* on a run queue, sorted by vtime */
    bool queued;
    uint64_t vtime;       /* weighted ns                       */
    uint64_t slice_start; /* ns                                */
    struct cpu *last_cpu;
    unsigned long hard[BITMAP_WORDS(MAX_CPUS)];
    unsigned long soft[BITMAP_WORDS(MAX_CPUS)];
};

#define TRANSLATION_GROUP 8u

/* Pages translated since the last exit, good for one hypercall: vm/guest.c. */
struct translation_cache {
    struct translations { /* of pages side by side, aligned */
        uint64_t group;   /* address / size */
        /* Like entries of a page table: that of the first page, if all are in one
         * large page, else 0 and one for each. */
        uint64_t large, page[TRANSLATION_GROUP];
    } entry[4];
    unsigned int next; /* entries filled, ever: the first `next` count */
};

struct vcpu {
    struct domain *domain;
    unsigned int id;
    struct regs regs;    /* general registers, RIP, RSP, RFLAGS       */
    void *vendor;        /* struct svm_vcpu / vmx_vcpu                */
    void *fpu;           /* XSAVE area, page aligned                  */
    struct cpu *fpu_cpu; /* whose registers hold the newest state     */
    uint64_t xcr0;       /* the guest's                               */

    /* scheduling */
    unsigned int holds;     /* bits of enum vcpu_hold, atomic            */
    struct cpu *running_on; /* NULL when on no CPU; run queue lock       */
    struct sched_unit sched;
    struct vcpu_runstate_info runstate; /* written by its scheduler CPU   */
    bool initialised;                   /* has register state, may be brought up     */

    /* events and interrupts */
    struct vcpu_info *info;       /* in shared_info or the registered page; the
                                   * core's mapping; dummy until registered    */
    uint64_t info_gfn;            /* its place when it is registered           */
    uint64_t info_mfn;            /* MFN_INVALID while in shared_info          */
    struct vcpu_info *first_info; /* where info pointed until then */
    bool nmi_pending;
    uint8_t upcall_vector; /* HVMOP_set_evtchn_upcall_vector, 0: none   */
    uint32_t poll_port;    /* HOLD_POLL: the port, 0: several           */
    struct vlapic *lapic;
    uint16_t virq_port[NR_VIRQS]; /* evtchn lock; 0: not bound            */
    struct timer oneshot;         /* VCPUOP_set_singleshot_timer               */
    struct timer poll_timer;

    /* time */
    uint64_t tsc_offset; /* see vm/tsc.h                              */
    uint64_t tsc_aux;

    /* areas named by guest virtual address, written in its own context  */
    uint64_t runstate_va, time_va;

    /* MSRs that are kept here for every vendor (vm/msr.c) */
    uint64_t pat, mtrr[MTRRS];
    bool cpuid_faulting;
    uint64_t apic_base, tsc_adjust;

    uint8_t wait_sipi; /* after INIT, before SIPI; atomic */
    uint16_t sipi;     /* 0x100 | page: to be started there */
    struct translation_cache tcache;
};

struct domain {
    domid_t id;
    bool privileged; /* dom0                                      */
    bool pci;        /* it has, or had, PCI devices               */
    uint32_t cf8;    /* its PCI address register                  */
    uint32_t refs;   /* atomic; see domain_get                    */
    enum dying dying;
    struct spinlock lock; /* guards: the end of ALIVE, is_shut_down, shutdown_code,
                           * handle, e820, watchdog, moving its vCPUs' info */
    xen_domain_handle_t handle;

    struct vcpu *vcpus[MAX_VCPUS]; /* filled under domctl's lock          */
    unsigned int max_vcpus;
    int pause_count; /* atomic: reasons not to run                */
    int ctl_pauses;  /* of these, XEN_DOMCTL_pausedomain's; serialised by it */
    bool is_shut_down;
    uint8_t shutdown_code;
    bool started;       /* unpaused once: its policy is fixed        */
    uint8_t early_code; /* SCHEDOP_shutdown_code: the code + 1       */

    /* memory; counters are atomic */
    struct p2m *p2m;
    uint64_t tot_pages, max_pages;
    uint64_t pool_pages;             /* limit of p2m tables; used: p2m->tables    */
    struct shared_info *shared_info; /* a core page                       */
    void *apic_page;                 /* a core page or NULL: vmx/vmx.c    */
    uint64_t shared_info_gfn;
    struct e820_map *e820; /* XENMEM_set_memory_map                     */

    struct evtchn_table *evtchns;
    struct grant_table *grants;
    struct cpu_policy *policy;
    uint64_t params[HVM_NR_PARAMS];
    uint32_t emulation_flags;
    bool upcall_via_vector; /* HVM_PARAM_CALLBACK_IRQ of type 2          */
    uint8_t upcall_vector;
    bool runstate_update_flag; /* VMASST_TYPE_runstate_update_flag        */

    /* time */
    int64_t time_offset; /* XEN_DOMCTL_settimeoffset, s               */
    struct guest_tsc tsc;

    /* scheduling parameters; cap_lock of sched.c */
    uint16_t weight, cap;                 /* also read without it                      */
    uint64_t cap_budget;                  /* ns of the period, atomic                  */
    uint64_t cap_refill;                  /* the next                                  */
    struct timer cap_timer;               /* refills cap_budget                        */
    struct timer watchdog[MAX_WATCHDOGS]; /* SCHEDOP_watchdog; set and stopped under lock */
};

extern struct domain *dom0;

#define for_each_vcpu(d, v)                                       \
    for (unsigned int v##_i = 0; v##_i < (d)->max_vcpus; v##_i++) \
        if (((v) = READ_ONCE((d)->vcpus[v##_i])) != NULL)

/* The vCPU that a guest names by its number; NULL when there is none. */
static inline struct vcpu *domain_vcpu(const struct domain *d, uint32_t id)
{
    if (id >= d->max_vcpus) return NULL;
    return READ_ONCE(d->vcpus[index_nospec(id, d->max_vcpus)]);
}

static inline struct vcpu *current_vcpu(void)
{
    return this_cpu()->current;
}

static inline struct domain *current_domain(void)
{
    return this_cpu()->current->domain;
}

/*
 * Finds a domain by id (DOMID_SELF: the caller's) and takes a reference that
 * keeps the structure, not its memory.  NULL when there is none.  No lock.
 */
struct domain *domain_get(domid_t id) must_use;
/* The domain with the smallest id >= id, referenced; NULL at the end. */
struct domain *domain_get_from(domid_t id) must_use;
/* Every domain in turn, referenced meanwhile; not to be left by break. */
#define for_each_domain(d)                                            \
    for (domid_t d##_id = 0; ((d) = domain_get_from(d##_id)) != NULL; \
         d##_id = (d)->id + 1, domain_put(d))
/* The domain that owns a frame which the caller holds; it has references. */
struct domain *domain_of_owner(uint16_t owner);
/* Drops a reference; the last one frees the structure later, in the run loop.
 * Callable with locks held. */
void domain_put(struct domain *d);

/*
 * Creates a paused domain with no vCPUs and no memory.  id 0 or out of range:
 * the next free one (dom0 is made at boot, privileged).  Errors:
 * -EEXIST, -ENOMEM, -EINVAL.  The caller owns one reference (dropped by
 * domain_kill when dead).  Control operations are serialised by the caller.
 */
int domain_create(domid_t id, bool privileged, const struct xen_domctl_createdomain *c,
                  struct domain **out) must_use;
/* Creates vCPU `id`, down and without state.  -ENOMEM, -EINVAL, -EEXIST. */
int vcpu_create(struct domain *d, unsigned int id) must_use;

/*
 * Gives back all that a domain has; preemptible: -ERESTART means call again.
 * 0 when the domain is dead.  The caller holds a reference.
 */
int domain_kill(struct domain *d) must_use;

/* Stops a domain with a SHUTDOWN_* reason and tells dom0.  Any caller; the
 * current vCPU, if it belongs to d, runs no more guest code. */
void domain_shutdown(struct domain *d, uint8_t reason);
/* The guest broke the architecture's rules: SHUTDOWN_crash with a message. */
void domain_crash(struct domain *d, const char *why);
/* XEN_DOMCTL_resumedomain: clears the shutdown and lets the vCPUs run. */
void domain_resume(struct domain *d);

/* Nested reasons not to run.  _sync returns when no vCPU of d is on a CPU; the
 * caller holds no lock and is not of d. */
void domain_pause_sync(struct domain *d);
void domain_unpause(struct domain *d);

/* Architectural reset to the state of INIT; down stays as it is. */
void vcpu_reset(struct vcpu *v);
/* Something may now be deliverable to v: ends HLT, interrupts it if it runs. */
void vcpu_notify(struct vcpu *v);
/* Takes down / brings up (VCPUOP_down, SIPI). */
void vcpu_set_down(struct vcpu *v, bool down);

/* --- vm/clock.c --- */
/* Writes v's pvclock record: when that moves, or the offset or the rate of v's TSC changes. */
void clock_update_vcpu(struct vcpu *v);
/* Wall clock: seconds and ns since 1970 at system time 0, for all domains. */
void clock_set_wall(uint64_t sec, uint32_t nsec, uint64_t at_system_time);
void clock_write_wall(struct domain *d);

#endif
