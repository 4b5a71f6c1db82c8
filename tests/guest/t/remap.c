/* SPDX-License-Identifier: Apache-2.0 */
/* A device that writes messages of interrupts by DMA raises none of another
 * device's vectors, and the other's own still come. */
/* run: device=edu,dma_mask=0xffffffffffffffff+edu iommu=intel-iommu time=120 hv=insula */
#include "test.h"

#define EDU_ID  0x11e81234u
#define ISR     0x24 / 4
#define RAISE   0x60 / 4
#define ACK     0x64 / 4
#define SOURCE  0x80 / 8
#define TARGET  0x88 / 8
#define COUNT   0x90 / 8
#define COMMAND 0x98 / 8
#define BUFFER  0x40000u /* the device's own memory */
#define MSI     0x91
#define FIRST   0x20 /* the hypervisor's vectors of devices */

static volatile uint64_t *evil;
static volatile uint32_t *good;
static uint32_t *message;

static uint32_t get(uint32_t dev, uint32_t reg)
{
    outl(0xcf8, 0x80000000 | dev << 11 | reg);
    return inl(0xcfc);
}

static void put(uint32_t dev, uint32_t reg, uint32_t value)
{
    outl(0xcf8, 0x80000000 | dev << 11 | reg);
    outl(0xcfc, value);
}

static volatile void *start(uint32_t dev)
{
    put(dev, 4, get(dev, 4) & ~2u);
    put(dev, 4, get(dev, 4) | 6); /* memory, bus master */
    return (volatile void *)(uint64_t)(get(dev, 0x10) & ~15u);
}

static void enable_msi(uint32_t dev)
{
    uint32_t cap = get(dev, 0x34) & 0xff;

    while (cap && (get(dev, cap) & 0xff) != 5) cap = get(dev, cap) >> 8 & 0xff;
    if (!cap) fatal("no MSI");
    put(dev, cap + 4, 0xfee00000);
    put(dev, cap + 8, 0);
    put(dev, cap + 12, MSI);
    put(dev, cap, (get(dev, cap) & 0xffff0000) | 1u << 16);
}

static void on_msi(struct regs *r)
{
    (void)r;
    good[ACK] = good[ISR];
    apic_write(APIC_EOI, 0);
}

static void take(uint64_t ns)
{
    irq_enable();
    nap(ns);
    irq_disable();
}

static void dma(uint64_t from, uint64_t to, uint32_t command)
{
    uint64_t end = now() + 2 * NS_PER_S;

    evil[SOURCE] = from;
    evil[TARGET] = to;
    evil[COUNT] = 4;
    evil[COMMAND] = 1 | command;
    while (evil[COMMAND] & 1)
        if (now() > end) fatal("the device does not finish");
}

static void forge(uint64_t address, uint32_t data)
{
    *message = data;
    dma((uint64_t)message, BUFFER, 0);
    dma(BUFFER, address, 2);
}

void test_main(void)
{
    uint32_t dev = 0, other;

    while (dev < 32 && get(dev, 0) != EDU_ID) dev++;
    for (other = dev + 1; other < 32 && get(other, 0) != EDU_ID;) other++;
    if (other >= 32) fatal("no two devices");
    apic_enable(true);
    evil = start(dev);
    good = start(other);
    message = page_alloc();
    set_irq(MSI, on_msi);
    enable_msi(other);
    for (unsigned int i = 0; i < 20; i++) {
        good[RAISE] = 1;
        take(20 * NS_PER_MS);
    }
    check_eq(irq_count[MSI], 20, "twenty raised, twenty taken");
    /* The first few are handed out first. */
    for (unsigned int v = FIRST; v < FIRST + 8; v++) forge(0xfee00000, v);
    take(100 * NS_PER_MS);
    check_eq(irq_count[MSI], 20, "forged messages with vectors raise nothing");
    for (unsigned int v = FIRST; v < FIRST + 8; v++) forge(0xfee00010 | v << 5, 0);
    take(100 * NS_PER_MS);
    check_eq(irq_count[MSI], 20, "nor do those with the other's table entry");
    good[RAISE] = 1;
    take(20 * NS_PER_MS);
    check_eq(irq_count[MSI], 21, "its own still come");
}
