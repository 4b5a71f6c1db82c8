/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual machine control block (APM vol. 2, appendix B). */
#ifndef SVM_VMCB_H
#define SVM_VMCB_H

#include "lib/base.h"
#include "vm/domain.h"
#include "vm/regs.h"

struct vmcb {
    /* control area */
    uint16_t cr_read, cr_write, dr_read, dr_write; /* 000 */
    uint32_t exceptions;                           /* 008 */
    uint32_t intercept[3];                         /* 00c: from exit code 60 on */
    uint32_t reserved0[9];
    uint16_t pause_threshold, pause_count; /* 03c */
    uint64_t iopm, msrpm, tsc_offset;      /* 040 */
    uint32_t asid;                         /* 058 */
    uint8_t tlb_control, reserved1[3];
    uint64_t vintr;                             /* 060 */
    uint64_t interrupt_shadow;                  /* 068 */
    uint64_t exit_code, exit_info1, exit_info2; /* 070 */
    uint64_t exit_int_info;                     /* 088 */
    uint64_t nested_control;                    /* 090 */
    uint64_t reserved2[2];
    uint64_t event_inject;     /* 0a8 */
    uint64_t nested_cr3;       /* 0b0 */
    uint64_t lbr_control;      /* 0b8 */
    uint32_t clean, reserved3; /* 0c0 */
    uint64_t next_rip;         /* 0c8 */
    uint8_t fetched, insn[15]; /* 0d0 */
    uint8_t reserved4[800];

    /* state save area, at 400 */
    union {
        struct {
            struct segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
        };
        struct segment segment[10];
    };
    uint8_t reserved5[43];
    uint8_t cpl; /* 4cb */
    uint32_t reserved6;
    uint64_t efer; /* 4d0 */
    uint64_t reserved7[14];
    uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip; /* 548 */
    uint64_t reserved8[11];
    uint64_t rsp; /* 5d8 */
    uint64_t s_cet, ssp, isst;
    uint64_t rax;                        /* 5f8 */
    uint64_t star, lstar, cstar, sfmask; /* 600 */
    uint64_t kernel_gs_base;             /* 620 */
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t cr2; /* 640 */
    uint64_t reserved9[4];
    uint64_t g_pat; /* 668 */
    uint64_t debugctl, br_from, br_to, last_from, last_to;
    uint8_t reserved10[2408];
};

_Static_assert(sizeof(struct vmcb) == 4096, "VMCB size");
_Static_assert(offsetof(struct vmcb, iopm) == 0x40, "VMCB iopm");
_Static_assert(offsetof(struct vmcb, exit_code) == 0x70, "VMCB exit_code");
_Static_assert(offsetof(struct vmcb, nested_cr3) == 0xb0, "VMCB nested_cr3");
_Static_assert(offsetof(struct vmcb, next_rip) == 0xc8, "VMCB next_rip");
_Static_assert(offsetof(struct vmcb, es) == 0x400, "VMCB save area");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "VMCB efer");
_Static_assert(offsetof(struct vmcb, cr4) == 0x548, "VMCB cr4");
_Static_assert(offsetof(struct vmcb, rsp) == 0x5d8, "VMCB rsp");
_Static_assert(offsetof(struct vmcb, cr2) == 0x640, "VMCB cr2");
_Static_assert(offsetof(struct vmcb, g_pat) == 0x668, "VMCB g_pat");

#define VINTR_IRQ       BIT(8)
#define VINTR_IGN_TPR   BIT(20)
#define VINTR_MASKING   BIT(24)
#define VINTR_VECTOR(n) ((uint64_t)(n) << 32)

#define EVENT_VALID     BIT(31)
#define EVENT_ERROR     BIT(11)
#define EVENT_INTR      (0ull << 8)
#define EVENT_NMI       (2ull << 8)
#define EVENT_EXCEPTION (3ull << 8)
#define EVENT_SOFT      (4ull << 8)
#define EVENT_TYPE(e)   ((e)&0x700)

/* Exit codes; those of 0x60-0xbf have a bit in `intercept`. */
#define VMEXIT_CR_WRITE  0x010ull /* + number, reads from 0 on */
#define VMEXIT_EXCEPTION 0x040    /* + vector */
#define VMEXIT_INTR      0x060
#define VMEXIT_NMI       0x061
#define VMEXIT_INIT      0x063
#define VMEXIT_VINTR     0x064
#define VMEXIT_RDTSC     0x06e
#define VMEXIT_RDPMC     0x06f
#define VMEXIT_CPUID     0x072
#define VMEXIT_IRET      0x074
#define VMEXIT_INVD      0x076
#define VMEXIT_HLT       0x078
#define VMEXIT_INVLPGA   0x07a
#define VMEXIT_IO        0x07b
#define VMEXIT_MSR       0x07c
#define VMEXIT_TASK      0x07d
#define VMEXIT_FERR      0x07e
#define VMEXIT_SHUTDOWN  0x07f
#define VMEXIT_VMRUN     0x080
#define VMEXIT_VMMCALL   0x081
#define VMEXIT_SKINIT    0x086
#define VMEXIT_RDTSCP    0x087
#define VMEXIT_WBINVD    0x089
#define VMEXIT_MONITOR   0x08a
#define VMEXIT_MWAIT     0x08b
#define VMEXIT_XSETBV    0x08d
#define VMEXIT_RDPRU     0x08e
#define VMEXIT_NPF       0x400
#define VMEXIT_INVALID   (~0ull)

#define KNOWN_INSNS 16

/* What SVM keeps for a vCPU. */
struct svm_vcpu {
    struct vmcb *block;
    uint64_t vmcb_phys;
    uint64_t generation; /* of the p2m when its ASID was taken    */
    uint64_t asid_epoch; /* of the CPU when its ASID was taken    */
    struct cpu *asid_cpu;
    bool flush;
    uint64_t dr[4]; /* the guest's DR0-3                     */
    struct known_insn {
        uint64_t rip, cr3;
        const struct kind *kind; /* what was there */
        uint8_t len;
    } known[KNOWN_INSNS]; /* instructions whose length is known    */
};

/* ... for a CPU */
struct svm_cpu {
    uint64_t host; /* physical address of VMSAVE's of the host's own state */
    uint64_t epoch;
    uint32_t next_asid, asids;
    uint64_t tsc_ratio; /* in its MSR */
};

struct vm_exit;
extern bool svm_has_nrip;

static inline struct vmcb *vmcb_of(const struct vcpu *v)
{
    return ((struct svm_vcpu *)v->vendor)->block;
}

/*
 * After an NMI no other comes until an IRET, which exits meanwhile, before it is
 * carried out: the interrupt shadow keeps an NMI back for that one instruction (if it
 * faults, the NMI comes in the handler of the fault, as in Xen).
 */
#define NMIS_BLOCKED BIT(VMEXIT_IRET % 32) /* of intercept[0] */
static inline void svm_block_nmis(struct vmcb *b, bool on)
{
    b->intercept[0] = (b->intercept[0] & ~NMIS_BLOCKED) | (on ? NMIS_BLOCKED : 0);
    b->interrupt_shadow |= !on;
}

/* svm/exit.c */
void svm_set_intercepts(struct vmcb *b);
void svm_intercept(struct vmcb *b, uint32_t code, bool on); /* one more, or one less */
void svm_decode(struct vcpu *v, struct vm_exit *e);
/* svm/state.c */
void svm_get_state(struct vcpu *v, struct arch_state *s);
void svm_set_state(struct vcpu *v, const struct arch_state *s);
void svm_get_segment(struct vcpu *v, enum segment_name n, struct segment *s);
void svm_set_efer(struct vcpu *v, uint64_t value);
void svm_set_pat(struct vcpu *v, uint64_t value);

#endif
