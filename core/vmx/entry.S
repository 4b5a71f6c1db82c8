/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switch into a guest and back (SDM vol. 3, chapters 26 and 27).  The
 * VMCS keeps RIP, RSP and RFLAGS; the other registers are in struct regs, whose
 * order is that of the instruction encoding.
 */
#define HOST_RSP 0x6c14
#define REG(n)   (8 * (n))

        .text
/* uint64_t vmx_enter(struct regs *r, bool launched); interrupts are off. */
        .globl vmx_enter, vmx_exit_filling, vmx_exit_point
vmx_enter:
        push %rbx
        push %rbp
        push %r12
        push %r13
        push %r14
        push %r15
        push %rdi
        mov $HOST_RSP, %eax
        vmwrite %rsp, %rax
        mov %rdi, %rax
        test %sil, %sil /* the flag lasts until VMRESUME: MOV keeps it */
        mov REG(1)(%rax), %rcx
        mov REG(2)(%rax), %rdx
        mov REG(3)(%rax), %rbx
        mov REG(5)(%rax), %rbp
        mov REG(6)(%rax), %rsi
        mov REG(7)(%rax), %rdi
        .irp n, 8, 9, 10, 11, 12, 13, 14, 15
        mov REG(\n)(%rax), %r\n
        .endr
        mov REG(0)(%rax), %rax
        jz 1f
        vmresume
        jmp 2f
1:      vmlaunch
2:      /* It failed: registers hold the guest's, which are still in *r. */
        pop %rdi
        mov $1, %eax
        jmp 3f

vmx_exit_filling: /* where exits come in when something is done about speculation */
        call fill_returns
vmx_exit_point:
        push %rdi
        mov 8(%rsp), %rdi
        mov %rax, REG(0)(%rdi)
        mov %rcx, REG(1)(%rdi)
        mov %rdx, REG(2)(%rdi)
        mov %rbx, REG(3)(%rdi)
        mov %rbp, REG(5)(%rdi)
        mov %rsi, REG(6)(%rdi)
        pop REG(7)(%rdi)
        .irp n, 8, 9, 10, 11, 12, 13, 14, 15
        mov %r\n, REG(\n)(%rdi)
        .endr
        pop %rdi
        xor %eax, %eax
3:      pop %r15
        pop %r14
        pop %r13
        pop %r12
        pop %rbp
        pop %rbx
        ret
