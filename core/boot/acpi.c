/* SPDX-License-Identifier: Apache-2.0 */
/* The host's ACPI tables: found, checked, read (ACPI 6.4, 5.2). */
#include "boot/acpi.h"
#include "boot/boot.h"
#include "cpu/irq.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/window.h"

#define MAX_TABLE 65536u
#define COM1_IRQ  4

struct acpi_info acpi = {.com1_gsi = COM1_IRQ};
static uint8_t buffer[MAX_TABLE]; /* one table at a time, at boot */
static uint64_t tables[256];
static unsigned int table_count;

static void acpi_read(uint64_t phys, void *dst, size_t len)
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

static uint8_t acpi_sum(const void *p, size_t len)
{
    const uint8_t *b = p;
    uint8_t sum = 0;

    while (len--) sum += *b++;
    return sum;
}

/* Reads a table into the buffer; NULL when it has another signature, or its
 * length or checksum is wrong. */
static struct acpi_header *load(uint64_t phys, const char *signature)
{
    struct acpi_header *h = (void *)buffer;

    acpi_read(phys, h, sizeof(*h));
    if (memcmp(h->signature, signature, sizeof(h->signature))) return NULL;
    if (h->length < sizeof(*h) || h->length > MAX_TABLE) {
        log_warn("ACPI: the %s at %lx has length %u, ignored", signature, phys, h->length);
        return NULL;
    }
    acpi_read(phys, h, h->length);
    if (acpi_sum(h, h->length)) {
        log_warn("ACPI: the %s at %lx has a wrong checksum, ignored", signature, phys);
        return NULL;
    }
    return h;
}

static bool search(uint64_t from, uint64_t to)
{
    struct acpi_rsdp *r = &boot.rsdp;

    for (; from < to; from += 16) {
        acpi_read(from, r, sizeof(*r));
        if (!memcmp(r->signature, "RSD PTR ", 8) && !acpi_sum(r, 20)) return true;
    }
    return false;
}

static bool find_rsdp(void)
{
    uint16_t segment;

    acpi_read(0x40e, &segment, 2); /* EBDA */
    return search((uint64_t)segment << 4, ((uint64_t)segment << 4) + 1024) ||
           search(0xe0000, 0x100000);
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
    } else if (e[0] == 2 && len >= 10 && e[3] == COM1_IRQ) {
        /* An interrupt source override (ACPI 6.4, 5.2.12.5); 3 is low, and level. */
        acpi.com1_gsi = get32(e + 4);
        acpi.com1_low = (get16(e + 8) & 3) == 3;
        acpi.com1_level = (get16(e + 8) >> 2 & 3) == 3;
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

const struct acpi_header *acpi_find(const char *signature)
{
    const struct acpi_header *h = NULL;

    for (unsigned int i = 0; i < table_count && !h; i++) h = load(tables[i], signature);
    return h;
}

static const struct acpi_header *need(const char *signature, const char *name)
{
    const struct acpi_header *h = acpi_find(signature);

    if (!h) panic("ACPI: the %s is missing or broken", name);
    return h;
}

void acpi_parse(void)
{
    const struct acpi_rsdp *r = &boot.rsdp;
    const struct acpi_header *h;
    bool wide;
    unsigned int size;

    if (!r->signature[0] && !find_rsdp())
        panic("no ACPI tables found (RSDP); Insula needs a PC with ACPI");
    wide = r->revision >= 2 && r->xsdt;
    size = wide ? 8 : 4;
    h = load(wide ? r->xsdt : r->rsdt, wide ? "XSDT" : "RSDT");
    if (!h) panic("ACPI: the %s is broken", wide ? "XSDT" : "RSDT");
    table_count = MIN((h->length - sizeof(*h)) / size, ARRAY_SIZE(tables));
    for (unsigned int i = 0; i < table_count; i++)
        memcpy(&tables[i], buffer + sizeof(*h) + (size_t)i * size, size);
    parse_fadt(need("FACP", "FADT"));
    parse_madt(need("APIC", "MADT"));
    if (!ioapic_count) panic("ACPI: no IO-APIC");
    h = acpi_find("MCFG");
    if (h) parse_mcfg(h);
    log_info("ACPI: %u CPUs, %u IO-APICs, %u interrupts, MMCFG at %lx", acpi.cpus, ioapic_count,
             ioapic_gsi_count(), acpi.mmcfg_base);
}
