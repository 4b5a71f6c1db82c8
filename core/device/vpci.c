/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI for dom0.  Configuration space passes through, apart from MSI and MSI-X:
 * dom0 programs what interrupt it wants to see, the core what the hardware
 * sends, so that a device can raise only vectors that are its own (PCI Local
 * Bus 3.0, 6.8).
 */
#include "boot/acpi.h"
#include "boot/boot.h"
#include "cpu/irq.h"
#include "device/hwdev.h"
#include "device/hwdev_parts.h"
#include "device/vlapic.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include "memory/window.h"
#include "vm/domain.h"
#include "vm/p2m.h"

#define CFG_COMMAND    0x04
#define CFG_BAR0       0x10
#define CFG_CAPS       0x34
#define COMMAND_MEMORY BIT(1)
#define CAP_MSI        0x05
#define CAP_MSIX       0x11
#define MSI_ENABLE     BIT(0)
#define MSI_64BIT      BIT(7)
#define MSI_OURS       (MSI_ENABLE | 0x70) /* dom0 may write these */
#define MSIX_ENABLE    BIT(15)
#define MSIX_MASKED    BIT(0) /* of an entry's control word */
#define ROM            6u     /* index of the expansion ROM's BAR */
#define ROM_ENABLE     BIT(0)
#define MAX_DEVICES    256u

/* An interrupt message as dom0 wrote it, and the host's vector behind it. */
struct message {
    uint64_t address;
    uint32_t data, control; /* control: MSI-X vector control           */
    uint8_t vector;         /* 0: none                                 */
    bool programmed;        /* the hardware has the message for vector */
};

struct device {
    uint16_t bdf;
    uint8_t msi, msix;     /* offsets of the capabilities, 0: none   */
    uint16_t msi_control;  /* as dom0 sees it                        */
    bool decodes;          /* memory: its BARs are mapped            */
    bool msix_on;          /* MSI-X is enabled                       */
    struct message one;    /* MSI                                    */
    struct message *entry; /* MSI-X                                  */
    unsigned int entries;
    uint8_t bir;
    uint32_t table_offset;
    struct {
        uint8_t reg, bytes;  /* of the BAR itself: 4 or 8            */
        uint64_t base, size; /* base: while mapped; size 0: no memory */
    } bar[ROM + 1];
    uint64_t table_base; /* of the table, when `table` was mapped  */
    volatile uint32_t *table;
};

/* Guards: devices and what they point to, the host's 0xcf8. */
static struct spinlock pci_lock = SPINLOCK(RANK_HWDEV);
static struct device *devices[MAX_DEVICES];
static unsigned int device_count;
static struct domain *owner; /* dom0 */

/* --- the hardware --- */

static uint32_t cfg_read(uint16_t bdf, unsigned int reg, unsigned int size)
{
    outl(0xcf8, 0x80000000 | (uint32_t)bdf << 8 | (reg & 0xfc));
    return port_in(0xcfc + (reg & 3), size);
}

static void cfg_write(uint16_t bdf, unsigned int reg, unsigned int size, uint32_t v)
{
    outl(0xcf8, 0x80000000 | (uint32_t)bdf << 8 | (reg & 0xfc));
    port_out(0xcfc + (reg & 3), size, v);
}

/* --- device memory --- */

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a < b + b_size && b < a + a_size;
}

/* Where the device's MSI-X table is, in whole pages; false: nowhere. */
static bool table_pages(const struct device *p, uint64_t *at, uint64_t *size)
{
    uint64_t base = p->bar[p->bir].base, table = base + p->table_offset;

    *at = table & PAGE_MASK;
    *size = ROUND_UP(table + p->entries * 16, PAGE_SIZE) - *at;
    return base && p->entries;
}

/* True when dom0 is not to have these bytes as device memory: RAM, what the
 * core drives itself, MSI-X tables. */
static bool forbidden(uint64_t at, uint64_t size)
{
    uint64_t table, table_size;

    for (unsigned int i = 0; i < boot.map.count; i++)
        if (boot.map.entry[i].type == E820_RAM &&
            overlap(at, size, boot.map.entry[i].addr, boot.map.entry[i].size))
            return true;
    for (unsigned int i = 0; i < ioapic_count; i++)
        if (overlap(at, size, ioapics[i].address, PAGE_SIZE)) return true;
    for (unsigned int i = 0; i < device_count; i++)
        if (table_pages(devices[i], &table, &table_size) && overlap(at, size, table, table_size))
            return true;
    return overlap(at, size, 0xfee00000, PAGE_SIZE) || vpci_mmcfg_covers(owner, at);
}

/* A page that holds parts of several BARs stays while one of them decodes. */
static bool in_use(uint64_t page)
{
    for (unsigned int i = 0; i < device_count; i++)
        for (unsigned int b = 0; b <= ROM && devices[i]->decodes; b++)
            if (devices[i]->bar[b].base &&
                overlap(page, PAGE_SIZE, devices[i]->bar[b].base, devices[i]->bar[b].size))
                return true;
    return false;
}

static void map_range(uint64_t at, uint64_t size)
{
    uint64_t end = ROUND_UP(at + size, PAGE_SIZE), gfn;
    uint64_t large = PAGE_SIZE << ORDER_2M;

    for (at &= PAGE_MASK; at < end; at += PAGE_SIZE) {
        gfn = at >> PAGE_SHIFT;
        if (!(at & (large - 1)) && at + large <= end && !forbidden(at, large) &&
            !p2m_add(owner, gfn, gfn, ORDER_2M, P2M_MMIO))
            at += large - PAGE_SIZE;
        else if (!forbidden(at, PAGE_SIZE))
            /* -EEXIST: by the BAR beside it, or as firmware's memory */
            (void)!p2m_add(owner, gfn, gfn, ORDER_4K, P2M_MMIO);
    }
}

static void unmap_range(uint64_t at, uint64_t size)
{
    uint64_t end = ROUND_UP(at + size, PAGE_SIZE), gfn;
    uint64_t large = PAGE_SIZE << ORDER_2M;
    struct p2m_entry old;

    for (at &= PAGE_MASK; at < end; at += PAGE_SIZE) {
        gfn = at >> PAGE_SHIFT;
        if (size < PAGE_SIZE && in_use(at)) continue;
        if (p2m_lookup(owner, gfn).type != P2M_MMIO) continue;
        if (!(at & (large - 1)) && at + large <= end &&
            !p2m_remove_noflush(owner, gfn, ORDER_2M, MFN_INVALID, P2M_MMIO, &old))
            at += large - PAGE_SIZE;
        else
            (void)!p2m_remove_noflush(owner, gfn, ORDER_4K, MFN_INVALID, P2M_MMIO, &old);
    }
    p2m_flush(owner);
}

static void unmap_bar(struct device *p, unsigned int b)
{
    uint64_t at = p->bar[b].base;

    p->bar[b].base = 0;
    if (at) unmap_range(at, p->bar[b].size);
}

static void map_bar(struct device *p, unsigned int b)
{
    uint32_t low = cfg_read(p->bdf, p->bar[b].reg, 4);
    uint64_t at = low & (b == ROM ? ~0x7ffu : ~15u), table, table_size;

    if (!p->bar[b].size || (b == ROM && !(low & ROM_ENABLE))) return;
    if (p->bar[b].bytes == 8) at |= (uint64_t)cfg_read(p->bdf, p->bar[b].reg + 4, 4) << 32;
    if (at + p->bar[b].size < at) return;
    p->bar[b].base = at;
    if (at && b == p->bir && table_pages(p, &table, &table_size))
        unmap_range(table, table_size); /* whoever had it */
    if (at) map_range(at, p->bar[b].size);
}

/* After a write to the command register. */
static void update_decoding(struct device *p)
{
    bool on = cfg_read(p->bdf, CFG_COMMAND, 2) & COMMAND_MEMORY;

    if (on == p->decodes) return;
    p->decodes = on;
    for (unsigned int b = 0; b <= ROM; b++)
        if (on)
            map_bar(p, b);
        else
            unmap_bar(p, b);
}

/* --- devices --- */

static void find_capabilities(struct device *p)
{
    unsigned int at = cfg_read(p->bdf, CFG_CAPS, 1) & 0xfc;

    if (!(cfg_read(p->bdf, 6, 2) & BIT(4))) return;
    /* Each stands at least four bytes on: a loop ends here. */
    for (unsigned int i = 0; i < 48 && at >= 0x40; i++) {
        uint8_t id = cfg_read(p->bdf, at, 1);

        if (id == CAP_MSI) p->msi = at;
        if (id == CAP_MSIX) p->msix = at;
        at = cfg_read(p->bdf, at + 1, 1) & 0xfc;
    }
}

/* Without entries (no memory, or a table outside of its BAR) MSI-X cannot be
 * enabled. */
static void init_msix(struct device *p)
{
    unsigned int n = (cfg_read(p->bdf, p->msix + 2, 2) & 0x7ff) + 1;
    uint32_t table = cfg_read(p->bdf, p->msix + 4, 4);

    p->bir = MIN(table & 7, ROM);
    p->table_offset = table & ~7u;
    if (p->bir == ROM || p->table_offset + n * 16ull > p->bar[p->bir].size) return;
    p->entry = core_alloc(n * sizeof(*p->entry));
    if (!p->entry) return;
    p->entries = n;
    for (unsigned int i = 0; i < n; i++) p->entry[i].control = MSIX_MASKED;
}

/* The writable bits of a BAR's register. */
static uint32_t probe(uint16_t bdf, unsigned int reg, uint32_t ones)
{
    uint32_t old = cfg_read(bdf, reg, 4), mask;

    cfg_write(bdf, reg, 4, ones);
    mask = cfg_read(bdf, reg, 4);
    cfg_write(bdf, reg, 4, old);
    return mask;
}

/* How much memory each BAR decodes (PCI 3.0, 6.2.5.1); decoding is off
 * meanwhile. */
static void size_bars(struct device *p)
{
    uint16_t command = cfg_read(p->bdf, CFG_COMMAND, 2);
    uint8_t type = cfg_read(p->bdf, 0x0e, 1) & 0x7f;
    unsigned int n = type == 0 ? 6 : type == 1 ? 2 : 0;
    uint64_t mask;

    cfg_write(p->bdf, CFG_COMMAND, 2, command & ~3);
    for (unsigned int b = 0; b < n; b++) {
        unsigned int reg = CFG_BAR0 + 4 * b;
        uint32_t low = cfg_read(p->bdf, reg, 4);
        bool wide = (low & 7) == 4 && b + 1 < n;

        if (low & 1) continue;
        mask = probe(p->bdf, reg, ~0u) & ~15u;
        if (wide)
            mask |= (uint64_t)probe(p->bdf, reg + 4, ~0u) << 32;
        else if (mask)
            mask |= 0xffffffff00000000ull;
        p->bar[b].reg = reg;
        p->bar[b].bytes = wide ? 8 : 4;
        p->bar[b].size = -mask;
        b += wide;
    }
    p->bar[ROM].reg = type == 0 ? 0x30 : 0x38;
    p->bar[ROM].bytes = 4;
    mask = type <= 1 ? probe(p->bdf, p->bar[ROM].reg, ~0x7ffu) & ~0x7ffu : 0;
    p->bar[ROM].size = -(uint32_t)mask;
    cfg_write(p->bdf, CFG_COMMAND, 2, command);
}

/* The device, known from its first access on; NULL when there is none. */
static struct device *get_device(uint16_t bdf)
{
    struct device *p;

    for (unsigned int i = 0; i < device_count; i++)
        if (devices[i]->bdf == bdf) return devices[i];
    if (cfg_read(bdf, 0, 2) == 0xffff) return NULL;
    p = device_count < MAX_DEVICES ? core_alloc(sizeof(*p)) : NULL;
    if (!p) {
        log_guest(LOG_WARN, "d0: no room for PCI device %x", bdf);
        return NULL;
    }
    p->bdf = bdf;
    size_bars(p);
    find_capabilities(p);
    if (p->msi) /* one message only: no multiple message capability */
        p->msi_control = cfg_read(bdf, p->msi + 2, 2) & ~(MSI_OURS | 0xe);
    if (p->msix) init_msix(p);
    devices[device_count++] = p;
    update_decoding(p); /* firmware may have turned it on */
    return p;
}

int vpci_init(struct domain *d)
{
    owner = d;
    for (unsigned int bdf = 0; bdf < 0x100; bdf++) get_device(bdf);
    return 0;
}

/* --- messages --- */

static void deliver(void *data)
{
    struct message *m = data;

    vlapic_deliver(dom0, m->address >> 12 & 0xff, m->address & BIT(2), m->data >> 8 & 7, m->data,
                   false);
}

/* Gives a message a vector, and says what the hardware is to send for it;
 * false when there is none. */
static bool bind(struct message *m, uint64_t *address, uint32_t *data)
{
    int vector = m->vector ? m->vector : irq_alloc_vector(deliver, m);

    if (vector < 0) {
        log_guest(LOG_WARN, "d0: no vector left for a message interrupt");
        return false;
    }
    m->vector = vector;
    apic_msi_message(hwdev_apic_id(m->address >> 12 & 0xff, m->address & BIT(2)), vector, address,
                     data);
    return true;
}

static void unbind(struct message *m)
{
    if (m->vector) irq_free_vector(m->vector);
    m->vector = 0;
    m->programmed = false;
}

/* --- MSI: the capability's words are dom0's own copy --- */

static void msi_enable(struct device *p, bool on)
{
    uint16_t control = cfg_read(p->bdf, p->msi + 2, 2) & ~MSI_OURS;
    bool wide = p->msi_control & MSI_64BIT;
    uint64_t address;
    uint32_t data;

    if (!on) {
        cfg_write(p->bdf, p->msi + 2, 2, control);
        unbind(&p->one);
        return;
    }
    if (!bind(&p->one, &address, &data)) return;
    cfg_write(p->bdf, p->msi + 4, 4, address);
    if (wide) cfg_write(p->bdf, p->msi + 8, 4, address >> 32);
    cfg_write(p->bdf, p->msi + (wide ? 12 : 8), 2, data);
    cfg_write(p->bdf, p->msi + 2, 2, control | MSI_ENABLE);
}

static uint32_t msi_read(struct device *p, unsigned int word)
{
    switch (word) {
    case 0: return cfg_read(p->bdf, p->msi, 2) | (uint32_t)p->msi_control << 16;
    case 1: return p->one.address;
    case 2: return p->msi_control & MSI_64BIT ? p->one.address >> 32 : p->one.data;
    default: return p->one.data;
    }
}

static void msi_write(struct device *p, unsigned int word, uint32_t v)
{
    uint16_t old = p->msi_control;

    switch (word) {
    case 0:
        p->msi_control = (old & ~MSI_OURS) | (v >> 16 & MSI_OURS);
        if ((old ^ p->msi_control) & MSI_ENABLE) msi_enable(p, p->msi_control & MSI_ENABLE);
        break;
    case 1: p->one.address = (p->one.address & ~0xffffffffull) | v; break;
    case 2:
        if (old & MSI_64BIT) {
            p->one.address = (uint32_t)p->one.address | (uint64_t)v << 32;
            break;
        } /* fall through */
    default: p->one.data = v & 0xffff; break;
    }
}

/* --- MSI-X --- */

/* Maps the table where the BAR is now. */
static bool map_table(struct device *p)
{
    uint64_t at = p->bar[p->bir].base + p->table_offset;
    uint64_t page, size;

    if (!table_pages(p, &page, &size)) return false;
    if (p->table && at == p->table_base) return true;
    if (p->table)
        vunmap((void *)p->table, DIV_UP((p->table_base & ~PAGE_MASK) + p->entries * 16, PAGE_SIZE));
    p->table = vmap_device(at, p->entries * 16);
    p->table_base = at;
    return p->table != NULL;
}

/* Brings the hardware's entry in line with dom0's; the table is mapped. */
static void entry_update(struct device *p, unsigned int i)
{
    struct message *m = &p->entry[i];
    volatile uint32_t *hw = p->table + i * 4;
    uint64_t address;
    uint32_t data;

    if (m->control & MSIX_MASKED || !p->msix_on) {
        hw[3] = MSIX_MASKED;
        return;
    }
    if (!m->programmed) {
        hw[3] = MSIX_MASKED;
        if (!bind(m, &address, &data)) return;
        hw[0] = address;
        hw[1] = address >> 32;
        hw[2] = data;
        m->programmed = true;
    }
    hw[3] = 0;
}

static void msix_control(struct device *p, uint16_t control)
{
    bool on = control & MSIX_ENABLE, mapped = map_table(p);

    if (on && !mapped) {
        log_guest(LOG_WARN, "d0: MSI-X of device %x has no table", p->bdf);
        return;
    }
    if (on != p->msix_on) {
        p->msix_on = on;
        for (unsigned int i = 0; i < p->entries; i++) {
            if (mapped) entry_update(p, i);
            if (!on) unbind(&p->entry[i]);
        }
    }
    cfg_write(p->bdf, p->msix + 2, 2, control);
}

/* The device whose table's pages hold gpa. */
static struct device *msix_find(uint64_t gpa)
{
    uint64_t at, size;

    for (unsigned int i = 0; i < device_count; i++)
        if (table_pages(devices[i], &at, &size) && gpa - at < size) return devices[i];
    return NULL;
}

/* Registers of the hardware that pass through, a page at a time: those beside
 * an MSI-X table, extended configuration space. */
static uint64_t through(uint64_t gpa, unsigned int size, bool write, uint64_t value)
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

static uint64_t table_access(struct device *p, uint64_t off, unsigned int size, bool write,
                             uint64_t value)
{
    unsigned int i = index_nospec(off / 16, p->entries);
    char *shadow = (char *)&p->entry[i] + off % 16;
    uint64_t result = 0;

    if (off % size || size < 4) return ~0ull;
    if (write) {
        memcpy(shadow, &value, size);
        if (off % 16 < 12) p->entry[i].programmed = false;
        if (off % 16 + size > 12) entry_update(p, i);
    }
    memcpy(&result, shadow, size);
    return result;
}

bool vpci_msix_access(struct vcpu *v, uint64_t gpa, unsigned int size, bool write, uint64_t *value)
{
    struct device *p;

    (void)v;
    spin_lock(&pci_lock);
    p = msix_find(gpa);
    if (p && !map_table(p))
        *value = ~0ull;
    else if (p && gpa - p->table_base < p->entries * 16)
        *value = table_access(p, gpa - p->table_base, size, write, *value);
    else if (p)
        *value = through(gpa, size, write, *value);
    spin_unlock(&pci_lock);
    return p != NULL;
}

/* --- configuration space --- */

/* The word of the MSI capability that is at reg, or -1. */
static int msi_word(const struct device *p, unsigned int reg)
{
    unsigned int word = (reg - p->msi) / 4;

    return p->msi && reg >= p->msi && word <= (p->msi_control & MSI_64BIT ? 3 : 2) ? (int)word : -1;
}

/* The memory BAR whose register holds reg, or -1. */
static int bar_at(const struct device *p, unsigned int reg)
{
    for (unsigned int b = 0; b <= ROM; b++)
        if (p->bar[b].size && reg >= p->bar[b].reg && reg < p->bar[b].reg + p->bar[b].bytes)
            return b;
    return -1;
}

static void write_through(struct device *p, unsigned int reg, unsigned int size, uint32_t v)
{
    int b = bar_at(p, reg);

    if (b >= 0 && b != ROM && p->decodes) {
        log_guest(LOG_DEBUG, "d0: BAR %d of device %x stays while it decodes", b, p->bdf);
        return;
    }
    if (b == ROM) unmap_bar(p, ROM);
    cfg_write(p->bdf, reg, size, v);
    if (b == ROM && p->decodes) map_bar(p, ROM);
    if (reg == CFG_COMMAND) update_decoding(p);
}

static uint32_t access(uint16_t bdf, unsigned int reg, unsigned int size, bool write, uint32_t v)
{
    struct device *p = get_device(bdf);
    unsigned int shift = (reg & 3) * 8;
    uint32_t mask = size == 4 ? ~0u : ((1u << size * 8) - 1) << shift;
    uint32_t old;
    int word;

    if (!p) return ~0u;
    word = msi_word(p, reg);
    if (word < 0 && (!p->msix || (reg & ~3u) != p->msix)) {
        if (!write) return cfg_read(bdf, reg, size);
        write_through(p, reg, size, v);
        return 0;
    }
    old = word >= 0 ? msi_read(p, word) : cfg_read(bdf, p->msix, 4);
    if (!write) return old >> shift;
    old = (old & ~mask) | (v << shift & mask);
    if (word >= 0)
        msi_write(p, word, old);
    else
        msix_control(p, old >> 16);
    return 0;
}

uint32_t vpci_port_access(struct vcpu *v, uint16_t port, unsigned int size, bool in, uint32_t value)
{
    struct hwdev *h = v->domain->hwdev;
    uint32_t result = ~0u;

    spin_lock(&pci_lock);
    if (port == 0xcf8 && size == 4) {
        if (!in) h->cf8 = value;
        result = h->cf8;
    } else if (port == 0xcf9 && size == 1) { /* reset control */
        result = in ? inb(port) : (outb(port, value), 0);
    } else if (port >= 0xcfc && h->cf8 & BIT(31) && port % 4 + size <= 4) {
        result = access(h->cf8 >> 8, (h->cf8 & 0xfc) + port % 4, size, !in, value);
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

uint64_t vpci_mmcfg_access(struct vcpu *v, uint64_t gpa, unsigned int size, bool write,
                           uint64_t value)
{
    uint64_t off = gpa - acpi.mmcfg_base;
    uint64_t result = ~0ull;

    (void)v;
    if (size > 4 || off % size) return result;
    spin_lock(&pci_lock);
    if ((off & 0xfff) < 0x100)
        result = access(off >> 12, off & 0xff, size, write, value);
    else
        result = through(gpa, size, write, value);
    spin_unlock(&pci_lock);
    return result;
}
