/* SPDX-License-Identifier: Apache-2.0 */
/* What the core takes from the host's ACPI tables. */
#ifndef BOOT_ACPI_H
#define BOOT_ACPI_H

#include "lib/base.h"
#include "cpu/cpu.h"

struct acpi_info {
    uint32_t cpu_apic_ids[MAX_CPUS]; /* enabled processors, boot CPU first */
    unsigned int cpus;
    uint64_t mmcfg_base; /* segment 0, 0: none                 */
    uint8_t mmcfg_start_bus, mmcfg_end_bus;
    uint16_t pm_timer; /* port, 0: none                       */
    uint32_t com1_gsi; /* where the old interrupt 4 arrives    */
    bool com1_level, com1_low;
    uint8_t reset_type; /* FADT reset register: address space */
    uint64_t reset_address;
    uint8_t reset_value;
};

extern struct acpi_info acpi;

/* Finds the RSDP if the boot loader told none.  Registers IO-APICs with
 * ioapic_add.  The tables are reached through windows and checked (length,
 * checksum); panics with a clear line when MADT or FADT is missing or broken. */
void acpi_parse(void);
/* After acpi_parse: a table by its signature, checked, until the next call;
 * NULL: none.  Boot only. */
struct acpi_header;
const struct acpi_header *acpi_find(const char *signature);

/* boot/power.c: both never return. */
_Noreturn void machine_reset(void);
_Noreturn void machine_halt(void);

#endif
