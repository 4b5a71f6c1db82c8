/* SPDX-License-Identifier: Apache-2.0 */
/* Windows, and pages mapped for long. */
#include "memory/window.h"
#include "cpu/cpu.h"
#include "cpu/lock.h"
#include "lib/bitops.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/frame.h"
#include "memory/map.h"
#include <xen/xen.h>

static inline uint64_t window_va(const struct cpu *c, unsigned int i)
{
    return WINDOW_BASE + ((c->id * WINDOWS_PER_CPU + i) << PAGE_SHIFT);
}

bool windows_init(struct cpu *c)
{
    c->window_ptes = core_pte(window_va(c, 0));
    return c->window_ptes != NULL;
}

static void *open_window(uint64_t mfn, uint64_t flags)
{
    struct cpu *c = this_cpu();
    unsigned int i = c->windows++;

    ASSERT(i < WINDOWS_PER_CPU);
    /* Closing flushed the entry, and an absent one is never cached. */
    WRITE_ONCE(c->window_ptes[i], mfn << PAGE_SHIFT | flags);
    return (void *)window_va(c, i);
}

void *window_open(uint64_t mfn)
{
    return open_window(mfn, PTE_DATA);
}

void *window_open_device(uint64_t mfn)
{
    return open_window(mfn, PTE_DATA | PTE_PCD | PTE_PWT);
}

void window_close(const void *p)
{
    struct cpu *c = this_cpu();
    unsigned int i = --c->windows;
    uint64_t va = window_va(c, i);

    ASSERT(((uintptr_t)p & PAGE_MASK) == va);
    WRITE_ONCE(c->window_ptes[i], 0);
    invlpg(va);
}

void window_zero(uint64_t mfn)
{
    void *p = window_open(mfn);

    memset(p, 0, PAGE_SIZE);
    window_close(p);
}

void window_copy(uint64_t dst_mfn, unsigned int dst_off, uint64_t src_mfn, unsigned int src_off,
                 unsigned int len)
{
    char *dst = window_open(dst_mfn);
    const char *src = window_open(src_mfn);

    ASSERT(dst_off + len <= PAGE_SIZE && src_off + len <= PAGE_SIZE);
    memcpy(dst + dst_off, src + src_off, len);
    window_close(src);
    window_close(dst);
}

/* Guards: used, and the entries of the vmap range. */
static struct spinlock vmap_lock = SPINLOCK(RANK_VMAP);
static unsigned long used[BITMAP_WORDS(VMAP_PAGES)];

static unsigned int find_slots(unsigned int count)
{
    unsigned int at = 0, run = 0;

    for (at = 0; at < VMAP_PAGES && run < count; at++) {
        if (at % 64 == 0 && !~used[at / 64]) {
            at += 63;
            run = 0;
            continue;
        }
        run = test_bit(at, used) ? 0 : run + 1;
    }
    return run == count ? at - count : VMAP_PAGES;
}

static void *map_pages(uint64_t mfn, unsigned int count, uint64_t flags)
{
    unsigned int at, i;
    uint64_t va;

    spin_lock(&vmap_lock);
    at = find_slots(count);
    va = VMAP_BASE + ((uint64_t)at << PAGE_SHIFT);
    for (i = 0; at < VMAP_PAGES && i < count; i++)
        if (!core_pte(va + i * PAGE_SIZE)) /* makes the tables */
            at = VMAP_PAGES;
    for (i = 0; at < VMAP_PAGES && i < count; i++) {
        __set_bit(at + i, used);
        WRITE_ONCE(*core_pte(va + i * PAGE_SIZE), (mfn + i) << PAGE_SHIFT | flags);
    }
    spin_unlock(&vmap_lock);
    return at < VMAP_PAGES ? (void *)va : NULL;
}

void *vmap(uint64_t mfn, unsigned int count)
{
    return map_pages(mfn, count, PTE_DATA);
}

void *vmap_device(uint64_t phys, size_t size)
{
    unsigned int off = phys & (PAGE_SIZE - 1);
    char *p =
        map_pages(phys >> PAGE_SHIFT, DIV_UP(off + size, PAGE_SIZE), PTE_DATA | PTE_PCD | PTE_PWT);

    return p ? p + off : NULL;
}

void vunmap(void *p, unsigned int count)
{
    uint64_t va = (uintptr_t)p & PAGE_MASK;
    unsigned int at = (va - VMAP_BASE) >> PAGE_SHIFT;

    ASSERT(va >= VMAP_BASE && at + count <= VMAP_PAGES);
    for (unsigned int i = 0; i < count; i++) WRITE_ONCE(*core_pte(va + i * PAGE_SIZE), 0);
    flush_core_tlb_all();
    spin_lock(&vmap_lock);
    for (unsigned int i = 0; i < count; i++) __clear_bit(at + i, used);
    spin_unlock(&vmap_lock);
}

/* Prints a run of mapped pages of one owner. */
static void show_run(uint64_t va, uint64_t mfn, unsigned int count)
{
    uint16_t owner = frame_owner(mfn);

    if (!count) return;
    if (owner < DOMID_FIRST_RESERVED)
        log_info("  %lx: mfn %lx, %u registered page%s of d%u", va, mfn, count,
                 count > 1 ? "s" : "", owner);
    else
        log_info("  %lx: mfn %lx, %u page%s of device registers", va, mfn, count,
                 count > 1 ? "s" : "");
}

void vmap_dump(void)
{
    struct cpu *c;

    log_info("image %lx-%lx, heap at %llx: %lu pages, all the core's", (uintptr_t)image_start,
             (uintptr_t)image_end, HEAP_BASE, frames_core_count());
    for (unsigned int i = 0; i < VMAP_PAGES; i++) {
        uint64_t va = VMAP_BASE + ((uint64_t)i << PAGE_SHIFT);

        if (test_bit(i, used)) show_run(va, (*core_pte(va) & PTE_ADDR) >> PAGE_SHIFT, 1);
    }
    for_each_cpu (c) {
        for (unsigned int i = 0; i < WINDOWS_PER_CPU; i++)
            if (c->window_ptes[i])
                log_info("  CPU%u window %u: mfn %llx of owner %x", c->id, i,
                         (c->window_ptes[i] & PTE_ADDR) >> PAGE_SHIFT,
                         frame_owner((c->window_ptes[i] & PTE_ADDR) >> 12));
        log_info("  CPU%u: %u windows open", c->id, c->windows);
    }
}
