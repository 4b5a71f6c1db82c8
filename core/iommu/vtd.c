/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel VT-d: Virtualization Technology for Directed I/O specification, rev.
 * 4, legacy mode with queued invalidation.  All units share root and context
 * tables and the table of interrupts, where entry n is for vector n.  Its page
 * tables have the format of EPT's: the p2m's serve as they are.
 */
#include "boot/acpi.h"
#include "boot/acpi_tables.h"
#include "cpu/cpu.h"
#include "cpu/irq.h"
#include "cpu/lock.h"
#include "cpu/time.h"
#include "device/hwdev.h"
#include "iommu/iommu.h"
#include "lib/print.h"
#include "memory/heap.h"
#include "memory/window.h"
#include "vm/domain.h"
#include "vm/p2m.h"
#include "vm/vendor.h"

#define MAX_UNITS 16
#define QUEUE     256u /* descriptors of 16 bytes: 4 KiB */
#define REGS_SIZE 0x1000

/* Registers (11.4). */
#define CAP          0x08
#define ECAP         0x10
#define COMMAND      0x18
#define STATUS       0x1c
#define ROOT         0x20
#define FAULT_STATUS 0x34
#define FAULT_EVENT  0x38 /* control, data, address, upper address */
#define PROTECTED    0x64 /* PMEN */
#define QUEUE_TAIL   0x88
#define QUEUE_BASE   0x90
#define INTERRUPTS   0xb8 /* the table's address, EIME, log2 of the entries - 1 */

#define CAP_DOMAINS(c) (16u << 2 * ((c)&7)) /* ids that it tells apart */
#define CAP_LEVELS3(c) ((c) >> 9 & 1)
#define CAP_LEVELS4(c) ((c) >> 10 & 1)
#define CAP_LARGE(c)   ((c) >> 34 & 3) /* 2 MiB, 1 GiB */
#define CAP_RECORDS(c) (((c) >> 40 & 0xff) + 1)
#define CAP_FAULTS(c)  (((c) >> 24 & 0x3ff) * 16) /* offset of the records */
#define CAP_CACHING    BIT(7)
#define ECAP_COHERENT  BIT(0)
#define ECAP_QUEUED    BIT(1)
#define ECAP_REMAP     BIT(3)
#define ECAP_X2APIC    BIT(4)
#define TRANSLATE      BIT(31)
#define SET_ROOT       BIT(30)
#define QUEUED         BIT(26)
#define REMAP          BIT(25)
#define SET_INTERRUPTS BIT(24)
#define COMPATIBLE     BIT(23) /* requests without an entry are let through */
#define ONE_SHOT       (SET_ROOT | BIT(29) | BIT(27) | SET_INTERRUPTS)

/* Descriptors (6.5.2). */
#define INVALIDATE_CONTEXTS (1ull | 1 << 4) /* all */
#define INVALIDATE_ALL      (2ull | 1 << 4 | 3 << 6)
#define INVALIDATE_DOMAIN   (2ull | 2 << 4 | 3 << 6) /* 3 << 6: drain */
#define INVALIDATE_REMAPS   4ull                     /* all */
#define WAIT_STORE          (5ull | 1 << 5)

/* Entries for interrupts (9.10). */
#define REMAP_PRESENT 1u
#define REMAP_LEVEL   BIT(4)
#define REMAP_VERIFY  BIT(18) /* in the second quadword: the source is this one */
#define VECTORS       256u

struct unit {
    uint64_t base, cap;
    volatile char *regs;
    uint64_t *queue;
    unsigned int tail;
    volatile uint32_t done; /* written by the unit */
};

struct entry { /* of the root table, a context table, that of interrupts */
    uint64_t low, high;
};

/* Guards: all tables, the queues. */
static struct spinlock lock = SPINLOCK(RANK_IOMMU);
static struct unit units[MAX_UNITS];
static unsigned int unit_count;
static struct entry *root, *interrupts;
static bool three_levels;                    /* 39 bits of address, not 48 */
static uint32_t domain_ids = CAP_DOMAINS(6); /* from 0 */

static uint32_t read32(struct unit *u, unsigned int reg)
{
    return *(volatile uint32_t *)(u->regs + reg);
}

static void write32(struct unit *u, unsigned int reg, uint32_t v)
{
    *(volatile uint32_t *)(u->regs + reg) = v;
}

static uint64_t read64(struct unit *u, unsigned int reg)
{
    return *(volatile uint64_t *)(u->regs + reg);
}

static void write64(struct unit *u, unsigned int reg, uint64_t v)
{
    *(volatile uint64_t *)(u->regs + reg) = v;
}

static void check_time(struct unit *u, uint64_t since)
{
    if (now() - since > NS_PER_SEC) panic("IOMMU at %lx does not answer", u->base);
    cpu_poll();
    cpu_relax();
}

/* --- the queue; lock held --- */

static void submit(struct unit *u, uint64_t low, uint64_t high)
{
    uint64_t *d = u->queue + u->tail * 2ul;

    d[0] = low;
    d[1] = high;
    iommu_sync(d, 16);
    u->tail = (u->tail + 1) % QUEUE;
}

/* Starts what was submitted and waits for it. */
static void complete(struct unit *u)
{
    uint64_t start = now();

    u->done = 0;
    submit(u, WAIT_STORE | 1ull << 32, iommu_phys((void *)&u->done));
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    write64(u, QUEUE_TAIL, u->tail * 16ul);
    while (!u->done) check_time(u, start);
}

/* --- whose memory a device reaches --- */

static struct entry *context_of(uint16_t bdf)
{
    struct entry *r = &root[bdf >> 8], *t;

    if (!(r->low & 1)) {
        t = core_alloc_pages(1);
        if (!t) return NULL;
        iommu_sync(t, PAGE_SIZE);
        __atomic_store_n(&r->low, core_to_phys(t) | 1, __ATOMIC_RELEASE);
        iommu_sync(r, sizeof(*r));
    }
    return (struct entry *)core_from_mfn(r->low >> PAGE_SHIFT) + (bdf & 0xff);
}

static void vtd_attach(uint16_t bdf, struct domain *d)
{
    struct entry *e;
    uint64_t low = 2; /* not present, its faults are not recorded */

    if (d && iommu_domain_id(d) >= domain_ids) {
        log_warn("IOMMU: it cannot tell d%u from others: device %x stays blocked", d->id, bdf);
        d = NULL;
    }
    if (d && three_levels && !p2m_low_table(d)) d = NULL;
    if (d) low = (three_levels ? p2m_low_table(d) : core_to_phys(d->p2m->root)) | 1;
    spin_lock(&lock);
    e = context_of(bdf);
    if (!e) {
        spin_unlock(&lock);
        log_warn("IOMMU: no memory for the tables of device %x: it stays blocked", bdf);
        return;
    }
    e->low = 0;
    e->high = d ? (uint64_t)iommu_domain_id(d) << 8 | (three_levels ? 1 : 2) : 0;
    __atomic_store_n(&e->low, low, __ATOMIC_RELEASE);
    iommu_sync(e, sizeof(*e));
    for (unsigned int i = 0; i < unit_count; i++) {
        submit(&units[i], INVALIDATE_CONTEXTS, 0);
        submit(&units[i], INVALIDATE_ALL, 0);
        complete(&units[i]);
    }
    spin_unlock(&lock);
}

static void vtd_flush(struct domain *d)
{
    if (iommu_domain_id(d) >= domain_ids) return; /* it has no device */
    spin_lock(&lock);
    for (unsigned int i = 0; i < unit_count; i++) {
        submit(&units[i], INVALIDATE_DOMAIN | (uint64_t)iommu_domain_id(d) << 16, 0);
        complete(&units[i]);
    }
    spin_unlock(&lock);
}

static void vtd_remap(uint16_t source, uint8_t vector, uint32_t id, bool level)
{
    struct entry *e = &interrupts[vector];
    uint64_t low = (uint64_t)(apic_is_x2() ? id : id << 8) << 32 | (uint64_t)vector << 16 |
                   (level ? REMAP_LEVEL : 0) | REMAP_PRESENT;

    spin_lock(&lock);
    if (e->high != (REMAP_VERIFY | source)) { /* else a request meets the old or the new */
        __atomic_store_n(&e->low, 0, __ATOMIC_RELEASE);
        __atomic_store_n(&e->high, REMAP_VERIFY | source, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&e->low, low, __ATOMIC_RELEASE);
    iommu_sync(e, sizeof(*e));
    for (unsigned int i = 0; i < unit_count; i++) {
        submit(&units[i], INVALIDATE_REMAPS, 0);
        complete(&units[i]);
    }
    spin_unlock(&lock);
}

/* 5.1.2.2: entry n of the table is for vector n. */
static void vtd_message(uint16_t bdf, uint8_t vector, uint32_t apic_id, uint64_t *address,
                        uint32_t *data)
{
    vtd_remap(bdf, vector, apic_id, false);
    *address = 0xfee00010 | vector << 5;
    *data = 0;
}

/* --- faults --- */

static void take_faults(void *data)
{
    struct unit *u = data;

    for (unsigned int i = 0; i < CAP_RECORDS(u->cap); i++) {
        unsigned int reg = CAP_FAULTS(u->cap) + i * 16ul;
        uint64_t high = read64(u, reg + 8), address;

        if (!(high & BIT(63))) continue;
        address = read64(u, reg) & PAGE_MASK;
        write32(u, reg + 12, BIT(31)); /* the record is free again */
        iommu_fault(high, address, !(high & BIT(62)), high >> 32 & 0xff);
    }
    write32(u, FAULT_STATUS, 1); /* overflow */
}

static void enable_faults(struct unit *u)
{
    int vector = irq_alloc_vector(take_faults, u);
    uint64_t address;
    uint32_t data;

    if (vector < 0) panic("no vector for the IOMMU at %lx", u->base);
    apic_msi_message(apic_id(), vector, &address, &data);
    write32(u, FAULT_EVENT + 4, data);
    write32(u, FAULT_EVENT + 8, address);
    write32(u, FAULT_EVENT + 12, address >> 32);
    take_faults(u); /* of before */
    write32(u, FAULT_EVENT, 0);
}

/* --- the table DMAR (8.1) --- */

static _Noreturn void malformed(const struct acpi_header *h, const void *at)
{
    panic("ACPI: the DMAR is malformed at byte %lu; iommu=off starts without it",
          (const char *)at - (const char *)h);
}

/* Which requests are the IO-APICs' (8.3.1). */
static void parse_scopes(const struct acpi_header *h, const uint8_t *s, const uint8_t *end)
{
    for (; s < end; s += s[1]) {
        const uint8_t *path = s + 6;
        uint8_t bus = end - s >= 6 ? s[5] : 0;

        if (end - s < 6 || s[1] < 6 || s[1] > end - s) malformed(h, s);
        if (s[0] != 3 || s[1] < 8) continue;
        for (; path + 4 <= s + s[1]; path += 2) /* through bridges */
            bus = cfg_read(bus << 8 | (path[0] & 31) << 3 | (path[1] & 7), 0x19, 1);
        for (unsigned int i = 0; i < ioapic_count; i++)
            if (ioapics[i].id == s[4])
                ioapics[i].source = bus << 8 | (path[0] & 31) << 3 | (path[1] & 7);
    }
}

static void parse(const struct acpi_header *h)
{
    const uint8_t *b = (const uint8_t *)h + 48, *end = (const uint8_t *)h + h->length;

    while (b < end) {
        unsigned int len = end - b >= 4 ? get16(b + 2) : 0;

        if (len < 4 || len > end - b) malformed(h, b);
        if (get16(b) == 0) { /* DRHD */
            uint64_t base = len >= 16 ? get64(b + 8) : 0;

            if (!base || base & (REGS_SIZE - 1) || base >> 52 || get16(b + 6) ||
                unit_count == MAX_UNITS)
                malformed(h, b);
            units[unit_count++].base = base;
            parse_scopes(h, b + 16, b + len);
        } else if (get16(b) == 1) { /* RMRR */
            if (len < 24 || get64(b + 16) < get64(b + 8) || get64(b + 16) == ~0ull) malformed(h, b);
            iommu_add_reserved(get64(b + 8), get64(b + 16) + 1);
        }
        b += len;
    }
}

/* --- boot --- */

static void set_command(struct unit *u, uint32_t bit, bool on)
{
    uint32_t state = read32(u, STATUS) & ~ONE_SHOT;
    uint64_t start = now();

    write32(u, COMMAND, on ? state | bit : state & ~bit);
    while (!(read32(u, STATUS) & bit) == on) check_time(u, start);
}

/* Looks at a unit before any is changed. */
static void probe(struct unit *u)
{
    uint64_t ecap;
    unsigned int large;

    u->regs = vmap_device(u->base, REGS_SIZE);
    if (!u->regs) panic("no memory for the IOMMU at %lx", u->base);
    u->cap = read64(u, CAP);
    ecap = read64(u, ECAP);
    large = CAP_LARGE(u->cap);
    if (!(ecap & ECAP_QUEUED) || !(CAP_LEVELS3(u->cap) || CAP_LEVELS4(u->cap)) ||
        (vendor->max_level > 1 && !(large & 1)) || (vendor->max_level > 2 && !(large & 2)))
        panic("IOMMU at %lx is too old (capabilities %lx %lx); iommu=off starts without it",
              u->base, u->cap, ecap);
    if (CAP_FAULTS(u->cap) + CAP_RECORDS(u->cap) * 16 > REGS_SIZE)
        panic("IOMMU at %lx: its fault records are out of reach", u->base);
    domain_ids = MIN(domain_ids, CAP_DOMAINS(u->cap));
    if (!CAP_LEVELS4(u->cap)) three_levels = true;
    if (!(ecap & ECAP_COHERENT)) iommu.incoherent = true;
    if (u->cap & CAP_CACHING) iommu.caches_empty = true;
    if (!(ecap & ECAP_REMAP) || (apic_is_x2() && !(ecap & ECAP_X2APIC))) iommu.remaps = false;
    iommu_add_unit(u->base, REGS_SIZE, -1);
}

static void start(struct unit *u)
{
    uint64_t begin = now();

    u->queue = core_alloc_pages(1);
    if (!u->queue) panic("no memory for the IOMMU at %lx", u->base);
    set_command(u, TRANSLATE, false); /* the firmware may have used it */
    set_command(u, QUEUED, false);
    write64(u, ROOT, core_to_phys(root));
    set_command(u, SET_ROOT, true);
    write64(u, QUEUE_TAIL, 0);
    write64(u, QUEUE_BASE, core_to_phys(u->queue));
    set_command(u, QUEUED, true);
    submit(u, INVALIDATE_CONTEXTS, 0);
    submit(u, INVALIDATE_ALL, 0);
    complete(u);
    enable_faults(u);
    set_command(u, REMAP, false);
    if (iommu.remaps) {
        write64(u, INTERRUPTS, core_to_phys(interrupts) | (apic_is_x2() ? BIT(11) : 0) | 7);
        set_command(u, SET_INTERRUPTS, true);
        submit(u, INVALIDATE_REMAPS, 0);
        complete(u);
        set_command(u, COMPATIBLE, false);
        set_command(u, REMAP, true);
    }
    set_command(u, TRANSLATE, true);
    if (!(u->cap & (BIT(5) | BIT(6)))) return; /* protected memory regions, off */
    write32(u, PROTECTED, 0);
    while (read32(u, PROTECTED) & 1) check_time(u, begin);
}

static void vtd_boot(const struct acpi_header *h)
{
    parse(h);
    iommu.remaps = true;
    for (unsigned int i = 0; i < ioapic_count; i++)
        if (!ioapics[i].source) iommu.remaps = false;
    for (unsigned int i = 0; i < unit_count; i++) probe(&units[i]);
    for (unsigned int i = 0; i < unit_count; i++)
        if (three_levels && !CAP_LEVELS3(units[i].cap)) panic("the IOMMUs differ too much");
    root = core_alloc_pages(1);
    interrupts = core_alloc_pages(VECTORS * sizeof(*interrupts) / PAGE_SIZE);
    if (!root || !interrupts) panic("no memory for the IOMMU's tables");
    iommu_sync(root, PAGE_SIZE);
    iommu_sync(interrupts, PAGE_SIZE);
    for (unsigned int i = 0; i < unit_count; i++) start(&units[i]);
}

const struct iommu_driver vtd_iommu = {
    .name = "VT-d",
    .table = "DMAR",
    .boot = vtd_boot,
    .attach = vtd_attach,
    .flush = vtd_flush,
    .message = vtd_message,
    .remap_pin = vtd_remap,
};
