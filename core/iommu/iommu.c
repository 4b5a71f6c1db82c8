/* SPDX-License-Identifier: Apache-2.0 */
/* What both kinds of IOMMU have in common: the choice, faults, what is theirs. */
#include "iommu/iommu.h"
#include "boot/acpi.h"
#include "boot/boot.h"
#include "cpu/irq.h"
#include "cpu/time.h"
#include "device/hwdev.h"
#include "lib/print.h"
#include "memory/heap.h"
#include "memory/map.h"
#include "vm/domain.h"
#include "vm/p2m.h"

#define MAX_RANGES 32
#define FAULTY     16 /* devices watched at a time             */
#define PERIOD     NS_PER_SEC
#define LOGGED     8    /* faults of one device, in a period     */
#define STORM      1000 /* from here on the device is cut off    */

struct range {
    uint64_t start, end;
    int bdf;
};

struct iommu iommu;
static struct range units[MAX_RANGES], reserved[MAX_RANGES];
static unsigned int unit_count, reserved_count;

/* Guards: faulty[]. */
static struct spinlock fault_lock = SPINLOCK(RANK_IOMMU);
static struct {
    uint64_t since;
    uint32_t count;
    uint16_t bdf;
} faulty[FAULTY];

void iommu_boot(void)
{
    static const struct iommu_driver *const drivers[] = {&amd_iommu, &vtd_iommu};

    if (!options.iommu) {
        log_warn("iommu=off: dom0's devices are trusted, they can reach all memory");
        return;
    }
    for (unsigned int i = 0; i < ARRAY_SIZE(drivers) && !iommu.driver; i++) {
        const struct acpi_header *h = acpi_find(drivers[i]->table);

        if (!h) continue;
        drivers[i]->boot(h);
        if (unit_count) iommu.driver = drivers[i];
    }
    if (!iommu.driver)
        panic("no IOMMU (or it is off in the firmware): devices could reach all memory; "
              "iommu=off starts nevertheless");
    log_info("IOMMU: %s, %u units; devices reach what is their domain's; interrupts are %s",
             iommu.driver->name, unit_count, iommu.remaps ? "remapped" : "not remapped");
}

void iommu_attach(uint16_t bdf, struct domain *d)
{
    if (!iommu.driver) return;
    if (d) d->p2m->dma = true;
    iommu.driver->attach(bdf, d);
}

void iommu_flush(struct domain *d)
{
    iommu.driver->flush(d);
}

void iommu_message(uint16_t bdf, uint8_t vector, uint32_t apic_id, uint64_t *address,
                   uint32_t *data)
{
    if (iommu.remaps)
        iommu.driver->message(bdf, vector, apic_id, address, data);
    else
        apic_msi_message(apic_id, vector, address, data);
}

void iommu_forbid(uint8_t vector)
{
    if (iommu.remaps && iommu.driver->forbid) iommu.driver->forbid(vector);
}

uint16_t iommu_domain_id(const struct domain *d)
{
    return d->id + 1;
}

uint64_t iommu_phys(const void *p)
{
    return (uintptr_t)p < HEAP_BASE ? (uintptr_t)p : core_to_phys(p);
}

void iommu_sync(const void *p, size_t len)
{
    const char *at = (const char *)((uintptr_t)p & ~63ul), *end = (const char *)p + len;

    for (; iommu.incoherent && at < end; at += 64)
        __asm__ volatile("clflush (%0)" : : "r"(at) : "memory");
}

/* --- what is theirs --- */

static void add_range(struct range *r, unsigned int *count, uint64_t start, uint64_t end, int bdf)
{
    if (*count == MAX_RANGES) panic("ACPI: more than %u IOMMUs or reserved ranges", MAX_RANGES);
    r[(*count)++] = (struct range){start, end, bdf};
}

void iommu_add_unit(uint64_t base, uint64_t size, int bdf)
{
    add_range(units, &unit_count, base, base + size, bdf);
}

void iommu_add_reserved(uint64_t start, uint64_t end)
{
    for (unsigned int i = 0; i < boot.map.count; i++) {
        struct e820_entry *e = &boot.map.entry[i];

        if (e->type != E820_RAM || start >= e->addr + e->size || end <= e->addr) continue;
        log_warn("IOMMU: the firmware's range %lx-%lx lies in RAM, not honoured", start, end);
        return;
    }
    add_range(reserved, &reserved_count, start, end, -1);
}

bool iommu_covers(uint64_t at, uint64_t size)
{
    for (unsigned int i = 0; i < unit_count; i++)
        if (at < units[i].end && units[i].start < at + size) return true;
    return false;
}

bool iommu_is_unit(uint16_t bdf)
{
    for (unsigned int i = 0; i < unit_count; i++)
        if (units[i].bdf == bdf) return true;
    return false;
}

bool iommu_reserved(unsigned int n, uint64_t *start, uint64_t *end)
{
    if (n >= reserved_count) return false;
    *start = reserved[n].start;
    *end = reserved[n].end;
    return true;
}

/* --- faults --- */

/* Faults of a device in this period, this one included. */
static uint32_t count_fault(uint16_t bdf)
{
    unsigned int at = 0;
    uint32_t count;

    spin_lock(&fault_lock);
    for (unsigned int i = 0; i < FAULTY; i++) {
        if (faulty[i].count && faulty[i].bdf == bdf) {
            at = i;
            break;
        }
        if (faulty[i].since < faulty[at].since) at = i; /* the oldest */
    }
    if (faulty[at].bdf != bdf || now() - faulty[at].since > PERIOD) {
        faulty[at].bdf = bdf;
        faulty[at].count = 0;
        faulty[at].since = now();
    }
    count = ++faulty[at].count;
    spin_unlock(&fault_lock);
    return count;
}

void iommu_fault(uint16_t bdf, uint64_t address, bool write, unsigned int reason)
{
    uint32_t count = count_fault(bdf);

    if (count <= LOGGED)
        log_warn("IOMMU: device %02x:%02x.%x may not %s %lx (reason %x)%s", bdf >> 8, bdf >> 3 & 31,
                 bdf & 7, write ? "write" : "read", address, reason,
                 count == LOGGED ? "; more of these are not logged" : "");
    if (count != STORM) return;
    log_warn("IOMMU: device %02x:%02x.%x does it %u times a second: cut off", bdf >> 8,
             bdf >> 3 & 31, bdf & 7, STORM);
    iommu.driver->attach(bdf, NULL);
    vpci_quiesce(bdf);
}
