/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first instructions: Multiboot headers, the way from 32-bit mode to
 * core_main() on the boot CPU, and from real mode to smp_cpu_main() on others.
 */
#include "cpu/msr.h"

#define MB1_MAGIC     0x1badb002
#define MB1_FLAGS     0x00000003 /* page-align modules, memory map wanted */
#define MB2_MAGIC     0xe85250d6

#define SEL_CODE64    0x08
#define SEL_DATA      0x10

#define CR4_PAE       0x20
#define EFER_LME_NXE  0x900
#define CR0_PG_WP_NE_ET_MP_PE 0x80010033

/* From real mode, or 32-bit mode without paging, to 64-bit code at `where`,
 * with the GDT loaded.  `root` maps the place of this code one to one.
 * Clobbers eax, ecx, edx. */
        .macro  enter_long_mode root, where
        mov     $CR4_PAE, %eax
        mov     %eax, %cr4
        mov     $\root, %eax
        mov     %eax, %cr3
        mov     $MSR_EFER, %ecx
        rdmsr
        or      $EFER_LME_NXE, %eax
        wrmsr
        mov     $CR0_PG_WP_NE_ET_MP_PE, %eax
        mov     %eax, %cr0
        ljmpl   $SEL_CODE64, $\where
        .endm

        .section .text.boot, "ax"
        .code32
        .align 4
        .long MB1_MAGIC, MB1_FLAGS, -(MB1_MAGIC + MB1_FLAGS)

        .align 8
mb2:    .long MB2_MAGIC, 0, mb2_end - mb2, -(MB2_MAGIC + (mb2_end - mb2))
        .short 1, 0                     /* information request */
        .long 20, 4, 6, 0               /* memory sizes, map */
        .align 8
        .short 6, 0                     /* modules page-aligned */
        .long 8
        .align 8
        .short 0, 0
        .long 8
mb2_end:

        .globl start
/* In: eax = magic, ebx = information, flat segments. */
start:  cli
        mov     %eax, %edi
        mov     %ebx, %esi
        mov     $0x80000000, %eax
        cpuid
        cmp     $0x80000001, %eax
        jb      no_long_mode
        mov     $0x80000001, %eax
        cpuid
        bt      $29, %edx
        jnc     no_long_mode
        lgdt    gdtr
        enter_long_mode early_l4, start64

/* Says so on COM1 and stops. */
no_long_mode:
        mov     $no_long_mode_text, %esi
        mov     $0x3f8, %edx
1:      lodsb
        test    %al, %al
        jz      2f
        outb    %al, %dx
        jmp     1b
2:      hlt
        jmp     2b
no_long_mode_text:
        .asciz "Insula: this processor has no 64-bit mode; use one with SVM or VMX.\r\n"

        .code64
/* In: edi, esi = core_main()'s arguments. */
start64:
        mov     $boot_stack_top, %rsp
        mov     $core_main, %ebx
        jmp     3f
/* The other CPUs; smp.c has left word. */
smp_start64:
        mov     smp_starting, %rdi      /* struct cpu */
        mov     smp_stack, %rsp
        mov     $smp_cpu_main, %ebx
3:      mov     $SEL_DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        xor     %ebp, %ebp
        cld
        push    $0 /* nobody comes back */
        push    %rbx
        ret        /* no indirect branch: tests/lint/branches.sh */

/* Copied to a page below 1 MiB, entered in real mode at its start. */
        .section .rodata
        .globl trampoline, trampoline_end
        .code16
trampoline:
        cli
        mov     %cs, %ax
        mov     %ax, %ds
        lgdtl   gdtr - trampoline
        enter_long_mode core_l4, smp_start64
gdtr:   .short boot_gdt_end - boot_gdt - 1
        .long boot_gdt
trampoline_end:

        .align 8
        .globl boot_gdt
boot_gdt:
        .quad 0
        .quad 0x00af9b000000ffff        /* 0x08: 64-bit code */
        .quad 0x00cf93000000ffff        /* 0x10: data */
boot_gdt_end:

/* 4 GiB one to one in pages of 2 MiB, until the core has its own tables. */
        .data
        .align 4096
early_l4:
        .quad early_l3 + 3
        .skip 4088
early_l3:
        .quad early_l2 + 0x0003, early_l2 + 0x1003, early_l2 + 0x2003, early_l2 + 0x3003
        .skip 4064
early_l2:
        .set address, 0
        .rept 2048
        .quad address + 0x83
        .set address, address + 0x200000
        .endr

        .bss
        .align 4096
        .globl boot_guard, boot_stack_top
boot_guard:                             /* a page that is not mapped: memory/map.c */
        .skip 4096 + 16384              /* it, STACK_SIZE */
boot_stack_top:
        .section .note.GNU-stack, "", @progbits
