/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IOMMUs: what a device may reach by DMA is what its domain's p2m maps, with
 * the same rights, because the IOMMU walks the p2m's own tables.  A device
 * that belongs to nobody reaches nothing.
 */
#ifndef IOMMU_IOMMU_H
#define IOMMU_IOMMU_H

#include "lib/base.h"

struct acpi_header;
struct domain;

/* What the p2m has to know; set at boot, before the first domain. */
extern struct iommu {
    const struct iommu_driver *driver; /* NULL: no IOMMU, devices are trusted */
    bool amd_format;                   /* entries carry AMD-Vi's fields too   */
    bool incoherent;                   /* it reads memory, not the caches     */
    bool caches_empty;                 /* it remembers what was not present   */
    bool remaps;                       /* it remaps devices' interrupts       */
} iommu;

struct iommu_driver {
    const char *name;
    const char *table; /* ACPI's name */
    /* Reads the table (checksum and length are right), brings the units up
     * with every device blocked; panics with one line when it is malformed. */
    void (*boot)(const struct acpi_header *h);
    /* Sets whose memory a device (bus << 8 | devfn) reaches; NULL: none, and
     * its faults are not reported any more. */
    void (*attach)(uint16_t bdf, struct domain *d);
    /* Returns when no unit holds a translation of d's. */
    void (*flush)(struct domain *d);
    /* With iommu.remaps: what the device sends to raise that vector at that CPU,
     * which no other device can raise from now on. */
    void (*message)(uint16_t bdf, uint8_t vector, uint32_t apic_id, uint64_t *address,
                    uint32_t *data);
    /* No device can raise it any more.  NULL: an entry has one vector and one source,
     * the next owner's replace it. */
    void (*forbid)(uint8_t vector);
    /* As message, for an IO-APIC; NULL: its pins, which the core alone programs, are
     * not remapped. */
    void (*remap_pin)(uint16_t source, uint8_t vector, uint32_t apic_id, bool level);
};

extern const struct iommu_driver amd_iommu, vtd_iommu;

/* Boot, after ACPI and the local APIC.  Panics when there is no IOMMU and
 * iommu=off was not given. */
void iommu_boot(void);
void iommu_attach(uint16_t bdf, struct domain *d);
void iommu_flush(struct domain *d);

/* What a device sends to raise a vector; where interrupts are remapped, no
 * other device can send it; after iommu_forbid it is nobody's. */
void iommu_message(uint16_t bdf, uint8_t vector, uint32_t apic_id, uint64_t *address,
                   uint32_t *data);
void iommu_forbid(uint8_t vector);

/* True when the bytes hold registers of an IOMMU. */
bool iommu_covers(uint64_t at, uint64_t size);
/* True when the PCI function is an IOMMU: nobody else may touch it. */
bool iommu_is_unit(uint16_t bdf);
/* The firmware's n-th range of bytes that devices use at any time (IVMD,
 * RMRR); false: there are no more. */
bool iommu_reserved(unsigned int n, uint64_t *start, uint64_t *end);

/* --- for the drivers --- */

/* A device was refused.  Logged at a limited rate; in a storm the device is
 * cut off.  No locks held. */
void iommu_fault(uint16_t bdf, uint64_t address, bool write, unsigned int reason);
/* Registers a unit's registers and, on AMD, its PCI function (else -1). */
void iommu_add_unit(uint64_t base, uint64_t size, int bdf);
void iommu_add_reserved(uint64_t start, uint64_t end);
/* The id that the hardware knows a domain by: 0 is not used. */
uint16_t iommu_domain_id(const struct domain *d);
/* Memory in the image or the heap, as the hardware sees it. */
uint64_t iommu_phys(const void *p);
/* Writes cached memory back where the IOMMU does not look into caches. */
void iommu_sync(const void *p, size_t len);

#endif
