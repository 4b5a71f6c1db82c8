/* SPDX-License-Identifier: Apache-2.0 */
/* The way from the boot loader to the first guest instruction. */
#include "boot/acpi.h"
#include "boot/boot.h"
#include "cpu/arch.h"
#include "cpu/irq.h"
#include "device/console.h"
#include "hypercall/control.h"
#include "iommu/iommu.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include "memory/map.h"
#include "memory/window.h"
#include "sched/sched.h"
#include "vm/cpu_policy.h"
#include "vm/domain.h"
#include "vm/vcpu.h"
#include "vm/vendor.h"
#include <xen/errno.h>

#define VERSION "0.1"
#define MIN_RAM (256ull << 20)
#define LARGE   (2ull << 20)

const struct vendor_ops *vendor;

/* What is in use, as ranges of bytes: low memory (dom0 gets it as it is), the
 * image, the frame table, the block; until they are moved, the modules. */
enum { LOW, IMAGE, TABLE, BLOCK, FIRST_MODULE };
static struct {
    uint64_t start, end;
} taken[FIRST_MODULE + MAX_MODULES];

/* Takes `size` bytes, 2 MiB aligned, at the top of some RAM; the frame table of a large
 * machine not low, but not at the end of all either, where the heap begins. */
static void take_room(unsigned int what, uint64_t size, uint64_t below)
{
    for (unsigned int i = boot.map.count; i-- > 0;) {
        const struct e820_entry *e = &boot.map.entry[i];
        uint64_t end = MIN(e->addr + e->size, below), at = (end - size) & ~(LARGE - 1);

        if (e->type != E820_RAM || end < size) continue;
        for (unsigned int k = 0; k < ARRAY_SIZE(taken); k++) {
            if (at >= taken[k].end || at + size <= taken[k].start) continue;
            at = (taken[k].start - size) & ~(LARGE - 1);
            k = -1u; /* look at all again */
        }
        if (at < e->addr || at >= end) continue;
        taken[what].start = at;
        taken[what].end = at + size;
        return;
    }
    if (what != TABLE || below >> PAGE_SHIFT > max_mfn)
        panic("no %lu KiB of memory in a row below %lu MiB", size >> 10, below >> 20);
    take_room(what, size, below * 2);
}

/*
 * The block is at the top of low memory, out of the way of dom0's kernel, which
 * has to go to 16 MiB.  Linux reads start_info's memory map through its first
 * page tables, which cover 1 GiB.
 */
static void make_block(void)
{
    uint64_t modules = BLOCK_LOADER + ROUND_UP(LOADER_MEMORY, LARGE), size = modules;

    for (unsigned int i = 0; i < boot.modules; i++)
        size += ROUND_UP(boot.module[i].size, PAGE_SIZE);
    take_room(BLOCK, ROUND_UP(size, LARGE), 1ull << 30);
    boot.block = taken[BLOCK].start;
    boot.block_end = taken[BLOCK].end;
    modules += boot.block;
    for (unsigned int i = 0; i < boot.modules; i++) {
        struct boot_module *m = &boot.module[i];

        memcpy((void *)modules, (void *)m->start, m->size);
        m->start = modules;
        modules += ROUND_UP(m->size, PAGE_SIZE);
    }
}

/* What of [start, end) is in none of the ranges from `k` on becomes free. */
static void add_free(uint64_t start, uint64_t end, unsigned int k)
{
    if (start >= end) return;
    if (k == FIRST_MODULE) {
        frames_add_ram(start, end);
        return;
    }
    add_free(start, MIN(end, taken[k].start), k + 1);
    add_free(MAX(start, taken[k].end), end, k + 1);
}

static void memory_boot(void)
{
    uint64_t sum = 0;
    const struct e820_entry *e;

    for (e = boot.map.entry; e < boot.map.entry + boot.map.count; e++) {
        if (e->type != E820_RAM) continue;
        sum += e->size;
        frames_note_ram(e->addr, e->addr + e->size);
    }
    if (sum < MIN_RAM)
        panic("%lu MiB of memory; Insula needs %llu at least", sum >> 20, MIN_RAM >> 20);
    taken[LOW].end = 1 << 20;
    taken[IMAGE].start = (uintptr_t)image_start;
    taken[IMAGE].end = (uintptr_t)image_end;
    for (unsigned int i = 0; i < boot.modules; i++) {
        taken[FIRST_MODULE + i].start = boot.module[i].start;
        taken[FIRST_MODULE + i].end = boot.module[i].start + boot.module[i].size;
    }
    take_room(TABLE, frames_table_bytes(), 1ull << 32);
    make_block();
    map_init();
    if (!windows_init(&cpu0)) panic("no memory for windows");
    frames_init(taken[TABLE].start);
    for (e = boot.map.entry; e < boot.map.entry + boot.map.count; e++)
        if (e->type == E820_RAM) add_free(e->addr, e->addr + e->size, 0);
    heap_boot();
    log_info("memory: %lu MiB, %lu free; the core uses %lu KiB", frame_counts.ram >> 8,
             frame_counts.free >> 8, frame_counts.core * 4);
}

static void check_modules(void)
{
    if (!boot.modules)
        panic("no dom0 kernel: give it as the first module (GRUB: module2, QEMU: -initrd)");
    for (unsigned int i = 0; i < boot.modules; i++)
        if (!boot.module[i].size)
            panic("module %u is empty: the boot loader could not read it, or the file is truncated",
                  i);
}

_Noreturn void core_main(uint32_t magic, uint32_t info)
{
    int rc;

    idt_init();
    descriptors_init(&cpu0);
    console_init("com1", ""); /* until we know what is wanted */
    boot_parse(magic, info);
    options_parse();
    console_set_levels(options.loglvl, options.guest_loglvl);
    console_init(options.console, options.com1);
    log_info("Insula " VERSION ", a hypervisor (started by %s)", boot.loader);
    log_info("command line: %s", cmdline);
    check_modules();
    memory_boot();
    acpi_parse();
    time_boot();
    pic_off();
    apic_init_cpu();
    cpu0.apic_id = apic_id();
    timers_init(&cpu0);
    apic_calibrate();
    fpu_boot();
    mitigate_boot();
    mitigate_init_cpu();
    vendor = cpuid(1, 0).c & BIT(5) ? &vmx_ops : &svm_ops;
    rc = vendor->cpu_init(&cpu0);
    if (rc == -XEN_ENODEV)
        panic("this processor has neither AMD SVM nor Intel VMX with nested paging "
              "(or it is off in the firmware); Insula cannot run guests here");
    if (rc) panic("%s: error %d", vendor->name, rc);
    sched_init();
    sched_add_cpu(&cpu0);
    smp_boot();
    cpu_policy_boot();
    iommu_boot();
    dom0_build();
    console_start_input();
    run_loop();
}
