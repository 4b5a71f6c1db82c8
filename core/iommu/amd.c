/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AMD-Vi: AMD I/O Virtualization Technology (IOMMU) Specification, 48882.
 * All units share one device table.  Commands are waited for, so a unit's
 * queue is empty whenever its lock is free.
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

#define MAX_UNITS   16
#define MAX_ALIASES 32
#define DEVICES     65536u
#define QUEUE       256u /* entries of 16 bytes: 4 KiB */
#define REGS_SIZE   0x4000

/* Registers (48882, 3.4). */
#define DEVICE_TABLE 0x0000
#define COMMAND_BASE 0x0008
#define EVENT_BASE   0x0010
#define CONTROL      0x0018
#define COMMAND_HEAD 0x2000
#define COMMAND_TAIL 0x2008
#define EVENT_HEAD   0x2010
#define EVENT_TAIL   0x2018
#define STATUS       0x2020

#define QUEUE_LENGTH      (8ull << 56) /* log2(QUEUE) */
#define CONTROL_ENABLE    BIT(0)
#define CONTROL_EVENTS    BIT(2)
#define CONTROL_EVENT_INT BIT(3)
#define CONTROL_COMMANDS  BIT(12)
#define STATUS_OVERFLOW   BIT(0)
#define STATUS_EVENT_INT  BIT(1)
#define CAP_NP_CACHE      BIT(26) /* of the capability's first word */
#define CAP_SECURE_DEVICE 0x0f

/* Commands (2.4) and events (2.5), in the first quadword. */
#define OP(n)            ((uint64_t)(n) << 60)
#define WAIT_STORE       BIT(0)
#define ALL_PAGES        0x7ffffffffffff003ull /* with S and PDE */
#define EVENT_PAGE_FAULT 2
#define EVENT_WRITE      BIT(53)

/* Device table entries (2.2.2.1); the third quadword is about interrupts. */
#define DTE_VALID        3ull /* V and TV */
#define DTE_LEVELS       (4ull << 9)
#define DTE_READ_WRITE   MASK(62, 61)
#define DTE_SUPPRESS_ALL BIT(34)
#define DTE_INTERRUPTS   BIT(0) /* IV: without a table they are aborted */
#define DTE_INT_TABLE    MASK(51, 12)
#define DTE_INT_REMAP    (2ull << 60 | 8 << 1) /* log2(VECTORS) entries */
#define VECTORS          256
#define IRTE_ENABLE      BIT(0) /* 2.2.5.2 */

struct unit {
    uint64_t base;
    uint16_t bdf, flags, capability;
    volatile char *regs;
    uint64_t *commands, *events;
    unsigned int tail;
    volatile uint64_t done; /* written by the unit */
    bool told;              /* a fault was in the log since the last poll */
    struct timer poll;
};

struct dte {
    uint64_t q[4];
};

/* Guards: the device table, commands. */
static struct spinlock lock = SPINLOCK(RANK_IOMMU);
static struct unit units[MAX_UNITS];
static unsigned int unit_count;
static struct dte *table;
static uint64_t *nothing; /* a top table without entries */
static struct {
    uint16_t first, last, alias;
} aliases[MAX_ALIASES];
static unsigned int alias_count;
/* IO-APICs and timers: the core alone uses them. */
static uint16_t specials[MAX_ALIASES];
static unsigned int special_count;
static uint16_t raisers[VECTORS]; /* the device that may raise it */

static uint64_t reg_read(struct unit *u, unsigned int reg)
{
    return *(volatile uint64_t *)(u->regs + reg);
}

static void reg_write(struct unit *u, unsigned int reg, uint64_t v)
{
    *(volatile uint64_t *)(u->regs + reg) = v;
}

/* --- commands; lock held --- */

static void command(struct unit *u, uint64_t low, uint64_t high)
{
    u->commands[u->tail * 2ul] = low;
    u->commands[u->tail * 2ul + 1] = high;
    u->tail = (u->tail + 1) % QUEUE;
}

/* Starts what was put in the queue and waits for it. */
static void complete(struct unit *u)
{
    uint64_t end = now() + NS_PER_SEC;

    u->done = 0;
    command(u, OP(1) | iommu_phys((void *)&u->done) | WAIT_STORE, 1);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    reg_write(u, COMMAND_TAIL, u->tail * 16ul);
    while (!u->done) {
        if (now() > end) panic("IOMMU at %lx does not answer", u->base);
        cpu_poll();
        cpu_relax();
    }
}

/* --- whose memory a device reaches --- */

/* For one requester id; NULL and `quiet`: none, without a word.  Lock held. */
static void set_entry(uint16_t id, struct domain *d, bool quiet)
{
    struct dte *e = &table[id];
    uint64_t *root = d ? d->p2m->root : nothing;

    e->q[1] = d ? iommu_domain_id(d) : quiet ? DTE_SUPPRESS_ALL : 0;
    __atomic_store_n(&e->q[0],
                     core_to_phys(root) | DTE_VALID | DTE_LEVELS | (d ? DTE_READ_WRITE : 0),
                     __ATOMIC_RELEASE);
}

static void forget(struct unit *u, uint16_t id, uint16_t domain)
{
    command(u, OP(2) | id, 0);
    command(u, OP(3) | (uint64_t)domain << 32, ALL_PAGES);
}

/* The names that a device uses, one after the other: its aliases and its own. */
static bool next_name(uint16_t bdf, unsigned int *at, uint16_t *id)
{
    for (; *at < alias_count; ++*at) {
        if (bdf < aliases[*at].first || bdf > aliases[*at].last) continue;
        *id = aliases[(*at)++].alias;
        return true;
    }
    *id = bdf;
    return (*at)++ == alias_count;
}

static void amd_attach(uint16_t bdf, struct domain *d)
{
    uint16_t id;

    spin_lock(&lock);
    for (unsigned int a = 0; next_name(bdf, &a, &id);) {
        uint16_t old = table[id].q[1];

        set_entry(id, d, true);
        for (unsigned int i = 0; i < unit_count; i++) forget(&units[i], id, old);
    }
    for (unsigned int i = 0; i < unit_count; i++) complete(&units[i]);
    spin_unlock(&lock);
}

static void amd_flush(struct domain *d)
{
    spin_lock(&lock);
    for (unsigned int i = 0; i < unit_count; i++)
        command(&units[i], OP(3) | (uint64_t)iommu_domain_id(d) << 32, ALL_PAGES);
    for (unsigned int i = 0; i < unit_count; i++) complete(&units[i]);
    spin_unlock(&lock);
}

/* --- which interrupts it raises: each name has a table, by vector --- */

/* Lock held. */
static void set_interrupt(uint16_t bdf, uint8_t vector, uint32_t entry)
{
    uint16_t id;

    for (unsigned int a = 0; next_name(bdf, &a, &id);) {
        uint64_t *q = &table[id].q[2];
        uint32_t *t;

        if (!(*q & DTE_INT_TABLE)) {
            t = entry ? core_alloc_pages(1) : NULL;
            if (!t) continue; /* they stay aborted */
            __atomic_store_n(q, iommu_phys(t) | DTE_INT_REMAP | DTE_INTERRUPTS, __ATOMIC_RELEASE);
        }
        t = core_from_mfn((*q & DTE_INT_TABLE) >> PAGE_SHIFT);
        WRITE_ONCE(t[vector], entry);
        for (unsigned int i = 0; i < unit_count; i++) {
            command(&units[i], OP(2) | id, 0);
            command(&units[i], OP(5) | id, 0);
            complete(&units[i]);
        }
    }
}

static void amd_message(uint16_t bdf, uint8_t vector, uint32_t apic_id, uint64_t *address,
                        uint32_t *data)
{
    spin_lock(&lock);
    if (raisers[vector] != bdf) set_interrupt(raisers[vector], vector, 0);
    raisers[vector] = bdf;
    set_interrupt(bdf, vector, IRTE_ENABLE | (apic_id & 0xff) << 8 | (uint32_t)vector << 16);
    spin_unlock(&lock);
    *address = APIC_BASE_DEFAULT;
    *data = vector; /* the entry's number */
}

static void amd_forbid(uint8_t vector)
{
    spin_lock(&lock);
    set_interrupt(raisers[vector], vector, 0);
    spin_unlock(&lock);
}

/* --- events; all on the CPU that booted, interrupts off --- */

static void take_events(void *data)
{
    struct unit *u = data;
    uint64_t status = reg_read(u, STATUS), head, tail, control = reg_read(u, CONTROL);

    reg_write(u, STATUS, STATUS_EVENT_INT); /* the next one interrupts again */
    head = reg_read(u, EVENT_HEAD) / 16 % QUEUE;
    tail = reg_read(u, EVENT_TAIL) / 16 % QUEUE;
    for (; head != tail; head = (head + 1) % QUEUE) {
        uint64_t *e = &u->events[head * 2];

        u->told = true;
        if (e[0] >> 60 == EVENT_PAGE_FAULT)
            iommu_fault(e[0], e[1], e[0] & EVENT_WRITE, e[0] >> 60);
        else
            log_guest(LOG_WARN, "IOMMU: event %016lx %016lx", e[0], e[1]);
    }
    reg_write(u, EVENT_HEAD, head * 16);
    if (!(status & STATUS_OVERFLOW)) return;
    /* Switched off and on it starts anew, at 0 (2.5.1). */
    reg_write(u, CONTROL, control & ~CONTROL_EVENTS);
    reg_write(u, STATUS, STATUS_OVERFLOW);
    reg_write(u, EVENT_BASE, iommu_phys(u->events) | QUEUE_LENGTH);
    reg_write(u, EVENT_HEAD, 0);
    reg_write(u, EVENT_TAIL, 0);
    reg_write(u, CONTROL, control);
}

/* Once a second, for units that do not interrupt.  QEMU 7.2's have no log
 * either; all that is left is the abort in the function's status. */
static void poll_events(void *data)
{
    struct unit *u = data;
    bool aborted = vpci_take_abort(u->bdf);

    take_events(u);
    if (aborted && !u->told)
        log_warn("IOMMU at %lx refused a device's access; its log does not say which", u->base);
    u->told = false;
    timer_set(&u->poll, now() + NS_PER_SEC);
}

static void enable_msi(struct unit *u)
{
    unsigned int msi = pci_find_capability(u->bdf, CAP_MSI);
    int vector = irq_alloc_vector(take_events, u);
    uint64_t address;
    uint32_t data;

    if (!msi || vector < 0) {
        log_warn("IOMMU at %lx has no interrupt: it is asked once a second", u->base);
        return;
    }
    apic_msi_message(apic_id(), vector, &address, &data);
    pci_set_msi(u->bdf, msi, address, data);
}

/* --- the table IVRS (5.2.2) --- */

static _Noreturn void malformed(const struct acpi_header *h, const void *at)
{
    panic("ACPI: the IVRS is malformed at byte %lu; iommu=off starts without it",
          (const char *)at - (const char *)h);
}

static void add_special(const struct acpi_header *h, const void *at, uint16_t id)
{
    if (special_count == MAX_ALIASES) malformed(h, at);
    specials[special_count++] = id;
}

/* Entries of devices; only those count that say whose name a device uses, and
 * what IO-APICs and timers are called. */
static void parse_devices(const struct acpi_header *h, const uint8_t *e, const uint8_t *end)
{
    uint16_t first = 0, alias = 0;
    bool range = false;

    while (e < end) {
        unsigned int len = 4u << (e[0] >> 6);

        if (e[0] == 0xf0) len = e + 22 <= end ? 22 + e[21] : 22; /* with names */
        if (len > end - e) malformed(h, e);
        if (e[0] == 0x42 || e[0] == 0x43) { /* alias of one, of a range */
            first = get16(e + 1);
            alias = get16(e + 5);
            range = e[0] == 0x43;
        }
        if (e[0] == 0x42 || (e[0] == 4 && range)) {
            if (alias_count == MAX_ALIASES) malformed(h, e);
            aliases[alias_count].first = first;
            aliases[alias_count].last = get16(e + 1);
            aliases[alias_count++].alias = alias;
        }
        if (e[0] == 4) range = false;
        if (e[0] == 0x48) {
            add_special(h, e, get16(e + 5));
            if (e[7] == 1) iommu.remaps = true; /* an IO-APIC, as one that remaps tells */
        }
        e += len;
    }
}

static void parse_unit(const struct acpi_header *h, const uint8_t *b, unsigned int len)
{
    unsigned int fixed = b[0] == 0x10 ? 24 : 40;
    uint64_t base;

    if (len < fixed) malformed(h, b);
    base = get64(b + 8);
    if (!base || base & (REGS_SIZE - 1) || base >> 52 || get16(b + 16)) malformed(h, b);
    parse_devices(h, b + fixed, b + len);
    for (unsigned int i = 0; i < unit_count; i++)
        if (units[i].base == base) return; /* told again in a newer form */
    if (unit_count == MAX_UNITS) malformed(h, b);
    units[unit_count++] =
        (struct unit){.base = base, .bdf = get16(b + 4), .flags = b[1], .capability = get16(b + 6)};
    iommu_add_unit(base, REGS_SIZE, get16(b + 4));
}

static void parse(const struct acpi_header *h)
{
    const uint8_t *b = (const uint8_t *)h + 48, *end = (const uint8_t *)h + h->length;

    while (b < end) {
        unsigned int len = end - b >= 24 ? get16(b + 2) : 0;

        if (len < 24 || len > end - b) malformed(h, b);
        if (b[0] == 0x10 || b[0] == 0x11 || b[0] == 0x40) {
            parse_unit(h, b, len);
        } else if (b[0] >= 0x20 && b[0] <= 0x22) { /* IVMD */
            if (len < 32 || get64(b + 8) + get64(b + 16) < get64(b + 8)) malformed(h, b);
            iommu_add_reserved(get64(b + 8), get64(b + 8) + get64(b + 16));
        }
        b += len;
    }
}

/* --- boot --- */

/* What the firmware asks for in the control register: HtTunEn, PassPW,
 * ResPassPW, Isoc, Coherent (flags 0-3 and 5). */
static uint64_t control_flags(uint16_t flags)
{
    return (flags & 1) << 1 | (flags >> 1 & 3) << 8 | (flags >> 3 & 1) << 11 |
           (flags >> 5 & 1) << 10;
}

static void start(struct unit *u)
{
    uint64_t control = control_flags(u->flags);

    if (cfg_read(u->bdf, u->capability, 1) != CAP_SECURE_DEVICE)
        panic("IOMMU %x has no capability at %x, where the IVRS says", u->bdf, u->capability);
    if (cfg_read(u->bdf, u->capability, 4) & CAP_NP_CACHE) iommu.caches_empty = true;
    u->regs = vmap_device(u->base, REGS_SIZE);
    u->commands = core_alloc_pages(1);
    u->events = core_alloc_pages(1);
    if (!u->regs || !u->commands || !u->events) panic("no memory for the IOMMU at %lx", u->base);
    reg_write(u, CONTROL, 0); /* the firmware may have used it */
    reg_write(u, DEVICE_TABLE, iommu_phys(table) | (DEVICES * sizeof(*table) / PAGE_SIZE - 1));
    reg_write(u, COMMAND_BASE, iommu_phys(u->commands) | QUEUE_LENGTH);
    reg_write(u, EVENT_BASE, iommu_phys(u->events) | QUEUE_LENGTH);
    reg_write(u, COMMAND_HEAD, 0);
    reg_write(u, COMMAND_TAIL, 0);
    reg_write(u, EVENT_HEAD, 0);
    reg_write(u, EVENT_TAIL, 0);
    enable_msi(u);
    reg_write(u, STATUS, STATUS_OVERFLOW | STATUS_EVENT_INT);
    control |= CONTROL_COMMANDS | CONTROL_EVENTS | CONTROL_EVENT_INT;
    reg_write(u, CONTROL, control);
    reg_write(u, CONTROL, control | CONTROL_ENABLE);
    timer_init(&u->poll, poll_events, u);
    timer_set(&u->poll, now() + NS_PER_SEC);
}

static void amd_boot(const struct acpi_header *h)
{
    parse(h);
    if (!unit_count) return;
    iommu.amd_format = true;
    table = core_alloc_pages(DEVICES * sizeof(*table) / PAGE_SIZE);
    nothing = core_alloc_pages(1);
    if (!table || !nothing) panic("no memory for the IOMMU's device table");
    for (unsigned int id = 0; id < DEVICES; id++) {
        set_entry(id, NULL, false);
        table[id].q[2] = iommu.remaps ? DTE_INTERRUPTS : 0;
    }
    for (unsigned int i = 0; i < special_count; i++) table[specials[i]].q[2] = 0;
    for (unsigned int i = 0; i < unit_count; i++) table[units[i].bdf].q[2] = 0;
    for (unsigned int i = 0; i < unit_count; i++) {
        start(&units[i]);
        /* Nothing of before is known; each domain id, then. */
        for (unsigned int id = 0; id < DEVICES; id++) {
            command(&units[i], OP(2) | id, 0);
            command(&units[i], OP(3) | (uint64_t)id << 32, ALL_PAGES);
            if (id % 64 == 63) complete(&units[i]);
        }
    }
}

const struct iommu_driver amd_iommu = {
    .name = "AMD-Vi",
    .table = "IVRS",
    .boot = amd_boot,
    .attach = amd_attach,
    .flush = amd_flush,
    .message = amd_message,
    .forbid = amd_forbid,
};
