/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI's structures (ACPI 6.4, 5.2). */
#ifndef BOOT_ACPI_TABLES_H
#define BOOT_ACPI_TABLES_H

#include "lib/base.h"
#include "lib/string.h"

struct acpi_rsdp {
    char signature[8];
    uint8_t checksum;
    char oem[6];
    uint8_t revision;
    uint32_t rsdt, length;
    uint64_t xsdt;
    uint8_t extended_checksum, reserved[3];
} packed;

struct acpi_header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem[6], oem_table[8];
    uint32_t oem_revision, creator, creator_revision;
} packed;

/* A number of n bytes in a table, wherever it lies. */
static inline uint64_t get_number(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    memcpy(&v, p, n);
    return v;
}

#define get16(p) ((uint16_t)get_number(p, 2))
#define get32(p) ((uint32_t)get_number(p, 4))
#define get64(p) get_number(p, 8)

#endif
