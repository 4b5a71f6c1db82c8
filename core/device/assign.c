/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Driver domains: PCI devices that the command line keeps for the guest with a
 * given UUID.  The guest finds them on a bus 0 of its own, behind a host bridge,
 * at 00:01.0 and on, through ports 0xcf8 and 0xcfc.  It may write the command
 * register, MSI and MSI-X; BARs tell their size, and stay where they are.  When
 * it dies its devices are cut off, and reset before anybody has them again.
 */
#include "boot/boot.h"
#include "cpu/time.h"
#include "device/hwdev.h"
#include "device/vpci.h"
#include "hypercall/hypercall.h"
#include "iommu/iommu.h"
#include "lib/print.h"
#include "lib/string.h"
#include "vm/domain.h"
#include "vm/p2m.h"
#include <xen/errno.h>

#define HOST_BRIDGE      0x10005853u /* Xen's vendor, a device of nobody's */
#define CLASS_BRIDGE     0x06000000u
#define COMMAND_INTX_OFF BIT(10)
#define CAP_EXPRESS      0x10
#define FLR              BIT(15) /* of Device Control; BIT(28) of Capabilities: there is one */
#define BRIDGE_CONTROL   0x3e
#define BUS_RESET        BIT(6)

const struct assignment *find_assignment(uint16_t bdf)
{
    for (unsigned int i = 0; i < options.assigned_count; i++)
        if (options.assigned[i].bdf == bdf) return &options.assigned[i];
    return NULL;
}

void assigned_init(struct device *p)
{
    cfg_write(p->bdf, CFG_COMMAND, 2, COMMAND_INTX_OFF);
    p->msi_control &= ~BIT(8); /* masks pass by */
    log_info("PCI device %02x:%02x.%x is kept for a driver domain%s", p->bdf >> 8, p->bdf >> 3 & 31,
             p->bdf & 7, iommu.driver ? "" : ", but without an IOMMU none gets it");
}

/* --- the guest's view --- */

/* A register of a BAR: its size while the guest asks for it, else its place. */
static uint32_t read_bar(const struct device *p, unsigned int reg)
{
    for (const struct bar *b = p->bar; b < p->bar + p->bars; b++) {
        uint32_t real = cfg_read(p->bdf, reg, 4);

        if (b->mask != BAR_MASK || (reg != b->reg && !(b->wide && reg == b->reg + 4u))) continue;
        if (!(p->sizing & BIT((reg - CFG_BAR0) / 4))) return real;
        return reg == b->reg ? (uint32_t)-b->size | (real & 15) : -b->size >> 32;
    }
    return 0; /* I/O, or none */
}

static uint32_t read_word(struct device *p, unsigned int reg)
{
    switch (reg) {
    case CFG_BAR0 ... CFG_BAR0 + 20: return read_bar(p, reg);
    case 0x0c: return device_access(p, reg, 4, false, 0) & ~BIT(23); /* one function */
    case 0x30:                                                       /* no ROM */
    case 0x3c: return 0;                                             /* no pin */
    default: return device_access(p, reg, 4, false, 0);
    }
}

static void write_word(struct device *p, unsigned int reg, unsigned int size, uint32_t v)
{
    unsigned int bar = (reg - CFG_BAR0) / 4;

    if (msi_word(p, reg) >= 0 || (p->msix && (reg & ~3u) == p->msix)) {
        device_access(p, reg, size, true, v);
    } else if (reg == CFG_COMMAND && size >= 2) {
        v = (v & (COMMAND_MEMORY | COMMAND_MASTER)) | COMMAND_INTX_OFF;
        device_access(p, reg, 2, true, v);
    } else if (reg >= CFG_BAR0 && bar < 6 && size == 4) {
        p->sizing &= ~BIT(bar);
        if ((v & BAR_MASK) == BAR_MASK) p->sizing |= BIT(bar);
    }
}

uint32_t assigned_access(struct domain *d, uint16_t bdf, unsigned int reg, unsigned int size,
                         bool write, uint32_t v)
{
    unsigned int slot = bdf >> 3, shift = (reg & 3) * 8;
    struct device *p = NULL;

    if (bdf == 0) v = (reg & ~3u) == 0 ? HOST_BRIDGE : (reg & ~3u) == 8 ? CLASS_BRIDGE : 0;
    if (bdf == 0) return v >> shift;
    for (unsigned int i = 0; i < device_count && !p; i++)
        if (devices[i]->owner == d && !--slot) p = devices[i];
    if (!p || bdf & 7) return ~0u;
    if (!write) return read_word(p, reg & ~3u) >> shift;
    write_word(p, reg, size, v);
    return 0;
}

/* --- coming and going --- */

void vpci_assign(struct domain *d)
{
    spin_lock(&pci_lock);
    for (unsigned int i = 0; i < device_count && iommu.driver; i++) {
        struct device *p = devices[i];

        if (!p->assigned || p->owner || memcmp(p->assigned->handle, d->handle, sizeof(d->handle)))
            continue;
        WRITE_ONCE(p->owner, d);
        d->pci = true;
        iommu_attach(p->bdf, d);
    }
    spin_unlock(&pci_lock);
}

/* The bridge above a device that is alone on its bus, 0: none. */
static uint16_t bridge_above(const struct device *p)
{
    uint16_t bridge = 0;

    for (unsigned int i = 0; i < device_count; i++) {
        const struct device *q = devices[i];

        if (q != p && q->bdf >> 8 == p->bdf >> 8) return 0;
        if ((cfg_read(q->bdf, 0x0e, 1) & 0x7f) == 1 && cfg_read(q->bdf, 0x19, 1) == p->bdf >> 8)
            bridge = q->bdf;
    }
    return bridge;
}

static void reset_bus(const struct device *p, bool on)
{
    uint16_t v = cfg_read(p->bridge, BRIDGE_CONTROL, 2);

    cfg_write(p->bridge, BRIDGE_CONTROL, 2, on ? v | BUS_RESET : v & ~BUS_RESET);
}

/* From here on the device does nothing; its reset begins (PCI Express 3.0,
 * 6.6.2; PCI-to-PCI Bridge 1.2, 3.2.5.18). */
static void begin_reset(struct device *p)
{
    unsigned int cap = pci_find_capability(p->bdf, CAP_EXPRESS);

    for (unsigned int i = 0; i < 6; i++) p->saved[i] = cfg_read(p->bdf, CFG_BAR0 + 4 * i, 4);
    device_access(p, CFG_COMMAND, 2, true, COMMAND_INTX_OFF);
    if (p->msi) msi_enable(p, false);
    if (p->msix) msix_control(p, 0);
    iommu_attach(p->bdf, NULL);
    p->bridge = bridge_above(p);
    if (cap) p->express = cfg_read(p->bdf, cap + 8, 2);
    p->reset = RESET_WAIT;
    p->reset_until = now() + 100 * NS_PER_MS;
    if (cap && cfg_read(p->bdf, cap + 4, 4) & BIT(28)) {
        cfg_write(p->bdf, cap + 8, 2, p->express | FLR);
    } else if (p->bridge) {
        p->reset = RESET_BUS;
        p->reset_until = now() + 2 * NS_PER_MS;
        reset_bus(p, true);
    } else {
        log_warn("PCI device %x has no reset of its own: it was stopped", p->bdf);
    }
}

/* Back to what firmware had set, without an owner. */
static void end_reset(struct device *p)
{
    unsigned int cap = pci_find_capability(p->bdf, CAP_EXPRESS);

    for (unsigned int i = 0; i < 6; i++) cfg_write(p->bdf, CFG_BAR0 + 4 * i, 4, p->saved[i]);
    if (cap) cfg_write(p->bdf, cap + 8, 2, p->express);
    cfg_write(p->bdf, CFG_COMMAND, 2, COMMAND_INTX_OFF);
    for (unsigned int i = 0; i < p->entries; i++)
        p->entry[i] = (struct message){.control = 1, .device = p};
    p->one = (struct message){.device = p};
    p->msi_control &= ~0x71;
    p->sizing = 0;
    p->reset = RESET_NONE;
    WRITE_ONCE(p->owner, NULL);
}

/* True when there is nothing more to do. */
static bool go_on(struct device *p)
{
    if (p->reset == RESET_NONE) begin_reset(p);
    if (now() < p->reset_until) return false;
    if (p->reset == RESET_WAIT) {
        end_reset(p);
        return true;
    }
    reset_bus(p, false);
    p->reset = RESET_WAIT;
    p->reset_until = now() + 100 * NS_PER_MS;
    return false;
}

int vpci_release(struct domain *d)
{
    int rc = 0;

    if (!d->pci) return 0;
    spin_lock(&pci_lock);
    for (unsigned int i = 0; i < device_count; i++)
        if (devices[i]->owner == d && !go_on(devices[i])) rc = -XEN_ERESTART;
    spin_unlock(&pci_lock);
    if (!rc) d->p2m->dma = false; /* no device walks the tables any more */
    return rc;
}
