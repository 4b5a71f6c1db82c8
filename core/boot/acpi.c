/* SPDX-License-Identifier: Apache-2.0 */
/* The host's ACPI tables: found, checked, read (ACPI 6.4, 5.2). */
#include "boot/acpi.h"
#include "boot/acpi_tables.h"
#include "cpu/irq.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/window.h"

#define MAX_TABLE 65536u

struct acpi_info acpi;
static uint8_t buffer[MAX_TABLE]; /* one table at a time, at boot */
static uint64_t tables[64];
static unsigned int table_count;

void acpi_read(uint64_t phys, void *dst, size_t len)
{
    char *to = dst;

    while (len) {
        size_t off = phys & (PAGE_SIZE - 1), n = MIN(len, PAGE_SIZE - off);
        char *p = window_open(phys >> PAGE_SHIFT);

        memcpy(to, p + off, n);
        window_close(p);
        phys += n;
        to += n;
        len -= n;
    }
}

uint8_t acpi_sum(const void *p, size_t len)
{
    const uint8_t *b = p;
    uint8_t sum = 0;

    while (len--) sum += *b++;
    return sum;
}

/* Reads a table into the buffer; NULL when its length or checksum is wrong. */
static struct acpi_header *load(uint64_t phys)
{
    struct acpi_header *h = (void *)buffer;

    acpi_read(phys, h, sizeof(*h));
    if (h->length < sizeof(*h) || h->length > MAX_TABLE) {
        log_warn("ACPI: table at %lx has length %u, ignored", phys, h->length);
        return NULL;
    }
    acpi_read(phys, h, h->length);
    if (acpi_sum(h, h->length)) {
        log_warn("ACPI: %.4s at %lx has a wrong checksum, ignored", h->signature, phys);
        return NULL;
    }
    return h;
}

static uint64_t search(uint64_t from, uint64_t to)
{
    struct acpi_rsdp r;

    for (uint64_t at = from; at < to; at += 16) {
        acpi_read(at, &r, 20);
        if (!memcmp(r.signature, "RSD PTR ", 8) && !acpi_sum(&r, 20)) return at;
    }
    return 0;
}

static uint64_t find_rsdp(void)
{
    uint16_t segment;
    uint64_t at;

    acpi_read(0x40e, &segment, 2); /* EBDA */
    at = search((uint64_t)segment << 4, ((uint64_t)segment << 4) + 1024);
    return at ? at : search(0xe0000, 0x100000);
}

static void add_cpu(uint32_t id, uint32_t flags)
{
    if (!(flags & 1) || acpi.cpus == MAX_CPUS) return;
    for (unsigned int i = 0; i < acpi.cpus; i++)
        if (acpi.cpu_apic_ids[i] == id) return;
    acpi.cpu_apic_ids[acpi.cpus++] = id;
}

static void parse_madt_entry(const uint8_t *e, uint8_t len)
{
    if (e[0] == 0 && len >= 8) {
        add_cpu(e[3], get32(e + 4));
    } else if (e[0] == 9 && len >= 16) {
        add_cpu(get32(e + 4), get32(e + 8));
    } else if (e[0] == 1 && len >= 12) {
        ioapic_add(e[2], get32(e + 4), get32(e + 8));
    } else if (e[0] == 2 && len >= 10) {
        if (acpi.override_count == ARRAY_SIZE(acpi.overrides)) return;
        acpi.overrides[acpi.override_count].source = e[3];
        acpi.overrides[acpi.override_count].gsi = get32(e + 4);
        acpi.overrides[acpi.override_count++].flags = get16(e + 8);
    }
}

static void parse_madt(const struct acpi_header *h)
{
    const uint8_t *e = (const uint8_t *)h + 44;
    const uint8_t *end = (const uint8_t *)h + h->length;

    while (e + 2 <= end && e[1] >= 2 && e + e[1] <= end) {
        parse_madt_entry(e, e[1]);
        e += e[1];
    }
}

static void parse_fadt(const struct acpi_header *h)
{
    const uint8_t *f = (const uint8_t *)h;

    if (h->length < 116) return;
    acpi.pm1a_cnt = get32(f + 64);
    acpi.pm1b_cnt = get32(f + 68);
    acpi.pm_timer = get32(f + 76);
    if (h->length >= 129 && get32(f + 112) & BIT(10)) { /* RESET_REG_SUP */
        acpi.reset_type = f[116];
        acpi.reset_address = get64(f + 120);
        acpi.reset_value = f[128];
    }
}

static void parse_mcfg(const struct acpi_header *h)
{
    const uint8_t *m = (const uint8_t *)h;

    if (h->length < 60 || get16(m + 52) != 0) return;
    acpi.mmcfg_base = get64(m + 44);
    acpi.mmcfg_start_bus = m[54];
    acpi.mmcfg_end_bus = m[55];
}

/* Tables that dom0 may see where they are (abi.md 1.6). */
static bool allowed(const char *signature)
{
    static const char names[] = "FACPMCFGSSDTPSDTSLICMSDMWDATFPDTS3PTSBST";

    for (unsigned int i = 0; i + 4 < sizeof(names); i += 4)
        if (!memcmp(signature, names + i, 4)) return true;
    return false;
}

static void parse_table(uint64_t phys, bool *madt, bool *fadt)
{
    struct acpi_header *h = load(phys);

    if (!h) return;
    if (!memcmp(h->signature, "APIC", 4)) {
        parse_madt(h);
        *madt = true;
        acpi.madt = phys;
    } else if (!memcmp(h->signature, "FACP", 4)) {
        parse_fadt(h);
        *fadt = true;
    } else if (!memcmp(h->signature, "MCFG", 4)) {
        parse_mcfg(h);
    }
    if (allowed(h->signature) && acpi.passed_count < ARRAY_SIZE(acpi.passed))
        acpi.passed[acpi.passed_count++] = phys;
}

void acpi_parse(uint64_t rsdp)
{
    struct acpi_rsdp r = {0};
    struct acpi_header *h;
    bool madt = false, fadt = false, wide;
    unsigned int size;

    acpi.rsdp = rsdp ? rsdp : find_rsdp();
    if (!acpi.rsdp) panic("no ACPI tables found (RSDP); Insula needs a PC with ACPI");
    acpi_read(acpi.rsdp, &r, sizeof(r));
    wide = r.revision >= 2 && r.xsdt;
    size = wide ? 8 : 4;
    h = load(wide ? r.xsdt : r.rsdt);
    if (!h) panic("ACPI: the %s is broken", wide ? "XSDT" : "RSDT");
    table_count = MIN((h->length - sizeof(*h)) / size, ARRAY_SIZE(tables));
    for (unsigned int i = 0; i < table_count; i++)
        memcpy(&tables[i], buffer + sizeof(*h) + i * size, size);
    for (unsigned int i = 0; i < table_count; i++) parse_table(tables[i], &madt, &fadt);
    if (!madt || !fadt) panic("ACPI: the %s is missing or broken", madt ? "FADT" : "MADT");
    if (!ioapic_count) panic("ACPI: no IO-APIC");
    log_info("ACPI: %u CPUs, %u IO-APICs, %u interrupts, MMCFG at %lx", acpi.cpus, ioapic_count,
             ioapic_gsi_count(), acpi.mmcfg_base);
}

const struct acpi_header *acpi_find(const char *signature)
{
    for (unsigned int i = 0; i < table_count; i++) {
        char name[4];

        acpi_read(tables[i], name, sizeof(name));
        if (!memcmp(name, signature, sizeof(name))) return load(tables[i]);
    }
    return NULL;
}
