/* SPDX-License-Identifier: Apache-2.0 */
/* Access to guest memory: page walks of every mode, rights, borders. */
#include "check.h"
#include "msan.h"
#include "vm/domain.h"
#include "vm/guest.c"

#define FRAMES 64u

static uint8_t ram[FRAMES][PAGE_SIZE] __attribute__((aligned(4096)));
static unsigned int held, windows;
static uint64_t read_only; /* gfn that may not be written */
static struct domain d = {.id = 1};
static struct vcpu v = {.domain = &d};
static struct cpu this = {.self = &this, .current = &v};
static uint64_t cr0, cr3, cr4, efer;
static struct segment cs;

uint64_t p2m_get_frame(struct domain *dom, uint64_t gfn, bool write, bool any)
{
    (void)dom;
    (void)any;
    if (gfn >= FRAMES || (write && gfn == read_only)) return MFN_INVALID;
    held++;
    return gfn;
}

static uint64_t logged; /* a bit for each gfn */

void logdirty_mark(struct domain *dom, uint64_t gfn)
{
    (void)dom;
    logged |= 1ul << gfn;
}

void frame_put(uint64_t mfn)
{
    (void)mfn;
    held--;
}

void *window_open(uint64_t mfn)
{
    windows++;
    return ram[mfn];
}

void window_close(const void *p)
{
    TO_GUEST((void *)((uintptr_t)p & PAGE_MASK), PAGE_SIZE);
    windows--;
}

static uint64_t get_cr(struct vcpu *of, unsigned int n)
{
    (void)of;
    return n == 0 ? cr0 : n == 3 ? cr3 : cr4;
}

static uint64_t get_efer(struct vcpu *of)
{
    (void)of;
    return efer;
}

static void get_segment(struct vcpu *of, enum segment_name n, struct segment *s)
{
    (void)of;
    (void)n;
    *s = cs;
}

static const struct vendor_ops ops = {
    .get_cr = get_cr,
    .get_efer = get_efer,
    .get_segment = get_segment,
};
const struct vendor_ops *vendor = &ops;

static void put64(unsigned int page, unsigned int i, uint64_t e)
{
    memcpy(&ram[page][i * 8], &e, 8);
}

static void put32(unsigned int page, unsigned int i, uint32_t e)
{
    memcpy(&ram[page][i * 4], &e, 4);
}

static void fresh(void)
{
    memset(ram, 0, sizeof(ram));
    memset(&v.tcache, 0, sizeof(v.tcache));
    read_only = ~0ull;
    cr0 = CR0_PE | CR0_PG | CR0_WP;
    cr4 = CR4_PAE;
    efer = EFER_LMA;
    cr3 = 1 << 12;
    cs = (struct segment){.attr = 0x200};
}

/* Translates with nothing remembered. */
static uint64_t gpa_of(uint64_t va, bool write)
{
    guest_access_reset(&v);
    return guest_va_to_gpa(&v, va, write);
}

/* 1 -> 2 -> 3 -> 4, all for high addresses' last slot. */
static void long_mode(void)
{
    uint64_t va = 0xffff800000000000ull;

    fresh();
    put64(1, 256, 0x2003);
    put64(2, 0, 0x3003);
    put64(3, 0, 0x4003);
    put64(4, 0, 0x5003);
    put64(4, 1, 0x8000000000006001ull); /* read-only, NX */
    put64(3, 7, 0x12345601083ull);
    put64(2, 9, 0x7fc0000083ull);
    CHECK(gpa_of(va + 0x123, true) == 0x5123);
    CHECK(gpa_of(va + 0x1fff, false) == 0x6fff);
    CHECK(gpa_of(va + 0x1fff, true) == BAD_GPA);
    cr0 &= ~CR0_WP;
    CHECK(gpa_of(va + 0x1fff, true) == 0x6fff);
    CHECK(gpa_of(va + 0x2000, true) == BAD_GPA);
    CHECK(gpa_of(va + (7ul << 21) + 0x1aacde, false) == 0x12345600000ull + 0x1aacde);
    CHECK(gpa_of(va + (9ul << 30) + 0x3fffffff, false) == 0x7fc0000000ull + 0x3fffffff);
    CHECK(gpa_of(va & MASK(47, 0), false) == BAD_GPA); /* not canonical */
    CHECK(gpa_of(1ull << 47, false) == BAD_GPA);
    CHECK(gpa_of(0, false) == BAD_GPA);
    put64(1, 0, 0x2083); /* PS at level 4 means nothing */
    CHECK(gpa_of(0x10, false) == 0x5010);
    put64(1, 0, FRAMES << 12 | 3); /* a table where there is no RAM */
    CHECK(gpa_of(0x10, false) == BAD_GPA);
    put64(1, 256, 0x2001); /* a right missing above counts */
    cr0 |= CR0_WP;
    CHECK(gpa_of(va, true) == BAD_GPA && gpa_of(va, false) == 0x5000);
    CHECK(!held && !windows);
}

static void pae(void)
{
    fresh();
    efer = 0;
    cr3 = 0x1fe0; /* 32 bytes before the page's end */
    put64(1, 508 + 3, 0x2001);
    put64(2, 511, 0x3003);
    put64(3, 511, 0x4003);
    put64(2, 0, 0x40000083);
    CHECK(gpa_of(0xfffff321, true) == 0x4321);
    CHECK(gpa_of(0xc0012345, true) == 0x40012345);
    CHECK(gpa_of(0x80000000, false) == BAD_GPA);
    CHECK(!held && !windows);
}

static void two_levels(void)
{
    fresh();
    efer = 0;
    cr4 = CR4_PSE;
    cr3 = 0x1018; /* PWT and PCD are no address */
    put32(1, 1023, 0x2003);
    put32(2, 1023, 0x3003);
    put32(2, 1022, 0x3001);
    put32(1, 1, 0x00c06083); /* 4 MiB, with address bits 32 and 33 */
    CHECK(gpa_of(0xfffff010, true) == 0x3010);
    CHECK(gpa_of(0xffffe010, false) == 0x3010);
    CHECK(gpa_of(0xffffe010, true) == BAD_GPA);
    CHECK(gpa_of(0x00400000 + 0x3fffff, true) == 0x300c00000ull + 0x3fffff);
    cr4 = 0; /* it is the address of a table now */
    CHECK(gpa_of(0x00400000, true) == BAD_GPA);
    cr0 = CR0_PE;
    CHECK(gpa_of(0x1fffff000ull, true) == 0xfffff000);
    CHECK(!held && !windows);
}

static void copies(void)
{
    char text[16] = "0123456789abcdef", back[16] = {0};

    fresh();
    put64(1, 0, 0x2003);
    put64(2, 0, 0x3003);
    put64(3, 0, 0x4003);
    put64(4, 5, 0x9003);
    put64(4, 6, 0x8003);
    CHECK(!copy_to_guest(0x5ff8, text, 16));
    CHECK(!memcmp(&ram[9][0xff8], text, 8) && !memcmp(ram[8], text + 8, 8));
    CHECK(!copy_from_guest(back, 0x5ff8, 16) && !memcmp(back, text, 16));
    CHECK(copy_from_guest(back, 0x6ff8, 16) == -XEN_EFAULT);
    CHECK(!copy_from_guest(back, ~0ull, 0));
    CHECK(copy_from_guest(back, ~0ull - 7, 16) == -XEN_EFAULT);
    read_only = 8;
    CHECK(copy_to_guest(0x5ff8, text, 16) == -XEN_EFAULT);
    logged = 0;
    CHECK(!copy_to_gpa(&d, 0xaff8, text, 16));
    CHECK(logged == (1ul << 10 | 1ul << 11)); /* what is written is logged */
    CHECK(!copy_to_gpa(&d, 0xaff0, text, 16));
    CHECK(!copy_from_gpa(&d, back, 0xaff0, 16) && !memcmp(back, text, 16));
    CHECK(copy_to_gpa(&d, (FRAMES << 12) - 8, text, 16) == -XEN_EFAULT);
    CHECK(copy_from_gpa(&d, back, ~0ull - 3, 16) == -XEN_EFAULT);
    CHECK(!held && !windows);
}

/* What is remembered is right, and only until the exit ends. */
static void remembered(void)
{
    fresh();
    put64(1, 0, 0x2003);
    put64(2, 0, 0x3003);
    put64(3, 0, 0x4003);
    for (unsigned int i = 1; i < 10; i++) put64(4, i, (0x10 + i) << 12 | (i & 1 ? 3 : 1));
    CHECK(guest_va_to_gpa(&v, 0x1000, false) == 0x11000);
    CHECK(guest_va_to_gpa(&v, 0, false) == BAD_GPA); /* of an empty slot */
    for (unsigned int n = 0; n < 3; n++)
        for (unsigned int i = 1; i < 10; i++) {
            CHECK(guest_va_to_gpa(&v, i << 12, false) == (0x10 + i) << 12);
            CHECK(guest_va_to_gpa(&v, i << 12 | 5, true) ==
                  (i & 1 ? (0x10 + i) << 12 | 5 : BAD_GPA));
        }
    guest_access_reset(&v);
    put64(4, 9, 0);
    CHECK(guest_va_to_gpa(&v, 0x9000, false) == BAD_GPA);
}

/* One walk serves the pages beside, each with its own rights. */
static void groups(void)
{
    fresh();
    put64(1, 0, 0x2003);
    put64(2, 0, 0x3003);
    put64(3, 0, 0x4003);
    put64(3, 1, 0x4001);     /* the same table, read-only */
    put64(3, 2, 0x40000083); /* large */
    put64(3, 3, 0x40000081); /* large and read-only */
    for (unsigned int i = 0; i < 16; i++) put64(4, i, (0x10 + i) << 12 | (i % 4 ? 3 : i ? 1 : 0));
    guest_access_reset(&v);
    CHECK(guest_va_to_gpa(&v, 0x7fff, true) == 0x17fff);
    memset(ram[1], 0, PAGE_SIZE); /* nothing is walked from here on */
    CHECK(guest_va_to_gpa(&v, 0x1000, true) == 0x11000);
    CHECK(guest_va_to_gpa(&v, 0x4000, false) == 0x14000);
    CHECK(guest_va_to_gpa(&v, 0x4000, true) == BAD_GPA);
    CHECK(guest_va_to_gpa(&v, 0, false) == BAD_GPA);
    CHECK(guest_va_to_gpa(&v, 0x8000, false) == BAD_GPA); /* the next group */
    CHECK(guest_va_to_gpa(&v, 0x6000, true) == 0x16000);  /* as before */
    put64(1, 0, 0x2003);
    CHECK(guest_va_to_gpa(&v, 0x201000, false) == 0x11000);
    CHECK(guest_va_to_gpa(&v, 0x202000, true) == BAD_GPA);
    CHECK(guest_va_to_gpa(&v, 0x40f123, true) == 0x4000f123);
    CHECK(guest_va_to_gpa(&v, 0x408123, true) == 0x40008123);
    CHECK(guest_va_to_gpa(&v, 0x600123, false) == 0x40000123);
    CHECK(guest_va_to_gpa(&v, 0x601123, true) == BAD_GPA);
    cr0 &= ~CR0_WP;
    CHECK(guest_va_to_gpa(&v, 0x601123, true) == 0x40001123);
    CHECK(!held && !windows);
}

static void instructions(void)
{
    uint8_t insn[15];

    fresh();
    put64(1, 0, 0x2003);
    put64(2, 0, 0x3003);
    put64(3, 0, 0x4003);
    put64(4, 1, 0x5003);
    ram[5][0xffe] = 0x0f;
    ram[5][0xfff] = 0xa2;
    cs.base = 0x1000; /* long mode has none */
    v.regs.rip = 0x1ffe;
    CHECK(guest_fetch_insn(&v, insn) == 2 && insn[1] == 0xa2);
    put64(4, 2, 0x6003);
    ram[6][0] = 0x77;
    guest_access_reset(&v);
    CHECK(guest_fetch_insn(&v, insn) == 15 && insn[2] == 0x77);
    v.regs.rip = 0x3000;
    CHECK(guest_fetch_insn(&v, insn) == 0);
    efer = 0;
    cr0 = CR0_PE;
    v.regs.rip = 0xfffff000ull + 0x5ffe; /* base and rip wrap at 4 GiB */
    guest_access_reset(&v);
    CHECK(guest_fetch_insn(&v, insn) == 15 && insn[1] == 0xa2 && insn[2] == 0x77);
    cs.base = 0;
    v.regs.rip = 0x5ffe;
    guest_access_reset(&v);
    CHECK(guest_fetch_insn(&v, insn) == 15 && insn[1] == 0xa2);
    CHECK(!held && !windows);
}

long syscall(long n, ...);

int main(void)
{
    syscall(158, 0x1001, &this); /* arch_prctl(ARCH_SET_GS) */
    RUN(long_mode);
    RUN(pae);
    RUN(two_levels);
    RUN(copies);
    RUN(remembered);
    RUN(groups);
    RUN(instructions);
    return CHECK_RESULT();
}
