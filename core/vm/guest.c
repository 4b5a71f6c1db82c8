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

#define GROUP_BYTES (PAGE_SIZE * TRANSLATION_GROUP)

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

/* Where the entry for va is in its group. */
static unsigned int place(uint64_t va)
{
    return va >> PAGE_SHIFT & (TRANSLATION_GROUP - 1);
}

/* A small page, whose neighbours are not looked at. */
static bool take_page(struct translations *t, uint64_t va, uint64_t gpa, uint64_t rights)
{
    t->large = 0;
    memset(t->page, 0, sizeof(t->page));
    t->page[place(va)] = (gpa & PAGE_MASK) | GPTE_P | (rights & GPTE_RW);
    return true;
}

/* va lies in a large page, at gpa. */
static bool take_large(struct translations *t, uint64_t gpa, uint64_t rights)
{
    t->large = (gpa & -(uint64_t)GROUP_BYTES) | GPTE_P | (rights & GPTE_RW);
    return true;
}

/* The entries of a whole group, from a table of 512. */
static bool take_group(struct domain *d, struct translations *t, uint64_t gpa, uint64_t rights)
{
    t->large = 0;
    if (access_gpa(d, gpa & -sizeof(t->page), t->page, sizeof(t->page), false)) return false;
    for (unsigned int i = 0; i < TRANSLATION_GROUP; i++) t->page[i] &= rights | ~GPTE_RW;
    return true;
}

/*
 * Four levels of 512 entries (long mode), two of them below the four PAE
 * pointers, or two levels of 1,024 (APM vol. 2, 5.2 and 5.3).  Large pages
 * end the walk at level 3 and 2.  Fills in t, as much as belongs to va at
 * least; false if that is not mapped, and t is then anything.
 */
static bool walk(struct vcpu *v, uint64_t va, struct translations *t)
{
    uint64_t cr4 = vendor->get_cr(v, 4), e = vendor->get_cr(v, 3), rights = ~0ull, at;
    bool lma = vendor->get_efer(v) & EFER_LMA, wide = lma || cr4 & CR4_PAE;
    unsigned int level = lma ? 4 : 2, bits = wide ? 9 : 10;

    if (!(vendor->get_cr(v, 0) & CR0_PG)) return take_large(t, (uint32_t)va, rights);
    if (lma && !is_canonical(va)) return false;
    if (!lma) va = (uint32_t)va;
    if (wide && !lma) {
        e = read_entry(v->domain, (e & 0xffffffe0) + (va >> 30) * 8, 8);
        if (!(e & GPTE_P)) return false;
    }
    for (;; level--) {
        unsigned int shift = 12 + bits * (level - 1);
        uint64_t index = va >> shift & ((1u << bits) - 1), offset = va & ((1ull << shift) - 1);

        at = (e & MASK(51, 12)) + index * (wide ? 8 : 4);
        if (level == 1 && wide) return take_group(v->domain, t, at, rights);
        e = read_entry(v->domain, at, wide ? 8 : 4);
        if (!(e & GPTE_P)) return false;
        rights &= e;
        if (level == 1) return take_page(t, va, e, rights);
        if (level == 4 || !(e & GPTE_PS)) continue;
        if (wide) return take_large(t, (e & MASK(51, 0) & -(1ull << shift)) | offset, rights);
        /* 4 MiB, with bits 32-39 of the address in 13-20. */
        if (cr4 & CR4_PSE)
            return take_large(t, (e & 0xffc00000) | (e >> 13 & 0xff) << 32 | offset, rights);
    }
}

/* Where va is by t, or BAD_GPA. */
static inline uint64_t find_in(const struct translations *t, uint64_t va, uint64_t rights)
{
    unsigned int i = place(va);
    uint64_t e = t->large ? t->large + i * PAGE_SIZE : t->page[i];

    return (e & rights) == rights ? (e & MASK(51, 12)) | (va & (PAGE_SIZE - 1)) : BAD_GPA;
}

uint64_t guest_va_to_gpa(struct vcpu *v, uint64_t va, bool write)
{
    struct translation_cache *c = &v->tcache;
    uint64_t group = va / GROUP_BYTES, gpa;
    uint64_t rights = GPTE_P | (write ? GPTE_RW : 0);
    struct translations *t;

    for (unsigned int i = 0; i < MIN(c->next, ARRAY_SIZE(c->entry)); i++) {
        if (c->entry[i].group != group) continue;
        gpa = find_in(&c->entry[i], va, rights);
        if (gpa != BAD_GPA) return gpa;
    }
    t = &c->entry[c->next % ARRAY_SIZE(c->entry)];
    t->group = BAD_GPA;
    if (!walk(v, va, t)) return BAD_GPA;
    t->group = group;
    c->next++;
    /* A kernel without CR0.WP writes to read-only pages. */
    if (write && !(vendor->get_cr(v, 0) & CR0_WP)) rights = GPTE_P;
    return find_in(t, va, rights);
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
