/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dom0's view of the real machine: IO-APICs bound to host interrupts, PCI
 * configuration with MSI and MSI-X, and the I/O ports that pass through.
 */
#ifndef DEVICE_HWDEV_H
#define DEVICE_HWDEV_H

#include "lib/base.h"

struct domain;

/* Builds the platform of dom0, the first domain, after ACPI is parsed. */
int hwdev_init(struct domain *d) must_use;
/* True when d may use these ports directly. */
bool port_allowed(const struct domain *d, uint16_t port, unsigned int size);
/* By port, a set bit for one that d may not use; three pages, ending in ones
 * (APM vol. 2, 15.10.1; SDM vol. 3, 24.6.4). */
#define PORT_BITMAP_PAGES 3
const void *port_bitmap(const struct domain *d);

/* device/vioapic.c */
int vioapic_init(void) must_use;
/* dom0's access at gpa; false when no IO-APIC is there. */
bool vioapic_access(uint64_t gpa, bool write, uint64_t *value);
/* A level interrupt of this vector was ended by dom0's EOI. */
void vioapic_eoi(uint8_t vector);
/* The APIC id of the CPU for interrupts to that destination of d's. */
uint32_t hwdev_apic_id(const struct domain *d, unsigned int dest, bool logical);

/* device/vpci.c */
void vpci_init(void); /* finds the devices, when dom0 is there but does not run */
uint32_t vpci_port_access(struct domain *d, uint16_t port, unsigned int size, bool in,
                          uint32_t value); /* 0xcf8-f */
/* d's access at gpa; false when neither PCI configuration nor an MSI-X
 * table's page is there. */
bool vpci_access(struct domain *d, uint64_t gpa, unsigned int size, bool write, uint64_t *value);
/* The hardware's configuration space: at boot, or with vPCI's lock. */
uint32_t cfg_read(uint16_t bdf, unsigned int reg, unsigned int size);
void cfg_write(uint16_t bdf, unsigned int reg, unsigned int size, uint32_t v);
/* The offset of a capability, 0: none. */
unsigned int pci_find_capability(uint16_t bdf, uint8_t id);
/* Turns on MSI, whose capability is at `msi`, with this message. */
#define CAP_MSI 0x05
void pci_set_msi(uint16_t bdf, unsigned int msi, uint64_t address, uint32_t data);
/* True when the function has signalled an abort since the last call (PCI 3.0,
 * 6.2.3). */
bool vpci_take_abort(uint16_t bdf);
/* Stops a device's DMA and message interrupts. */
void vpci_quiesce(uint16_t bdf);
/* d touched gpa, where it has nothing: maps the device memory that may be
 * there.  False when it is not to have it.  Takes the p2m's lock. */
bool vpci_map(struct domain *d, uint64_t gpa);

/* device/assign.c.  Gives a new domain the devices that are kept for it. */
void vpci_assign(struct domain *d);
/* Takes a dying domain's devices: no DMA from the first call on; resets them.
 * -ERESTART: call again. */
int vpci_release(struct domain *d) must_use;

#endif
