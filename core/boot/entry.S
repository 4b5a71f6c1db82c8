/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first instructions: Multiboot headers, the way from 32-bit mode to
 * core_main() on the boot CPU, and the trampoline of the other CPUs.
 */
#define MB1_MAGIC     0x1badb002
#define MB1_FLAGS     0x00000003 /* page-align modules, memory map wanted */
#define MB2_MAGIC     0xe85250d6

#define SEL_CODE64    0x08
#define SEL_DATA      0x10
#define SEL_CODE32    0x18

#define CR4_PAE       0x20
#define MSR_EFER      0xc0000080
#define MSR_GS_BASE   0xc0000101
#define EFER_LME_NXE  0x900
#define CR0_PG_WP_NE_ET_MP_PE 0x80010033

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
start:
        cli
        cld
        mov     %eax, %esi              /* magic */
        mov     %ebx, %edi              /* information */
        lgdt    boot_gdtr
        ljmp    $SEL_CODE32, $1f
1:      mov     $SEL_DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     $boot_stack_top, %esp

        /* No long mode: say so on COM1 and stop. */
        push    %esi
        push    %edi
        mov     $0x80000000, %eax
        cpuid
        cmp     $0x80000001, %eax
        jb      no_long_mode
        mov     $0x80000001, %eax
        cpuid
        bt      $29, %edx
        jnc     no_long_mode
        pop     %edi
        pop     %esi

        /* Identity map of 4 GiB with 2 MiB pages, only until the core has
         * built its own tables. */
        mov     $early_l2, %ebx
        mov     $0x83, %eax
        xor     %ecx, %ecx
2:      mov     %eax, (%ebx,%ecx,8)
        movl    $0, 4(%ebx,%ecx,8)
        add     $0x200000, %eax
        inc     %ecx
        cmp     $2048, %ecx
        jne     2b
        movl    $early_l2 + 0x0003, early_l3
        movl    $early_l2 + 0x1003, early_l3 + 8
        movl    $early_l2 + 0x2003, early_l3 + 16
        movl    $early_l2 + 0x3003, early_l3 + 24
        movl    $early_l3 + 3, early_l4
        mov     $early_l4, %eax
        call    long_mode_on
        ljmp    $SEL_CODE64, $3f

        .code64
3:      mov     $boot_stack_top, %rsp
        lea     cpu0(%rip), %rax
        mov     %rax, (%rax)            /* cpu0.self */
        mov     %rax, %rdx
        shr     $32, %rdx
        mov     $MSR_GS_BASE, %ecx
        wrmsr
        xchg    %rsi, %rdi              /* core_main(magic, information) */
        mov     %edi, %edi
        mov     %esi, %esi
        xor     %ebp, %ebp
        call    core_main
        ud2

        .code32
/* In: eax = root of the page tables.  Clobbers eax, ecx, edx. */
long_mode_on:
        mov     %eax, %cr3
        mov     %cr4, %eax
        or      $CR4_PAE, %eax
        mov     %eax, %cr4
        mov     $MSR_EFER, %ecx
        rdmsr
        or      $EFER_LME_NXE, %eax
        wrmsr
        mov     $CR0_PG_WP_NE_ET_MP_PE, %eax
        mov     %eax, %cr0
        ret

no_long_mode:
        mov     $no_long_mode_text, %esi
        mov     $0x3f8, %edx
4:      lodsb
        test    %al, %al
        jz      5f
        outb    %al, %dx
        jmp     4b
5:      hlt
        jmp     5b
no_long_mode_text:
        .asciz "Insula: this processor has no 64-bit mode; use one with SVM or VMX.\r\n"

        .align 8
        .globl boot_gdt
boot_gdt:
        .quad 0
        .quad 0x00af9a000000ffff        /* 0x08: 64-bit code */
        .quad 0x00cf92000000ffff        /* 0x10: data */
        .quad 0x00cf9a000000ffff        /* 0x18: 32-bit code */
boot_gdt_end:
boot_gdtr:
        .short boot_gdt_end - boot_gdt - 1
        .long boot_gdt

/*
 * The trampoline: copied to a page below 1 MiB, entered in real mode with
 * CS:IP = page:0.  smp.c fills the fields behind trampoline_data.
 */
        .section .rodata
        .globl trampoline, trampoline_end, trampoline_data
        .code16
trampoline:
        cli
        cld
        mov     %cs, %ax
        mov     %ax, %ds
        movzwl  %ax, %ebx
        shl     $4, %ebx                /* where we are */
        lgdtl   tramp_gdtr - trampoline
        mov     $0x11, %eax
        mov     %eax, %cr0
        ljmpl   *(tramp_far - trampoline)
tramp_gdtr:
        .short boot_gdt_end - boot_gdt - 1
        .long boot_gdt
        .align 4
        .globl trampoline_far
trampoline_far:
tramp_far:
        .long tramp32 - trampoline      /* + where we are */
        .short SEL_CODE32
        .align 8
trampoline_data:
        .long 0                         /* root of the page tables */
        .long 0
        .quad 0                         /* struct cpu */
        .quad 0                         /* stack top */
        .code32
tramp32:
        mov     $SEL_DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     %ebx, %esi
        mov     $long_mode_on, %edx
        lea     trampoline_end - trampoline + 64(%esi), %esp
        mov     trampoline_data - trampoline(%esi), %eax
        /* long_mode_on lives in the image, which is mapped one to one. */
        call    *%edx
        lea     tramp64 - trampoline(%esi), %eax
        pushl   $SEL_CODE64
        push    %eax
        lret
        .code64
tramp64:
        mov     %esi, %esi
        mov     trampoline_data - trampoline + 8(%rsi), %rdi
        mov     trampoline_data - trampoline + 16(%rsi), %rsp
        mov     %rdi, %rax
        mov     %rdi, %rdx
        shr     $32, %rdx
        mov     $MSR_GS_BASE, %ecx
        wrmsr
        xor     %ebp, %ebp
        mov     $smp_cpu_main, %rax
        call    *%rax
        ud2
trampoline_end:

        .bss
        .align 4096
early_l4:
        .skip 4096
early_l3:
        .skip 4096
early_l2:
        .skip 4 * 4096
        .skip 16384
boot_stack_top:
        .section .note.GNU-stack, "", @progbits
