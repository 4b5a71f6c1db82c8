/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel images: headers of bzImage and ELF, and the four decompressors. */
#include "../../loader/loader.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define OUT_MAX 0x20000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes file = {data, size}, payload;
    const struct packing *p;
    struct elf elf;

    if (is_bzimage(file) && !bzimage_payload(file, &payload)) {
        if (payload.data < data || !inside(file, payload.data - data, payload.size)) abort();
        file = payload;
    }
    p = packing_of(file);
    if (p) {
        uint32_t n = unpacked_size(file) % OUT_MAX;
        uint8_t *out = malloc(n);

        if (out) (void)unpack(p, file, out, n);
        free(out);
    }
    if (is_elf(file) && !elf_open(file, &elf)) {
        for (unsigned int i = 0; i < elf.nr_headers; i++) {
            struct segment s = elf_segment(&elf, i);

            if (s.type != 1) continue; /* PT_LOAD */
            if (!inside(file, s.offset, s.file_size) || s.file_size > s.memory_size) abort();
            if (s.to.end > LIMIT_4G || s.to.end - s.to.start != s.memory_size) abort();
        }
    }
    return 0;
}
