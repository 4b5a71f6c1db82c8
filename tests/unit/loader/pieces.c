/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the tests of the loader's small parts: memory.c, libc.c and text.c.
 */
#include <string.h>
#include "test.h"

void *loader_memcpy(void *to, const void *from, size_t n);
void *loader_memmove(void *to, const void *from, size_t n);
void *loader_memset(void *to, int c, size_t n);

/* memory.c against a plain table of pages, on random maps. */
static const char *memory_round(void)
{
    static uint8_t page[512]; /* from 1 MiB: 1 RAM, 2 kept */
    struct hvm_memmap_table_entry e[8];
    struct memory m = {e, 8, 0, {}};
    uint64_t size = 1 + random32() % 0x20000, room = 0, most = 0;
    struct range largest;

    memset(page, 0, sizeof(page));
    for (int i = 0; i < 8; i++) { /* in slots of their own, some touching */
        uint64_t from = 0x100000 + i * 0x40000 + random32() % 3 * 0x800;
        uint64_t end = 0x100000 + (i + 1) * 0x40000 - random32() % 3 * 0x800;
        uint32_t type = 1 + random32() % 4 / 3;

        e[i] = (struct hvm_memmap_table_entry){from, end - from, type, 0};
        for (uint64_t a = 0; a < 512; a++)
            if (type == 1 && 0x100000 + a * 4096 >= from && 0x101000 + a * 4096 <= end) page[a] = 1;
    }
    for (int i = random32() % 20; i; i--) {
        uint64_t from = 0x100000 + random32() % 0x200000;
        uint64_t length = 1 + random32() % 0x8000;

        if (memory_keep(&m, "x", from, length)) return "keep failed";
        for (uint64_t a = (from - 0x100000) / 4096;
             a <= (from + length - 1 - 0x100000) / 4096 && a < 512; a++)
            page[a] = 2;
    }
    for (uint64_t a = 0, n = 0; a < 512; a++) {
        bool edge = a % 64 == 0 && a; /* the loader does not join entries */

        n = page[a] != 1 ? 0 : edge ? 1 : n + 1;
        if (n > most) most = n;
        if (n * 4096 >= size) room = 0x101000 + a * 4096 - ((size + 4095) & -4096);
    }
    largest = memory_largest(&m);
    if (memory_room(&m, size) != room) return "memory_room() is wrong";
    return largest.end - largest.start == most * 4096 ? NULL : "memory_largest() is wrong";
}

static void libc(void)
{
    static uint8_t a[600], b[600];
    const char *why = NULL;

    for (int i = 0; i < 20000 && !why; i++) {
        size_t n = random32() % 200, to = random32() % 400;
        size_t from = random32() % 400, c = random32();

        for (size_t j = 0; j < sizeof(a); j++) a[j] = b[j] = random32();
        memmove(a + to, a + from, n);
        loader_memmove(b + to, b + from, n);
        memset(a + from / 2, c, n);
        loader_memset(b + from / 2, c, n);
        memcpy(a, a + 300, n);
        loader_memcpy(b, b + 300, n);
        if (memcmp(a, b, sizeof(a))) why = "a byte differs";
    }
    result("mem_functions", why);

    arena_set((struct range){0x1000001, 0x1001000});
    uint8_t *x = arena_malloc(100), *y = arena_calloc(10, 10);
    why = NULL;
    if (!x || !y || y < x + 100 || (uintptr_t)x % 64 || (uintptr_t)y % 64) why = "blocks are wrong";
    arena_free(y);
    if (arena_malloc(1) != y) why = "the newest block was not reclaimed";
    if (arena_malloc(4000) || arena_malloc(SIZE_MAX) || arena_calloc(SIZE_MAX / 2, 4))
        why = "too much was given out";
    result("arena", why);
}

static void text(void)
{
    char line[80], small[6];
    const char *why = NULL;

    text_format(line, sizeof(line), "%s %u %lu %x %02x %lx%c %s", "a", 0, 18446744073709551615UL,
                0xbeefu, 7, 0x1000000000UL, '!', "end");
    if (strcmp(line, "a 0 18446744073709551615 beef 07 1000000000! end")) why = line;
    if (text_format(small, sizeof(small), "%s", "overlong") != 5 || strcmp(small, "overl"))
        why = "does not cut";
    result("text", why);
}

static void dates(void)
{
    const char *why = NULL;

    if (days_since_1970(1970, 1, 1) || days_since_1970(2000, 3, 1) != 11017 ||
        days_since_1970(2024, 2, 29) != 19782 || days_since_1970(2099, 12, 31) != 47481)
        why = "the days since 1970 are wrong";
    result("dates", why);
}

void test_pieces(void)
{
    const char *why = NULL;

    dates();

    text();
    libc();
    for (int i = 0; i < 3000 && !why; i++) why = memory_round();
    result("memory", why);
}
