/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the bond with the decompressors, which are Debian's static libraries.
 * The kernel's build appends the unpacked size to every format but gzip,
 * which ends in it by itself (RFC 1952, ISIZE).
 */
#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>
#include "loader.h"

#define LZ4_BLOCK 0x800000 /* unpacked size of a block in a legacy frame */

enum result {
    GOOD,
    CORRUPT,
    NO_MEMORY,
};

struct packing {
    const char *name;
    uint8_t magic[6];
    uint8_t magic_size;
    uint8_t trailer; /* bytes of size behind the packed data */
    enum result (*run)(struct bytes in, uint8_t *out, uint32_t size);
};

static enum result run_gzip(struct bytes in, uint8_t *out, uint32_t size)
{
    z_stream z = {
        .next_in = (Bytef *)in.data, .avail_in = in.size, .next_out = out, .avail_out = size};
    int status = inflateInit2(&z, 16 + MAX_WBITS); /* 16: a gzip header */

    if (status == Z_OK) {
        status = inflate(&z, Z_FINISH);
        inflateEnd(&z);
    }
    if (status == Z_MEM_ERROR) return NO_MEMORY;
    return status == Z_STREAM_END && !z.avail_in && !z.avail_out ? GOOD : CORRUPT;
}

static enum result run_xz(struct bytes in, uint8_t *out, uint32_t size)
{
    uint64_t limit = UINT64_MAX;
    size_t in_at = 0, out_at = 0;
    lzma_ret status =
        lzma_stream_buffer_decode(&limit, 0, NULL, in.data, &in_at, in.size, out, &out_at, size);

    if (status == LZMA_MEM_ERROR) return NO_MEMORY;
    return status == LZMA_OK && in_at == in.size && out_at == size ? GOOD : CORRUPT;
}

static enum result run_zstd(struct bytes in, uint8_t *out, uint32_t size)
{
    ZSTD_DCtx *context = ZSTD_createDCtx();
    size_t status;

    if (!context) return NO_MEMORY;
    status = ZSTD_decompressDCtx(context, out, size, in.data, in.size);
    ZSTD_freeDCtx(context);
    if (ZSTD_getErrorCode(status) == ZSTD_error_memory_allocation) return NO_MEMORY;
    return status == size ? GOOD : CORRUPT;
}

/* The legacy frame: a magic, then blocks, each with its packed size before. */
static enum result run_lz4(struct bytes in, uint8_t *out, uint32_t size)
{
    uint64_t at = 4, done = 0;

    while (inside(in, at, 4)) {
        uint64_t room = size - done;
        uint32_t length;
        int made;

        memcpy(&length, in.data + at, 4);
        at += 4;
        if (length > (uint32_t)LZ4_compressBound(LZ4_BLOCK) || !inside(in, at, length))
            return CORRUPT;
        made = LZ4_decompress_safe((const char *)in.data + at, (char *)out + done, length,
                                   room < LZ4_BLOCK ? room : LZ4_BLOCK);
        if (made < 0) return CORRUPT;
        done += made;
        at += length;
    }
    return at == in.size && done == size ? GOOD : CORRUPT;
}

static const struct packing packings[] = {
    {"gzip", {0x1f, 0x8b}, 2, 0, run_gzip},
    {"xz", {0xfd, '7', 'z', 'X', 'Z', 0}, 6, 4, run_xz},
    {"zstd", {0x28, 0xb5, 0x2f, 0xfd}, 4, 4, run_zstd},
    {"lz4", {0x02, 0x21, 0x4c, 0x18}, 4, 4, run_lz4},
};

const struct packing *packing_of(struct bytes packed)
{
    for (size_t i = 0; i < sizeof(packings) / sizeof(packings[0]); i++) {
        const struct packing *p = &packings[i];

        if (packed.size >= p->magic_size + 4u && !memcmp(packed.data, p->magic, p->magic_size))
            return p;
    }
    return NULL;
}

const char *packing_name(const struct packing *p)
{
    return p->name;
}

bool packing_is_gzip(const struct packing *p)
{
    return p->run == run_gzip;
}

uint32_t unpacked_size(struct bytes packed)
{
    uint32_t size;

    memcpy(&size, packed.data + packed.size - 4, 4);
    return size;
}

const char *unpack(const struct packing *p, struct bytes packed, uint8_t *out, uint32_t size)
{
    packed.size -= p->trailer;
    switch (p->run(packed, out, size)) {
    case GOOD: return NULL;
    case NO_MEMORY:
        return error("dom0 kernel: too little memory to unpack %s; raise dom0_mem", p->name);
    default: return error("dom0 kernel: %s data is corrupt", p->name);
    }
}
