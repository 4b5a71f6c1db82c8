/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of what the IOMMUs' drivers read from ACPI.  A table stands in a
 * piece of heap of its own length, so that a byte too far is noticed.  No unit
 * is ever started: what only that needs does nothing here.  core_alloc_pages is
 * the host's aligned_alloc.
 */
#ifndef TESTS_UNIT_IOMMU_TABLES_H
#define TESTS_UNIT_IOMMU_TABLES_H

#include "check.h"
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

static void start_anew(void); /* the test's: forgets what was parsed before */
static jmp_buf panicked;
static unsigned int told_units, told_ranges;
struct ioapic_info ioapics[MAX_IOAPICS] = {{.id = 0, .pins = 24}};
unsigned int ioapic_count = 1;
struct iommu iommu;

_Noreturn void panic(const char *fmt, ...)
{
    (void)fmt;
    longjmp(panicked, 1);
}

void iommu_add_unit(uint64_t base, uint64_t size, int bdf)
{
    (void)base, (void)size, (void)bdf;
    told_units++;
}

void iommu_add_reserved(uint64_t start, uint64_t end)
{
    CHECK(start <= end);
    told_ranges++;
}

uint32_t cfg_read(uint16_t bdf, unsigned int reg, unsigned int size)
{
    (void)bdf, (void)size;
    return reg == 0x19 ? 5 : ~0u; /* every bridge leads to bus 5 */
}

uint32_t apic_id(void)
{
    return 0;
}
bool apic_is_x2(void)
{
    return false;
}
void apic_msi_message(uint32_t id, uint8_t vector, uint64_t *address, uint32_t *data)
{
    (void)id, (void)vector, (void)address, (void)data;
}
void *core_alloc_pages(unsigned int n)
{
    void *p = aligned_alloc(PAGE_SIZE, n * PAGE_SIZE);

    return p ? memset(p, 0, n * PAGE_SIZE) : NULL;
}
uint64_t core_to_mfn(const void *p)
{
    return (uintptr_t)p >> PAGE_SHIFT;
}
void *core_from_mfn(uint64_t mfn)
{
    return (void *)(mfn << PAGE_SHIFT);
}
uint16_t iommu_domain_id(const struct domain *d)
{
    return d->id + 1;
}
void iommu_fault(uint16_t bdf, uint64_t address, bool write, unsigned int reason)
{
    (void)bdf, (void)address, (void)write, (void)reason;
}
uint64_t iommu_phys(const void *p)
{
    return (uintptr_t)p;
}
void iommu_sync(const void *p, size_t len)
{
    (void)p, (void)len;
}
int irq_alloc_vector(irq_handler *fn, void *data)
{
    (void)fn, (void)data;
    return -1;
}
uint64_t p2m_low_table(struct domain *d)
{
    (void)d;
    return 0;
}
void *vmap_device(uint64_t phys, size_t size)
{
    (void)phys, (void)size;
    return NULL;
}
bool vpci_take_abort(uint16_t bdf)
{
    (void)bdf;
    return false;
}

/* Parses `len` bytes of the table, the rest is cut off; false: refused. */
static bool parses(const uint8_t *table, unsigned int len)
{
    uint8_t *copy = malloc(len);
    bool ok = false;

    memcpy(copy, table, len);
    ((struct acpi_header *)copy)->length = len;
    start_anew();
    told_units = told_ranges = 0;
    if (!setjmp(panicked)) {
        parse((struct acpi_header *)copy);
        ok = true;
    }
    free(copy);
    return ok;
}

/* The table with one byte changed. */
static bool parses_with(const uint8_t *table, unsigned int len, unsigned int at, uint8_t value)
{
    uint8_t copy[512];

    memcpy(copy, table, len);
    copy[at] = value;
    return parses(copy, len);
}

/* Bytes changed at random, any length: it comes to an end and stays inside. */
static void hostile(const uint8_t *table, unsigned int len)
{
    uint32_t seed = 1;

    for (unsigned int i = 0; i < 50000; i++) {
        uint8_t copy[512];

        memcpy(copy, table, len);
        for (unsigned int n = 0; n < 1 + i % 5; n++) {
            seed = seed * 1664525 + 1013904223;
            copy[48 + (seed >> 8) % (len - 48)] = seed & 1 ? seed >> 24 : (seed >> 24) % 9;
        }
        parses(copy, i & 1 ? len : sizeof(struct acpi_header) + seed % (len - 36));
        CHECK(unit_count <= MAX_UNITS);
    }
}

#endif
