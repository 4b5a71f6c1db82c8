/* SPDX-License-Identifier: Apache-2.0 */
/* The core's console: a ring of text and the serial port. */
#ifndef DEVICE_CONSOLE_H
#define DEVICE_CONSOLE_H

#include "lib/base.h"

/* com1= (base port, baud) and console= are known; before that text only goes
 * to the ring. */
void console_init(const char *console, const char *com1);
void console_set_levels(const char *loglvl, const char *guest_loglvl);
/* Raw text of dom0's to the serial port. */
void console_write(const char *text, size_t len);
/* XEN_SYSCTL_readconsole: copies from ring position *pos; returns the bytes. */
size_t console_ring_read(char *buf, size_t size, uint32_t *pos, bool clear);
/* Input for CONSOLEIO_read: returns the bytes taken. */
size_t console_read(char *buf, size_t size);
/* I/O port range [base, base + 8) that the core keeps for itself, or 0. */
uint16_t console_port(void);
/* The host's interrupt that the core keeps for itself. */
bool console_has_gsi(uint32_t gsi);
/* From now on input is fetched, and VIRQ_CONSOLE raised for it.  Boot, after
 * acpi_parse and iommu_boot. */
void console_start_input(void);
/* Stops using locks: the machine is about to go down. */
void console_force(void);

#endif
