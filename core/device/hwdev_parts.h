/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of dom0's platform. */
#ifndef DEVICE_HWDEV_PARTS_H
#define DEVICE_HWDEV_PARTS_H

#include "lib/base.h"

struct hwdev {
    uint32_t cf8; /* dom0's PCI address register */
};

struct pin {
    uint64_t rte;
    uint32_t gsi;
    uint8_t vector; /* the host's, 0: not bound */
};

int vioapic_init(void);
int vpci_init(void);
bool vpci_bar_covers(uint64_t gpa);

#endif
