/* SPDX-License-Identifier: Apache-2.0 */
/* Checked access to guest memory, by virtual and by physical address. */
#include "vm/guest.h"
#include "lib/string.h"
#include "memory/frame.h"
#include "memory/window.h"
#include "vm/domain.h"
#include "vm/p2m.h"
#include "vm/vendor.h"
#include <xen/errno.h>

#define GPTE_P  BIT(0)
#define GPTE_RW BIT(1)
#define GPTE_PS BIT(7)
#define BAD_GPA (~0ull)

void guest_access_reset(struct vcpu *v)
{
    v->tcache.next = 0;
}

/* One access within a page.  Caller holds no window that it needs above. */
static int access_gpa(struct domain *d, uint64_t gpa, void *buf, size_t len, bool write)
{
    uint64_t mfn = p2m_get_frame(d, gpa >> PAGE_SHIFT, write, true);
    char *p;

    if (mfn == MFN_INVALID) return -XEN_EFAULT;
    p = window_open(mfn);
    if (write)
        memcpy(p + (gpa & (PAGE_SIZE - 1)), buf, len);
    else
        memcpy(buf, p + (gpa & (PAGE_SIZE - 1)), len);
    window_close(p);
    frame_put(mfn);
    if (write) logdirty_mark(d, gpa >> PAGE_SHIFT);
    return 0;
}

/* By virtual addresses of v, or by physical ones of d. */
static int copy(struct vcpu *v, struct domain *d, uint64_t at, char *buf, size_t len, bool write)
{
    while (len) {
        size_t n = MIN(len, PAGE_SIZE - (at & (PAGE_SIZE - 1)));
        uint64_t gpa = v ? guest_va_to_gpa(v, at, write) : at;

        if (gpa == BAD_GPA || access_gpa(d, gpa, buf, n, write)) return -XEN_EFAULT;
        at += n;
        buf += n;
        len -= n;
    }
    return 0;
}

int copy_from_gpa(struct domain *d, void *dst, uint64_t gpa, size_t len)
{
    return copy(NULL, d, gpa, dst, len, false);
}

int copy_to_gpa(struct domain *d, uint64_t gpa, const void *src, size_t len)
{
    return copy(NULL, d, gpa, (char *)src, len, true);
}

int copy_from_guest(void *dst, uint64_t va, size_t len)
{
    return copy(current_vcpu(), current_domain(), va, dst, len, false);
}

int copy_to_guest(uint64_t va, const void *src, size_t len)
{
    return copy(current_vcpu(), current_domain(), va, (char *)src, len, true);
}

static uint64_t read_entry(struct domain *d, uint64_t gpa, unsigned int size)
{
    uint64_t e = 0;

    return access_gpa(d, gpa, &e, size, false) ? 0 : e;
}

/*
 * Four levels of 512 entries (long mode), two of them below the four PAE
 * pointers, or two levels of 1,024 (APM vol. 2, 5.2 and 5.3).  Large pages
 * end the walk at level 3 and 2.
 */
static uint64_t walk(struct vcpu *v, uint64_t va, bool write)
{
    uint64_t cr0 = vendor->get_cr(v, 0), cr4 = vendor->get_cr(v, 4), e = vendor->get_cr(v, 3);
    bool lma = vendor->get_efer(v) & EFER_LMA, wide = lma || cr4 & CR4_PAE;
    unsigned int level = lma ? 4 : 2, bits = wide ? 9 : 10;

    if (!(cr0 & CR0_PG)) return (uint32_t)va;
    if (lma && !is_canonical(va)) return BAD_GPA;
    if (!lma) va = (uint32_t)va;
    if (wide && !lma) {
        e = read_entry(v->domain, (e & 0xffffffe0) + (va >> 30) * 8, 8);
        if (!(e & GPTE_P)) return BAD_GPA;
    }
    for (;; level--) {
        unsigned int shift = 12 + bits * (level - 1);
        uint64_t index = va >> shift & ((1u << bits) - 1), offset = va & ((1ull << shift) - 1);

        e = read_entry(v->domain, (e & MASK(51, 12)) + index * (wide ? 8 : 4), wide ? 8 : 4);
        /* A kernel without CR0.WP writes to read-only pages. */
        if (!(e & GPTE_P) || (write && cr0 & CR0_WP && !(e & GPTE_RW))) return BAD_GPA;
        if (level == 1) return (e & MASK(51, 12)) | offset;
        if (level == 4 || !(e & GPTE_PS)) continue;
        if (wide) return (e & MASK(51, 0) & -(1ull << shift)) | offset;
        /* 4 MiB, with bits 32-39 of the address in 13-20. */
        if (cr4 & CR4_PSE) return (e & 0xffc00000) | (e >> 13 & 0xff) << 32 | offset;
    }
}

uint64_t guest_va_to_gpa(struct vcpu *v, uint64_t va, bool write)
{
    struct translation_cache *t = &v->tcache;
    uint64_t page = va & PAGE_MASK, gpa;
    unsigned int slot;

    for (unsigned int i = 0; i < MIN(t->next, ARRAY_SIZE(t->entry)); i++)
        if (t->entry[i].va == page && (t->entry[i].write || !write))
            return t->entry[i].gpa | (va & (PAGE_SIZE - 1));
    gpa = walk(v, page, write);
    if (gpa == BAD_GPA) return gpa;
    slot = t->next++ % ARRAY_SIZE(t->entry);
    t->entry[slot].va = page;
    t->entry[slot].gpa = gpa;
    t->entry[slot].write = write;
    return gpa | (va & (PAGE_SIZE - 1));
}

unsigned int guest_fetch_insn(struct vcpu *v, uint8_t buf[15])
{
    struct segment cs;
    uint64_t va;
    size_t first;

    vendor->get_segment(v, SEG_CS, &cs);
    va = v->regs.rip;
    if (!(vendor->get_efer(v) & EFER_LMA && cs.attr & SEG_LONG)) va = (uint32_t)(va + cs.base);
    first = MIN(15ul, PAGE_SIZE - (va & (PAGE_SIZE - 1)));
    if (copy_from_guest(buf, va, first)) return 0;
    if (first < 15 && !copy_from_guest(buf + first, va + first, 15 - first)) return 15;
    return first;
}
