/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the making of kernel images for the loader's host tests.
 */
#include <elf.h>
#include <lz4.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include "test.h"

#define LZ4_MAGIC 0x184c2102
#define SETUP     (5 * 512)
#define OFFSET    100 /* of the payload in the protected-mode part */

static void need(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "cannot make an image: %s\n", what);
        exit(2);
    }
}

uint32_t random32(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state >> 16;
}

uint8_t load_byte(unsigned int n, uint64_t i)
{
    return (i >> 9) * 37 + (i & 15) * n + 1;
}

struct elf_spec elf_spec(bool is64)
{
    return (struct elf_spec){
        .is64 = is64,
        .nr_loads = 3,
        .load = {{0x1000000, 300000, 300000}, {0x1200000, 5000, 70001}, {0x1300000, 0, 4096}},
        .owner = "Xen",
        .note_type = 18,
        .value_size = is64 ? 8 : 4,
        .align = 4,
        .decoys = 2,
        .entry = 0x1000850,
    };
}

static uint8_t *note(uint8_t *at, const char *owner, uint32_t type, uint64_t value,
                     const struct elf_spec *spec)
{
    uint32_t head[3] = {4, spec->value_size, type};
    size_t size = 16 + spec->value_size;

    memcpy(at, head, 12);
    memcpy(at + 12, owner, 4);
    memcpy(at + 16, &value, spec->value_size);
    return at + (size + spec->align - 1) / spec->align * spec->align;
}

static void header(struct image *f, const struct elf_spec *spec)
{
    if (spec->is64) {
        Elf64_Ehdr h = {.e_machine = EM_X86_64,
                        .e_phoff = sizeof(h),
                        .e_phentsize = sizeof(Elf64_Phdr),
                        .e_phnum = spec->nr_loads + 1};

        memcpy(h.e_ident, "\177ELF\2\1\1", 7);
        memcpy(f->data, &h, sizeof(h));
    } else {
        Elf32_Ehdr h = {.e_machine = EM_386,
                        .e_phoff = sizeof(h),
                        .e_phentsize = sizeof(Elf32_Phdr),
                        .e_phnum = spec->nr_loads + 1};

        memcpy(h.e_ident, "\177ELF\1\1\1", 7);
        memcpy(f->data, &h, sizeof(h));
    }
}

static void program_header(struct image *f, const struct elf_spec *spec, unsigned int i,
                           uint32_t type, uint64_t offset, struct load l)
{
    if (spec->is64) {
        Elf64_Phdr p = {type, 7,           offset,        0xffffffff80000000 + l.to,
                        l.to, l.file_size, l.memory_size, spec->align};

        memcpy(f->data + sizeof(Elf64_Ehdr) + i * sizeof(p), &p, sizeof(p));
    } else {
        Elf32_Phdr p = {type,          offset, 0xc0000000 + l.to, l.to, l.file_size,
                        l.memory_size, 7,      spec->align};

        memcpy(f->data + sizeof(Elf32_Ehdr) + i * sizeof(p), &p, sizeof(p));
    }
}

struct image make_elf(const struct elf_spec *spec)
{
    struct image f = {NULL, 4096};
    struct load notes = {0, 0, 0};
    uint8_t *at;
    size_t offset = 4096;

    for (unsigned int n = 0; n < spec->nr_loads; n++) f.size += spec->load[n].file_size;
    f.data = calloc(1, f.size);
    need(f.data != NULL, "memory");
    header(&f, spec);

    at = f.data + 2048;
    for (unsigned int i = 0; i < spec->decoys; i++)
        at = note(at, i % 2 ? "GNU" : "Xen", i % 2 ? 18 : 1, 0x666, spec);
    if (spec->older_entry) at = note(at, "Xen", 18, spec->older_entry, spec);
    at = note(at, spec->owner, spec->note_type, spec->entry, spec);
    notes.file_size = notes.memory_size = at - (f.data + 2048) - spec->note_cut;
    program_header(&f, spec, 0, PT_NOTE, 2048, notes);

    for (unsigned int n = 0; n < spec->nr_loads; n++) {
        program_header(&f, spec, n + 1, PT_LOAD, offset, spec->load[n]);
        for (uint64_t i = 0; i < spec->load[n].file_size; i++) f.data[offset++] = load_byte(n, i);
    }
    return f;
}

const char *packer_name(enum packer packer)
{
    static const char *const names[] = {"plain", "gzip", "xz", "xz_crc64", "zstd", "lz4"};

    return names[packer];
}

static size_t pack_gzip(uint8_t *to, size_t room, struct image elf)
{
    z_stream z = {.next_in = elf.data, .avail_in = elf.size, .next_out = to, .avail_out = room};

    need(deflateInit2(&z, 9, Z_DEFLATED, 31, 9, 0) == Z_OK, "gzip");
    need(deflate(&z, Z_FINISH) == Z_STREAM_END, "gzip");
    deflateEnd(&z);
    return z.total_out;
}

static size_t pack_xz(uint8_t *to, size_t room, struct image elf, lzma_check check)
{
    lzma_options_lzma lzma;
    lzma_filter filters[] = {
        {LZMA_FILTER_X86, NULL}, {LZMA_FILTER_LZMA2, &lzma}, {LZMA_VLI_UNKNOWN, NULL}};
    size_t size = 0;

    lzma_lzma_preset(&lzma, 1);
    lzma.dict_size = 4 << 20;
    need(lzma_stream_buffer_encode(filters, check, NULL, elf.data, elf.size, to, &size, room) ==
             LZMA_OK,
         "xz");
    return size;
}

static size_t pack_lz4(uint8_t *to, size_t room, struct image elf)
{
    uint32_t magic = LZ4_MAGIC, size;

    need(elf.size <= 0x800000, "one lz4 block");
    size = LZ4_compress_default((char *)elf.data, (char *)to + 8, elf.size, room - 8);
    need(size > 0, "lz4");
    memcpy(to, &magic, 4);
    memcpy(to + 4, &size, 4);
    return size + 8;
}

struct image make_packed(enum packer packer, struct image elf)
{
    size_t room = elf.size + elf.size / 8 + 4096;
    struct image out = {malloc(room + 4), 0};
    uint32_t size = elf.size;

    need(out.data != NULL, "memory");
    switch (packer) {
    case GZIP: out.size = pack_gzip(out.data, room, elf); return out;
    case XZ: out.size = pack_xz(out.data, room, elf, LZMA_CHECK_CRC32); break;
    case XZ_CRC64: out.size = pack_xz(out.data, room, elf, LZMA_CHECK_CRC64); break;
    case ZSTD:
        out.size = ZSTD_compress(out.data, room, elf.data, elf.size, 3);
        need(!ZSTD_isError(out.size), "zstd");
        break;
    case LZ4: out.size = pack_lz4(out.data, room, elf); break;
    default:
        memcpy(out.data, elf.data, elf.size);
        out.size = elf.size;
        return out;
    }
    memcpy(out.data + out.size, &size, 4);
    out.size += 4;
    return out;
}

struct image make_bzimage(struct image payload)
{
    struct image out = {calloc(1, SETUP + OFFSET + payload.size + 300),
                        SETUP + OFFSET + payload.size + 300};
    uint32_t offset = OFFSET, length = payload.size;

    need(out.data != NULL, "memory");
    out.data[0x1f1] = SETUP / 512 - 1;
    memcpy(out.data + 0x1fe, "\x55\xaa", 2);
    memcpy(out.data + 0x202, "HdrS\x0f\x02", 6);
    memcpy(out.data + 0x248, &offset, 4);
    memcpy(out.data + 0x24c, &length, 4);
    memcpy(out.data + SETUP + OFFSET, payload.data, payload.size);
    return out;
}
