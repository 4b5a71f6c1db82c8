/* SPDX-License-Identifier: Apache-2.0 */
/* PCI configuration by ports and MMCFG: dom0 sees q35, a guest nothing. */
/* run: as=both bochs=no */
#include "test.h"

#define MMCFG 0xb0000000ull /* QEMU's q35 */

static uint32_t config(uint32_t bdf, uint32_t reg)
{
    outl(0xcf8, 0x80000000 | bdf << 8 | reg);
    return inl(0xcfc);
}

static uint32_t mmio_read(uint64_t at)
{
    uint32_t v;

    asm volatile("mov (%1), %0" : "=a"(v) : "r"(at) : "memory");
    return v;
}

void test_main(void)
{
    if (!is_dom0) {
        check_eq(config(0, 0), 0xffffffff, "no PCI device");
        outl(0xcf8, 0x80000000);
        check_eq(inl(0xcf8), 0xffffffff, "no address register");
        return;
    }
    check_eq(config(0, 0), 0x29c08086, "host bridge");
    outl(0xcf8, 0x80000000);
    check_eq(inl(0xcf8), 0x80000000, "address register");
    check_eq(inw(0xcfc), 0x8086, "vendor by 2 bytes");
    check_eq(inw(0xcfe), 0x29c0, "device by 2 bytes");
    check_eq(inb(0xcfd), 0x80, "one byte");
    check_eq(config(0x1f << 3, 0) & 0xffff, 0x8086, "ISA bridge");
    check_eq(config(5 << 3, 0), 0xffffffff, "no device 5");
    check_eq(config(0x4000, 0), 0xffffffff, "no bus 64");
    outl(0xcf8, 0);
    check_eq(inl(0xcfc), 0xffffffff, "not enabled");
    check_eq(mmio_read(MMCFG), 0x29c08086, "host bridge by MMCFG");
    check_eq(mmio_read(MMCFG + (5 << 15)), 0xffffffff, "no device 5 by MMCFG");
}
