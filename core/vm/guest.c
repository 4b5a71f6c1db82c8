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

#define CACHE_SIZE 4

/* Pages translated since the last exit: good for one hypercall. */
struct translation_cache {
    struct {
        uint64_t va, gpa; /* of the page */
        bool write;
    } entry[CACHE_SIZE];
    unsigned int next; /* entries filled, ever: the first `next` count */
};

void guest_access_reset(struct vcpu *v)
{
    v->tcache->next = 0;
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
    return 0;
}

static int copy_gpa(struct domain *d, uint64_t gpa, char *buf, size_t len, bool write)
{
    while (len) {
        size_t n = MIN(len, PAGE_SIZE - (gpa & (PAGE_SIZE - 1)));

        if (access_gpa(d, gpa, buf, n, write)) return -XEN_EFAULT;
        gpa += n;
        buf += n;
        len -= n;
    }
    return 0;
}

int copy_from_gpa(struct domain *d, void *dst, uint64_t gpa, size_t len)
{
    return copy_gpa(d, gpa, dst, len, false);
}

int copy_to_gpa(struct domain *d, uint64_t gpa, const void *src, size_t len)
{
    return copy_gpa(d, gpa, (char *)src, len, true);
}

static uint64_t read_entry(struct domain *d, uint64_t gpa, unsigned int size)
{
    uint64_t e = 0;

    return access_gpa(d, gpa, &e, size, false) ? 0 : e;
}

/* Tables of 512 entries of 8 bytes: 4 levels (long mode) or 2 below the four
 * PAE pointers.  APM vol. 2, 5.2 and 5.3. */
static uint64_t walk_64(struct domain *d, uint64_t table, uint64_t va, unsigned int level,
                        bool write)
{
    for (;; level--) {
        unsigned int shift = 12 + 9 * (level - 1);
        uint64_t e = read_entry(d, table + (va >> shift & 511) * 8, 8);

        if (!(e & GPTE_P) || (write && !(e & GPTE_RW))) return BAD_GPA;
        if (level == 1 || (level < 4 && e & GPTE_PS))
            return (e & MASK(51, shift)) | (va & ((1ull << shift) - 1));
        table = e & MASK(51, 12);
    }
}

static uint64_t walk_32(struct vcpu *v, uint64_t table, uint32_t va, bool write)
{
    struct domain *d = v->domain;
    uint64_t e = read_entry(d, table + (va >> 22) * 4, 4);

    if (!(e & GPTE_P) || (write && !(e & GPTE_RW))) return BAD_GPA;
    if (e & GPTE_PS && vendor->get_cr(v, 4) & CR4_PSE)
        return (e & 0xffc00000) | (e >> 13 & 0xff) << 32 | (va & 0x3fffff);
    e = read_entry(d, (e & 0xfffff000) + (va >> 12 & 1023) * 4, 4);
    if (!(e & GPTE_P) || (write && !(e & GPTE_RW))) return BAD_GPA;
    return (e & 0xfffff000) | (va & 0xfff);
}

static uint64_t walk(struct vcpu *v, uint64_t va, bool write)
{
    uint64_t cr3 = vendor->get_cr(v, 3);

    /* A kernel without CR0.WP writes to read-only pages. */
    write = write && vendor->get_cr(v, 0) & CR0_WP;
    if (!(vendor->get_cr(v, 0) & CR0_PG)) return (uint32_t)va;
    if (vendor->get_efer(v) & EFER_LMA) {
        if ((int64_t)(va << 16) >> 16 != (int64_t)va) return BAD_GPA;
        return walk_64(v->domain, cr3 & MASK(51, 12), va, 4, write);
    }
    if (vendor->get_cr(v, 4) & CR4_PAE) {
        uint64_t e = read_entry(v->domain, (cr3 & 0xffffffe0) + (va >> 30 & 3) * 8, 8);

        return e & GPTE_P ? walk_64(v->domain, e & MASK(51, 12), (uint32_t)va, 2, write) : BAD_GPA;
    }
    return walk_32(v, cr3 & 0xfffff000, va, write);
}

uint64_t guest_va_to_gpa(struct vcpu *v, uint64_t va, bool write)
{
    struct translation_cache *t = v->tcache;
    uint64_t page = va & PAGE_MASK, gpa;
    unsigned int slot;

    for (unsigned int i = 0; i < MIN(t->next, CACHE_SIZE); i++)
        if (t->entry[i].va == page && (t->entry[i].write || !write))
            return t->entry[i].gpa | (va & (PAGE_SIZE - 1));
    gpa = walk(v, page, write);
    if (gpa == BAD_GPA) return gpa;
    slot = t->next++ % CACHE_SIZE;
    t->entry[slot].va = page;
    t->entry[slot].gpa = gpa;
    t->entry[slot].write = write;
    return gpa | (va & (PAGE_SIZE - 1));
}

static int copy_va(uint64_t va, char *buf, size_t len, bool write)
{
    struct vcpu *v = current_vcpu();

    while (len) {
        size_t n = MIN(len, PAGE_SIZE - (va & (PAGE_SIZE - 1)));
        uint64_t gpa = guest_va_to_gpa(v, va, write);

        if (gpa == BAD_GPA || access_gpa(v->domain, gpa, buf, n, write)) return -XEN_EFAULT;
        va += n;
        buf += n;
        len -= n;
    }
    return 0;
}

int copy_from_guest(void *dst, uint64_t va, size_t len)
{
    return copy_va(va, dst, len, false);
}

int copy_to_guest(uint64_t va, const void *src, size_t len)
{
    return copy_va(va, (char *)src, len, true);
}

unsigned int guest_fetch_insn(struct vcpu *v, uint8_t buf[15])
{
    struct segment cs;
    uint64_t va;
    size_t first;

    vendor->get_segment(v, SEG_CS, &cs);
    va = v->regs.rip;
    if (!(vendor->get_efer(v) & EFER_LMA && cs.attr & 0x200)) va = (uint32_t)(va + cs.base);
    first = MIN(15ul, PAGE_SIZE - (va & (PAGE_SIZE - 1)));
    if (copy_from_guest(buf, va, first)) return 0;
    if (first < 15 && !copy_from_guest(buf + first, va + first, 15 - first)) return 15;
    return first;
}

size_t guest_access_size(void)
{
    return sizeof(struct translation_cache);
}
