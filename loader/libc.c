/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the few C library functions that the decompressors call, and the arena
 * behind malloc(). Compiled without the compiler's own ideas of these names.
 */
#include <stdlib.h>
#include <string.h>
#include "loader.h"

#define ALIGNMENT 64

static struct range arena;
static uint64_t last; /* the newest block, the only one that free() reclaims */

void arena_set(struct range r)
{
    arena = r;
    last = 0;
}

void *malloc(size_t size)
{
    uint64_t start = (arena.start + ALIGNMENT - 1) & -(uint64_t)ALIGNMENT;

    if (start > arena.end || size > arena.end - start) return NULL;
    last = start;
    arena.start = start + size;
    return phys(start);
}

void *calloc(size_t count, size_t size)
{
    size_t bytes;
    void *block;

    if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
    block = malloc(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

void free(void *block)
{
    if (block && (uintptr_t)block == last) {
        arena.start = last;
        last = 0;
    }
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    void *d = to;
    size_t words = n / 8;

    n %= 8;
    asm volatile("rep movsq" : "+D"(d), "+S"(from), "+c"(words)::"memory");
    asm volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(n)::"memory");
    return to;
}

void *memmove(void *to, const void *from, size_t n)
{
    uint8_t *d = (uint8_t *)to + n - 1;
    const uint8_t *s = (const uint8_t *)from + n - 1;

    if ((uintptr_t)to - (uintptr_t)from >= n) return memcpy(to, from, n);
    asm volatile("std; rep movsb; cld" : "+D"(d), "+S"(s), "+c"(n)::"memory");
    return to;
}

void *memset(void *to, int c, size_t n)
{
    void *d = to;
    size_t words = n / 8;

    n %= 8;
    asm volatile("rep stosq"
                 : "+D"(d), "+c"(words)
                 : "a"((uint8_t)c * 0x0101010101010101ULL)
                 : "memory");
    asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;

    for (; n; n--, x++, y++)
        if (*x != *y) return *x - *y;
    return 0;
}

size_t strnlen(const char *s, size_t most)
{
    size_t n = 0;

    while (n < most && s[n]) n++;
    return n;
}
