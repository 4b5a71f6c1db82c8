/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every first instruction of a test kernel: the PVH entry (boot CPU), the
 * SIPI trampoline (other CPUs), trap stubs, and the two calls that may fail:
 * try_call and user_call.
 *
 * Each CPU has one stack, STACK_SIZE bytes and as much aligned, with its
 * struct cpu at the bottom; offsets are asserted in trap.c.
 */
#define STACK_SIZE  16384
#define CPU_RECOVER 0
#define CPU_USER    8
#define CS32        0x08
#define CS64        0x10
#define DS          0x18
#define UDS         0x23
#define UCS         0x2b

        .section .note.xen, "a", @note
        .long 4, 8, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz "Xen"
        .quad start

        .text
        .code32
        .globl start
start:
        cld
        mov $boot_stack + STACK_SIZE, %esp
        mov $0, %edi
/* ESP = stack, EBX = start info, EDI = index of this CPU. */
to_long:
        lgdt gdt_desc
        mov $0x620, %eax /* PAE, OSFXSR, OSXMMEXCPT */
        mov %eax, %cr4
        mov $pml4, %eax
        mov %eax, %cr3
        mov $0xc0000080, %ecx
        rdmsr
        or $0x100, %eax /* LME */
        wrmsr
        mov $0x80010033, %eax /* PG WP NE ET MP PE */
        mov %eax, %cr0
        ljmp $CS64, $1f

        .code64
1:      mov $DS, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        xor %eax, %eax
        mov %eax, %fs
        mov %eax, %gs
        mov %esp, %esp
        mov %ebx, %esi
        xor %ebp, %ebp
        call cpu_main
2:      hlt
        jmp 2b

/* Copied to a page below 1 MiB by apic.c; CS base is that page. */
        .code16
        .globl ap_start, ap_end
ap_start:
        cli
        lgdtl %cs:ap_gdt_desc - ap_start
        mov %cr0, %eax
        or $1, %al
        mov %eax, %cr0
        ljmpl $CS32, $ap32
ap_gdt_desc:
        .word gdt_end - gdt - 1
        .long gdt
ap_end:

        .code32
ap32:   mov $DS, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
        mov ap_stack, %esp
        mov ap_index, %edi
        xor %ebx, %ebx
        jmp to_long

        .code64
/* Vector stubs of 16 bytes each; those without an error code push a zero. */
        .globl trap_stubs
        .balign 16
trap_stubs:
        vector = 0
        .rept 256
        .balign 16
        .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 \
              || vector == 21 || vector == 29 || vector == 30)
        push $0
        .endif
        push $vector
        jmp trap_common
        vector = vector + 1
        .endr

trap_common:
        push %rax
        push %rcx
        push %rdx
        push %rbx
        push %rbp
        push %rsi
        push %rdi
        push %r8
        push %r9
        push %r10
        push %r11
        push %r12
        push %r13
        push %r14
        push %r15
        cld
        mov %rsp, %rdi
        mov %rsp, %rbp
        and $-16, %rsp
        call trap
        mov %rbp, %rsp
        pop %r15
        pop %r14
        pop %r13
        pop %r12
        pop %r11
        pop %r10
        pop %r9
        pop %r8
        pop %rdi
        pop %rsi
        pop %rbp
        pop %rbx
        pop %rdx
        pop %rcx
        pop %rax
        add $16, %rsp
        iretq

        .macro save
        push %rbx
        push %rbp
        push %r12
        push %r13
        push %r14
        push %r15
        sub $8, %rsp
        mov %rsp, %rbx
        and $-STACK_SIZE, %rbx /* struct cpu */
        .endm
        .macro restore
        add $8, %rsp
        pop %r15
        pop %r14
        pop %r13
        pop %r12
        pop %rbp
        pop %rbx
        .endm

/* int try_call(void (*fn)(void *), void *arg): trap() resumes at try_out. */
        .globl try_call, try_out
try_call:
        save
        mov %rsp, CPU_RECOVER(%rbx)
        mov %rdi, %rax
        mov %rsi, %rdi
        call *%rax
        mov $-1, %eax
try_out:
        mov %rsp, %rbx
        and $-STACK_SIZE, %rbx
        movq $0, CPU_RECOVER(%rbx)
        restore
        ret

/* long user_call(long (*fn)(void), void *stack): in ring 3, whose way back
 * is INT 0x80; trap() resumes at user_out. */
        .globl user_call, user_out
user_call:
        save
        mov %rsp, CPU_USER(%rbx)
        push $UDS
        push %rsi
        push $0x3002 /* IOPL 3, IF 0 */
        push $UCS
        push $1f
        iretq
1:      call *%rdi
        int $0x80
user_out:
        restore
        ret

        .section .rodata
        .balign 8
        .globl gdt
        .data
gdt:    .quad 0
        .quad 0x00cf9b000000ffff /* CS32 */
        .quad 0x00af9b000000ffff /* CS64 */
        .quad 0x00cf93000000ffff /* DS */
        .quad 0x00cff3000000ffff /* UDS */
        .quad 0x00affb000000ffff /* UCS */
        .globl gdt_tss
gdt_tss:
        .fill 2 * 8, 8, 0 /* one TSS descriptor per CPU: MAX_CPUS */
gdt_end:
        .globl gdt_desc
gdt_desc:
        .word gdt_end - gdt - 1
        .quad gdt

/* The first 4 GiB one to one, in pages of 2 MiB, open to ring 3. */
        .balign 4096
        .globl pml4
pml4:   .quad pdpt + 7
        .fill 511, 8, 0
pdpt:   .quad pd + 7, pd + 0x1007, pd + 0x2007, pd + 0x3007
        .fill 508, 8, 0
pd:
        page = 0
        .rept 2048
        .quad page * 0x200000 + 0x87
        page = page + 1
        .endr

        .bss
        .balign STACK_SIZE
boot_stack:
        .skip STACK_SIZE

        .section .note.GNU-stack, "", @progbits
