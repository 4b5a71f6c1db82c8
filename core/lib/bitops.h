/* SPDX-License-Identifier: Apache-2.0 */
/* Bits in arrays of words; the names without a leading __ are atomic. */
#ifndef LIB_BITOPS_H
#define LIB_BITOPS_H

#include "lib/base.h"

#define BITS_PER_LONG   64u
#define BITMAP_WORDS(n) DIV_UP(n, BITS_PER_LONG)

static inline bool test_bit(unsigned int n, const unsigned long *map)
{
    return READ_ONCE(map[n / 64]) >> (n % 64) & 1;
}

static inline void __set_bit(unsigned int n, unsigned long *map)
{
    map[n / 64] |= 1ul << (n % 64);
}

static inline void __clear_bit(unsigned int n, unsigned long *map)
{
    map[n / 64] &= ~(1ul << (n % 64));
}

static inline void set_bit(unsigned int n, unsigned long *map)
{
    __atomic_fetch_or(&map[n / 64], 1ul << (n % 64), __ATOMIC_SEQ_CST);
}

static inline void clear_bit(unsigned int n, unsigned long *map)
{
    __atomic_fetch_and(&map[n / 64], ~(1ul << (n % 64)), __ATOMIC_SEQ_CST);
}

static inline bool test_and_set_bit(unsigned int n, unsigned long *map)
{
    unsigned long bit = 1ul << (n % 64);

    return __atomic_fetch_or(&map[n / 64], bit, __ATOMIC_SEQ_CST) & bit;
}

static inline bool test_and_clear_bit(unsigned int n, unsigned long *map)
{
    unsigned long bit = 1ul << (n % 64);

    return __atomic_fetch_and(&map[n / 64], ~bit, __ATOMIC_SEQ_CST) & bit;
}

/* The first set bit at or after `from`, or n when there is none below n. */
static inline unsigned int find_bit(const unsigned long *map, unsigned int n, unsigned int from)
{
    for (unsigned int w = from / 64; w * 64 < n; w++) {
        unsigned long word = READ_ONCE(map[w]);

        if (w == from / 64) word &= ~0ul << (from % 64);
        if (word) return MIN(w * 64 + (unsigned int)__builtin_ctzl(word), n);
    }
    return n;
}

/* Every set bit from `from` on, below n. */
#define for_each_bit(i, map, n, from) \
    for ((i) = find_bit((map), (n), (from)); (i) < (n); (i) = find_bit((map), (n), (i) + 1))

static inline unsigned int count_bits(const unsigned long *map, unsigned int n)
{
    unsigned int i, sum = 0;

    for_each_bit (i, map, n, 0) sum++;
    return sum;
}

#endif
