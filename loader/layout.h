/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the core must know of the flat binary loader.bin: it goes to a page
 * boundary below 4 GiB, it is entered at its first byte in the PVH state, and
 * its header says how much memory it needs from there on.
 */
#ifndef LOADER_LAYOUT_H
#define LOADER_LAYOUT_H

#define HEADER_MAGIC_AT 8
#define HEADER_MAGIC    0x444c4e49 /* "INLD" */
#define HEADER_SIZE_AT  12         /* 32 bits: bytes of memory, a multiple of 4096 */

/* Where the core puts things in one block: ACPI tables, the start info, the
 * loader. Elsewhere (tests) nothing is done about ACPI. */
#define BLOCK_ACPI_SIZE  0x10000
#define BLOCK_START_INFO 0x10000
#define BLOCK_LOADER     0x200000

#define LOADER_STACK 0x20000
#define STUB_SIZE    16 /* of a fault's entry */

#endif
