/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI for dom0 and driver domains (device/assign.c).  Configuration space passes
 * through, apart from MSI and MSI-X: the owner programs what interrupt it wants
 * to see, the core what the hardware sends, so that a device can raise only
 * vectors that are its own (PCI Local Bus 3.0, 6.8).  A BAR's memory is mapped
 * page by page as its owner touches it, and taken back when the BAR moves or is
 * not decoded any more.
 */
#include "boot/acpi.h"
#include "boot/boot.h"
#include "cpu/irq.h"
#include "device/hwdev.h"
#include "device/vlapic.h"
#include "device/vpci.h"
#include "hypercall/control.h"
#include "iommu/iommu.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include "memory/window.h"
#include "vm/domain.h"
#include "vm/p2m.h"

#define CFG_STATUS   0x06
#define STATUS_ABORT BIT(11)
#define CFG_CAPS     0x34
#define CAP_MSIX     0x11
#define MSI_ENABLE   BIT(0)
#define MSI_64BIT    BIT(7)
#define MSI_OURS     (MSI_ENABLE | 0x70) /* dom0 may write these */
#define MSIX_ENABLE  BIT(15)
#define MSIX_MASKED  BIT(0)      /* of an entry's control word */
#define HPET         0xfed00000u /* hidden from dom0 */
#define ROM_MASK     (~0x7ffu)
#define ROM_ENABLE   BIT(0)

struct spinlock pci_lock = SPINLOCK(RANK_HWDEV);
struct device *devices[MAX_DEVICES];
unsigned int device_count;

/* --- the hardware --- */

uint32_t cfg_read(uint16_t bdf, unsigned int reg, unsigned int size)
{
    outl(0xcf8, 0x80000000 | (uint32_t)bdf << 8 | (reg & 0xfc));
    return port_in(0xcfc + (reg & 3), size);
}

void cfg_write(uint16_t bdf, unsigned int reg, unsigned int size, uint32_t v)
{
    outl(0xcf8, 0x80000000 | (uint32_t)bdf << 8 | (reg & 0xfc));
    port_out(0xcfc + (reg & 3), size, v);
}

/* --- device memory --- */

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a < b + b_size && b < a + a_size;
}

/* An APIC, PCI configuration, the HPET. */
static bool core_device_at(uint64_t gpa, uint64_t size)
{
    uint64_t first = acpi.mmcfg_base + ((uint64_t)acpi.mmcfg_start_bus << 20);
    uint64_t buses = acpi.mmcfg_end_bus - acpi.mmcfg_start_bus + 1;

    for (unsigned int i = 0; i < ioapic_count; i++)
        if (overlap(gpa, size, ioapics[i].address & PAGE_MASK, PAGE_SIZE)) return true;
    return overlap(gpa, size, APIC_BASE_DEFAULT, PAGE_SIZE) ||
           overlap(gpa, size, HPET, PAGE_SIZE) ||
           (acpi.mmcfg_base && overlap(gpa, size, first, buses << 20));
}

static bool decodes(const struct device *p)
{
    return cfg_read(p->bdf, CFG_COMMAND, 2) & COMMAND_MEMORY;
}

/* 0: nowhere. */
static uint64_t bar_base(const struct device *p, const struct bar *b)
{
    uint32_t low = cfg_read(p->bdf, b->reg, 4);
    uint64_t high = b->wide ? cfg_read(p->bdf, b->reg + 4, 4) : 0;

    return b->mask == ROM_MASK && !(low & ROM_ENABLE) ? 0 : high << 32 | (low & b->mask);
}

/* Another's device is in those pages. */
static bool is_anothers(const struct domain *d, uint64_t at, uint64_t size)
{
    for (unsigned int i = 0; i < device_count; i++) {
        struct device *p = devices[i];

        for (struct bar *b = p->bar; p->owner != d && b < p->bar + p->bars; b++)
            if ((p->assigned || !d->privileged) &&
                overlap(at & PAGE_MASK, ROUND_UP(size, PAGE_SIZE), bar_base(p, b), b->size))
                return true;
    }
    return false;
}

/* RAM (in whole pages: what else there is in a page is firmware's), or a
 * device of the core's or of another domain's than d. */
static bool reserved(const struct domain *d, uint64_t at, uint64_t size)
{
    for (unsigned int i = 0; i < boot.map.count; i++) {
        const struct e820_entry *e = &boot.map.entry[i];
        uint64_t start = ROUND_UP(e->addr, PAGE_SIZE), end = (e->addr + e->size) & PAGE_MASK;

        if (e->type == E820_RAM && start < end && overlap(at, size, start, end - start))
            return true;
    }
    return core_device_at(at, size) || iommu_covers(at, size) || is_anothers(d, at, size);
}

static bool covers(uint64_t start, uint64_t length, uint64_t at, uint64_t size)
{
    return at >= (start & PAGE_MASK) && at + size <= ROUND_UP(start + length, PAGE_SIZE);
}

/* True for a range in a BAR of d's or, for dom0, in firmware's memory below
 * 4 GiB, by pages. */
static bool is_device_memory(const struct domain *d, uint64_t at, uint64_t size)
{
    for (unsigned int i = 0; d->privileged && i < boot.map.count; i++) {
        const struct e820_entry *e = &boot.map.entry[i];

        if (e->type != E820_RAM && e->type != E820_UNUSABLE && e->addr < 1ull << 32 &&
            covers(e->addr, e->size, at, size))
            return true;
    }
    for (unsigned int i = 0; i < device_count; i++) {
        struct device *p = devices[i];

        for (struct bar *b = p->bar; p->owner == d && decodes(p) && b < p->bar + p->bars; b++) {
            uint64_t base = bar_base(p, b);

            if (base && base + b->size > base && covers(base, b->size, at, size)) return true;
        }
    }
    return d->privileged && covers(0, 1 << 20, at, size);
}

/* The device with an MSI-X table in the pages of that range. */
static struct device *table_in(uint64_t at, uint64_t size)
{
    for (unsigned int i = 0; i < device_count; i++) {
        struct device *p = devices[i];

        if (p->table &&
            overlap(at & PAGE_MASK, ROUND_UP(size, PAGE_SIZE), p->table, p->entries * 16ul))
            return p;
    }
    return NULL;
}

/* Takes back what d was given of a range. */
static void unmap(struct domain *d, uint64_t at, uint64_t size)
{
    uint64_t gfn = at >> PAGE_SHIFT, end = ROUND_UP(at + size, PAGE_SIZE) >> PAGE_SHIFT;
    struct p2m_entry e, old;

    for (; gfn < end; gfn = (gfn | ((1ull << e.order) - 1)) + 1) {
        e = p2m_lookup(d, gfn);
        if (e.type == P2M_MMIO)
            (void)!p2m_remove_noflush(d, gfn & ~((1ull << e.order) - 1), e.order, MFN_INVALID,
                                      P2M_MMIO, &old);
    }
    p2m_flush(d);
}

static void unmap_bar(const struct device *p, const struct bar *b)
{
    uint64_t base = bar_base(p, b);

    if (p->owner && base && base + b->size > base) unmap(p->owner, base, b->size);
}

/* Memory is about to be decoded: the table is where its BAR points, and its
 * owner has not got it. */
static void find_table(struct device *p)
{
    uint64_t base = p->entries ? bar_base(p, p->table_bar) : 0;
    uint64_t at = base + p->table_offset, size = p->entries * 16ul;

    p->table = 0;
    if (!base || base + p->table_bar->size < base || reserved(p->owner, at, size)) return;
    p->table = at;
    unmap(p->owner, at, size);
}

/* --- devices --- */

unsigned int pci_find_capability(uint16_t bdf, uint8_t id)
{
    unsigned int at = cfg_read(bdf, CFG_CAPS, 1) & 0xfc;

    if (!(cfg_read(bdf, 6, 2) & BIT(4))) return 0;
    /* Each stands at least four bytes on: a loop ends here. */
    for (unsigned int i = 0; i < 48 && at >= 0x40; i++) {
        if (cfg_read(bdf, at, 1) == id) return at;
        at = cfg_read(bdf, at + 1, 1) & 0xfc;
    }
    return 0;
}

/* The writable bits of a BAR's register. */
static uint32_t probe(uint16_t bdf, unsigned int reg, uint32_t mask)
{
    uint32_t old = cfg_read(bdf, reg, 4), bits;

    cfg_write(bdf, reg, 4, mask);
    bits = cfg_read(bdf, reg, 4);
    cfg_write(bdf, reg, 4, old);
    return bits & mask;
}

static void add_bar(struct device *p, unsigned int reg, bool wide, uint32_t mask)
{
    uint32_t low = probe(p->bdf, reg, mask), high = wide ? probe(p->bdf, reg + 4, ~0u) : ~0u;

    if (low || wide)
        p->bar[p->bars++] = (struct bar){reg, wide, mask, -((uint64_t)high << 32 | low)};
}

/* How much memory each BAR decodes (PCI 3.0, 6.2.5.1); decoding is off
 * meanwhile. */
static void find_bars(struct device *p)
{
    uint16_t command = cfg_read(p->bdf, CFG_COMMAND, 2);
    uint8_t type = cfg_read(p->bdf, 0x0e, 1) & 0x7f;
    unsigned int end = CFG_BAR0 + (type == 0 ? 24 : type == 1 ? 8 : 0);

    cfg_write(p->bdf, CFG_COMMAND, 2, command & ~3);
    for (unsigned int reg = CFG_BAR0; reg < end; reg += 4) {
        uint32_t low = cfg_read(p->bdf, reg, 4);
        bool wide = (low & 7) == 4 && reg + 4 < end;

        if (!(low & 1)) add_bar(p, reg, wide, BAR_MASK);
        if (wide) reg += 4;
    }
    if (type <= 1) add_bar(p, type ? 0x38 : 0x30, false, ROM_MASK);
    cfg_write(p->bdf, CFG_COMMAND, 2, command);
}

/* Without entries (no memory, a table outside of its BAR or that crosses pages)
 * MSI-X cannot be enabled. */
static void init_msix(struct device *p)
{
    unsigned int n = (cfg_read(p->bdf, p->msix + 2, 2) & 0x7ff) + 1;
    uint32_t table = cfg_read(p->bdf, p->msix + 4, 4);

    p->table_offset = table & ~7u;
    for (struct bar *b = p->bar; b < p->bar + p->bars; b++)
        if (b->reg == CFG_BAR0 + 4 * (table & 7)) p->table_bar = b;
    if (!p->table_bar || table & 8 || p->table_offset + n * 16ull > p->table_bar->size) return;
    p->entry = core_alloc(n * sizeof(*p->entry));
    if (!p->entry) return;
    p->entries = n;
    for (unsigned int i = 0; i < n; i++) {
        p->entry[i].control = MSIX_MASKED;
        p->entry[i].device = p;
    }
}

/* The device, known from its first access on; NULL when there is none. */
static struct device *get_device(uint16_t bdf)
{
    struct device *p;

    for (unsigned int i = 0; i < device_count; i++)
        if (devices[i]->bdf == bdf) return devices[i];
    if (iommu_is_unit(bdf) || cfg_read(bdf, 0, 2) == 0xffff) return NULL;
    p = device_count < MAX_DEVICES ? core_alloc(sizeof(*p)) : NULL;
    if (!p) {
        log_guest(LOG_WARN, "d0: no room for PCI device %x", bdf);
        return NULL;
    }
    p->bdf = bdf;
    p->one.device = p;
    p->assigned = find_assignment(bdf);
    p->owner = p->assigned ? NULL : dom0;
    find_bars(p);
    p->msi = pci_find_capability(bdf, CAP_MSI);
    p->msix = pci_find_capability(bdf, CAP_MSIX);
    if (p->msi) /* one message only: no multiple message capability */
        p->msi_control = cfg_read(bdf, p->msi + 2, 2) & ~(MSI_OURS | 0xe);
    if (p->msix) init_msix(p);
    devices[device_count++] = p;
    iommu_attach(bdf, p->owner);
    if (p->assigned) assigned_init(p);
    if (decodes(p)) find_table(p);
    return p;
}

void vpci_init(void)
{
    for (unsigned int bdf = 0; bdf < 0x10000; bdf++)
        if (!get_device(bdf) && !(bdf & 7)) bdf += 7; /* no function 0: no other */
}

static bool map(struct domain *d, uint64_t gfn, unsigned int order)
{
    uint64_t at = gfn << PAGE_SHIFT, size = PAGE_SIZE << order;

    return is_device_memory(d, at, size) && !reserved(d, at, size) && !table_in(at, size) &&
           !p2m_add(d, gfn, gfn, order, P2M_MMIO);
}

bool vpci_map(struct domain *d, uint64_t gpa)
{
    uint64_t gfn = gpa >> PAGE_SHIFT;
    bool done;

    spin_lock(&pci_lock);
    done = p2m_lookup(d, gfn).type == P2M_MMIO || /* another vCPU was faster */
           map(d, gfn & ~511ul, ORDER_2M) || map(d, gfn, ORDER_4K);
    spin_unlock(&pci_lock);
    return done;
}

bool vpci_take_abort(uint16_t bdf)
{
    uint16_t aborted;

    spin_lock(&pci_lock);
    aborted = cfg_read(bdf, CFG_STATUS, 2) & STATUS_ABORT;
    if (aborted) cfg_write(bdf, CFG_STATUS, 2, aborted);
    spin_unlock(&pci_lock);
    return aborted;
}

void vpci_quiesce(uint16_t bdf)
{
    spin_lock(&pci_lock);
    cfg_write(bdf, CFG_COMMAND, 2, cfg_read(bdf, CFG_COMMAND, 2) & ~COMMAND_MASTER);
    spin_unlock(&pci_lock);
}

/* --- messages --- */

static void deliver(void *data)
{
    struct message *m = data;
    struct domain *d = READ_ONCE(m->device->owner); /* stays until CPUs were quiescent */

    if (!d) return;
    vlapic_deliver(d, m->address >> 12 & 0xff,
                   (m->data & 0x7ff) | (m->address & BIT(2) ? MESSAGE_LOGICAL : 0));
}

/* Gives a message a vector, and says what the hardware is to send for it;
 * false when there is none. */
static bool bind(struct message *m, uint64_t *address, uint32_t *data)
{
    int vector = m->vector ? m->vector : irq_alloc_vector(deliver, m);

    if (vector < 0) {
        log_guest(LOG_WARN, "d%u: no vector left for a message interrupt", m->device->owner->id);
        return false;
    }
    m->vector = vector;
    iommu_message(m->device->bdf, vector,
                  hwdev_apic_id(m->device->owner, m->address >> 12 & 0xff, m->address & BIT(2)),
                  address, data);
    return true;
}

/* The next owner of the vector is not to be interrupted by this device. */
static void unbind(struct message *m)
{
    if (m->vector) {
        iommu_forbid(m->vector);
        irq_free_vector(m->vector);
    }
    m->vector = 0;
    m->programmed = false;
}

/* --- MSI: the capability's words are dom0's own copy --- */

void pci_set_msi(uint16_t bdf, unsigned int msi, uint64_t address, uint32_t data)
{
    uint16_t control = cfg_read(bdf, msi + 2, 2) & ~MSI_OURS;
    bool wide = control & MSI_64BIT;

    cfg_write(bdf, msi + 4, 4, address);
    if (wide) cfg_write(bdf, msi + 8, 4, address >> 32);
    cfg_write(bdf, msi + (wide ? 12 : 8), 2, data);
    cfg_write(bdf, msi + 2, 2, control | MSI_ENABLE);
}

void msi_enable(struct device *p, bool on)
{
    uint64_t address;
    uint32_t data;

    if (!on) {
        cfg_write(p->bdf, p->msi + 2, 2, cfg_read(p->bdf, p->msi + 2, 2) & ~MSI_OURS);
        unbind(&p->one);
    } else if (bind(&p->one, &address, &data)) {
        pci_set_msi(p->bdf, p->msi, address, data);
    }
}

/* Word 1, 2 or 3 of the capability. */
static uint32_t *msi_field(struct device *p, unsigned int word)
{
    if (word == 1) return &p->one.address;
    return word == 2 && p->msi_control & MSI_64BIT ? &p->one.address_high : &p->one.data;
}

static uint32_t msi_read(struct device *p, unsigned int word)
{
    if (word) return *msi_field(p, word);
    return cfg_read(p->bdf, p->msi, 2) | (uint32_t)p->msi_control << 16;
}

static void msi_write(struct device *p, unsigned int word, uint32_t v)
{
    uint16_t old = p->msi_control;

    if (word) {
        *msi_field(p, word) = v;
        return;
    }
    p->msi_control = (old & ~MSI_OURS) | (v >> 16 & MSI_OURS);
    if ((old ^ p->msi_control) & MSI_ENABLE) msi_enable(p, p->msi_control & MSI_ENABLE);
}

/* --- MSI-X --- */

/* Brings the hardware's entry in line with dom0's. */
static void entry_update(struct device *p, unsigned int i)
{
    struct message *m = &p->entry[i];
    uint64_t at = p->table + i * 16ul, address;
    bool off = m->control & MSIX_MASKED || !p->msix_on;
    volatile uint32_t *hw;
    char *page;
    uint32_t data;

    if (!p->table) return;
    page = window_open_device(at >> PAGE_SHIFT);
    hw = (void *)(page + (at & (PAGE_SIZE - 1)));
    if (off || !m->programmed) hw[3] = MSIX_MASKED;
    if (!off && !m->programmed && bind(m, &address, &data)) {
        hw[0] = address;
        hw[1] = address >> 32;
        hw[2] = data;
        m->programmed = true;
    }
    if (!off && m->programmed) hw[3] = 0;
    window_close(page);
}

void msix_control(struct device *p, uint16_t control)
{
    bool on = control & MSIX_ENABLE;

    if (on && !p->table) {
        log_guest(LOG_WARN, "MSI-X of device %x has no table", p->bdf);
        return;
    }
    if (on != p->msix_on) {
        p->msix_on = on;
        for (unsigned int i = 0; i < p->entries; i++) {
            entry_update(p, i);
            if (!on) unbind(&p->entry[i]);
        }
    }
    cfg_write(p->bdf, p->msix + 2, 2, control);
}

/* Registers of the hardware that pass through, a page at a time: those beside
 * an MSI-X table, extended configuration space. */
static uint64_t through(uint64_t gpa, unsigned int size, bool write, uint64_t value)
{
    char *page = window_open_device(gpa >> PAGE_SHIFT);
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

/* --- configuration space --- */

int msi_word(const struct device *p, unsigned int reg)
{
    unsigned int word = (reg - p->msi) / 4;

    return p->msi && reg >= p->msi && word <= (p->msi_control & MSI_64BIT ? 3 : 2) ? (int)word : -1;
}

static void write_through(struct device *p, unsigned int reg, unsigned int size, uint32_t v)
{
    for (struct bar *b = p->bar; b < p->bar + p->bars; b++) {
        if (!overlap(reg, size, b->reg, b->wide ? 8 : 4)) continue;
        if (b->mask == BAR_MASK && decodes(p)) {
            log_guest(LOG_DEBUG, "BAR %x of device %x stays while it decodes", b->reg, p->bdf);
            return;
        }
        unmap_bar(p, b);
    }
    if (reg == CFG_COMMAND && v & COMMAND_MEMORY) find_table(p);
    cfg_write(p->bdf, reg, size, v);
    if (reg != CFG_COMMAND || v & COMMAND_MEMORY) return;
    p->table = 0;
    for (struct bar *b = p->bar; b < p->bar + p->bars; b++) unmap_bar(p, b);
}

uint32_t device_access(struct device *p, unsigned int reg, unsigned int size, bool write,
                       uint32_t v)
{
    unsigned int shift = (reg & 3) * 8;
    uint32_t mask = size == 4 ? ~0u : ((1u << size * 8) - 1) << shift;
    uint32_t old;
    int word = msi_word(p, reg);

    if (word < 0 && (!p->msix || (reg & ~3u) != p->msix)) {
        if (!write) return cfg_read(p->bdf, reg, size);
        write_through(p, reg, size, v);
        return 0;
    }
    old = word >= 0 ? msi_read(p, word) : cfg_read(p->bdf, p->msix, 4);
    if (!write) return old >> shift;
    old = (old & ~mask) | (v << shift & mask);
    if (word >= 0)
        msi_write(p, word, old);
    else
        msix_control(p, old >> 16);
    return 0;
}

static uint32_t access(struct domain *d, uint16_t bdf, unsigned int reg, unsigned int size,
                       bool write, uint32_t v)
{
    struct device *p = d->privileged ? get_device(bdf) : NULL;

    if (!d->privileged) return assigned_access(d, bdf, reg, size, write, v);
    return p && p->owner == d ? device_access(p, reg, size, write, v) : ~0u;
}

uint32_t vpci_port_access(struct domain *d, uint16_t port, unsigned int size, bool in,
                          uint32_t value)
{
    uint32_t result = ~0u;

    spin_lock(&pci_lock);
    if (port == 0xcf8 && size == 4) {
        if (!in) d->cf8 = value;
        result = d->cf8;
    } else if (port == 0xcf9 && size == 1 && d->privileged) { /* reset control */
        result = in ? inb(port) : (outb(port, value), 0);
    } else if (port >= 0xcfc && d->cf8 & BIT(31) && port % 4 + size <= 4) {
        result = access(d, d->cf8 >> 8, (d->cf8 & 0xfc) + port % 4, size, !in, value);
    }
    spin_unlock(&pci_lock);
    return result;
}

/* dom0's access to extended configuration space. */
static uint64_t extended_access(struct domain *d, uint16_t bdf, uint64_t gpa, unsigned int size,
                                bool write, uint64_t value)
{
    struct device *p = get_device(bdf);

    return p && p->owner == d ? through(gpa, size, write, value) : ~0ull;
}

bool vpci_access(struct domain *d, uint64_t gpa, unsigned int size, bool write, uint64_t *value)
{
    uint64_t off = gpa - acpi.mmcfg_base;
    bool config = d->privileged && acpi.mmcfg_base && off >> 20 >= acpi.mmcfg_start_bus &&
                  off >> 20 <= acpi.mmcfg_end_bus;
    struct device *p;

    spin_lock(&pci_lock);
    p = config ? NULL : table_in(gpa, 1);
    if (p && p->owner != d) p = NULL;
    if (config && (size > 4 || off % size))
        *value = ~0ull;
    else if (config && (off & 0xfff) < 0x100)
        *value = access(d, off >> 12, off & 0xff, size, write, *value);
    else if (config)
        *value = extended_access(d, off >> 12, gpa, size, write, *value);
    else if (p && gpa - p->table < p->entries * 16ul)
        *value = table_access(p, gpa - p->table, size, write, *value);
    else if (p)
        *value = through(gpa, size, write, *value);
    spin_unlock(&pci_lock);
    return config || p;
}
