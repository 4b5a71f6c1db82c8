/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the start of the loader's test wrapper, a PVH kernel, and the copy of
 * loader.bin that it brings along.
 */
        .section .note.pvh, "a", @note
        .align  4
        .long   4, 4, 18                /* XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz  "Xen"
        .long   start

        .text
        .globl  start
start:  cld
        mov     $stack_top, %esp
        push    %ebx
        call    wrapper_main
        mov     %eax, %ebx              /* start info */
        mov     $0xdeadbee0, %esp       /* the PVH state has no stack */
        mov     $0xdeadbeef, %ebp
        mov     $loader_place, %eax
        jmp     *%eax

        .section .rodata
        .globl  loader_bin, loader_bin_end
loader_bin:
        .incbin LOADER_BIN
loader_bin_end:

        .bss
        .align  16
        .skip   4096
stack_top:
        .section .note.GNU-stack, "", @progbits
