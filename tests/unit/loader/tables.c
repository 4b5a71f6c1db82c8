/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the test of dom0's ACPI tables (acpi.c), made of a machine's.
 */
#include <string.h>
#include "test.h"

#define MACHINE 0x2400000 /* its tables, one after another */
#define AREA    0x2500000
#define END     0x2510000
#define VCPUS   128

static uint64_t at;

static uint8_t sum(const uint8_t *p, size_t size)
{
    uint8_t s = 0;

    while (size--) s += *p++;
    return s;
}

static uint32_t number(const void *p)
{
    uint32_t v;

    memcpy(&v, p, 4);
    return v;
}

static uint64_t number64(const void *p)
{
    uint64_t v;

    memcpy(&v, p, 8);
    return v;
}

static void seal(uint64_t table)
{
    uint8_t *h = phys(table);

    h[9] -= sum(h, number(h + 4));
}

/* At an odd address, as firmware may do. */
static uint64_t table(const char *signature, const void *body, uint32_t size)
{
    uint64_t here = at;
    uint8_t *h = phys(here);

    memset(h, 0, 36);
    memcpy(h, signature, 4);
    size += 36;
    memcpy(h + 4, &size, 4);
    memcpy(h + 36, body, size - 36);
    seal(here);
    at += size | 1;
    return here;
}

static const uint8_t madt_body[] = {
    0, 0,  0xe0, 0xfe, 1,  0, 0,    0,                             /* address, PIC */
    0, 8,  0,    0,    1,  0, 0,    0,                             /* CPU, id 0 */
    1, 12, 9,    0,    0,  0, 0xc0, 0xfe, 0,  0, 0, 0,             /* IO-APIC 9 */
    2, 10, 0,    0,    2,  0, 0,    0,    0,  0,                   /* IRQ 0 is GSI 2 */
    9, 16, 0,    0,    44, 1, 0,    0,    1,  0, 0, 0, 7, 0, 0, 0, /* x2APIC 300 */
    2, 10, 0,    9,    9,  0, 0,    0,    13, 0,                   /* IRQ 9 level low */
    4, 6,  255,  0,    0,  1,                                      /* NMI */
};

static uint64_t madt, facp, mcfg, ssdt, root;

/* `wide`: revision 2 with an XSDT. */
static void machine(bool wide)
{
    uint64_t list[6];
    uint8_t *r = phys(AREA), narrow[24];

    at = MACHINE + 1;
    memset(phys(AREA), 0, END - AREA);
    list[0] = facp = table("FACP", "body", 4);
    list[1] = madt = table("APIC", madt_body, sizeof(madt_body));
    list[2] = table("DMAR", "body", 4);
    list[3] = mcfg = table("MCFG", "body", 4);
    list[4] = LIMIT_4G + 5;
    list[5] = ssdt = table("SSDT", "body", 4);
    for (unsigned int i = 0; i < 6; i++) memcpy(narrow + 4 * i, &list[i], 4);
    memset(narrow + 16, 0, 4);
    root = wide ? table("XSDT", list, sizeof(list)) : table("RSDT", narrow, sizeof(narrow));
    memcpy(r, "RSD PTR ", 8);
    r[15] = wide ? 2 : 0;
    memcpy(r + (wide ? 24 : 16), &root, wide ? 8 : 4);
}

static const char *build(void)
{
    return acpi_build((struct range){AREA, END}, VCPUS);
}

static const char *check_cpus(const uint8_t *m)
{
    const uint8_t *e = m + 44 + 12 + 2 * 10;

    for (uint32_t i = 0; i < VCPUS; i++, e += 16) {
        if (e[0] != 9 || e[1] != 16) return "no x2APIC entry";
        if (number(e + 4) != 2 * i || number(e + 8) != 1 || number(e + 12) != i)
            return "a vCPU is wrong";
    }
    return e == m + number(m + 4) ? NULL : "there is more than the vCPUs";
}

static const char *check(void)
{
    const uint8_t *r = phys(AREA), *x, *m;
    const char *why = build();

    if (why) return why;
    if (memcmp(r, "RSD PTR ", 8) || r[15] != 2 || number(r + 20) != 36) return "RSDP";
    if (sum(r, 20) || sum(r, 36)) return "the RSDP's checksums";
    if (number64(r + 24) < AREA || number64(r + 24) > END) return "the XSDT is elsewhere";
    x = phys(number64(r + 24));
    if (memcmp(x, "XSDT", 4) || x[8] != 1 || number(x + 4) != 36 + 4 * 8) return "XSDT";
    if (number64(x + 44) != facp || number64(x + 52) != mcfg || number64(x + 60) != ssdt)
        return "the tables that are passed";
    m = phys(number64(x + 36));
    if (m < x + number(x + 4) || m + number(m + 4) > (uint8_t *)phys(END)) return "MADT's place";
    if (memcmp(m, "APIC", 4) || m[8] > 4) return "MADT";
    if (sum(x, number(x + 4)) || sum(m, number(m + 4))) return "a table's checksum";
    if (number(m + 36) != 0xfee00000 || number(m + 40)) return "local APICs, no PIC";
    if (memcmp(m + 44, madt_body + 16, 12)) return "IO-APIC";
    if (memcmp(m + 56, madt_body + 28, 10) || memcmp(m + 66, madt_body + 54, 10))
        return "overrides";
    return check_cpus(m);
}

static const char *refused(void)
{
    machine(true);
    ((uint8_t *)phys(ssdt))[9]++;
    if (build() || number(phys(AREA + 64 + 4)) != 36 + 3 * 8) return "a broken table was passed";
    machine(true);
    ((uint8_t *)phys(madt))[9]++;
    if (!build()) return "without a MADT";
    machine(false);
    memset(phys(root + 4), 0xff, 4);
    if (!build()) return "an RSDT without an end";
    machine(true);
    memset(phys(AREA + 16), 0xff, 16);
    if (!build()) return "tables above 4 GiB";
    return NULL;
}

/* Any noise in a table that is sealed again: an error or tables in the area. */
static const char *noise(void)
{
    for (int i = 0; i < 20000; i++) {
        const uint64_t tables[] = {madt, facp, mcfg};
        uint64_t t;

        machine(i & 1);
        memset(phys(END), 0, 0x1000);
        t = tables[random32() % 3];
        ((uint8_t *)phys(t))[4 + random32() % 80] = random32();
        if (number(phys(t + 4)) < 0x10000) seal(t);
        (void)!build();
        for (uint64_t a = END; a < END + 0x1000; a++)
            if (*(uint8_t *)phys(a)) return "written behind the area";
    }
    return NULL;
}

void test_tables(void)
{
    machine(true);
    result("acpi_xsdt", check());
    machine(false);
    result("acpi_rsdt", check());
    result("acpi_refused", refused());
    result("acpi_noise", noise());
}
