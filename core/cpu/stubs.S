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
        .if     !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
        push    $0 /* no error code */
        .endif
        push    $vector
        jmp     trap_common
        .set    vector, vector + 1
        .endr

/* struct trap_frame, from its end. */
trap_common:
        .irp    reg, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax
        push    %\reg
        .endr
        mov     %rsp, %rdi
        cld
        call    trap_entry
        .irp    reg, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
        pop     %\reg
        .endr
        add     $16, %rsp
        iretq

/*
 * void fill_returns(void): 32 calls, as deep as any return stack; the returns that
 * they predict lead to a stop.  No register but the flags is changed.  LFENCE keeps
 * what follows from going on before the stack is right again.
 */
        .globl fill_returns
fill_returns:
        .rept 32
        call 2f
1:      pause
        lfence
        jmp 1b
2:
        .endr
        add $32 * 8, %rsp
        lfence
        ret
        .section .note.GNU-stack, "", @progbits
