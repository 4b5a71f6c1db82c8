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

#define LOW_MEMORY (1ull << 20)
#define MIN_DOM0   (128ull << 20)

/* Adds [start, end) to dom0's memory map. */
static void add_entry(struct e820_map *m, uint64_t start, uint64_t end, uint32_t type)
{
    struct e820_entry *last = &m->entry[m->count - 1];

    if (start >= end) return;
    if (m->count && last->type == type && last->addr + last->size == start) {
        last->size = end - last->addr;
        return;
    }
    if (m->count == E820_MAX) panic("dom0's memory map has too many entries");
    m->entry[m->count++] = (struct e820_entry){start, end - start, type};
}

/* Takes what is free of a range of frames, up to `limit`, at the same addresses,
 * as memory of `type`; the rest is not to be used for anything.  Returns how
 * many it took. */
static uint64_t take_range(struct domain *d, uint64_t mfn, uint64_t end, uint64_t limit,
                           uint32_t type)
{
    uint64_t got = 0, n;

    for (; mfn < end && got < limit; mfn += n) {
        unsigned int order = mfn % 512 || MIN(end - mfn, limit - got) < 512 ? ORDER_4K : ORDER_2M;
        bool claimed = frames_claim(d, mfn, 1ull << order);

        if (!claimed && order) {
            order = ORDER_4K;
            claimed = frames_claim(d, mfn, 1);
        }
        if (claimed && p2m_add(d, mfn, mfn, order, P2M_RAM))
            panic("no memory for dom0's page tables");
        n = 1ull << order;
        if (claimed) got += n;
        add_entry(d->e820, mfn << PAGE_SHIFT, (mfn + n) << PAGE_SHIFT,
                  claimed ? type : E820_UNUSABLE);
    }
    add_entry(d->e820, mfn << PAGE_SHIFT, end << PAGE_SHIFT, E820_UNUSABLE);
    return got;
}

static uint64_t wanted_frames(void)
{
    uint64_t free = frame_counts.free;
    uint64_t most = free - MAX(free / 16, (128ull << 20) >> PAGE_SHIFT);
    uint64_t n = options.dom0_mem >> PAGE_SHIFT;
    uint64_t least = MAX(MIN_DOM0, boot.block_end - boot.block);

    if (!n || n > most) {
        if (n) log_warn("dom0_mem: only %lu MiB can be given", most >> 8);
        n = most;
    }
    n = MAX(n, options.dom0_mem_min >> PAGE_SHIFT);
    if (options.dom0_mem_max) n = MIN(n, options.dom0_mem_max >> PAGE_SHIFT);
    if (n < least >> PAGE_SHIFT)
        panic("dom0 would have %lu MiB; it needs %lu at least (dom0_mem=)", n >> 8, least >> 20);
    return n;
}

/* The block is inside this range: it is taken as a whole. */
static void take_block(struct domain *d)
{
    uint64_t acpi = boot.block >> PAGE_SHIFT, end = boot.block_end >> PAGE_SHIFT;
    uint64_t rest = acpi + (BLOCK_ACPI_SIZE >> PAGE_SHIFT);

    if (take_range(d, acpi, rest, ~0ull, E820_ACPI) + take_range(d, rest, end, ~0ull, E820_RAM) !=
        end - acpi)
        panic("dom0's modules are not where they were put");
}

/* dom0's memory, and its memory map in the order of addresses. */
static void give_memory(struct domain *d)
{
    uint64_t block = boot.block >> PAGE_SHIFT, block_end = boot.block_end >> PAGE_SHIFT;
    uint64_t limit = wanted_frames() - (block_end - block);

    d->e820 = core_alloc(sizeof(*d->e820));
    if (!d->e820) panic("no memory for dom0's memory map");
    frames_add_ram(boot.block, boot.block_end);
    for (unsigned int i = 0; i < boot.map.count; i++) {
        struct e820_entry *e = &boot.map.entry[i];
        uint64_t at = e->addr, stop = e->addr + e->size;
        uint64_t start = DIV_UP(at, PAGE_SIZE), end = stop >> PAGE_SHIFT;

        if (e->type != E820_RAM || start >= end) {
            add_entry(d->e820, at, stop, e->type == E820_RAM ? E820_UNUSABLE : e->type);
            continue;
        }
        if (at < LOW_MEMORY) frames_add_ram(at, MIN(stop, LOW_MEMORY));
        add_entry(d->e820, at, start << PAGE_SHIFT, E820_UNUSABLE);
        if (start <= block && block < end) {
            limit -= take_range(d, start, block, limit, E820_RAM);
            take_block(d);
            start = block_end;
        }
        limit -= take_range(d, start, end, limit, E820_RAM);
        add_entry(d->e820, end << PAGE_SHIFT, stop, E820_UNUSABLE);
    }
}

/* What the firmware's devices use at any time, one to one. */
static void map_reserved(struct domain *d)
{
    uint64_t start, end;

    for (unsigned int i = 0; iommu_reserved(i, &start, &end); i++)
        for (uint64_t gfn = start >> PAGE_SHIFT; gfn < DIV_UP(end, PAGE_SIZE); gfn++)
            (void)!p2m_add(d, gfn, gfn, ORDER_4K, P2M_MMIO); /* -EEXIST: it has it */
}

static void put(struct domain *d, uint64_t gpa, const void *data, size_t len)
{
    if (copy_to_gpa(d, gpa, data, len)) panic("cannot write dom0's memory at %lx", gpa);
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

/* The state of a PVH entry (Xen's docs/misc/pvh.pandoc), for the loader at `entry`. */
static void start_vcpu(struct vcpu *v, uint64_t entry, uint64_t info)
{
    struct arch_state s = {.cr0 = CR0_PE | CR0_ET, .dr6 = 0xffff0ff0, .dr7 = 0x400};

    for (unsigned int i = 0; i < SEG_COUNT; i++)
        s.seg[i] = (struct segment){.attr = 0xc93, .limit = ~0u};
    s.seg[SEG_CS].attr = 0xc9b;
    s.seg[SEG_TR] = (struct segment){.attr = 0x8b, .limit = 0x67};
    s.seg[SEG_LDTR] = (struct segment){.attr = 0x82};
    vendor->set_state(v, &s);
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
    put(dom0, boot.block, &boot.rsdp, sizeof(boot.rsdp)); /* the loader makes dom0's own of it */
    put(dom0, loader, loader_image, loader_image_end - loader_image);
    log_info("dom0: %lu MiB, %u vCPUs; the core uses %lu KiB", dom0->tot_pages >> 8,
             dom0->max_vcpus, frame_counts.core * 4);
    start_vcpu(dom0->vcpus[0], loader, write_start_info(dom0));
    dom0->ctl_pauses = 0;
    domain_unpause(dom0);
}

void dom0_shutdown(uint8_t reason)
{
    static const char *const names[] = {"powered off", "rebooting", "suspended",
                                        "crashed",     "watchdog",  "soft reset"};

    /* Nobody could resume a dom0 that is suspended: as in Xen that is a reboot. */
    log_info("dom0: %s", reason < ARRAY_SIZE(names) ? names[reason] : "shut down");
    if (reason == SHUTDOWN_poweroff || options.noreboot || reason == SHUTDOWN_crash) machine_halt();
    machine_reset();
}
