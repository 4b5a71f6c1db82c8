/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual machine control block (APM vol. 2, appendix B). */
#ifndef SVM_VMCB_H
#define SVM_VMCB_H

#include "lib/base.h"
#include "vm/regs.h"

struct vmcb {
    /* control area */
    uint16_t cr_read, cr_write, dr_read, dr_write; /* 000 */
    uint32_t exceptions;                           /* 008 */
    uint32_t intercept1, intercept2, intercept3;   /* 00c */
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
    struct segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
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

/* intercept1 */
#define I1_INTR     BIT(0)
#define I1_NMI      BIT(1)
#define I1_SMI      BIT(2)
#define I1_INIT     BIT(3)
#define I1_VINTR    BIT(4)
#define I1_RDTSC    BIT(14)
#define I1_RDPMC    BIT(15)
#define I1_CPUID    BIT(18)
#define I1_INVD     BIT(22)
#define I1_PAUSE    BIT(23)
#define I1_HLT      BIT(24)
#define I1_INVLPGA  BIT(26)
#define I1_IO       BIT(27)
#define I1_MSR      BIT(28)
#define I1_TASK     BIT(29)
#define I1_FERR     BIT(30)
#define I1_SHUTDOWN BIT(31)
/* intercept2 */
#define I2_VMRUN   BIT(0)
#define I2_VMMCALL BIT(1)
#define I2_VMLOAD  BIT(2)
#define I2_VMSAVE  BIT(3)
#define I2_STGI    BIT(4)
#define I2_CLGI    BIT(5)
#define I2_SKINIT  BIT(6)
#define I2_RDTSCP  BIT(7)
#define I2_WBINVD  BIT(9)
#define I2_MONITOR BIT(10)
#define I2_MWAIT   BIT(11)
#define I2_XSETBV  BIT(13)

#define VINTR_IRQ     BIT(8)
#define VINTR_IGN_TPR BIT(20)
#define VINTR_MASKING BIT(24)

#define EVENT_VALID     BIT(31)
#define EVENT_ERROR     BIT(11)
#define EVENT_INTR      (0ull << 8)
#define EVENT_NMI       (2ull << 8)
#define EVENT_EXCEPTION (3ull << 8)
#define EVENT_SOFT      (4ull << 8)
#define EVENT_TYPE(e)   ((e)&0x700)

/* exit codes */
#define VMEXIT_EXCEPTION 0x040 /* + vector */
#define VMEXIT_INTR      0x060
#define VMEXIT_NMI       0x061
#define VMEXIT_SMI       0x062
#define VMEXIT_INIT      0x063
#define VMEXIT_VINTR     0x064
#define VMEXIT_RDTSC     0x06e
#define VMEXIT_RDPMC     0x06f
#define VMEXIT_CPUID     0x072
#define VMEXIT_INVD      0x076
#define VMEXIT_PAUSE     0x077
#define VMEXIT_HLT       0x078
#define VMEXIT_INVLPGA   0x07a
#define VMEXIT_IO        0x07b
#define VMEXIT_MSR       0x07c
#define VMEXIT_TASK      0x07d
#define VMEXIT_SHUTDOWN  0x07f
#define VMEXIT_VMRUN     0x080
#define VMEXIT_VMMCALL   0x081
#define VMEXIT_SKINIT    0x086
#define VMEXIT_RDTSCP    0x087
#define VMEXIT_WBINVD    0x089
#define VMEXIT_MONITOR   0x08a
#define VMEXIT_MWAIT     0x08c
#define VMEXIT_XSETBV    0x08d
#define VMEXIT_NPF       0x400

/* What SVM keeps for a vCPU. */
struct svm_vcpu {
    struct vmcb *vmcb;
    uint64_t vmcb_phys;
    uint64_t generation; /* of the p2m when its ASID was taken    */
    uint64_t asid_epoch; /* of the CPU when its ASID was taken    */
    struct cpu *asid_cpu;
    bool flush;
    uint64_t dr[4]; /* the guest's DR0-3                     */
    struct {        /* instructions whose length is known    */
        uint64_t rip, cr3, code;
        uint8_t len;
    } known[16];
};

/* ... for a CPU */
struct svm_cpu {
    void *host_save;   /* VM_HSAVE_PA                           */
    struct vmcb *host; /* VMSAVE of the host's own state        */
    uint64_t host_phys;
    uint64_t epoch;
    uint32_t next_asid, asids;
};

struct vcpu;
struct vm_exit;
extern bool svm_has_nrip;

/* svm/exit.c */
void svm_decode(struct vcpu *v, struct vm_exit *e);
/* svm/state.c */
void svm_get_state(struct vcpu *v, struct arch_state *s);
void svm_set_state(struct vcpu *v, const struct arch_state *s);
void svm_get_segment(struct vcpu *v, enum segment_name n, struct segment *s);
int svm_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value);
int svm_write_msr(struct vcpu *v, uint32_t msr, uint64_t value);
/* svm/insn.c */
unsigned int svm_insn_len(struct vcpu *v, uint64_t code);

#endif
