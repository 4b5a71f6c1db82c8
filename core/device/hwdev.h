/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dom0's view of the real machine: IO-APICs bound to host interrupts, PCI
 * configuration with MSI and MSI-X, and the I/O ports that pass through.
 */
#ifndef DEVICE_HWDEV_H
#define DEVICE_HWDEV_H

#include "lib/base.h"

struct vcpu;
struct domain;
struct vm_exit;

/* Builds dom0's platform after ACPI is parsed and dom0's p2m exists. */
int hwdev_init(struct domain *d) must_use;

/* device/vioapic.c */
bool vioapic_covers(struct domain *d, uint64_t gpa);
uint32_t vioapic_mmio_read(struct domain *d, uint64_t gpa);
void vioapic_mmio_write(struct domain *d, uint64_t gpa, uint32_t value);
/* A level interrupt of this vector was ended by a guest's EOI. */
void vioapic_eoi(struct domain *d, uint8_t vector);

/* device/vpci.c */
uint32_t vpci_port_access(struct vcpu *v, uint16_t port, unsigned int size, bool in,
                          uint32_t value); /* 0xcf8-0xcff */
bool vpci_mmcfg_covers(struct domain *d, uint64_t gpa);
uint64_t vpci_mmcfg_access(struct vcpu *v, uint64_t gpa, unsigned int size, bool write,
                           uint64_t value);
/* False when no MSI-X table's page is at gpa. */
bool vpci_msix_access(struct vcpu *v, uint64_t gpa, unsigned int size, bool write, uint64_t *value);

/* True when dom0 may use these ports directly (device/hwdev.c). */
bool port_allowed(struct domain *d, uint16_t port, unsigned int size);
void irqs_dump(void);

#endif
