/* SPDX-License-Identifier: Apache-2.0 */
/* The loader (loader/), as data. */
        .section .rodata
        .balign 16
        .globl loader_image, loader_image_end
loader_image:
        .incbin "build/loader/loader.bin"
loader_image_end:
        .section .note.GNU-stack, "", @progbits
