/* SPDX-License-Identifier: Apache-2.0 */
/* dom0's own RSDP, XSDT and MADT (abi.md 1.6). */
#include "boot/acpi.h"
#include "boot/acpi_tables.h"
#include "cpu/irq.h"
#include "lib/print.h"

static void header(struct acpi_header *h, const char *signature, uint8_t rev, size_t length)
{
    memcpy(h->signature, signature, 4);
    h->length = length;
    h->revision = rev;
    memcpy(h->oem, "Insula", 6);
    memcpy(h->oem_table, "dom0    ", 8);
    h->oem_revision = h->creator_revision = 1;
    memcpy(&h->creator, "INSL", 4);
    h->checksum = 0;
    h->checksum = -acpi_sum(h, length);
}

static uint8_t *put(uint8_t *p, const void *data, size_t len)
{
    memcpy(p, data, len);
    return p + len;
}

static size_t build_madt(uint8_t *madt, unsigned int vcpus)
{
    uint8_t *p = madt + sizeof(struct acpi_header);

    p = put(p, (uint32_t[]){0xfee00000, 0}, 8);
    for (unsigned int i = 0; i < ioapic_count; i++) {
        struct {
            uint8_t type, length, id, reserved;
            uint32_t address, gsi;
        } e = {1, 12, ioapics[i].id, 0, ioapics[i].address, ioapics[i].gsi_base};

        p = put(p, &e, sizeof(e));
    }
    for (unsigned int i = 0; i < acpi.override_count; i++) {
        struct {
            uint8_t type, length, bus, source;
            uint32_t gsi;
            uint16_t flags;
        } packed e = {
            2, 10, 0, acpi.overrides[i].source, acpi.overrides[i].gsi, acpi.overrides[i].flags};

        p = put(p, &e, sizeof(e));
    }
    /* Linux takes the UID for the vCPU's number. */
    for (unsigned int i = 0; i < vcpus; i++) {
        struct {
            uint8_t type, length;
            uint16_t reserved;
            uint32_t id, flags, uid;
        } e = {9, 16, 0, 2 * i, 1, i};

        p = put(p, &e, sizeof(e));
    }
    header((struct acpi_header *)madt, "APIC", 4, p - madt);
    return p - madt;
}

size_t acpi_build_dom0(uint8_t *buf, size_t size, uint64_t gpa, unsigned int vcpus)
{
    struct acpi_rsdp *r = (void *)buf;
    uint8_t *xsdt = buf + 64, *p = xsdt + sizeof(struct acpi_header);
    uint8_t *madt = buf + 1024;
    uint64_t madt_gpa = gpa + 1024;

    ASSERT(acpi.passed_count <= ARRAY_SIZE(acpi.passed) &&
           1024 + 44 + 12 * MAX_IOAPICS + 160 + 16 * vcpus < size);
    p = put(p, &madt_gpa, 8);
    for (unsigned int i = 0; i < acpi.passed_count; i++) p = put(p, &acpi.passed[i], 8);
    header((struct acpi_header *)xsdt, "XSDT", 1, p - xsdt);
    memcpy(r->signature, "RSD PTR ", 8);
    memcpy(r->oem, "Insula", 6);
    r->revision = 2;
    r->length = sizeof(*r);
    r->xsdt = gpa + 64;
    r->checksum = -acpi_sum(r, 20);
    r->extended_checksum = -acpi_sum(r, sizeof(*r));
    return 1024 + build_madt(madt, vcpus);
}
