/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns a PVH kernel for the loader's boot test that looks at the state in
 * which it was entered (Xen's docs/misc/pvh.pandoc) and prints one word on the serial port:
 * "state-good", or the name of what is wrong.
 */
        .section .note.pvh, "a", @note
        .align  4
        .long   4, 8, 18                /* XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz  "Xen"
        .long   start, 0

        .macro  want value, name
        mov     $\name, %esi
        cmp     $\value, %eax
        jne     print
        .endm

        .text
        .code32
        .globl  start
start:  mov     $stack_top, %esp
        pushf
        pop     %eax
        want    0x2, n_flags
        mov     %cr0, %eax
        want    0x11, n_cr0             /* PE, ET */
        mov     %cr4, %eax
        want    0, n_cr4
        mov     $0xc0000080, %ecx
        rdmsr
        want    0, n_efer
        mov     %edx, %eax
        want    0, n_efer
        mov     $n_info, %esi
        cmpl    $0x336ec578, (%ebx)     /* magic */
        jne     print
        cmpl    $1, 12(%ebx)            /* the initrd is left */
        jne     print
        cmpl    $0, 52(%ebx)            /* lent to the loader as a stack */
        jne     print
        /* The limit and the attributes of the segments: 4 GiB, 32-bit. */
        .irp    r, ds, es, fs, gs, ss
        mov     %\r, %ecx
        lsl     %ecx, %eax
        want    0xffffffff, n_\r
        lar     %ecx, %eax
        and     $0x00f0ff00, %eax
        want    0x00c09300, n_\r
        .endr
        mov     %cs, %ecx
        lsl     %ecx, %eax
        want    0xffffffff, n_cs
        lar     %ecx, %eax
        and     $0x00f0ff00, %eax
        want    0x00c09b00, n_cs
        /* All segments have base 0: a word is the same through each. */
        .irp    r, cs, es, fs, gs, ss
        mov     %\r:probe, %eax
        want    0x600dbeef, n_\r
        .endr
        mov     bss_probe, %eax
        want    0, n_bss
        mov     $n_good, %esi

print:  mov     $0x3f8, %edx
1:      lodsb
        out     %al, %dx
        test    %al, %al
        jnz     1b
        mov     $'\n', %al
        out     %al, %dx
2:      hlt
        jmp     2b

        .data
probe:  .long   0x600dbeef
n_good: .asciz  "state-good"
        .irp    n, flags, cr0, cr4, efer, info, ds, es, fs, gs, ss, cs, bss
n_\n:   .asciz  "state-wrong: \n"
        .endr

        .bss
        .align  16
        .skip   4096
stack_top:
bss_probe:
        .skip   8192
        .section .note.GNU-stack, "", @progbits
