/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building dom0: memory one to one with the machine's, its memory map, what
 * its loader finds, and the state of its first vCPU.
 */
#include "boot/acpi.h"
#include "boot/boot.h"
#include "device/hwdev.h"
#include "cpu/cpu.h"
#include "device/console.h"
#include "iommu/iommu.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include "memory/map.h"
#include "cpu/irq.h"
#include "vm/domain.h"
#include "vm/guest.h"
#include "vm/p2m.h"
#include "vm/vcpu.h"
#include "vm/vendor.h"
#include <xen/arch-x86/hvm/start_info.h>
#include <xen/domctl.h>

#define LOW_MEMORY  (1ull << 20)
#define LARGE_SHIFT 21
#define MIN_DOM0    (128ull << 20)

/* The machine's memory that is dom0's, as ranges of mfns, ascending. */
static struct {
    uint64_t start, end;
} runs[E820_MAX];
static unsigned int run_count;

static void add_run(uint64_t mfn, uint64_t count)
{
    if (run_count && runs[run_count - 1].end == mfn) {
        runs[run_count - 1].end += count;
        return;
    }
    if (run_count == ARRAY_SIZE(runs)) panic("dom0's memory is in too many pieces");
    runs[run_count].start = mfn;
    runs[run_count++].end = mfn + count;
}

/* Gives [mfn, mfn + 2^order) to dom0 at the same address. */
static bool take(struct domain *d, uint64_t mfn, unsigned int order)
{
    if (!frames_claim(d, mfn, 1ull << order)) return false;
    if (p2m_add(d, mfn, mfn, order, P2M_RAM)) panic("no memory for dom0's page tables");
    add_run(mfn, 1ull << order);
    return true;
}

/* Takes up to `limit` frames of a range that are free; returns how many. */
static uint64_t take_range(struct domain *d, uint64_t mfn, uint64_t end, uint64_t limit)
{
    uint64_t got = 0;

    while (mfn < end && got < limit) {
        bool large = !(mfn & 511) && mfn + 512 <= end && got + 512 <= limit;

        if (large && take(d, mfn, ORDER_2M)) {
            got += 512;
            mfn += 512;
        } else {
            got += take(d, mfn, ORDER_4K);
            mfn++;
        }
    }
    return got;
}

static uint64_t wanted_frames(void)
{
    uint64_t free = frames_free_count();
    uint64_t most = free - MAX(free / 16, (128ull << 20) >> PAGE_SHIFT);
    uint64_t n = options.dom0_mem >> PAGE_SHIFT;

    if (!n || n > most) {
        if (n) log_warn("dom0_mem: only %lu MiB can be given", most >> 8);
        n = most;
    }
    n = MAX(n, options.dom0_mem_min >> PAGE_SHIFT);
    if (options.dom0_mem_max) n = MIN(n, options.dom0_mem_max >> PAGE_SHIFT);
    if (n < MIN_DOM0 >> PAGE_SHIFT)
        panic("dom0 would have %lu MiB; it needs %llu at least (dom0_mem=)", n >> 8,
              MIN_DOM0 >> 20);
    return n;
}

/* Ascending order of addresses, so that runs[] is sorted. */
static void give_memory(struct domain *d)
{
    uint64_t limit = wanted_frames(), got = 0;
    uint64_t block = boot.block >> PAGE_SHIFT;
    uint64_t block_end = boot.block_end >> PAGE_SHIFT;
    bool block_done = false;

    frames_add_ram(boot.block, boot.block_end);
    limit -= block_end - block;
    for (unsigned int i = 0; i < boot.map.count; i++) {
        struct e820_entry *e = &boot.map.entry[i];
        uint64_t start = ROUND_UP(e->addr, PAGE_SIZE) >> PAGE_SHIFT;
        uint64_t end = (e->addr + e->size) >> PAGE_SHIFT;

        if (e->type != E820_RAM || start >= end) continue;
        if (e->addr < LOW_MEMORY) frames_add_ram(e->addr, MIN(e->addr + e->size, LOW_MEMORY));
        if (start <= block && block < end) {
            got += take_range(d, start, block, limit - got);
            if (take_range(d, block, block_end, ~0ull) != block_end - block)
                panic("dom0's modules are not where they were put");
            block_done = true;
            start = block_end;
        }
        got += take_range(d, start, end, limit - got);
    }
    ASSERT(block_done);
}

/* What the firmware's devices use at any time, one to one. */
static void map_reserved(struct domain *d)
{
    uint64_t start, end;

    for (unsigned int i = 0; iommu_reserved(i, &start, &end); i++)
        for (uint64_t gfn = start >> PAGE_SHIFT; gfn < DIV_UP(end, PAGE_SIZE); gfn++)
            (void)!p2m_add(d, gfn, gfn, ORDER_4K, P2M_MMIO); /* -EEXIST: it has it */
}

static void add_entry(struct e820_map *m, uint64_t start, uint64_t end, uint32_t type)
{
    if (start >= end) return;
    if (m->count == E820_MAX) panic("dom0's memory map has too many entries");
    m->entry[m->count++] = (struct e820_entry){start, end - start, type};
}

/* One RAM entry of the machine: what dom0 has of it is RAM, the rest is not
 * to be used for anything. */
static void add_ram_entries(struct e820_map *m, const struct e820_entry *e)
{
    uint64_t at = e->addr, end = e->addr + e->size;
    uint64_t acpi_end = boot.block + BLOCK_ACPI_SIZE;

    for (unsigned int i = 0; i < run_count; i++) {
        uint64_t start = runs[i].start << PAGE_SHIFT;
        uint64_t stop = runs[i].end << PAGE_SHIFT;

        if (stop <= at || start >= end) continue;
        add_entry(m, at, start, E820_UNUSABLE);
        if (start <= boot.block && boot.block < stop) {
            add_entry(m, start, boot.block, E820_RAM);
            add_entry(m, boot.block, acpi_end, E820_ACPI);
            add_entry(m, acpi_end, stop, E820_RAM);
        } else {
            add_entry(m, start, stop, E820_RAM);
        }
        at = stop;
    }
    add_entry(m, at, end, E820_UNUSABLE);
}

static void make_map(struct domain *d)
{
    d->e820 = core_alloc(sizeof(*d->e820));
    if (!d->e820) panic("no memory for dom0's memory map");
    for (unsigned int i = 0; i < boot.map.count; i++) {
        struct e820_entry *e = &boot.map.entry[i];

        if (e->type == E820_RAM)
            add_ram_entries(d->e820, e);
        else
            add_entry(d->e820, e->addr, e->addr + e->size, e->type);
    }
}

static void put(struct domain *d, uint64_t gpa, const void *data, size_t len)
{
    if (copy_to_gpa(d, gpa, data, len)) panic("cannot write dom0's memory at %lx", gpa);
}

static void write_acpi(struct domain *d)
{
    uint8_t *buf = core_alloc_pages(4);
    size_t size;

    if (!buf) panic("no memory for dom0's ACPI tables");
    size = acpi_build_dom0(buf, 4 * PAGE_SIZE, boot.block, d->max_vcpus);
    put(d, boot.block, buf, size);
    core_free_pages(buf, 4);
}

/* start_info, module list, memory map and command line, one after another. */
static uint64_t write_start_info(struct domain *d)
{
    uint64_t at = boot.block + BLOCK_START_INFO;
    unsigned int modules = MIN(boot.modules, 2u);
    struct hvm_start_info info = {
        .magic = XEN_HVM_START_MAGIC_VALUE,
        .version = 1,
        .flags = SIF_PRIVILEGED | SIF_INITDOMAIN,
        .nr_modules = modules,
        .modlist_paddr = at + 0x100,
        .cmdline_paddr = at + 0x4000,
        .rsdp_paddr = boot.block,
        .memmap_paddr = at + 0x1000,
        .memmap_entries = d->e820->count,
    };

    put(d, at, &info, sizeof(info));
    for (unsigned int i = 0; i < modules; i++) {
        struct hvm_modlist_entry m = {.paddr = boot.module[i].start, .size = boot.module[i].size};

        put(d, info.modlist_paddr + i * sizeof(m), &m, sizeof(m));
    }
    for (unsigned int i = 0; i < d->e820->count; i++) {
        struct e820_entry *e = &d->e820->entry[i];
        struct hvm_memmap_table_entry m = {.addr = e->addr, .size = e->size, .type = e->type};

        put(d, info.memmap_paddr + i * sizeof(m), &m, sizeof(m));
    }
    put(d, info.cmdline_paddr, boot.module[0].args, strlen(boot.module[0].args) + 1);
    return at;
}

/* The state of abi.md 1.3, for the loader at `entry`. */
static void start_vcpu(struct vcpu *v, uint64_t entry, uint64_t info)
{
    struct arch_state s = {.cr0 = CR0_PE | CR0_ET, .dr6 = 0xffff0ff0, .dr7 = 0x400};

    for (unsigned int i = 0; i < SEG_COUNT; i++)
        s.seg[i] = (struct segment){.attr = 0xc93, .limit = ~0u};
    s.seg[SEG_CS].attr = 0xc9b;
    s.seg[SEG_TR] = (struct segment){.attr = 0x8b, .limit = 0x67};
    s.seg[SEG_LDTR] = (struct segment){.attr = 0x82};
    vendor->set_state(v, &s);
    memset(&v->regs, 0, sizeof(v->regs));
    v->regs.rip = entry;
    v->regs.rbx = info;
    v->regs.rflags = 2;
    v->initialised = true;
    vcpu_set_down(v, false);
}

void dom0_build(void)
{
    struct xen_domctl_createdomain config = {
        .max_vcpus = MIN(options.dom0_max_vcpus ? options.dom0_max_vcpus : cpu_count,
                         (unsigned int)MAX_VCPUS),
        .max_evtchn_port = ~0u,
        .max_grant_frames = -1,
        .max_maptrack_frames = -1,
        .arch.emulation_flags = XEN_X86_EMU_LAPIC | XEN_X86_EMU_IOAPIC | XEN_X86_EMU_VPCI,
    };
    uint64_t loader = boot.block + BLOCK_LOADER;
    int rc = domain_create(0, true, &config, &dom0);

    if (rc) panic("cannot create dom0: error %d", rc);
    dom0->max_pages = ~0u; /* "no limit", for the tools */
    for (unsigned int i = 0; i < config.max_vcpus; i++)
        if ((rc = vcpu_create(dom0, i)) != 0)
            panic("cannot create dom0's vCPU %u: error %d", i, rc);
    vpci_init();
    give_memory(dom0);
    map_reserved(dom0);
    if (options.dom0_mem_max)
        dom0->max_pages = MAX(options.dom0_mem_max >> PAGE_SHIFT, dom0->tot_pages);
    make_map(dom0);
    write_acpi(dom0);
    put(dom0, loader, loader_image, loader_image_end - loader_image);
    log_info("dom0: %lu MiB, %u vCPUs; the core uses %lu KiB", dom0->tot_pages >> 8,
             dom0->max_vcpus, frames_core_count() * 4);
    start_vcpu(dom0->vcpus[0], loader, write_start_info(dom0));
    dom0->ctl_pauses = 0;
    domain_unpause(dom0);
}

void dom0_shutdown(uint8_t reason)
{
    static const char *const names[] = {"powered off", "rebooting", "suspended",
                                        "crashed",     "watchdog",  "soft reset"};

    if (reason == SHUTDOWN_suspend) return;
    log_info("dom0: %s", reason < ARRAY_SIZE(names) ? names[reason] : "shut down");
    if (reason == SHUTDOWN_poweroff || options.noreboot || reason == SHUTDOWN_crash) machine_halt();
    machine_reset();
}
