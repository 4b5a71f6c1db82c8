/* SPDX-License-Identifier: Apache-2.0 */
/* What the core takes from the host's ACPI tables, and dom0's own tables. */
#ifndef BOOT_ACPI_H
#define BOOT_ACPI_H

#include "lib/base.h"
#include "cpu/cpu.h"

struct acpi_info {
    uint64_t rsdp;
    uint32_t cpu_apic_ids[MAX_CPUS]; /* enabled processors, boot CPU first */
    unsigned int cpus;
    uint64_t mmcfg_base; /* segment 0, 0: none                 */
    uint8_t mmcfg_start_bus, mmcfg_end_bus;
    uint16_t pm1a_cnt, pm1b_cnt, pm_timer; /* ports, 0: none               */
    uint8_t reset_type;                    /* FADT reset register: address space */
    uint64_t reset_address;
    uint8_t reset_value;
    struct {
        uint8_t source;
        uint32_t gsi;
        uint16_t flags;
    } overrides[16];
    unsigned int override_count;
    uint64_t madt;       /* physical, as the firmware left it  */
    uint64_t passed[32]; /* tables that dom0 may see           */
    unsigned int passed_count;
};

extern struct acpi_info acpi;

/* rsdp 0: search the BIOS areas.  Registers IO-APICs with ioapic_add.  The
 * tables are reached through windows and checked (length, checksum); panics
 * with a clear line when MADT or FADT is missing or broken. */
void acpi_parse(uint64_t rsdp);
/* After acpi_parse: a table by its signature, checked, until the next call;
 * NULL: none.  Boot only. */
struct acpi_header;
const struct acpi_header *acpi_find(const char *signature);

/*
 * dom0's RSDP, XSDT and MADT, written into `buf` (one to four pages, zeroed)
 * that dom0 will see at gpa; the other allowed tables stay where they are.
 * `vcpus` local APICs.  Returns the size used; the RSDP is at gpa.
 */
size_t acpi_build_dom0(uint8_t *buf, size_t size, uint64_t gpa, unsigned int vcpus);

/* boot/power.c: both never return. */
_Noreturn void machine_reset(void);
_Noreturn void machine_halt(void);

#endif
