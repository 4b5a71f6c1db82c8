/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the loader's host tests share. The pretended machine's memory lies at
 * the same low addresses in the test's own address space, so that the loader's
 * code runs unchanged, with a physical address as a pointer.
 */
#ifndef LOADER_TEST_H
#define LOADER_TEST_H

#include "../../../loader/loader.h"

/* make.c: kernel images. */
struct image {
    uint8_t *data; /* from malloc() */
    size_t size;
};

enum packer { PLAIN, GZIP, XZ, XZ_CRC64, ZSTD, LZ4, PACKERS };

#define MAX_LOADS 4

struct load {
    uint64_t to;
    uint64_t file_size;
    uint64_t memory_size;
};

/* What an ELF file is to be like; elf_spec() gives a good one. */
struct elf_spec {
    bool is64;
    unsigned int nr_loads;
    struct load load[MAX_LOADS];
    const char *owner; /* of the entry's note; 4 bytes with the final zero */
    uint32_t note_type;
    unsigned int value_size;
    unsigned int note_cut; /* bytes by which its segment is too short */
    unsigned int align;    /* of the notes */
    unsigned int decoys;   /* notes of others before it */
    uint64_t older_entry;  /* if not 0: an entry note that comes before */
    uint64_t entry;
};

struct elf_spec elf_spec(bool is64);
struct image make_elf(const struct elf_spec *spec);

/* Byte i of what segment n brings. */
uint8_t load_byte(unsigned int n, uint64_t i);

/* Packed as the kernel's build does it, with the size behind. */
struct image make_packed(enum packer packer, struct image elf);
struct image make_bzimage(struct image payload);
const char *packer_name(enum packer packer);

uint32_t random32(void);

/* Prints "ok loader_NAME", or "not ok" and why, formatted. */
void result(const char *name, const char *why, ...);

/* pieces.c, tables.c */
void test_pieces(void);
void test_tables(void);

/* loader/libc.c under other names. */
void *arena_malloc(size_t size);
void *arena_calloc(size_t count, size_t size);
void arena_free(void *block);

#endif
