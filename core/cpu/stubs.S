/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trap entries of the host: every vector pushes its number and ends in
 * trap_entry(struct trap_frame *), with interrupts off.  Guests never run
 * through here: an exit returns behind VMRUN.
 */
        .text
        .globl trap_stubs
        .align 16
trap_stubs:
        .set    vector, 0
        .rept   256
        .align  16
        .if     vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30
        .else
        push    $0
        .endif
        push    $vector
        jmp     trap_common
        .set    vector, vector + 1
        .endr

trap_common:
        push    %r15
        push    %r14
        push    %r13
        push    %r12
        push    %r11
        push    %r10
        push    %r9
        push    %r8
        push    %rdi
        push    %rsi
        push    %rbp
        push    %rbx
        push    %rdx
        push    %rcx
        push    %rax
        mov     %rsp, %rdi
        cld
        call    trap_entry
        pop     %rax
        pop     %rcx
        pop     %rdx
        pop     %rbx
        pop     %rbp
        pop     %rsi
        pop     %rdi
        pop     %r8
        pop     %r9
        pop     %r10
        pop     %r11
        pop     %r12
        pop     %r13
        pop     %r14
        pop     %r15
        add     $16, %rsp
        iretq
        .section .note.GNU-stack, "", @progbits
