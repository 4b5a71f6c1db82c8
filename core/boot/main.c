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
#include "sched/sched.h"
#include "vm/domain.h"
#include "vm/vcpu.h"
#include "vm/vendor.h"
#include <xen/errno.h>

#define VERSION "0.1"
#define MIN_RAM (256ull << 20)
#define LARGE   (2ull << 20)

const struct vendor_ops *vendor;

static void note_ram(void)
{
    uint64_t sum = 0;

    for (unsigned int i = 0; i < boot.map.count; i++) {
        struct e820_entry *e = &boot.map.entry[i];

        if (e->type != E820_RAM) continue;
        sum += e->size;
        frames_note_ram(e->addr, e->addr + e->size);
    }
    if (sum < MIN_RAM)
        panic("%lu MiB of memory; Insula needs %llu at least", sum >> 20, MIN_RAM >> 20);
}

static bool overlaps(uint64_t a, uint64_t a_end, uint64_t b, uint64_t b_end)
{
    return a < b_end && b < a_end;
}

/* Room at the top of some RAM below 4 GiB that touches nothing we were given;
 * `align` is a power of two. */
static uint64_t find_room(uint64_t size, uint64_t align, uint64_t below)
{
    for (unsigned int i = boot.map.count; i-- > 0;) {
        struct e820_entry *e = &boot.map.entry[i];
        uint64_t end = MIN(e->addr + e->size, below), at;

        if (e->type != E820_RAM || e->addr < 1ull << 20 || end < size) continue;
        at = (end - size) & ~(align - 1);
        for (unsigned int m = 0; m < boot.modules; m++) {
            struct boot_module *b = &boot.module[m];

            if (overlaps(at, at + size, b->start, b->start + b->size)) {
                at = (b->start - size) & ~(align - 1);
                m = -1u; /* look at all again */
            }
        }
        if (at >= e->addr && at >= (uintptr_t)image_end && at < end) return at;
    }
    panic("no %lu KiB of memory in a row below 4 GiB", size >> 10);
}

uint32_t loader_memory(void)
{
    return *(const uint32_t *)(loader_image + 12);
}

/*
 * The modules move to the top of low memory, out of the way of dom0's kernel,
 * which has to go to 16 MiB.
 */
static void move_modules(uint64_t below)
{
    uint64_t total = BLOCK_LOADER + ROUND_UP(loader_memory(), LARGE), at;

    at = total;
    for (unsigned int i = 0; i < boot.modules; i++)
        total += ROUND_UP(boot.module[i].size, PAGE_SIZE);
    total = ROUND_UP(total, LARGE);
    /* Linux reads start_info's memory map through its first page tables,
     * which cover 1 GiB. */
    boot.block = find_room(total, LARGE, MIN(below, 1ull << 30));
    boot.block_end = boot.block + total;
    at += boot.block;
    for (unsigned int i = 0; i < boot.modules; i++) {
        struct boot_module *m = &boot.module[i];

        memcpy((void *)at, (void *)m->start, m->size);
        m->start = at;
        at += ROUND_UP(m->size, PAGE_SIZE);
    }
}

/* RAM that is not spoken for becomes free frames. */
static void add_free_ram(uint64_t table, uint64_t table_end)
{
    const uint64_t taken[][2] = {
        {0, 1ull << 20}, /* dom0 gets it as it is, see dom0.c */
        {(uintptr_t)image_start, (uintptr_t)image_end},
        {boot.block, boot.block_end},
        {table, table_end},
    };

    for (unsigned int i = 0; i < boot.map.count; i++) {
        uint64_t at = boot.map.entry[i].addr;
        uint64_t end = at + boot.map.entry[i].size;

        if (boot.map.entry[i].type != E820_RAM) continue;
        while (at < end) {
            uint64_t stop = end, next = end;

            /* The first taken range at or above `at`. */
            for (unsigned int k = 0; k < ARRAY_SIZE(taken); k++) {
                if (overlaps(at, end, taken[k][0], taken[k][1]) && MAX(taken[k][0], at) < stop) {
                    stop = MAX(taken[k][0], at);
                    next = taken[k][1];
                } else if (taken[k][0] <= at && at < taken[k][1]) {
                    stop = at;
                    next = taken[k][1];
                }
            }
            if (stop > at) frames_add_ram(at, stop);
            at = MIN(next, end);
        }
    }
}

static void memory_boot(void)
{
    uint64_t size, table;

    note_ram();
    size = frames_table_bytes();
    table = find_room(size, LARGE, 1ull << 32);
    move_modules(table);
    map_init();
    if (!windows_init(&cpu0)) panic("no memory for windows");
    frames_init(table);
    add_free_ram(table, table + size);
    heap_boot();
    log_info("memory: %lu MiB, %lu free; the core uses %lu KiB", frames_total_count() >> 8,
             frames_free_count() >> 8, frames_core_count() * 4);
}

static void check_modules(void)
{
    if (!boot.modules)
        panic("no dom0 kernel: give it as the first module "
              "(GRUB: module2, QEMU: -initrd)");
    for (unsigned int i = 0; i < boot.modules; i++)
        if (!boot.module[i].size)
            panic("module %u is empty: the boot loader could not read it, or "
                  "the file is truncated",
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
    acpi_parse(boot.rsdp);
    time_boot();
    pic_off();
    apic_init_cpu();
    cpu0.apic_id = apic_id();
    timers_init(&cpu0);
    apic_calibrate();
    clock_set_wall(read_rtc_seconds(), 0, now());
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
