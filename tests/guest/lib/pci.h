/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration of the devices of PCI bus 0, function 0, by ports 0xcf8 and 0xcfc. */
#ifndef PCI_H
#define PCI_H

#include <stdint.h>

uint32_t pci_read(uint32_t dev, uint32_t reg);
void pci_write(uint32_t dev, uint32_t reg, uint32_t value);
/* The first device with that vendor and device ID; 32: none. */
uint32_t pci_find(uint32_t id);
/* Where a capability begins; 0: the device has none of that ID. */
uint32_t pci_capability(uint32_t dev, uint8_t id);
/* Turns memory decoding and bus mastering on; where BAR n, of 32 bits, lies. */
volatile void *pci_open_bar(uint32_t dev, unsigned int n);

#endif
