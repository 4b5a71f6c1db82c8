/* SPDX-License-Identifier: Apache-2.0 */
/* Memory at boot: where the frame table goes, and that the tables which are there
 * before the heap suffice, on machines with up to 16 TiB. */
#define _GNU_SOURCE
#include "check.h"
#include "memory/frame.c"
#include "memory/heap.c"
#include "memory/map.c"
#include <setjmp.h>
#include <string.h>
#include <sys/mman.h>

#define GIB       (1ull << 30)
#define TIB       (1ull << 40)
#define PANICS(e) (expected = true, setjmp(panicked) ? true : ((e), false))

static jmp_buf panicked;
static bool expected;

_Noreturn void panic(const char *fmt, ...)
{
    if (!expected) printf("not ok %s: panic: %s\n", check_case, fmt);
    if (!expected) exit(1);
    longjmp(panicked, 1);
}

void assert_failed(const char *expr, const char *file, int line)
{
    printf("not ok assertion %s:%d: %s\n", file, line, expr);
    exit(1);
}

void log_core(enum log_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

void spin_lock(struct spinlock *l)
{
    (void)l;
}

void spin_unlock(struct spinlock *l)
{
    (void)l;
}

/* --- where what goes: main.c with the rest of memory left out --- */

#define map_init()             (void)0
#define windows_init(c)        true
#define frames_init(table)     (void)(table)
#define frames_add_ram(at, to) note_free(at, to)
#define heap_boot()            (void)0
static void note_free(uint64_t start, uint64_t end);
#include "boot/main.c"
#undef map_init
#undef windows_init
#undef frames_init
#undef frames_add_ram
#undef heap_boot

struct boot_info boot;
const char loader_image[64];
static uint64_t free_bytes, highest_free;

/* What is free is no room that is taken. */
static void note_free(uint64_t start, uint64_t end)
{
    free_bytes += end - start;
    highest_free = end;
    for (unsigned int k = 0; k < FIRST_MODULE; k++)
        CHECK(end <= taken[k].start || start >= taken[k].end);
}

static void place(uint64_t top)
{
    static const struct e820_entry low[] = {{0, 0x9f000, 1}, {1 << 20, 0x7ff00000, 1}};

    memset(gibs, 0, sizeof(gibs));
    memset(taken, 0, sizeof(taken));
    memset(&frame_counts, 0, sizeof(frame_counts));
    max_mfn = free_bytes = 0;
    memcpy(boot.map.entry, low, sizeof(low));
    boot.map.entry[2] = (struct e820_entry){4 * GIB, top - 4 * GIB, 1};
    boot.map.count = top > 4 * GIB ? 3 : 2;
    memory_boot();
    CHECK(taken[TABLE].end - taken[TABLE].start == frames_table_bytes());
    CHECK(taken[TABLE].start % LARGE == 0 && taken[BLOCK].end <= GIB);
    CHECK(taken[TABLE].end <= 0x80000000 || taken[TABLE].start >= 4 * GIB);
}

static void table_low(void)
{
    place(2 * GIB);
    CHECK(ROUND_UP(taken[TABLE].end, LARGE) == 2 * GIB);
    place(512 * GIB);
    CHECK(ROUND_UP(taken[TABLE].end, LARGE) == 2 * GIB);
}

/* The end of memory stays free: the heap's first tables and pages are there. */
static void table_high(void)
{
    static const uint64_t tops[] = {TIB, 6 * TIB, 16 * TIB};

    for (unsigned int i = 0; i < ARRAY_SIZE(tops); i++) {
        place(tops[i]);
        CHECK(highest_free == tops[i] && taken[TABLE].end <= tops[i] / 2);
        CHECK(free_bytes > tops[i] / 512 * 510 - 4 * GIB);
    }
    CHECK(PANICS(place(16 * TIB + GIB)));
}

/* --- the tables --- */

static void back(uint64_t at, uint64_t size)
{
    CHECK(mmap((void *)at, size, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
               0) == (void *)at);
}

/* RAM in one GiB of 512, so that every table is needed and few are filled. */
static void tables_suffice(void)
{
    const uint64_t top = 16 * TIB, free = 128ul << 20;
    struct list *p;

    memset(gibs, 0, sizeof(gibs));
    max_mfn = 0;
    memset(&frame_counts, 0, sizeof(frame_counts));
    for (uint64_t at = 0; at < top; at += 512 * GIB)
        frames_note_ram(at + 511 * GIB, at + 512 * GIB);
    map_image((char *)0x200000, (char *)0x400000, PTE_DATA);
    CHECK(core_pte(WINDOW_BASE));
    heap_ready = true;
    back(FRAMES_BASE, (MAX_GIBS + 1ull) << 21);
    back(CHUNKS_BASE, chunks_bytes());
    frames_init(64 * GIB);
    CHECK(*core_entry(CHUNKS_BASE, 2) & PTE_PS);
    CHECK((*core_entry(CHUNKS_BASE, 2) & PTE_ADDR) == 64 * GIB + (32 << 21));
    frames_add_ram(top - free, top);
    CHECK(frame_counts.free == free >> PAGE_SHIFT);
    back(HEAP_BASE + top - free, free);
    heap_boot();
    CHECK(frame_counts.core > MAX_GIBS && core_alloc(100) && core_alloc_pages(5));
    list_for_each (p, &core_chunks)
        CHECK(chunk_mfn(list_entry(p, struct chunk, link)) >= (top - free) >> PAGE_SHIFT);
    CHECK(HEAP_BASE + top <= FRAMES_BASE || FRAMES_BASE < CHUNKS_BASE - (MAX_GIBS << 21));
}

int main(void)
{
    RUN(table_low);
    RUN(table_high);
    RUN(tables_suffice);
    return CHECK_RESULT();
}
