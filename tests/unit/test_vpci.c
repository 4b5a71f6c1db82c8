/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI for dom0, over a model of the hardware: which device memory appears in
 * its p2m, and that the hardware only ever sends messages with vectors that
 * the core gave it, whatever dom0 writes.
 */
#include "fake_ports.h"
#include "check.h"
#include "fake_device.h"
#include "device/vpci.c"
#include "device/assign.c"
#include <stdio.h>
#include <stdlib.h>

#define DEVICES   5u
#define MMIO_BASE 0xfe000000ull /* the model's device memory: 16 MiB */
#define MMIO_SIZE (16u << 20)
#define MMCFG     0xb0000000ull
#define COMMAND   4
#define ALL       0xffffffff

enum { BRIDGE, PLAIN, MSIX, SMALL1, SMALL2 };

static uint8_t cfg[DEVICES][256], writable[DEVICES][256];
static uint32_t address_port;
static uint8_t mmio[MMIO_SIZE];
static uint8_t extended[4096];
static uint8_t mapped[1 << 20]; /* by gfn below 4 GiB; 1, or 2 for 2 MiB */
static unsigned int flushes, windows;
static struct {
    irq_handler *fn;
    void *data;
} vectors[256];
static unsigned int vectors_used, vectors_limit;
static struct {
    uint32_t dest;
    bool logical;
    uint8_t mode, vector;
} taken;
struct acpi_info acpi;
struct boot_info boot;
struct options options;
extern struct domain *iommu_attached[65536];
static struct domain *who; /* makes the accesses */
struct ioapic_info ioapics[MAX_IOAPICS];
unsigned int ioapic_count;

/* --- the hardware --- */

static uint32_t *word(unsigned int dev, unsigned int reg)
{
    return (uint32_t *)&cfg[dev][reg & 0xfc];
}

static uint32_t port_in(uint16_t port, unsigned int size)
{
    unsigned int dev = address_port >> 11 & 31, fn = address_port >> 8 & 7;
    unsigned int reg = (address_port & 0xfc) + (port & 3);
    uint32_t v = ALL >> (32 - 8 * size);

    CHECK(port >= 0xcfc && port + size <= 0xd00 && address_port >> 31);
    if (dev < DEVICES && !fn && !(address_port & 0xff0000)) {
        v = 0;
        memcpy(&v, &cfg[dev][reg], size);
    }
    return v;
}

static void port_out(uint16_t port, unsigned int size, uint32_t v)
{
    unsigned int dev = address_port >> 11 & 31, reg = address_port & 0xfc;

    if (port == 0xcf8) {
        CHECK(size == 4);
        address_port = v;
        return;
    }
    CHECK(port >= 0xcfc && port + size <= 0xd00);
    if (dev >= DEVICES || address_port & 0xff0700) return;
    reg += port & 3;
    for (unsigned int i = 0; i < size; i++) {
        uint8_t m = writable[dev][reg + i];

        cfg[dev][reg + i] = (cfg[dev][reg + i] & ~m) | (v >> 8 * i & m);
    }
}

void *window_open_device(uint64_t mfn)
{
    windows++;
    if (mfn >= MMCFG >> 12 && mfn < (MMCFG >> 12) + 0x10000) return extended;
    CHECK(mfn >= MMIO_BASE >> 12 && mfn < (MMIO_BASE + MMIO_SIZE) >> 12);
    return mmio + (mfn << 12) - MMIO_BASE;
}

void window_close(const void *p)
{
    (void)p;
    windows--;
}

/* --- the core around --- */

int p2m_add(struct domain *d, uint64_t gfn, uint64_t mfn, unsigned int order, enum p2m_type type)
{
    CHECK(d == who && gfn == mfn && type == P2M_MMIO);
    CHECK(!(gfn & ((1u << order) - 1)) && gfn < 1 << 20);
    for (unsigned int i = 0; i < 1u << order; i++)
        if (mapped[gfn + i]) return -1;
    memset(mapped + gfn, order ? 2 : 1, 1u << order);
    return 0;
}

struct p2m_entry p2m_lookup(struct domain *d, uint64_t gfn)
{
    (void)d;
    return (struct p2m_entry){gfn, gfn < 1 << 20 && mapped[gfn] ? P2M_MMIO : P2M_NONE, 0};
}

int p2m_remove_noflush(struct domain *d, uint64_t gfn, unsigned int order, uint64_t mfn,
                       enum p2m_type type, struct p2m_entry *old)
{
    *old = p2m_lookup(d, gfn);
    CHECK(mfn == MFN_INVALID && type == P2M_MMIO);
    CHECK(!(gfn & ((1ul << order) - 1)) && (order == ORDER_2M || order == ORDER_4K));
    if (!mapped[gfn] || (order && mapped[gfn] != 2)) return -1;
    if (mapped[gfn] == 2) memset(mapped + (gfn & ~511ul), 1, 512);
    memset(mapped + gfn, 0, 1ul << order);
    flushes |= 0x80000000;
    return 0;
}

void p2m_flush(struct domain *d)
{
    (void)d;
    flushes = 0;
}

static bool raised[256]; /* the IOMMU lets a device do it */

int irq_alloc_vector(irq_handler *fn, void *data)
{
    if (vectors_used >= vectors_limit) return -1;
    for (unsigned int i = 0x20;; i++)
        if (!vectors[i].fn) {
            vectors[i].fn = fn;
            vectors[i].data = data;
            vectors_used++;
            return i;
        }
}

void irq_free_vector(unsigned int vector)
{
    CHECK(vectors[vector].fn != NULL && !raised[vector]);
    vectors[vector].fn = NULL;
    vectors_used--;
}

uint32_t hwdev_apic_id(const struct domain *d, unsigned int dest, bool logical)
{
    CHECK(d == who);
    return logical ? 0 : dest & 4;
}

void iommu_message(uint16_t bdf, uint8_t vector, uint32_t apic_id, uint64_t *addr, uint32_t *data)
{
    (void)bdf;
    *addr = 0xfee00000 | apic_id << 12;
    *data = vector;
    raised[vector] = true;
}

void iommu_forbid(uint8_t vector)
{
    raised[vector] = false;
}

void vlapic_deliver(struct domain *d, uint32_t dest, uint32_t message)
{
    CHECK(d == who && !(message & MESSAGE_LEVEL));
    taken.dest = dest;
    taken.logical = message & MESSAGE_LOGICAL;
    taken.mode = message >> 8 & 7;
    taken.vector = message;
}

/* --- a machine --- */

static void bar(unsigned int dev, unsigned int reg, uint64_t at, uint64_t size, uint32_t flags)
{
    uint64_t v = at | flags, m = -size;

    memcpy(&cfg[dev][reg], &v, flags & 4 ? 8 : 4);
    memcpy(&writable[dev][reg], &m, flags & 4 ? 8 : 4);
}

static void capability(unsigned int dev, unsigned int at, uint8_t id, uint8_t next,
                       uint16_t control)
{
    cfg[dev][0x34] = cfg[dev][0x34] ? cfg[dev][0x34] : at;
    cfg[dev][6] = 0x10;
    cfg[dev][at] = id;
    cfg[dev][at + 1] = next;
    memcpy(&cfg[dev][at + 2], &control, 2);
}

static uint64_t mmcfg(uint64_t gpa, unsigned int size, bool write, uint64_t v)
{
    CHECK(vpci_access(who, gpa, size, write, &v));
    return v;
}

/* dom0's accesses: by ports, or by MMCFG. */
static uint32_t get(unsigned int dev, unsigned int reg, unsigned int size)
{
    if (reg & 1) return mmcfg(MMCFG + (dev << 15) + reg, size, false, 0);
    vpci_port_access(who, 0xcf8, 4, false, 1u << 31 | dev << 11 | (reg & ~3u));
    return vpci_port_access(who, 0xcfc + (reg & 3), size, true, 0);
}

static void put(unsigned int dev, unsigned int reg, unsigned int size, uint32_t v)
{
    if (fake_random() & 1) {
        mmcfg(MMCFG + (dev << 15) + reg, size, true, v);
        return;
    }
    vpci_port_access(who, 0xcf8, 4, false, 1u << 31 | dev << 11 | (reg & ~3u));
    vpci_port_access(who, 0xcfc + (reg & 3), size, false, v);
}

static void begin_with(const struct assignment *a)
{
    fake_init(2);
    memset(cfg, 0, sizeof(cfg));
    memset(writable, 0, sizeof(writable));
    memset(mapped, 0, sizeof(mapped));
    memset(mmio, 0, sizeof(mmio));
    memset(vectors, 0, sizeof(vectors));
    vectors_used = 0;
    vectors_limit = 190;
    device_count = 0;
    who = dom0;
    options.assigned_count = 0;
    memset(iommu_attached, 0, sizeof(iommu_attached));
    acpi.mmcfg_base = MMCFG;
    acpi.mmcfg_end_bus = 255;
    boot.map.count = 2;
    boot.map.entry[0] = (struct e820_entry){0, 0x80000000, E820_RAM};
    boot.map.entry[1] = (struct e820_entry){0xfd000000, 0x1000000, 2};
    ioapic_count = 1;
    ioapics[0].address = 0xfec00000;
    for (unsigned int i = 0; i < DEVICES; i++) {
        *word(i, 0) = 0x12340000 + i;
        writable[i][COMMAND] = 7;
        writable[i][COMMAND + 1] = 4;
    }
    bar(PLAIN, 0x10, MMIO_BASE, 0x2000, 0);
    bar(PLAIN, 0x14, 0xc001, 0x20, 1);
    capability(PLAIN, 0x50, CAP_MSI, 0, 0x0188); /* 64 bits, maskable, 16 */
    memset(&writable[PLAIN][0x54], 0xff, 20);
    writable[PLAIN][0x52] = 0x71;
    bar(MSIX, 0x10, MMIO_BASE + 0x400000, 0x400000, 4);
    bar(MSIX, 0x30, MMIO_BASE + 0x100000, 0x10000, 0);
    writable[MSIX][0x30] |= 1;
    capability(MSIX, 0x40, CAP_MSI, 0x60, 0); /* 32 bits */
    memset(&writable[MSIX][0x44], 0xff, 8);
    writable[MSIX][0x42] = 0x71;
    capability(MSIX, 0x60, CAP_MSIX, 0, 3); /* 4 entries */
    writable[MSIX][0x63] = 0xc0;
    *word(MSIX, 0x64) = 0x2000;
    cfg[MSIX][COMMAND] = 6;
    for (unsigned int i = 0; i < 4; i++) mmio[0x402000 + 16 * i + 12] = 1;
    bar(SMALL1, 0x10, MMIO_BASE + 0x5100, 0x100, 0);
    bar(SMALL2, 0x10, MMIO_BASE + 0x5200, 0x100, 0);
    if (a) options.assigned[options.assigned_count++] = *a;
    vpci_init();
    CHECK(device_count == DEVICES);
}

static void begin(void)
{
    begin_with(NULL);
}

static void end(void)
{
    CHECK(windows == 0 && flushes == 0);
    for (unsigned int i = 0; i < device_count; i++) {
        core_free(devices[i]->entry);
        core_free(devices[i]);
    }
    CHECK(fake.objects == 0);
}

static unsigned int pages(uint64_t at, uint64_t size)
{
    unsigned int n = 0;

    for (uint64_t gfn = at >> 12; gfn < (at + size) >> 12; gfn++) n += mapped[gfn] != 0;
    return n;
}

/* dom0 touches a page; true when it now has it. */
static bool touch(uint64_t at)
{
    uint64_t v = 0;

    if (mapped[at >> 12]) return true;
    if (vpci_map(who, at)) {
        CHECK(mapped[at >> 12]);
        return true;
    }
    vpci_access(who, at, 4, false, &v);
    return false;
}

static unsigned int all_pages(void)
{
    return pages(0, 1ull << 32);
}

/* --- tests --- */

static void vpci_firmware(void)
{
    begin();
    /* dom0 has device memory from its first access on, but for the table's page. */
    CHECK(all_pages() == 0);
    for (uint64_t at = MMIO_BASE + 0x400000; at < MMIO_BASE + 0x800000; at += PAGE_SIZE)
        CHECK(touch(at) == (at != MMIO_BASE + 0x402000));
    CHECK(pages(MMIO_BASE + 0x400000, 0x400000) == 1023);
    CHECK(mapped[(MMIO_BASE + 0x402000) >> 12] == 0);
    CHECK(mapped[(MMIO_BASE + 0x600000) >> 12] == 2); /* a large leaf */
    CHECK(all_pages() == 1023);
    CHECK(vpci_map(who, MMIO_BASE + 0x401000)); /* another vCPU was faster */
    CHECK(cfg[MSIX][COMMAND] == 6 && !memcmp(&cfg[MSIX][0x10], "\4\0\x40\xfe\0\0\0", 8));
    CHECK(get(BRIDGE, 0, 4) == 0x12340000 && get(7, 0, 4) == ALL);
    CHECK(get(PLAIN, 2, 2) == 0x1234 && get(PLAIN, 1, 1) == 0);
    CHECK(vpci_port_access(who, 0xcff, 2, true, 0) == ALL);
    vpci_port_access(who, 0xcf8, 4, false, 0);
    CHECK(vpci_port_access(who, 0xcfc, 4, true, 0) == ALL);
    /* Four bytes at 0xcf9 would reach the data port. */
    address_port = 1u << 31 | PLAIN << 11 | 0x54;
    vpci_port_access(who, 0xcf9, 4, false, ALL);
    CHECK(*word(PLAIN, 0x54) == 0);
    extended[0x10] = 0x77;
    CHECK((mmcfg(MMCFG + 0x110, 1, false, 0) & 255) == 0);
    extended[0x110] = 0x77;
    CHECK((mmcfg(MMCFG + 0x110, 1, false, 0) & 255) == 0x77);
    CHECK(mmcfg(MMCFG + 2, 4, false, 0) == ~0ull);
    CHECK(mmcfg(MMCFG, 8, false, 0) == ~0ull);
    end();
}

/* Pages of a range that dom0 can have. */
static unsigned int touchable(uint64_t at, uint64_t size)
{
    unsigned int n = 0;

    for (uint64_t page = at; page < at + size; page += PAGE_SIZE) n += touch(page);
    return n;
}

static void vpci_decoding(void)
{
    begin();
    put(PLAIN, COMMAND, 2, 6);
    CHECK(touchable(MMIO_BASE, 0x2000) == 2);
    put(PLAIN, 0x10, 4, MMIO_BASE + 0x8000); /* stays while it decodes */
    CHECK(get(PLAIN, 0x10, 4) == MMIO_BASE);
    put(PLAIN, COMMAND, 1, 4);
    CHECK(pages(MMIO_BASE, 0x2000) == 0 && touchable(MMIO_BASE, 0x2000) == 0);
    put(PLAIN, 0x10, 4, ALL); /* sizing */
    CHECK(get(PLAIN, 0x10, 4) == 0xffffe000);
    put(PLAIN, 0x10, 4, MMIO_BASE + 0x8000);
    put(PLAIN, COMMAND, 4, 6);
    CHECK(touchable(MMIO_BASE + 0x8000, 0x2000) == 2 && all_pages() == 2);
    put(PLAIN, 0x14, 4, 0xd001); /* ports may move */
    CHECK(get(PLAIN, 0x14, 4) == 0xd001 || get(PLAIN, 0x14, 4) == 0xd000);
    /* Two devices in one page. */
    put(SMALL1, COMMAND, 2, 2);
    put(SMALL2, COMMAND, 2, 2);
    CHECK(touchable(MMIO_BASE + 0x5000, 0x1000) == 1);
    put(SMALL1, COMMAND, 2, 0);
    CHECK(touchable(MMIO_BASE + 0x5000, 0x1000) == 1);
    put(SMALL2, COMMAND, 2, 0);
    CHECK(pages(MMIO_BASE + 0x5000, 0x1000) == 0);
    CHECK(touchable(MMIO_BASE + 0x5000, 0x1000) == 0);
    /* The ROM has its own switch, behind that of memory. */
    put(MSIX, 0x30, 4, MMIO_BASE + 0x100001);
    CHECK(touchable(MMIO_BASE + 0x100000, 0x10000) == 16);
    put(MSIX, 0x30, 4, MMIO_BASE + 0x110001);
    CHECK(pages(MMIO_BASE + 0x100000, 0x20000) == 0);
    CHECK(touchable(MMIO_BASE + 0x100000, 0x20000) == 16 && all_pages() == 2 + 16);
    put(MSIX, COMMAND, 2, 0);
    CHECK(all_pages() == 2 && touchable(MMIO_BASE + 0x100000, 0x20000) == 0);
    put(MSIX, COMMAND, 2, 2);
    CHECK(touchable(MMIO_BASE + 0x100000, 0x20000) == 16);
    CHECK(touchable(MMIO_BASE + 0x400000, 0x400000) == 1023);
    put(MSIX, 0x30, 4, 0);
    CHECK(touchable(MMIO_BASE + 0x100000, 0x20000) == 0 && all_pages() == 2 + 1023);
    /* A reset of the device, which the core does not see: all is set again. */
    cfg[MSIX][COMMAND] = 0;
    memset(&cfg[MSIX][0x10], 0, 4);
    put(MSIX, 0x10, 4, MMIO_BASE + 0xc00000);
    put(MSIX, COMMAND, 2, 6);
    CHECK(!touch(MMIO_BASE + 0xc02000) && touch(MMIO_BASE + 0xc03000));
    end();
}

/* dom0 cannot reach RAM, or what is the core's, by moving a BAR there. */
static void vpci_forbidden(void)
{
    static const uint64_t at[] = {0x10000000, 0x7ffff000, 0xfec00000,          0xfee00000,
                                  0xfed00000, MMCFG,      MMIO_BASE + 0x402000};
    const unsigned int table = 6;
    uint64_t v = 0;

    begin();
    bar(PLAIN, 0x10, 0, 0x1000, 0);
    devices[PLAIN]->bar[0].size = 0x1000;
    for (unsigned int i = 0; i < ARRAY_SIZE(at); i++) {
        put(PLAIN, 0x10, 4, at[i]);
        put(PLAIN, COMMAND, 2, 2);
        CHECK(!touch(at[i]) && all_pages() == 0);
        put(PLAIN, COMMAND, 2, 0);
    }
    /* A table that comes to lie over mapped memory takes its page back. */
    put(MSIX, COMMAND, 2, 0);
    put(PLAIN, 0x10, 4, at[table]);
    put(PLAIN, COMMAND, 2, 2);
    CHECK(touch(at[table]) && all_pages() == 1);
    put(MSIX, COMMAND, 2, 2);
    CHECK(all_pages() == 0 && !touch(at[table]));
    CHECK(touchable(MMIO_BASE + 0x400000, 0x400000) == 1023);
    put(PLAIN, COMMAND, 2, 0);
    CHECK(all_pages() == 1023);
    put(MSIX, COMMAND, 2, 0);
    bar(PLAIN, 0x10, 0, 0x400000, 0); /* RAM in its first part, and half a page */
    devices[PLAIN]->bar[0].size = 0x400000;
    boot.map.entry[0].size = 0x80201800;
    put(PLAIN, 0x10, 4, 0x80000000);
    put(PLAIN, COMMAND, 2, 2);
    CHECK(touchable(0x80000000, 0x400000) == 511 && !mapped[0x80200]);
    put(PLAIN, COMMAND, 2, 0);
    CHECK(all_pages() == 0);
    /* Nor does a table of the core's own memory come to be. */
    writable[MSIX][0x11] = writable[MSIX][0x12] = 0xff;
    for (unsigned int i = 0; i < table; i++) {
        put(MSIX, 0x10, 4, at[i] - 0x2000);
        put(MSIX, COMMAND, 2, 2);
        put(MSIX, 0x62, 2, 0x8000);
        CHECK(!devices[MSIX]->table && !(cfg[MSIX][0x63] & 0x80));
        CHECK(!vpci_map(who, at[i]) && (at[i] == MMCFG || !vpci_access(who, at[i], 4, true, &v)));
        put(MSIX, COMMAND, 2, 0);
    }
    end();
}

/* Firmware's memory, but for what the core keeps. */
static void vpci_firmware_memory(void)
{
    begin();
    boot.map.entry[0] = (struct e820_entry){0, 0x9fc00, E820_RAM};
    boot.map.entry[1] = (struct e820_entry){0xfec00000, 0x400800, 2};
    CHECK(!touch(0) && !touch(0x9e000) && touch(0x9f000) && touch(0xfffff000 & 0xff000));
    CHECK(!touch(0x100000) && touchable(0xfeb00000, 0x700000) == 0x401 - 3);
    CHECK(!mapped[0xfec00] && !mapped[0xfed00] && !mapped[0xfee00]);
    boot.map.entry[1] = (struct e820_entry){0xf1000000, 0x400000, 5}; /* unusable */
    CHECK(!touch(0xf1000000));
    end();
}

static void vpci_msi(void)
{
    unsigned int vector;

    begin();
    CHECK(get(PLAIN, 0x50, 4) == (0x0180u << 16 | CAP_MSI)); /* one message */
    put(PLAIN, 0x54, 4, 0xfee02000);
    put(PLAIN, 0x58, 4, 0);
    put(PLAIN, 0x5c, 4, 0x4123); /* four bytes, where two would do */
    CHECK(*word(PLAIN, 0x54) == 0 && *word(PLAIN, 0x5c) == 0);
    CHECK(get(PLAIN, 0x54, 4) == 0xfee02000 && get(PLAIN, 0x5c, 2) == 0x4123);
    put(PLAIN, 0x60, 4, 0x55); /* the mask is the hardware's */
    CHECK(*word(PLAIN, 0x60) == 0x55);
    put(PLAIN, 0x52, 1, 1);
    CHECK(get(PLAIN, 0x52, 2) == 0x0181);
    CHECK(cfg[PLAIN][0x52] == 0x89 && vectors_used == 1);
    vector = cfg[PLAIN][0x5c];
    CHECK(vectors[vector].fn == deliver);
    CHECK(*word(PLAIN, 0x54) == 0xfee00000 && !*word(PLAIN, 0x58));
    vectors[vector].fn(vectors[vector].data);
    CHECK(taken.dest == 2 && !taken.logical && taken.vector == 0x23);
    CHECK(taken.mode == 1);
    put(PLAIN, 0x54, 4, 0xfee06004); /* another vCPU: only dom0's copy */
    CHECK(*word(PLAIN, 0x54) == 0xfee00000);
    vectors[vector].fn(vectors[vector].data);
    CHECK(taken.dest == 6 && taken.logical);
    put(PLAIN, 0x50, 4, 0x0180u << 16);
    CHECK(cfg[PLAIN][0x52] == 0x88 && vectors_used == 0);
    put(MSIX, 0x48, 2, 0x31); /* 32 bits: the data is at 8 */
    put(MSIX, 0x42, 2, 1);
    CHECK(vectors[cfg[MSIX][0x48]].fn && cfg[MSIX][0x42] == 1);
    vectors_limit = 1;
    put(PLAIN, 0x52, 2, 1); /* no vector: stays off */
    CHECK(!(cfg[PLAIN][0x52] & 1) && vectors_used == 1);
    put(PLAIN, 0x52, 2, 0);
    put(MSIX, 0x42, 2, 0);
    CHECK(vectors_used == 0);
    end();
}

static uint64_t table(unsigned int off, unsigned int size, bool write, uint64_t v)
{
    CHECK(vpci_access(who, MMIO_BASE + 0x402000 + off, size, write, &v));
    return v;
}

static void vpci_msix(void)
{
    volatile uint32_t *hw = (uint32_t *)&mmio[0x402000];
    unsigned int vector;
    uint64_t none = 0;

    begin();
    CHECK(!vpci_access(who, MMIO_BASE + 0x401000, 4, false, &none));
    CHECK(table(12, 4, false, 0) == 1);
    table(16, 4, true, 0xfee02000);
    table(24, 4, true, 0x31);
    table(28, 4, true, 0); /* before MSI-X is on: nothing yet */
    CHECK(hw[7] == 1 && vectors_used == 0 && table(28, 4, false, 0) == 0);
    put(MSIX, 0x63, 1, 0x80);
    CHECK(cfg[MSIX][0x63] == 0x80 && vectors_used == 1 && hw[7] == 0);
    vector = hw[6];
    CHECK(vectors[vector].fn == deliver && hw[4] == 0xfee00000);
    vectors[vector].fn(vectors[vector].data);
    CHECK(taken.dest == 2 && taken.vector == 0x31 && taken.mode == 0);
    table(28, 4, true, 1); /* masked: keeps its vector */
    CHECK(hw[7] == 1 && vectors_used == 1);
    hw[4] = hw[6] = 0; /* the device was reset; dom0 writes it all again */
    table(16, 8, true, 0xfee04000);
    table(24, 8, true, 0x32);
    CHECK(hw[7] == 0 && hw[6] == vector && hw[4] == 0xfee04000);
    CHECK(vectors_used == 1);
    table(56, 8, true, 0x33); /* entry 3 */
    CHECK(vectors_used == 2 && vectors[hw[14]].fn);
    put(MSIX, 0x62, 2, 0); /* off: no entry can fire again */
    CHECK(vectors_used == 0 && hw[7] == 1 && hw[15] == 1);
    put(MSIX, 0x60, 4, 0x80000000);
    CHECK(vectors_used == 2 && hw[7] == 0 && hw[15] == 0 && hw[3] == 1);
    CHECK(vectors[hw[14]].fn && vectors[hw[6]].fn);
    vectors_limit = 2;
    table(12, 4, true, 0); /* no vector left */
    CHECK(hw[3] == 1);
    mmio[0x402800] = 0x42; /* beside the table: the device's registers */
    CHECK((table(0x800, 1, false, 0) & 255) == 0x42);
    table(0x804, 4, true, 0x99);
    CHECK(mmio[0x402804] == 0x99);
    CHECK(table(14, 4, false, 0) == ~0ull && table(17, 1, false, 0) == ~0ull);
    put(MSIX, 0x62, 2, 0);
    put(MSIX, COMMAND, 2, 0);
    put(MSIX, 0x62, 2, 0x8000); /* without memory it stays off */
    CHECK(!(cfg[MSIX][0x63] & 0x80));
    end();
}

/* --- whatever dom0 writes --- */

static bool ours(unsigned int vector, const void *message)
{
    return vector < 256 && vectors[vector].fn == deliver && vectors[vector].data == message;
}

static void check_messages(void)
{
    for (unsigned int i = 0; i < device_count; i++) {
        struct device *p = devices[i];
        unsigned int data = p->msi_control & MSI_64BIT ? 12 : 8;

        if (p->msi && cfg[i][p->msi + 2] & 1) {
            CHECK(ours(cfg[i][p->msi + data], &p->one));
            CHECK((*word(i, p->msi + 4) & ~0xff000u) == 0xfee00000);
        }
    }
    for (unsigned int i = 0; i < 4; i++) {
        uint32_t *e = (uint32_t *)&mmio[0x402000 + 16 * i];

        if (!(e[3] & 1) && cfg[MSIX][0x63] & 0x80) CHECK(ours(e[2], &devices[MSIX]->entry[i]));
    }
}

static bool should_map(uint64_t page)
{
    for (unsigned int i = 0; i < device_count; i++)
        for (unsigned int b = 0; b < devices[i]->bars; b++) {
            bool rom = devices[i]->bar[b].reg == 0x30;
            uint32_t low;

            if (!(cfg[i][COMMAND] & 2)) continue;
            memcpy(&low, &cfg[i][devices[i]->bar[b].reg], 4);
            if (rom && !(low & 1)) continue;
            if (overlap(page, PAGE_SIZE, low & (rom ? ~0x7ffu : ~15u), devices[i]->bar[b].size))
                return true;
        }
    return false;
}

static void check_maps(void)
{
    for (uint64_t gfn = 0; gfn < 1 << 20; gfn++) {
        uint64_t at = gfn << 12;

        if (!mapped[gfn]) continue;
        CHECK(should_map(at) && !(at < 0x80000000));
        CHECK(at != 0xfec00000 && at != 0xfee00000 && at != 0xfed00000);
        CHECK(at < MMCFG || at >= MMCFG + (256 << 20));
        CHECK(!(cfg[MSIX][COMMAND] & 2) || at >> 12 != (*word(MSIX, 0x10) + 0x2000) >> 12);
    }
}

/* --- a device that is kept for a guest --- */

static void vpci_assigned(void)
{
    struct assignment a = {.handle = {7}, .bdf = MSIX << 3};

    begin_with(&a);
    iommu.driver = (void *)&iommu;
    CHECK(get(MSIX, 0, 4) == ALL && get(PLAIN, 0, 4) == 0x12340001);
    CHECK(!iommu_attached[MSIX << 3] && iommu_attached[PLAIN << 3] == dom0);
    CHECK(cfg[MSIX][COMMAND] == 0 && cfg[MSIX][COMMAND + 1] == 4);
    CHECK(!touch(MMIO_BASE + 0x400000) && (mmcfg(MMCFG + (MSIX << 15) + 0x110, 1, false, 0) & 1));
    vpci_assign(fake_guest); /* another's handle */
    CHECK(!iommu_attached[MSIX << 3] && !fake_guest->pci);
    fake_guest->handle[0] = 7;
    vpci_assign(fake_guest);
    CHECK(iommu_attached[MSIX << 3] == fake_guest && fake_guest->pci);
    CHECK(!touch(MMIO_BASE + 0x400000));
    end();
}

static uint32_t guest_get(unsigned int dev, unsigned int reg)
{
    vpci_port_access(who, 0xcf8, 4, false, 1u << 31 | dev << 11 | reg);
    return vpci_port_access(who, 0xcfc, 4, true, 0);
}

static void guest_put(unsigned int dev, unsigned int reg, uint32_t v)
{
    vpci_port_access(who, 0xcf8, 4, false, 1u << 31 | dev << 11 | reg);
    vpci_port_access(who, 0xcfc, 4, false, v);
}

static void vpci_of_guest(void)
{
    struct assignment a = {.handle = {7}, .bdf = MSIX << 3};
    struct p2m p2m = {.dma = true};
    uint64_t v = 0;

    begin_with(&a);
    fake_guest->p2m = &p2m;
    fake_guest->handle[0] = 7;
    vpci_assign(fake_guest);
    who = fake_guest;
    /* Its bus: a host bridge, the device, nothing else; no MMCFG, no reset. */
    CHECK(guest_get(0, 8) >> 16 == 0x0600 && guest_get(1, 0) == 0x12340002);
    CHECK(guest_get(2, 0) == ALL && guest_get(32, 0) == ALL);
    CHECK(!vpci_access(who, MMCFG, 4, false, &v));
    CHECK(vpci_port_access(who, 0xcf9, 1, true, 0) == ALL);
    /* A BAR tells its size and stays; there is no ROM and no pin. */
    guest_put(1, 0x10, ALL);
    guest_put(1, 0x14, ALL);
    CHECK(guest_get(1, 0x10) == 0xffc00004 && guest_get(1, 0x14) == ALL);
    guest_put(1, 0x10, 0xd0000000);
    guest_put(1, 0x14, 0);
    CHECK(guest_get(1, 0x10) == ((uint32_t)MMIO_BASE + 0x400000) + 4 && guest_get(1, 0x14) == 0);
    guest_put(1, 0x30, ALL);
    CHECK(guest_get(1, 0x30) == 0 && *word(MSIX, 0x30) == (uint32_t)MMIO_BASE + 0x100000);
    CHECK(guest_get(1, 0x3c) == 0);
    /* Memory while it decodes, and no other's. */
    CHECK(!touch(MMIO_BASE + 0x400000));
    guest_put(1, COMMAND, ALL);
    CHECK(cfg[MSIX][COMMAND] == 6 && cfg[MSIX][COMMAND + 1] == 4);
    CHECK(touch(MMIO_BASE + 0x400000) && !touch(MMIO_BASE) && !touch(0xfd000000) &&
          !touch(0xa0000));
    /* Its messages are delivered to it. */
    guest_put(1, 0x60, 0x80000000);
    CHECK(vpci_access(who, MMIO_BASE + 0x402000, 4, true, (uint64_t[]){0xfee02000}));
    CHECK(vpci_access(who, MMIO_BASE + 0x402008, 4, true, (uint64_t[]){0x61}));
    CHECK(vpci_access(who, MMIO_BASE + 0x40200c, 4, true, (uint64_t[]){0}));
    CHECK(vectors_used == 1);
    taken.vector = 0;
    vectors[mmio[0x402008]].fn(vectors[mmio[0x402008]].data);
    CHECK(taken.vector == 0x61);
    /* It dies: cut off at once, free when it was reset. */
    CHECK(vpci_release(who) == -XEN_ERESTART);
    CHECK(!iommu_attached[MSIX << 3] && !vectors_used && !(cfg[MSIX][COMMAND] & 6));
    CHECK(all_pages() == 0);
    CHECK(vpci_release(who) == -XEN_ERESTART);
    fake.now += 100 * NS_PER_MS;
    CHECK(vpci_release(who) == 0 && guest_get(1, 0) == ALL && !p2m.dma);
    who = dom0;
    CHECK(get(MSIX, 0, 4) == ALL);
    end();
}

static void vpci_noise(void)
{
    static const uint8_t regs[] = {0x04, 0x10, 0x14, 0x30, 0x40, 0x42, 0x44, 0x48, 0x50, 0x52,
                                   0x53, 0x54, 0x58, 0x5c, 0x60, 0x61, 0x62, 0x63, 0x64};

    begin();
    vectors_limit = 5;
    writable[MSIX][0x12] = 0; /* its table stays in the model's memory */
    writable[MSIX][0x13] = 0;
    memset(&writable[MSIX][0x14], 0, 4);
    for (unsigned int step = 0; step < 300000 && !check_failed; step++) {
        unsigned int size = 1u << fake_random() % 3, n = fake_random();
        unsigned int reg = regs[n % ARRAY_SIZE(regs)];
        uint32_t v = n & 0x10000 ? fake_random() : n >> 20;

        if (reg >= 0x10 && reg < 0x18 && n & 0x20000) v = MMIO_BASE + (v & 0xffffff);
        reg &= ~(size - 1);
        switch (n >> 28 & 3) {
        case 0:
            if (cfg[MSIX][COMMAND] & 2) table((v & 0x3f) & ~3u, n & 1 ? 4 : 8, true, v >> 8);
            break;
        case 1:
            get(n >> 8 & 7, reg, size);
            touch(n & 0x80 ? MMIO_BASE + (v & 0xfff000) : 0xfec00000 + (v & 0x3ff000));
            break;
        default: put(n >> 8 & 7, reg, size, v);
        }
        check_messages();
        if (step % 1000 == 0) check_maps();
    }
    check_maps();
    end();
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    RUN(vpci_firmware);
    RUN(vpci_decoding);
    RUN(vpci_forbidden);
    RUN(vpci_firmware_memory);
    RUN(vpci_msi);
    RUN(vpci_msix);
    RUN(vpci_assigned);
    RUN(vpci_of_guest);
    RUN(vpci_noise);
    return CHECK_RESULT();
}
