/* SPDX-License-Identifier: Apache-2.0 */
/* VT-d's table DMAR, right and broken. */
#include "iommu/vtd.c"
#include "fake_device.h"
#include "iommu_tables.h"

static void start_anew(void)
{
    unit_count = 0;
}

/* A header, two units (the second sees the IO-APIC through a bridge), a
 * reserved range, an entry of a kind that is not known. */
static const uint8_t right[] = {[0] = 'D', 'M',
                                'A',       'R',
                                [36] = 38, [48] = 0,
                                0,         16,
                                0,         0,
                                0,         0,
                                0,         0,
                                0,         0xd9,
                                0xfe,      0,
                                0,         0,
                                0,         /* 64 */ 0,
                                0,         34,
                                0,         1,
                                0,         0,
                                0,         0,
                                0x10,      0xd9,
                                0xfe,      0,
                                0,         0,
                                0,         /* 80: scopes */ 1,
                                8,         0,
                                0,         0,
                                0,         2,
                                0,         /* 88 */ 3,
                                10,        0,
                                0,         0,
                                0,         1,
                                0,         3,
                                1,         /* 98 */ 1,
                                0,         24,
                                0,         0,
                                0,         0,
                                0,         0,
                                0,         0x70,
                                0x7e,      0,
                                0,         0,
                                0,         0xff,
                                0xff,      0x7f,
                                0x7e,      0,
                                0,         0,
                                0,         /* 122 */ 9,
                                0,         6,
                                0,         1,
                                2};

static void dmar_right(void)
{
    CHECK(parses(right, sizeof(right)));
    CHECK(unit_count == 2 && told_ranges == 1);
    CHECK(units[0].base == 0xfed90000 && units[1].base == 0xfed91000);
    CHECK(ioapics[0].source == (5 << 8 | 3 << 3 | 1));
    CHECK(parses(right, 48) && unit_count == 0); /* nothing in it */
}

static void dmar_broken(void)
{
    static const struct {
        uint8_t at, value;
    } bad[] = {
        {50, 0},   {50, 3},   {50, 15},   {51, 1}, /* a unit's length: none, short, too long */
        {56, 1},   {54, 1},   {63, 0xff},          /* its place, its segment                 */
        {81, 0},   {81, 5},   {89, 11},            /* a scope's length                       */
        {100, 23}, {100, 99},                      /* a range's length                       */
        {116, 0},                                  /* its end before its start               */
        {124, 0},  {124, 7},                       /* the length of an unknown entry         */
    };

    for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
        CHECK(!parses_with(right, sizeof(right), bad[i].at, bad[i].value));
    for (unsigned int len = 49; len < sizeof(right); len++) /* cut anywhere but between entries */
        CHECK(parses(right, len) == (len == 64 || len == 98 || len == 122));
}

static void dmar_many(void)
{
    static uint8_t many[48 + 17 * 16];

    for (unsigned int i = 0; i < 17; i++) memcpy(many + 48 + 16 * i, right + 48, 16);
    CHECK(parses(many, 48 + 16 * 16) && unit_count == 16);
    CHECK(!parses(many, sizeof(many)));
}

static void dmar_hostile(void)
{
    hostile(right, sizeof(right));
}

/* What the hardware reads for a vector (9.10): who may raise it, and where. */
static void vtd_entries(void)
{
    static struct entry table[VECTORS];

    fake_init(1);
    interrupts = table;
    unit_count = 0;
    vtd_remap(0x0318, 0x45, 2, true);
    CHECK(table[0x45].low == (0x200ull << 32 | 0x45 << 16 | 1 << 4 | 1));
    CHECK(table[0x45].high == (1 << 18 | 0x0318));
    vtd_remap(0x0318, 0x45, 3, false); /* elsewhere */
    CHECK(table[0x45].low == (0x300ull << 32 | 0x45 << 16 | 1));
    for (unsigned int v = 0; v < VECTORS; v++) CHECK((table[v].low & 1) == (v == 0x45));
}

/* A unit that tells 16 domains apart: others reach nothing, instead of what is a
 * neighbour's. */
static void vtd_width(void)
{
    static uint64_t tables[512] __attribute__((aligned(4096)));
    static struct entry roots[256] __attribute__((aligned(4096)));
    struct p2m p = {.root = tables};
    struct domain d = {.id = 14, .p2m = &p};
    struct entry *e;

    fake_init(1);
    root = roots;
    unit_count = 0;
    domain_ids = CAP_DOMAINS(0xc0000000000070ull);
    CHECK(domain_ids == 16 && CAP_DOMAINS(2) == 256 && CAP_DOMAINS(6) == 65536);
    vtd_attach(0x0318, &d);
    e = context_of(0x0318);
    CHECK(e->low & 1 && e->high >> 8 == 15);
    d.id = 15;
    vtd_attach(0x0318, &d);
    CHECK(!(e->low & 1) && !(e->high >> 8));
    vtd_flush(&d);
    free(core_from_mfn(roots[3].low >> PAGE_SHIFT));
}

int main(void)
{
    RUN(dmar_right);
    RUN(dmar_broken);
    RUN(dmar_many);
    RUN(dmar_hostile);
    RUN(vtd_entries);
    RUN(vtd_width);
    return CHECK_RESULT();
}
