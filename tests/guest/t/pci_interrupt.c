/* SPDX-License-Identifier: Apache-2.0 */
/* A real device interrupts dom0: by its pin, through the IO-APIC, and by MSI.
 * The device is QEMU's teaching device, edu. */
/* run: device=edu */
#include "pci.h"
#include "test.h"

#define EDU_ID   0x11e81234u
#define ISR      0x24 / 4
#define RAISE    0x60 / 4
#define ACK      0x64 / 4
#define PIN_BASE 0x60 /* vector of pin n: PIN_BASE + n */
#define MSI      0x91

static volatile uint32_t *edu;
static volatile unsigned int pin_seen;

static void on_pin(struct regs *r)
{
    pin_seen = (unsigned int)r->vector - PIN_BASE;
    edu[ACK] = edu[ISR];
    apic_write(APIC_EOI, 0);
}
static void on_msi(struct regs *r)
{
    (void)r;
    edu[ACK] = edu[ISR];
    apic_write(APIC_EOI, 0);
}

static bool wait_count(unsigned int vector, unsigned int n)
{
    uint64_t end = now() + NS_PER_S / 2;

    irq_enable();
    while (irq_count[vector] < n && now() < end) cpu_relax();
    irq_disable();
    return irq_count[vector] == n;
}

static void by_pin(void)
{
    uint64_t end = now() + NS_PER_S / 2;

    for (unsigned int pin = 16; pin < 24; pin++) {
        set_irq(PIN_BASE + pin, on_pin);
        ioapic_write(0x11 + 2 * pin, 0);
        ioapic_write(0x10 + 2 * pin, 0xa000 | (PIN_BASE + pin)); /* level, low */
    }
    edu[RAISE] = 1;
    irq_enable();
    while (!pin_seen && now() < end) cpu_relax();
    irq_disable();
    if (!check(pin_seen >= 16, "interrupt by pin")) return;
    print("pin %u\n", pin_seen);
    for (unsigned int i = 0; i < 5; i++) {
        edu[RAISE] = 1;
        wait_count(PIN_BASE + pin_seen, i + 2);
    }
    check_eq(irq_count[PIN_BASE + pin_seen], 6, "six raised, six taken");
    for (unsigned int pin = 16; pin < 24; pin++) ioapic_write(0x10 + 2 * pin, 0x10000);
    irq_count[PIN_BASE + pin_seen] = 0;
    edu[RAISE] = 1;
    check(wait_count(PIN_BASE + pin_seen, 0), "masked: none");
    edu[ACK] = edu[ISR];
}

static void by_msi(uint32_t dev)
{
    uint32_t cap = pci_capability(dev, 5);

    if (!check(cap != 0, "MSI capability")) return;
    set_irq(MSI, on_msi);
    pci_write(dev, cap + 4, 0xfee00000);
    pci_write(dev, cap + 8, 0);
    pci_write(dev, cap + 12, MSI);
    pci_write(dev, cap, (pci_read(dev, cap) & 0xffff0000) | 1u << 16);
    check_eq(pci_read(dev, cap) >> 16 & 1, 1, "MSI enabled");
    check_eq(pci_read(dev, cap + 4), 0xfee00000, "the address is ours");
    for (unsigned int i = 0; i < 5; i++) {
        edu[RAISE] = 1;
        wait_count(MSI, i + 1);
    }
    check_eq(irq_count[MSI], 5, "five raised, five taken");
}

void test_main(void)
{
    uint32_t dev = pci_find(EDU_ID);

    if (dev == 32) fatal("no edu device");
    apic_enable(true);
    pci_write(dev, 4, pci_read(dev, 4) & ~2u); /* off, as Linux does to size BARs */
    edu = pci_open_bar(dev, 0);
    print("BAR %x command %x\n", pci_read(dev, 0x10), pci_read(dev, 4));
    check_eq(edu[0] & 0xff, 0xed, "its memory is mapped");
    edu[1] = 0x12345678;
    check_eq(edu[1], ~0x12345678u, "and answers");
    by_pin();
    by_msi(dev);
    pci_write(dev, 4, pci_read(dev, 4) & ~2u);
    check_eq(edu[0], 0xffffffff, "memory decoding off: unmapped");
}
