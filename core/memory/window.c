/* SPDX-License-Identifier: Apache-2.0 */
/* Windows, and pages mapped for long. */
#include "memory/window.h"
#include "cpu/cpu.h"
#include "cpu/lock.h"
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

/* Guards: the entries of the vmap range.  One of 0 is free. */
static struct spinlock vmap_lock = SPINLOCK(RANK_VMAP);
static uint64_t vmap_end = VMAP_BASE; /* nothing was ever mapped from here on */
#define PTE_LEAVING BIT(9)            /* not present, but in some TLB perhaps */

static void *map_pages(uint64_t mfn, unsigned int count, uint64_t flags)
{
    uint64_t va = VMAP_BASE, *e;
    unsigned int run = 0;

    spin_lock(&vmap_lock);
    for (; va < VMAP_END && run < count; va += PAGE_SIZE) {
        e = core_pte(va); /* makes the tables */
        if (!e) break;
        run = *e ? 0 : run + 1;
    }
    if (run == count)
        for (; run; run--)
            WRITE_ONCE(*core_pte(va - run * PAGE_SIZE), (mfn + count - run) << PAGE_SHIFT | flags);
    else
        va = 0;
    vmap_end = MAX(vmap_end, va);
    spin_unlock(&vmap_lock);
    return va ? (void *)(va - count * PAGE_SIZE) : NULL;
}

void *vmap(uint64_t mfn)
{
    return map_pages(mfn, 1, PTE_DATA);
}

void *vmap_device(uint64_t phys, size_t size)
{
    unsigned int off = phys & (PAGE_SIZE - 1);
    char *p =
        map_pages(phys >> PAGE_SHIFT, DIV_UP(off + size, PAGE_SIZE), PTE_DATA | PTE_PCD | PTE_PWT);

    return p ? p + off : NULL;
}

void vunmap_begin(void *p)
{
    uint64_t va = (uintptr_t)p & PAGE_MASK, *e = core_pte(va);

    ASSERT(va >= VMAP_BASE && va < VMAP_END && *e & PTE_P);
    WRITE_ONCE(*e, PTE_LEAVING);
}

void vunmap_end(void *p)
{
    WRITE_ONCE(*core_pte((uintptr_t)p & PAGE_MASK), 0);
}

void vunmap(void *p)
{
    vunmap_begin(p);
    flush_core_tlb_all();
    vunmap_end(p);
}

void vmap_dump(void)
{
    struct cpu *c;

    log_info("image %lx-%lx, heap at %llx: %lu pages, all the core's", (uintptr_t)image_start,
             (uintptr_t)image_end, HEAP_BASE, frame_counts.core);
    for (uint64_t va = VMAP_BASE; va < vmap_end; va += PAGE_SIZE) {
        uint64_t e = *core_pte(va), mfn = (e & PTE_ADDR) >> PAGE_SHIFT;
        uint16_t owner = frame_owner(mfn);

        if (!(e & PTE_P)) continue;
        if (owner < DOMID_FIRST_RESERVED)
            log_info("  %lx: mfn %lx, 1 registered page of d%u", va, mfn, owner);
        else
            log_info("  %lx: mfn %lx, 1 page of device registers", va, mfn);
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
