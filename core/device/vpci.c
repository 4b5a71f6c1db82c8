/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI for dom0.  Configuration space passes through, apart from MSI and MSI-X:
 * dom0 programs what interrupt it wants to see, the core what the hardware
 * sends, so that a device can raise only vectors that are its own (PCI Local
 * Bus 3.0, 6.8).
 */
#include "boot/acpi.h"
#include "cpu/irq.h"
#include "device/hwdev.h"
#include "device/hwdev_parts.h"
#include "device/vlapic.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "memory/window.h"
#include "vm/domain.h"
#include <xen/errno.h>

#define CFG_COMMAND 0x04
#define CFG_BAR0    0x10
#define COMMAND_MEMORY BIT(1)
#define CFG_CAPS    0x34
#define CAP_MSI     0x05
#define CAP_MSIX    0x11
#define MSI_ENABLE  BIT(0)
#define MSI_64BIT   BIT(7)
#define MSIX_ENABLE BIT(15)
#define MSIX_MASKED BIT(0) /* of an entry's control word */
#define MAX_DEVICES 256u

/* An interrupt message as dom0 wrote it, and the host's vector behind it. */
struct message {
    uint64_t address;
    uint32_t data, control; /* control: MSI-X vector control */
    uint8_t vector;         /* 0: none                       */
};

struct device {
    uint16_t bdf;
    uint8_t msi, msix;     /* offsets of the capabilities, 0: none   */
    uint16_t msi_control;  /* as dom0 sees it                        */
    struct message one;    /* MSI                                    */
    struct message *entry; /* MSI-X                                  */
    unsigned int entries;
    uint8_t bir;
    uint32_t table_offset;
    uint64_t bar_size[6]; /* bytes of memory, 0: none */
    uint64_t table_base; /* of the table, when `table` was mapped  */
    volatile uint32_t *table;
};

/* Guards: devices and what they point to, the host's 0xcf8. */
static struct spinlock pci_lock = SPINLOCK(RANK_HWDEV);
static struct device *devices[MAX_DEVICES];
static unsigned int device_count;

/* --- the hardware --- */

static uint32_t cfg_read(uint16_t bdf, unsigned int reg, unsigned int size)
{
    outl(0xcf8, 0x80000000 | (uint32_t)bdf << 8 | (reg & 0xfc));
    return port_in(0xcfc + (reg & 3), size);
}

static void cfg_write(uint16_t bdf, unsigned int reg, unsigned int size,
                      uint32_t v)
{
    outl(0xcf8, 0x80000000 | (uint32_t)bdf << 8 | (reg & 0xfc));
    port_out(0xcfc + (reg & 3), size, v);
}

static uint64_t bar_address(uint16_t bdf, unsigned int bar)
{
    uint32_t low = cfg_read(bdf, CFG_BAR0 + 4 * bar, 4);
    uint64_t a = low & ~15u;

    if (low & 1)
        return 0; /* I/O */
    if ((low & 6) == 4 && bar < 5)
        a |= (uint64_t)cfg_read(bdf, CFG_BAR0 + 4 * bar + 4, 4) << 32;
    return a;
}

/* --- devices --- */

static void find_capabilities(struct device *p)
{
    unsigned int at = cfg_read(p->bdf, CFG_CAPS, 1) & 0xfc;

    if (!(cfg_read(p->bdf, 6, 2) & BIT(4)))
        return;
    /* Each stands at least four bytes on: a loop ends here. */
    for (unsigned int i = 0; i < 48 && at >= 0x40; i++) {
        uint8_t id = cfg_read(p->bdf, at, 1);

        if (id == CAP_MSI)
            p->msi = at;
        if (id == CAP_MSIX)
            p->msix = at;
        at = cfg_read(p->bdf, at + 1, 1) & 0xfc;
    }
}

static void init_msix(struct device *p)
{
    uint32_t table;

    p->entries = (cfg_read(p->bdf, p->msix + 2, 2) & 0x7ff) + 1;
    p->entry = core_alloc(p->entries * sizeof(*p->entry));
    if (!p->entry) {
        p->msix = 0;
        return;
    }
    table = cfg_read(p->bdf, p->msix + 4, 4);
    p->bir = table & 7;
    p->table_offset = table & ~7u;
    for (unsigned int i = 0; i < p->entries; i++)
        p->entry[i].control = MSIX_MASKED;
}

/* How much memory each BAR decodes (PCI 3.0, 6.2.5.1); decoding is off
 * meanwhile. */
static void size_bars(struct device *p)
{
    uint16_t command = cfg_read(p->bdf, CFG_COMMAND, 2);
    unsigned int n = (cfg_read(p->bdf, 0x0e, 1) & 0x7f) == 0 ? 6 : 2;

    cfg_write(p->bdf, CFG_COMMAND, 2, command & ~3);
    for (unsigned int i = 0; i < n; i++) {
        unsigned int reg = CFG_BAR0 + 4 * i;
        uint32_t low = cfg_read(p->bdf, reg, 4), high = 0;
        bool wide = (low & 7) == 4 && i + 1 < n;
        uint64_t mask;

        if (low & 1)
            continue;
        cfg_write(p->bdf, reg, 4, ~0u);
        mask = 0xffffffff00000000ull | (cfg_read(p->bdf, reg, 4) & ~15u);
        cfg_write(p->bdf, reg, 4, low);
        if (wide) {
            high = cfg_read(p->bdf, reg + 4, 4);
            cfg_write(p->bdf, reg + 4, 4, ~0u);
            mask = (uint32_t)mask | (uint64_t)cfg_read(p->bdf, reg + 4, 4) << 32;
            cfg_write(p->bdf, reg + 4, 4, high);
        }
        p->bar_size[i] = (uint32_t)mask || wide ? -mask : 0;
        i += wide;
    }
    cfg_write(p->bdf, CFG_COMMAND, 2, command);
}

/* True when some device decodes memory at gpa now. */
bool vpci_bar_covers(uint64_t gpa)
{
    bool yes = false;

    spin_lock(&pci_lock);
    for (unsigned int i = 0; i < device_count && !yes; i++) {
        struct device *p = devices[i];

        for (unsigned int b = 0; b < 6 && !yes; b++) {
            uint64_t size = p->bar_size[b];

            yes = size && gpa - bar_address(p->bdf, b) < size &&
                  cfg_read(p->bdf, CFG_COMMAND, 2) & COMMAND_MEMORY;
        }
    }
    spin_unlock(&pci_lock);
    return yes;
}

/* The device, known from its first access on; NULL when there is none. */
static struct device *get_device(uint16_t bdf)
{
    struct device *p;

    for (unsigned int i = 0; i < device_count; i++)
        if (devices[i]->bdf == bdf)
            return devices[i];
    if (device_count == MAX_DEVICES || cfg_read(bdf, 0, 2) == 0xffff)
        return NULL;
    p = core_alloc(sizeof(*p));
    if (!p)
        return NULL;
    p->bdf = bdf;
    size_bars(p);
    find_capabilities(p);
    if (p->msi) /* one message only: no multiple message capability */
        p->msi_control = cfg_read(bdf, p->msi + 2, 2) & ~(MSI_ENABLE | 0x7e);
    if (p->msix)
        init_msix(p);
    devices[device_count++] = p;
    return p;
}

int vpci_init(void)
{
    for (unsigned int bdf = 0; bdf < 0x100; bdf++)
        get_device(bdf);
    return 0;
}

/* --- messages --- */

static void deliver(void *data)
{
    struct message *m = data;

    vlapic_deliver(dom0, m->address >> 12 & 0xff, m->address & BIT(2),
                   m->data >> 8 & 7, m->data, false);
}

/* Gives a message a vector; false when there is none. */
static bool bind(struct message *m)
{
    int vector = m->vector ? m->vector : irq_alloc_vector(deliver, m);

    if (vector < 0) {
        log_guest(LOG_WARN, "d0: no vector left for a message interrupt");
        return false;
    }
    m->vector = vector;
    return true;
}

static void unbind(struct message *m)
{
    if (m->vector)
        irq_free_vector(m->vector);
    m->vector = 0;
}

/* --- MSI --- */

static unsigned int msi_data_reg(const struct device *p)
{
    return p->msi + (p->msi_control & MSI_64BIT ? 12 : 8);
}

static void msi_enable(struct device *p, bool on)
{
    uint16_t control = cfg_read(p->bdf, p->msi + 2, 2) & ~(MSI_ENABLE | 0x70);
    uint64_t address;
    uint32_t data;

    if (on && !bind(&p->one))
        return;
    if (!on) {
        cfg_write(p->bdf, p->msi + 2, 2, control);
        unbind(&p->one);
        return;
    }
    apic_msi_message(cpus[0]->apic_id, p->one.vector, &address, &data);
    cfg_write(p->bdf, p->msi + 4, 4, address);
    if (p->msi_control & MSI_64BIT)
        cfg_write(p->bdf, p->msi + 8, 4, address >> 32);
    cfg_write(p->bdf, msi_data_reg(p), 2, data);
    cfg_write(p->bdf, p->msi + 2, 2, control | MSI_ENABLE);
}

/* A register of the capability, as dom0 sees it; NULL: the hardware's. */
static void *msi_shadow(struct device *p, unsigned int reg, unsigned int size)
{
    unsigned int off = reg - p->msi;

    if (!p->msi || reg < p->msi || off + size > 16)
        return NULL;
    if (off >= 2 && off + size <= 4)
        return (char *)&p->msi_control + off - 2;
    if (off >= 4 && off + size <= (p->msi_control & MSI_64BIT ? 12 : 8))
        return (char *)&p->one.address + off - 4;
    off = reg - msi_data_reg(p);
    return off + size <= 2 ? (char *)&p->one.data + off : NULL;
}

static void msi_write(struct device *p, void *shadow, unsigned int size,
                      uint32_t v)
{
    uint16_t old = p->msi_control;

    memcpy(shadow, &v, size);
    p->msi_control =
        (old & ~(MSI_ENABLE | 0x70)) | (p->msi_control & (MSI_ENABLE | 0x70));
    if ((old ^ p->msi_control) & MSI_ENABLE)
        msi_enable(p, p->msi_control & MSI_ENABLE);
}

/* --- MSI-X --- */

/* Maps the table where the BAR is now. */
static bool map_table(struct device *p)
{
    uint64_t at = bar_address(p->bdf, p->bir) + p->table_offset;

    if (p->table && at == p->table_base)
        return true;
    if (p->table)
        vunmap((void *)p->table, DIV_UP(p->entries * 16, PAGE_SIZE));
    p->table = vmap_device(at, p->entries * 16);
    p->table_base = at;
    return p->table != NULL;
}

static void entry_write_control(struct device *p, unsigned int i)
{
    struct message *m = &p->entry[i];
    volatile uint32_t *hw = p->table + i * 4;
    uint64_t address;
    uint32_t data;
    bool fresh = !m->vector;

    if (m->control & MSIX_MASKED || !bind(m)) {
        hw[3] = MSIX_MASKED;
        return;
    }
    if (fresh) {
        apic_msi_message(cpus[0]->apic_id, m->vector, &address, &data);
        hw[0] = address;
        hw[1] = address >> 32;
        hw[2] = data;
    }
    hw[3] = 0;
}

static void msix_control(struct device *p, uint16_t control)
{
    if (!(control & MSIX_ENABLE))
        for (unsigned int i = 0; i < p->entries; i++)
            unbind(&p->entry[i]);
    cfg_write(p->bdf, p->msix + 2, 2, control);
}

/* The device whose table's pages hold gpa. */
static struct device *msix_find(uint64_t gpa)
{
    for (unsigned int i = 0; i < device_count; i++) {
        struct device *p = devices[i];
        uint64_t at;

        if (!p->msix)
            continue;
        at = bar_address(p->bdf, p->bir) + p->table_offset;
        if (gpa >= (at & PAGE_MASK) &&
            gpa < ROUND_UP(at + p->entries * 16, PAGE_SIZE))
            return p;
    }
    return NULL;
}

bool vpci_msix_covers(struct domain *d, uint64_t gpa)
{
    bool yes;

    (void)d;
    spin_lock(&pci_lock);
    yes = msix_find(gpa) != NULL;
    spin_unlock(&pci_lock);
    return yes;
}

/* Registers that share a page with the table: the hardware's own. */
static uint64_t beside_table(uint64_t gpa, unsigned int size, bool write,
                             uint64_t value)
{
    char *page = window_open(gpa >> PAGE_SHIFT);
    volatile uint32_t *at = (void *)(page + (gpa & (PAGE_SIZE - 1) & ~3ul));
    uint64_t v = 0;

    if (write && size == 4)
        *at = value;
    else if (!write)
        v = *at >> (gpa & 3) * 8;
    window_close(page);
    return v;
}

uint64_t vpci_msix_access(struct vcpu *v, uint64_t gpa, unsigned int size,
                          bool write, uint64_t value)
{
    struct device *p;
    uint64_t result = ~0ull, off;

    (void)v;
    spin_lock(&pci_lock);
    p = msix_find(gpa);
    if (p && map_table(p)) {
        off = gpa - p->table_base;
        if (gpa < p->table_base || off >= p->entries * 16) {
            result = beside_table(gpa, size, write, value);
        } else if (off % size == 0 && size >= 4) {
            unsigned int i = index_nospec(off / 16, p->entries);
            char *shadow = (char *)&p->entry[i] + off % 16;

            if (write) {
                memcpy(shadow, &value, size);
                if (off % 16 + size > 12)
                    entry_write_control(p, i);
            }
            result = 0;
            memcpy(&result, shadow, size);
        }
    }
    spin_unlock(&pci_lock);
    return result;
}

/* --- configuration space --- */

static uint32_t access(uint16_t bdf, unsigned int reg, unsigned int size,
                       bool write, uint32_t v)
{
    struct device *p = get_device(bdf);
    void *shadow;
    uint32_t result = 0;

    if (!p)
        return ~0u;
    /* A capability's first four bytes: its control word is the upper half. */
    if (write && size == 4 && ((p->msi && reg == p->msi) ||
                               (p->msix && reg == p->msix))) {
        reg += 2;
        size = 2;
        v >>= 16;
    }
    shadow = msi_shadow(p, reg, size);
    if (shadow && write) {
        msi_write(p, shadow, size, v);
    } else if (shadow) {
        memcpy(&result, shadow, size);
    } else if (p->msi && reg == p->msi && size == 4 && !write) {
        return (cfg_read(bdf, reg, 2) & 0xffff) | p->msi_control << 16;
    } else if (p->msix && write && reg == p->msix + 2u && size == 2) {
        msix_control(p, v);
    } else if (write) {
        cfg_write(bdf, reg, size, v);
    } else {
        result = cfg_read(bdf, reg, size);
    }
    return result;
}

uint32_t vpci_port_access(struct vcpu *v, uint16_t port, unsigned int size,
                          bool in, uint32_t value)
{
    struct hwdev *h = v->domain->hwdev;
    uint32_t result = ~0u;

    spin_lock(&pci_lock);
    if (port == 0xcf8 && size == 4) {
        if (!in)
            h->cf8 = value;
        result = h->cf8;
    } else if (port < 0xcfc) { /* 0xcf9: reset control */
        result = in ? port_in(port, size) : (port_out(port, size, value), 0);
    } else if (h->cf8 & BIT(31) && port % 4 + size <= 4) {
        result =
            access(h->cf8 >> 8, (h->cf8 & 0xfc) + port % 4, size, !in, value);
    }
    spin_unlock(&pci_lock);
    return result;
}

bool vpci_mmcfg_covers(struct domain *d, uint64_t gpa)
{
    uint64_t first = acpi.mmcfg_base + ((uint64_t)acpi.mmcfg_start_bus << 20);
    uint64_t last = acpi.mmcfg_base + ((uint64_t)acpi.mmcfg_end_bus << 20);

    (void)d;
    return acpi.mmcfg_base && gpa >= first && gpa < last + (1 << 20);
}

uint64_t vpci_mmcfg_access(struct vcpu *v, uint64_t gpa, unsigned int size,
                           bool write, uint64_t value)
{
    uint64_t off = gpa - acpi.mmcfg_base;
    uint64_t result = ~0ull;

    (void)v;
    if (size > 4 || off % size)
        return result;
    spin_lock(&pci_lock);
    if ((off & 0xfff) < 0x100)
        result = access(off >> 12, off & 0xff, size, write, value);
    else
        result = beside_table(gpa, size, write, value);
    spin_unlock(&pci_lock);
    return result;
}
