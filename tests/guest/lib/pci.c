/* SPDX-License-Identifier: Apache-2.0 */
#include "pci.h"
#include "cpu.h"

uint32_t pci_read(uint32_t dev, uint32_t reg)
{
    outl(0xcf8, 0x80000000 | dev << 11 | reg);
    return inl(0xcfc);
}

void pci_write(uint32_t dev, uint32_t reg, uint32_t value)
{
    outl(0xcf8, 0x80000000 | dev << 11 | reg);
    outl(0xcfc, value);
}

uint32_t pci_find(uint32_t id)
{
    uint32_t dev = 0;

    while (dev < 32 && pci_read(dev, 0) != id) dev++;
    return dev;
}

uint32_t pci_capability(uint32_t dev, uint8_t id)
{
    uint32_t cap = pci_read(dev, 0x34) & 0xff;

    while (cap && (pci_read(dev, cap) & 0xff) != id) cap = pci_read(dev, cap) >> 8 & 0xff;
    return cap;
}

volatile void *pci_open_bar(uint32_t dev, unsigned int n)
{
    pci_write(dev, 4, pci_read(dev, 4) | 6);
    return (volatile void *)(uint64_t)(pci_read(dev, 0x10 + 4 * n) & ~15u);
}
