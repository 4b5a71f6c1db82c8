/* SPDX-License-Identifier: Apache-2.0 */
/* AMD-Vi's table IVRS, right and broken. */
#include "iommu/amd.c"
#include "fake_device.h"
#include "iommu_tables.h"

static void start_anew(void)
{
    unit_count = alias_count = special_count = 0;
    iommu.remaps = false;
}

/* A header; a unit with a range of devices that use another's name, told twice;
 * a reserved range; an entry of a kind that is not known. */
static const uint8_t right[] = {[0] = 'I',
                                'V',
                                'R',
                                'S',
                                [48] = 0x10,
                                0,
                                40,
                                0,
                                0x10,
                                0,
                                0x40,
                                0,
                                0,
                                0,
                                0xd8,
                                0xfe,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                /* 72: devices */ 0x43,
                                8,
                                1,
                                0,
                                0,
                                0,
                                1,
                                0,
                                4,
                                0x1f,
                                1,
                                0,
                                0,
                                0,
                                0,
                                0,
                                /* 88 */ 0x11,
                                0,
                                62,
                                0,
                                0x10,
                                0,
                                0x40,
                                0,
                                0,
                                0,
                                0xd8,
                                0xfe,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                /* 128: a device with a name */ 0xf0,
                                8,
                                2,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                /* 150 */ 0x20,
                                0,
                                32,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0x70,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0x10,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                0,
                                /* 182 */ 0x77,
                                0,
                                24,
                                0,
                                [205] = 0};

static void ivrs_right(void)
{
    CHECK(parses(right, sizeof(right)));
    CHECK(unit_count == 1 && told_units == 1 && told_ranges == 1 && alias_count == 1);
    CHECK(units[0].base == 0xfed80000 && units[0].bdf == 0x10 && units[0].capability == 0x40);
    CHECK(aliases[0].first == 0x108 && aliases[0].last == 0x11f && aliases[0].alias == 0x100);
    CHECK(parses(right, 48) && unit_count == 0); /* nothing in it */
}

static void ivrs_broken(void)
{
    static const struct {
        uint8_t at, value;
    } bad[] = {
        {50, 0},   {50, 23},   {50, 41},  {51, 1}, /* a unit's length: none, short, too long */
        {57, 1},   {63, 0x40},                     /* its place */
        {64, 1},                                   /* its segment                            */
        {90, 0},   {90, 39},   {149, 1},           /* the longer form; a name that goes on   */
        {152, 31}, {152, 0},                       /* a range's length                       */
        {184, 0},  {184, 23},  {184, 25},          /* the length of an unknown entry         */
    };

    for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
        CHECK(!parses_with(right, sizeof(right), bad[i].at, bad[i].value));
    for (unsigned int len = 49; len < sizeof(right); len++) /* cut anywhere but between entries */
        CHECK(parses(right, len) == (len == 88 || len == 150 || len == 182));
}

/* An IO-APIC among the entries: such a machine remaps; a timer alone says nothing. */
static void ivrs_special(void)
{
    uint8_t e[] = {0x48, 0, 0, 0, 0, 0xa0, 0, 2};
    struct acpi_header h = {.length = 0};

    start_anew();
    parse_devices(&h, e, e + sizeof(e));
    CHECK(special_count == 1 && specials[0] == 0xa0 && !iommu.remaps);
    e[7] = 1;
    parse_devices(&h, e, e + sizeof(e));
    CHECK(special_count == 2 && iommu.remaps);
}

static uint32_t interrupt_of(uint16_t id, uint8_t vector)
{
    uint64_t mfn = (table[id].q[2] & DTE_INT_TABLE) >> PAGE_SHIFT;

    return mfn ? ((uint32_t *)core_from_mfn(mfn))[vector] : 0;
}

/* A vector is raised by the device that was given it last, under all its names. */
static void interrupts(void)
{
    static const uint16_t ids[] = {0x100, 0x108, 0x200};
    uint64_t address;
    uint32_t data;

    fake_init(1);
    CHECK(parses(right, sizeof(right)));
    unit_count = 0; /* none is running */
    table = calloc(DEVICES, sizeof(*table));
    amd_message(0x108, 0x41, 3, &address, &data);
    CHECK(address == 0xfee00000 && data == 0x41);
    CHECK(interrupt_of(0x108, 0x41) == 0x410301 && interrupt_of(0x100, 0x41) == 0x410301);
    CHECK(table[0x108].q[2] & DTE_INTERRUPTS && !interrupt_of(0x108, 0x40));
    amd_message(0x200, 0x42, 0, &address, &data);
    CHECK(interrupt_of(0x200, 0x42) == 0x420001 && !interrupt_of(0x200, 0x41));
    amd_message(0x200, 0x41, 1, &address, &data);
    CHECK(interrupt_of(0x200, 0x41) == 0x410101);
    CHECK(!interrupt_of(0x108, 0x41) && !interrupt_of(0x100, 0x41));
    amd_forbid(0x41);
    CHECK(!interrupt_of(0x200, 0x41) && interrupt_of(0x200, 0x42));
    amd_forbid(0x43); /* nobody's */
    for (unsigned int i = 0; i < ARRAY_SIZE(ids); i++)
        free(core_from_mfn((table[ids[i]].q[2] & DTE_INT_TABLE) >> PAGE_SHIFT));
    free(table);
}

static void ivrs_hostile(void)
{
    hostile(right, sizeof(right));
    CHECK(alias_count <= MAX_ALIASES);
}

int main(void)
{
    RUN(ivrs_right);
    RUN(ivrs_broken);
    RUN(ivrs_special);
    RUN(interrupts);
    RUN(ivrs_hostile);
    return CHECK_RESULT();
}
