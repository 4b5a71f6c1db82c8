/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the loader's two ends: from the PVH entry state (32-bit, no paging,
 * EBX = start info, no stack) to loader_main() in long mode at whatever
 * address the loader was put, and from there to the kernel in the same state
 * (Xen's docs/misc/pvh.pandoc).
 */
#include "layout.h"

#define START_INFO_SIZE 56

#define CR0_PE          0x00000001
#define CR0_ET          0x00000010
#define CR0_LONG        0x80000033 /* PG, NE, ET, MP, PE */
#define CR4_LONG        0x00000620 /* PAE, OSFXSR, OSXMMEXCPT */
#define MSR_EFER        0xc0000080
#define EFER_LME        0x100
#define MSR_FS_BASE     0xc0000100
#define CANARY          0x28       /* %fs:0x28, System V ABI */

#define SEL_CODE64      0x08
#define SEL_CODE32      0x10
#define SEL_DATA        0x18

#define PTE_TABLE       0x003      /* present, writable */
#define PTE_2M          0x083
#define VECTORS         32
#define WITH_ERROR_CODE 0x60227d00 /* vectors 8, 10-14, 17, 21, 29, 30 */

/* Distance from the start; with EBP or RBP = start it gives the address. */
#define AT(x)           ((x) - start)

        .section .head, "ax"
        .code32
        .globl  start
/* in: EBX = start info; clobbers everything else */
start:  jmp     begin
        .org    HEADER_MAGIC_AT
        .long   HEADER_MAGIC
        .org    HEADER_SIZE_AT
        .long   AT(image_end)

begin:  cli
        cld
        /* Where are we? The reserved last word of the start info serves as a
         * stack of one entry, and is zero again afterwards. */
        lea     START_INFO_SIZE(%ebx), %esp
        call    1f
1:      pop     %ebp
        movl    $0, -4(%esp)
        sub     $AT(1b), %ebp

        lea     AT(bss_start)(%ebp), %edi
        lea     AT(image_end)(%ebp), %ecx
        sub     %edi, %ecx
        shr     $2, %ecx
        xor     %eax, %eax
        rep stosl
        lea     AT(stack_top)(%ebp), %esp

        /* 4 GiB one to one, in pages of 2 MiB. */
        lea     AT(page_l2)(%ebp), %edi
        mov     $PTE_2M, %eax
2:      mov     %eax, (%edi)
        add     $8, %edi
        add     $0x200000, %eax
        jnc     2b
        lea     AT(page_l2) + PTE_TABLE(%ebp), %eax
        lea     AT(page_l3)(%ebp), %edi
        mov     $4, %ecx
3:      mov     %eax, (%edi)
        add     $8, %edi
        add     $4096, %eax
        loop    3b
        lea     AT(page_l3) + PTE_TABLE(%ebp), %eax
        mov     %eax, AT(page_l4)(%ebp)

        mov     $CR4_LONG, %eax
        mov     %eax, %cr4
        lea     AT(page_l4)(%ebp), %eax
        mov     %eax, %cr3
        mov     $MSR_EFER, %ecx
        mov     $EFER_LME, %eax
        xor     %edx, %edx
        wrmsr
        mov     $CR0_LONG, %eax
        mov     %eax, %cr0
        lea     AT(gdt)(%ebp), %eax
        mov     %eax, AT(gdtr) + 2(%ebp)
        lgdt    AT(gdtr)(%ebp)
        lea     AT(long_mode)(%ebp), %eax
        push    $SEL_CODE64
        push    %eax
        lret

        .code64
/* in: EBX = start info, EBP = start */
long_mode:
        mov     $SEL_DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %fs
        mov     %eax, %gs
        mov     %eax, %ss

        /* All relocations are R_X86_64_RELATIVE (the build checks that):
         * offset, type, addend. */
        lea     rela_start(%rip), %rsi
        lea     rela_end(%rip), %rdi
4:      cmp     %rdi, %rsi
        jae     5f
        mov     (%rsi), %rax
        mov     16(%rsi), %rdx
        add     %rbp, %rdx
        mov     %rdx, (%rax,%rbp)
        add     $24, %rsi
        jmp     4b

        /* Faults end in loader_fault(). */
5:      lea     stubs(%rip), %rax
        lea     idt(%rip), %rdi
        mov     $VECTORS, %ecx
6:      mov     %eax, %edx
        mov     %dx, (%rdi)
        movw    $SEL_CODE64, 2(%rdi)
        mov     $0x8e00, %dx            /* present interrupt gate */
        mov     %edx, 4(%rdi)
        add     $STUB_SIZE, %rax
        add     $16, %rdi
        loop    6b
        lea     idt(%rip), %rax
        mov     %rax, idtr + 2(%rip)
        lidt    idtr(%rip)

        /* A canary for the decompressors' stack protection. */
        mov     $MSR_FS_BASE, %ecx
        lea     thread(%rip), %rax
        xor     %edx, %edx
        wrmsr
        rdtsc
        shl     $8, %eax                /* its lowest byte stays zero */
        mov     %rax, %fs:CANARY

        mov     %ebx, %edi
        mov     %ebp, %esi
        mov     AT(start) + HEADER_SIZE_AT(%rbp), %edx
        call    loader_main

        mov     %eax, %esi
        lidt    null_idtr(%rip)
        lea     leave(%rip), %rax
        push    $SEL_CODE32
        push    %rax
        lretq

        .code32
/* in: ESI = the kernel's entry, EBX = start info */
leave:  mov     $CR0_PE | CR0_ET, %eax
        mov     %eax, %cr0
        mov     $MSR_EFER, %ecx
        xor     %eax, %eax
        xor     %edx, %edx
        wrmsr
        mov     %eax, %cr4
        mov     %eax, %cr3
        mov     $SEL_DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %fs
        mov     %eax, %gs
        mov     %eax, %ss
        xor     %ecx, %ecx
        xor     %edi, %edi
        xor     %ebp, %ebp
        push    $2                      /* EFLAGS */
        popf
        jmp     *%esi

        .code64
        .set    vector, 0
        .align  STUB_SIZE
stubs:  .rept   VECTORS
        mov     $vector, %edi
        jmp     fault
        .align  STUB_SIZE
        .set    vector, vector + 1
        .endr

/* in: RDI = vector, on the stack what the processor pushed */
fault:  mov     $WITH_ERROR_CODE, %eax
        bt      %edi, %eax
        jnc     7f
        add     $8, %rsp
7:      mov     (%rsp), %rsi
        and     $-16, %rsp
        call    loader_fault

        .data
        .align  8
gdt:    .quad   0
        .quad   0x00af9b000000ffff      /* 64-bit code */
        .quad   0x00cf9b000000ffff      /* 32-bit code, flat */
        .quad   0x00cf93000000ffff      /* data, flat */
gdt_end:
gdtr:   .word   gdt_end - gdt - 1
        .quad   0
idtr:   .word   VECTORS * 16 - 1
        .quad   0
null_idtr:
        .word   0
        .quad   0

        .bss
        .align  4096
page_l2: .skip  4 * 4096
page_l3: .skip  4096
page_l4: .skip  4096
idt:    .skip   VECTORS * 16
thread: .skip   64
        .align  16
        .skip   LOADER_STACK
stack_top:

        .section .note.GNU-stack, "", @progbits
