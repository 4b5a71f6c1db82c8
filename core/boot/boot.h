/* SPDX-License-Identifier: Apache-2.0 */
/* What the boot protocol handed over, and the command line. */
#ifndef BOOT_BOOT_H
#define BOOT_BOOT_H

#include "boot/acpi_tables.h"
#include "hypercall/control.h"
#include "lib/base.h"
#include "../../loader/layout.h"
#include <xen/xen.h>

#define MAX_MODULES  4
#define MAX_ASSIGNED 8

struct boot_module {
    uint64_t start, size; /* physical bytes */
    char args[1024];
};

struct boot_info {
    char loader[64];
    struct acpi_rsdp rsdp; /* without a signature: not told */
    struct e820_map map;
    unsigned int modules;
    struct boot_module module[MAX_MODULES];
    /* What dom0 finds at its start: tables, then the loader, then modules. */
    uint64_t block, block_end;
};

/* build/loader/loader.bin; where it goes in the block, and what it needs, says
 * loader/layout.h. */
extern const char loader_image[], loader_image_end[];
#define LOADER_MEMORY (*(const uint32_t *)(loader_image + HEADER_SIZE_AT))

extern struct boot_info boot;

/* Options, parsed once from `cmdline`. */
struct options {
    char console[64], com1[64], loglvl[32], guest_loglvl[32];
    uint64_t dom0_mem, dom0_mem_min, dom0_mem_max; /* bytes, 0: not given */
    unsigned int dom0_max_vcpus, maxcpus;          /* 0: not given        */
    bool noreboot, iommu;
    int smt;                                              /* all threads of a core; -1: not given */
    bool fill_returns, ibpb_entry, ssbd, exec_superpages; /* against speculation */
    struct assignment {
        xen_domain_handle_t handle;
        uint16_t bdf;
    } assigned[MAX_ASSIGNED]; /* PCI devices for guests */
    unsigned int assigned_count;
};
extern struct options options;

void options_parse(void);
/* multiboot 1 or 2, by magic; reads low memory, mapped early. */
void boot_parse(uint32_t magic, uint32_t info);

void smp_boot(void);   /* brings up all CPUs   */
void dom0_build(void); /* makes dom0, runnable */

#endif
