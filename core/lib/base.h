/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest common ground of every file: integer types, a few macros,
 * memory barriers and the one assertion.
 */
#ifndef LIB_BASE_H
#define LIB_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096ul
#define PAGE_MASK  (~(PAGE_SIZE - 1))

#define ARRAY_SIZE(a)  (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)      ((a) < (b) ? (a) : (b))
#define MAX(a, b)      ((a) > (b) ? (a) : (b))
#define ROUND_UP(x, n) (((x) + (n)-1) & ~((n)-1))
#define DIV_UP(x, n)   (((x) + (n)-1) / (n))
#define BIT(n)         (1ull << (n))
#define MASK(hi, lo)   ((~0ull >> (63 - (hi))) & (~0ull << (lo)))

#define container_of(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))

#define likely(x)              __builtin_expect(!!(x), 1)
#define unlikely(x)            __builtin_expect(!!(x), 0)
#define packed                 __attribute__((__packed__))
#define maybe_unused           __attribute__((unused))
#define must_use               __attribute__((warn_unused_result))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))

/* One load or store that the compiler neither splits nor repeats. */
#define READ_ONCE(x)     (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

static inline void smp_mb(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline void cpu_relax(void)
{
    __builtin_ia32_pause();
}

/*
 * An index that a guest chose, after its bounds check: returns i, or 0 when a
 * mispredicted check let i >= n through (Spectre v1).
 */
static inline size_t index_nospec(size_t i, size_t n)
{
    size_t mask;

    __asm__ volatile("cmp %1, %2; sbb %0, %0" : "=r"(mask) : "r"(n), "r"(i) : "cc");
    return i & mask;
}

/*
 * States that only a bug in the core can reach: prints the place and halts the
 * machine, in every build.  Never on anything that a guest supplies.
 */
_Noreturn void assert_failed(const char *expr, const char *file, int line);
#define ASSERT(e) (likely(e) ? (void)0 : assert_failed(#e, __FILE__, __LINE__))

#endif
