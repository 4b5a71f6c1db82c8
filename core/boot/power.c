/* SPDX-License-Identifier: Apache-2.0 */
/* Stopping and resetting the machine. */
#include "boot/acpi.h"
#include "cpu/cpu.h"
#include "cpu/time.h"
#include "lib/print.h"

void machine_halt(void)
{
    stop_others();
    log_info("The machine is stopped.");
    cpu_stop();
}

void machine_reset(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } packed none = {0, 0};

    stop_others();
    log_info("The machine is reset.");
    if (acpi.reset_type == 1) /* an I/O port (ACPI 4.8.3.6) */
        outb(acpi.reset_address, acpi.reset_value);
    delay_us(10000);
    outb(0xcf9, 6);
    delay_us(10000);
    outb(0x64, 0xfe); /* keyboard controller */
    delay_us(10000);
    __asm__ volatile("lidt %0; int3" : : "m"(none)); /* triple fault */
    cpu_stop();
}
