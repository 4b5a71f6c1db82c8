/* SPDX-License-Identifier: Apache-2.0 */
/* Multiboot 2's tags and the command line: any bytes. */
#define main unit_main
#include "../unit/test_boot.c"
#undef main

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!low)
        low = mmap(NULL, LOW_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT,
                   -1, 0);
    if (size < 1 || size > 4096) return 0;
    fresh();
    if (data[0] & 1) {
        memcpy(low + 8, data + 1, size - 1);
        *(uint32_t *)low = size + 7;
        if (!setjmp(panicked)) boot_parse(MB2_MAGIC, ADDR(low));
        if (boot.modules > MAX_MODULES || boot.map.count > E820_MAX) __builtin_trap();
    } else {
        memcpy(cmdline, data + 1, MIN(size - 1, sizeof(cmdline) - 1));
        if (!setjmp(panicked)) options_parse();
    }
    return 0;
}
