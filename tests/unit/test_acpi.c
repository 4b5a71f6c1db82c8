/* SPDX-License-Identifier: Apache-2.0 */
/* The host's ACPI tables, right and broken. */
#include "check.h"
#include "fake_device.h"
#include "boot/acpi.c"
#include <setjmp.h>
#include <stdlib.h>

#define RAM (2u << 20)

static uint8_t ram[RAM] __attribute__((aligned(4096)));
static unsigned int windows;
static jmp_buf panicked;
static uint32_t at;
struct boot_info boot;
struct ioapic_info ioapics[MAX_IOAPICS];
unsigned int ioapic_count;

_Noreturn void panic(const char *fmt, ...)
{
    (void)fmt;
    windows = 0;
    longjmp(panicked, 1);
}

void *window_open(uint64_t mfn)
{
    static uint8_t none[PAGE_SIZE];

    windows++;
    return mfn < RAM >> PAGE_SHIFT ? ram + (mfn << PAGE_SHIFT) : none;
}

void window_close(const void *p)
{
    (void)p;
    windows--;
}

void ioapic_add(uint8_t id, uint32_t address, uint32_t gsi_base)
{
    if (ioapic_count == MAX_IOAPICS) panic("many");
    ioapics[ioapic_count++] = (struct ioapic_info){id, address, gsi_base, 24, 0};
}

uint32_t ioapic_gsi_count(void)
{
    return 24 * ioapic_count;
}

/* Puts a table into memory; its address. */
static uint32_t table(const char *signature, const void *body, unsigned int len)
{
    uint32_t here = at;
    struct acpi_header *h = (void *)(ram + here);

    memset(h, 0, sizeof(*h));
    memcpy(h->signature, signature, 4);
    h->length = sizeof(*h) + len;
    memcpy(h + 1, body, len);
    h->checksum = -acpi_sum(h, h->length);
    at = ROUND_UP(at + h->length, 16);
    return here;
}

static const uint8_t madt_body[] = {
    0, 0,  0xe0, 0xfe, 0,  0, 0,    0,                             /* address, flags */
    0, 8,  0,    0,    1,  0, 0,    0,                             /* CPU, id 0 */
    0, 8,  1,    2,    0,  0, 0,    0,                             /* disabled */
    0, 8,  2,    4,    1,  0, 0,    0,                             /* id 4 */
    1, 12, 9,    0,    0,  0, 0xc0, 0xfe, 0,  0, 0, 0,             /* IO-APIC 9 */
    2, 10, 0,    0,    2,  0, 0,    0,    0,  0,                   /* IRQ 0 is GSI 2 */
    2, 10, 0,    9,    9,  0, 0,    0,    13, 0,                   /* IRQ 9 level low */
    2, 10, 0,    4,    20, 0, 0,    0,    15, 0,                   /* 4, COM1's: 20, level low */
    9, 16, 0,    0,    44, 1, 0,    0,    1,  0, 0, 0, 7, 0, 0, 0, /* x2APIC 300 */
    9, 16, 0,    0,    4,  0, 0,    0,    1,  0, 0, 0, 2, 0, 0, 0, /* 4 again */
    4, 6,  255,  0,    0,  1,                                      /* NMI: skipped */
};

static void fadt_body(uint8_t *f)
{
    memset(f, 0, 132 - 36);
    memcpy(f + 64 - 36, "\4\6\0\0", 4);      /* PM1a control 0x604 */
    memcpy(f + 76 - 36, "\10\6\0\0", 4);     /* PM timer 0x608 */
    memcpy(f + 112 - 36, "\0\4\0\0", 4);     /* RESET_REG_SUP */
    memcpy(f + 116 - 36, "\1\10\0\1", 4);    /* I/O, 8 bits */
    memcpy(f + 120 - 36, "\xf9\x0c\0\0", 4); /* 0xcf9 */
    f[128 - 36] = 0x0f;
}

static uint32_t root, madt_at, fadt_at, hpet_at, mcfg_at;

/* A whole machine; `wide`: revision 2 with an XSDT. */
static void machine(bool wide)
{
    static const uint8_t mcfg[] = {0, 0, 0, 0, 0, 0, 0, 0,   0, 0, 0, 0xb0,
                                   0, 0, 0, 0, 0, 0, 3, 200, 0, 0, 0, 0};
    uint8_t fadt[132 - 36], list[64];
    uint32_t t[4];
    struct acpi_rsdp *r = (void *)(ram + 0xf5000);

    memset(ram, 0, sizeof(ram));
    memset(&acpi, 0, sizeof(acpi));
    ioapic_count = 0;
    at = 0x100000 - 64; /* the first tables cross a page */
    fadt_body(fadt);
    t[0] = fadt_at = table("FACP", fadt, sizeof(fadt));
    t[1] = madt_at = table("APIC", madt_body, sizeof(madt_body));
    t[2] = hpet_at = table("HPET", fadt, 20);
    t[3] = mcfg_at = table("MCFG", mcfg, sizeof(mcfg));
    for (unsigned int i = 0; i < 4; i++) {
        uint64_t v = t[i];

        memcpy(list + i * (wide ? 8 : 4), &v, wide ? 8 : 4);
    }
    root = table(wide ? "XSDT" : "RSDT", list, wide ? 32 : 16);
    memcpy(r->signature, "RSD PTR ", 8);
    r->revision = wide ? 2 : 0;
    if (wide)
        r->xsdt = root;
    else
        r->rsdt = root;
    r->checksum = -acpi_sum(r, 20);
    fake_init(1);
}

/* rsdp 0: the boot loader told none. */
static bool parses(uint64_t rsdp)
{
    memset(&boot.rsdp, 0, sizeof(boot.rsdp));
    if (rsdp) memcpy(&boot.rsdp, ram + rsdp, sizeof(boot.rsdp));
    if (setjmp(panicked)) return false;
    acpi_parse();
    CHECK(windows == 0);
    return true;
}

static void check_machine(void)
{
    CHECK(acpi.cpus == 3 && acpi.cpu_apic_ids[0] == 0);
    CHECK(acpi.cpu_apic_ids[1] == 4 && acpi.cpu_apic_ids[2] == 300);
    CHECK(ioapic_count == 1 && ioapics[0].address == 0xfec00000);
    CHECK(ioapics[0].id == 9 && acpi.pm_timer == 0x608);
    CHECK(acpi.com1_gsi == 20 && acpi.com1_level && acpi.com1_low);
    CHECK(acpi.reset_type == 1 && acpi.reset_address == 0xcf9);
    CHECK(acpi.reset_value == 0x0f && acpi.mmcfg_base == 0xb0000000);
    CHECK(acpi.mmcfg_start_bus == 3 && acpi.mmcfg_end_bus == 200);
    CHECK(acpi_find("HPET") == (void *)buffer && !acpi_find("DMAR"));
    CHECK(!memcmp(&boot.rsdp, "RSD PTR ", 8));
    CHECK((boot.rsdp.revision ? boot.rsdp.xsdt : boot.rsdp.rsdt) == root);
}

static void acpi_found(void)
{
    for (int wide = 0; wide < 2; wide++) {
        machine(wide);
        CHECK(parses(0));
        check_machine();
        machine(wide);
        memmove(ram + 0x180000, ram + 0xf5000, 36);
        memset(ram + 0xf5000, 0, 36);
        CHECK(!parses(0)); /* nowhere in the BIOS areas */
        CHECK(parses(0x180000));
        check_machine();
    }
    machine(true);
    memmove(ram + 0x9fc10, ram + 0xf5000, 36); /* in the EBDA */
    memset(ram + 0xf5000, 0, 36);
    memcpy(ram + 0x40e, "\xc0\x9f", 2);
    CHECK(parses(0));
}

static void acpi_broken(void)
{
    const uint32_t *needed[] = {&root, &madt_at, &fadt_at};

    for (unsigned int i = 0; i < 3; i++) {
        machine(true);
        ram[*needed[i] + 9]++; /* the checksum is wrong */
        CHECK(!parses(0));
        machine(true);
        memset(ram + *needed[i] + 4, 0xff, 4); /* the length */
        CHECK(!parses(0));
        machine(true);
        memset(ram + *needed[i] + 4, 0, 4);
        CHECK(!parses(0));
    }
    machine(true);
    ram[mcfg_at + 9]++; /* that one is not needed */
    CHECK(parses(0) && acpi.mmcfg_base == 0);
    machine(true);
    ram[0xf5000 + 9]++; /* no RSDP */
    CHECK(!parses(0));
}

/* Sets a table's checksum right after a change. */
static void seal(uint32_t table_at)
{
    struct acpi_header *h = (void *)(ram + table_at);

    h->checksum = 0;
    if (h->length <= RAM - table_at) h->checksum = -acpi_sum(h, h->length);
}

static void acpi_noise(void)
{
    unsigned int good = 0;

    for (unsigned int round = 0; round < 20000; round++) {
        const uint32_t tables[] = {root, madt_at, fadt_at, mcfg_at};
        volatile uint32_t t;

        machine(round & 1);
        t = tables[fake_random() & 3];
        for (unsigned int i = fake_random() & 3; i < 4; i++)
            ram[t + 4 + fake_random() % 160] = fake_random();
        seal(t);
        good += parses(0);
        CHECK(acpi.cpus <= MAX_CPUS && ioapic_count <= MAX_IOAPICS);
    }
    CHECK(good > 1000 && good < 20000);
}

/* More of everything than there is room for; a FADT without reset. */
static void acpi_many(void)
{
    static uint8_t body[8 + 300 * 16 + 40 * 10 + 12];
    uint8_t *p = body + 8, list[60 * 8];
    uint64_t v;

    machine(true);
    for (unsigned int i = 0; i < 300; i++, p += 16)
        memcpy(p, (uint8_t[]){9, 16, 0, 0, i, i >> 8, 0, 0, 1, 0, 0, 0}, 12);
    for (unsigned int i = 0; i < 40; i++, p += 10) memcpy(p, (uint8_t[]){2, 10, 0, i, i}, 5);
    memcpy(p, (uint8_t[]){1, 12}, 2);
    v = madt_at = table("APIC", body, sizeof(body));
    memcpy(list, &v, 8);
    ram[fadt_at + 113] = 0; /* RESET_REG_SUP */
    seal(fadt_at);
    v = fadt_at;
    memcpy(list + 8, &v, 8);
    for (unsigned int i = 2; i < 60; i++) {
        v = table("SSDT", list, 1);
        memcpy(list + 8 * i, &v, 8);
    }
    ((struct acpi_rsdp *)(ram + 0xf5000))->xsdt = table("XSDT", list, sizeof(list));
    CHECK(parses(0));
    CHECK(acpi.cpus == MIN(300, MAX_CPUS) && ioapic_count == 1);
    CHECK(table_count == 60 && acpi.reset_type == 0);
    ((struct acpi_header *)(ram + fadt_at))->length = 100; /* cut short */
    seal(fadt_at);
    memset(&acpi, 0, sizeof(acpi));
    CHECK(parses(0) && acpi.pm_timer == 0);
}

int main(void)
{
    RUN(acpi_found);
    RUN(acpi_broken);
    RUN(acpi_noise);
    RUN(acpi_many);
    return CHECK_RESULT();
}
