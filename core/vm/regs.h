/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processor state of a vCPU in a form that no vendor owns.  The order of
 * struct regs' first sixteen is that of the instruction encoding.
 */
#ifndef VM_REGS_H
#define VM_REGS_H

#include "lib/base.h"

struct regs {
    union {
        struct {
            uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi;
            uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
        };
        uint64_t gpr[16];
    };
    uint64_t rip, rflags;
};

/* Attributes as AMD has them (APM vol. 2, 15.5): type 0-3, S 4, DPL 5-6,
 * P 7, AVL 8, L 9, D/B 10, G 11; this is also HVM_SAVE's packed form. */
struct segment {
    uint16_t selector, attr;
    uint32_t limit;
    uint64_t base;
};

#define SEG_LONG BIT(9)  /* CS: 64-bit code */
#define SEG_BIG  BIT(10) /* CS: 32-bit code */

enum segment_name { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT };

/* All that a switch does not keep in struct regs or struct vcpu; in the order
 * of HVM_SAVE's struct hvm_hw_cpu (vm/context.c copies runs of it). */
struct arch_state {
    uint64_t cr0, cr2, cr3, cr4, dr[4], dr6, dr7;
    struct segment seg[SEG_COUNT];
    uint32_t idt_limit, gdt_limit;
    uint64_t idt_base, gdt_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip, kernel_gs_base;
    uint64_t lstar, star, cstar, sfmask, efer;
    uint32_t pending_event; /* as EVENTINJ: vector 0-7, type 8-10, error code
                             * valid 11, valid 31; interrupted delivery      */
    uint32_t pending_error;
    bool interrupt_shadow;
};

static inline bool is_canonical(uint64_t a) /* with four levels */
{
    return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

#define CR0_PE      BIT(0)
#define CR0_TS      BIT(3)
#define CR0_ET      BIT(4)
#define CR0_NE      BIT(5)
#define CR0_WP      BIT(16)
#define CR0_NW      BIT(29)
#define CR0_CD      BIT(30)
#define CR0_PG      BIT(31)
#define CR4_TSD     BIT(2)
#define CR4_PSE     BIT(4)
#define CR4_PAE     BIT(5)
#define CR4_MCE     BIT(6)
#define CR4_OSFXSR  BIT(9)
#define CR4_PCIDE   BIT(17)
#define CR4_OSXSAVE BIT(18)
#define CR4_PKE     BIT(22)
#define EFER_SCE    BIT(0)
#define EFER_LME    BIT(8)
#define EFER_LMA    BIT(10)
#define EFER_NXE    BIT(11)
#define EFER_SVME   BIT(12)
#define EFER_FFXSE  BIT(14)
#define RFLAGS_IF   BIT(9)
#define RFLAGS_TF   BIT(8)
/* The bits that exist, but for bit 1, which is always set. */
#define RFLAGS_GUEST 0x3f7fd5ull

#define VEC_DE        0
#define VEC_DB        1
#define VEC_NMI       2
#define VEC_UD        6
#define VEC_DF        8
#define VEC_GP        13
#define VEC_PF        14
#define VEC_AC        17
#define VEC_MC        18
#define NO_ERROR_CODE (-1)

#endif
