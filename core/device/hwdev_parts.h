/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of dom0's platform. */
#ifndef DEVICE_HWDEV_PARTS_H
#define DEVICE_HWDEV_PARTS_H

#include "lib/base.h"

struct domain;

struct hwdev {
    uint32_t cf8; /* dom0's PCI address register */
};

struct pin {
    uint64_t rte, routed; /* as dom0 wrote it, as the host's pin has it */
    uint32_t gsi;
    uint8_t vector; /* the host's, 0: not bound */
};

int vioapic_init(void);
int vpci_init(struct domain *d);
/* The APIC id of the CPU for interrupts to that destination of dom0's. */
uint32_t hwdev_apic_id(unsigned int dest, bool logical);

#endif
