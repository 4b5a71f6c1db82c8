/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam between the core and the processor vendors.  Each vendor fills one
 * table of functions; each exit is decoded into struct vm_exit before anyone
 * else sees it.
 */
#ifndef VM_VENDOR_H
#define VM_VENDOR_H

#include "lib/base.h"
#include "vm/regs.h"

struct domain;
struct vcpu;
struct cpu;

enum exit_reason {
    EXIT_BAD,       /* state that the hardware refuses, or unknown */
    EXIT_INTERRUPT, /* host interrupt pending: open the window     */
    EXIT_NMI,       /* host NMI                                    */
    EXIT_WINDOW,    /* the guest can take an interrupt now         */
    EXIT_HYPERCALL,
    EXIT_CPUID,
    EXIT_MSR,
    EXIT_IO,
    EXIT_HLT,
    EXIT_NESTED_FAULT,
    EXIT_APIC_PAGE, /* as a nested fault, of the local APIC's page */
    EXIT_EXCEPTION, /* one that the core asked to see              */
    EXIT_XSETBV,
    EXIT_RDTSC,
    EXIT_RDTSCP,
    EXIT_PAUSE,     /* spinning                                    */
    EXIT_SKIP,      /* has no effect for a guest: WBINVD, INVD ... */
    EXIT_FORBIDDEN, /* instruction that does not exist for a guest */
    EXIT_SHUTDOWN,  /* triple fault                                */
};

struct vm_exit {
    enum exit_reason reason;
    uint8_t len; /* of the instruction, when it is to be skipped */
    union {
        struct {
            uint8_t cpl;
            bool long_mode; /* 64-bit code */
        } call;
        struct {
            uint32_t index;
            bool write;
        } msr;
        struct {
            uint16_t port;
            uint8_t size; /* bytes */
            bool in, string, rep;
        } io;
        struct {
            uint64_t gpa;
            bool write, fetch;
            bool walk; /* by the walker of the guest's own tables */
        } fault;
        struct {
            uint8_t vector;
        } exception;
        uint64_t code; /* EXIT_BAD: the vendor's own number */
    };
};

enum p2m_type;

struct vendor_ops {
    const char *name;
    uint8_t hypercall_insn[3];
    uint8_t max_level;   /* levels of nested tables that may be leaves: 1..3 */
    uint8_t tsc_scaling; /* bits after the point of its ratio; 0: it has none */
    uint64_t small_bits; /* of leaf_bits: only for leaves of 4 KiB */

    int (*cpu_init)(struct cpu *c);   /* on that CPU; -ENODEV, -ENOMEM  */
    int (*vcpu_init)(struct vcpu *v); /* after an error comes vcpu_free */
    void (*vcpu_free)(struct vcpu *v);

    /* v is the current vCPU or does not run. */
    void (*get_state)(struct vcpu *v, struct arch_state *s);
    void (*set_state)(struct vcpu *v, const struct arch_state *s);
    /* The few that the core's own paths ask for often. */
    uint64_t (*get_cr)(struct vcpu *v, unsigned int n); /* 0, 2, 3, 4 */
    uint64_t (*get_efer)(struct vcpu *v);
    unsigned int (*get_cpl)(struct vcpu *v);
    void (*get_segment)(struct vcpu *v, enum segment_name n, struct segment *s);

    /* False while the guest blocks maskable interrupts (IF, shadow, an event
     * being delivered); for an NMI, whatever IF says. */
    bool (*can_inject)(struct vcpu *v, bool nmi);
    void (*inject_interrupt)(struct vcpu *v, uint8_t vector); /* for one run */
    void (*inject_nmi)(struct vcpu *v);
    void (*inject_exception)(struct vcpu *v, uint8_t vector, int error_code);
    void (*want_window)(struct vcpu *v, bool on); /* EXIT_WINDOW, please */
    void (*skip_insn)(struct vcpu *v, unsigned int len);
    /* NULL where no processor can do this.  It serves v's local APIC, in the mode that
     * v->apic_base has, from these registers (a page begins with them), the TMR as
     * vmx_level_vectors would tell it; in_service: the highest vector in service, or 0.
     * NULL: no longer.  False: it does not. */
    bool (*virtual_apic)(struct vcpu *v, const uint32_t *page, uint8_t in_service);

    void (*tsc_changed)(struct vcpu *v);    /* v->tsc_offset, d->tsc */
    void (*policy_changed)(struct vcpu *v); /* d->policy; may be NULL */
    void (*switch_in)(struct vcpu *v);      /* on its new CPU */
    void (*switch_out)(struct vcpu *v);
    /* MSRs that live in the vendor's state; the value is one that v may have. */
    void (*set_efer)(struct vcpu *v, uint64_t value);
    void (*set_pat)(struct vcpu *v, uint64_t value);

    /* Hardware bits of a leaf (without address and PS) for a p2m type. */
    uint64_t (*leaf_bits)(enum p2m_type type);
};

/* vm/exit.c: what to deliver when an exception meets the delivery of `first`;
 * false: the guest is shut down, it was a double fault. */
bool merge_exception(struct vcpu *v, uint8_t first, uint8_t *vector, int *error);

/* What each exit needs is called without an indirect branch: a retpoline is slow.
 * Enters the guest, returns at its next exit.  Interrupts off before and after.
 * False: the injected interrupt was not taken. */
bool svm_run(struct vcpu *v, struct vm_exit *exit);
bool vmx_run(struct vcpu *v, struct vm_exit *exit);
void svm_skip_insn(struct vcpu *v, unsigned int len);
void vmx_skip_insn(struct vcpu *v, unsigned int len);
/* Of the current vCPU, whose virtual_apic is on: the highest vector that waits, or 0;
 * the vectors whose end is an exit, in 8 words of 32 bits, 16 bytes apart. */
void vmx_request_interrupt(uint8_t vector);
void vmx_level_vectors(const uint32_t *set);

extern struct vendor_ops svm_ops, vmx_ops; /* their numbers are the processor's */
extern const struct vendor_ops *vendor;    /* chosen at boot */

#endif
