/* SPDX-License-Identifier: Apache-2.0 */
/* The host's IO-APICs (their data sheet, Intel 82093AA, 3.2). */
#include "cpu/cpu.h"
#include "cpu/irq.h"
#include "cpu/lock.h"
#include "iommu/iommu.h"
#include "lib/print.h"
#include "memory/window.h"
#include <xen/errno.h>

#define REG_VERSION 1
#define REG_PIN(p)  (0x10 + 2 * (p))
#define PIN_LOW     BIT(13)
#define PIN_LEVEL   BIT(15)
#define PIN_MASKED  BIT(16)

struct ioapic_info ioapics[MAX_IOAPICS];
unsigned int ioapic_count;
static volatile uint32_t *regs[MAX_IOAPICS];

/* Guards: index and data registers of each IO-APIC. */
static struct spinlock ioapic_lock = SPINLOCK(RANK_IOAPIC);

static uint32_t read_reg(unsigned int i, unsigned int reg)
{
    regs[i][0] = reg;
    return regs[i][4];
}

static void write_reg(unsigned int i, unsigned int reg, uint32_t v)
{
    regs[i][0] = reg;
    regs[i][4] = v;
}

/* Some boards wire the old controller past the local APIC's LINT0. */
void pic_off(void)
{
    static const uint8_t setup[][2] = {
        {0x20, 0x11},           {0x21, VECTOR_PIC}, {0x21, 4}, {0x21, 1},    {0xa0, 0x11},
        {0xa1, VECTOR_PIC + 8}, {0xa1, 2},          {0xa1, 1}, {0x21, 0xff}, {0xa1, 0xff}};

    /* Intel 8259A, "Initialization Command Words": a spurious request must
     * not come as an exception's vector. */
    for (unsigned int i = 0; i < ARRAY_SIZE(setup); i++) outb(setup[i][0], setup[i][1]);
}

void ioapic_add(uint8_t id, uint32_t address, uint32_t gsi_base)
{
    struct ioapic_info *info = &ioapics[ioapic_count];
    unsigned int i = ioapic_count;

    if (i == MAX_IOAPICS) panic("over %u IO-APICs; switch some off in the firmware", MAX_IOAPICS);
    regs[i] = vmap_device(address, PAGE_SIZE);
    if (!regs[i]) panic("cannot map the IO-APIC at %x", address);
    *info = (struct ioapic_info){.id = id, .address = address, .gsi_base = gsi_base};
    info->pins = (read_reg(i, REG_VERSION) >> 16 & 0xff) + 1;
    for (unsigned int pin = 0; pin < info->pins; pin++) write_reg(i, REG_PIN(pin), PIN_MASKED);
    ioapic_count++;
}

static int find(uint32_t gsi, unsigned int *pin)
{
    for (unsigned int i = 0; i < ioapic_count; i++) {
        *pin = gsi - ioapics[i].gsi_base;
        if (gsi >= ioapics[i].gsi_base && *pin < ioapics[i].pins) return i;
    }
    return -XEN_ENODEV;
}

int ioapic_route(uint32_t gsi, uint8_t vector, uint32_t apic_id, bool level, bool low)
{
    uint32_t target = apic_id << 24;
    unsigned int pin;
    int i = find(gsi, &pin);

    if (i < 0) return i;
    /* VT-d 5.1.5.1: the entry's number in bits 49-63. */
    if (iommu.remaps && iommu.driver->remap_pin) {
        iommu.driver->remap_pin(ioapics[i].source, vector, apic_id, level);
        target = vector << 17 | BIT(16);
    }
    spin_lock(&ioapic_lock);
    /* Never edge for a moment: QEMU's then misses a level that rises. */
    write_reg(i, REG_PIN(pin), vector | PIN_MASKED | (level ? PIN_LEVEL : 0) | (low ? PIN_LOW : 0));
    write_reg(i, REG_PIN(pin) + 1, target);
    spin_unlock(&ioapic_lock);
    return 0;
}

void ioapic_mask(uint32_t gsi, bool masked)
{
    unsigned int pin;
    int i = find(gsi, &pin);
    uint32_t v;

    if (i < 0) return;
    spin_lock(&ioapic_lock);
    v = read_reg(i, REG_PIN(pin)) & ~PIN_MASKED;
    write_reg(i, REG_PIN(pin), v | (masked ? PIN_MASKED : 0));
    spin_unlock(&ioapic_lock);
}

uint32_t ioapic_gsi_count(void)
{
    uint32_t n = 0;

    for (unsigned int i = 0; i < ioapic_count; i++)
        n = MAX(n, ioapics[i].gsi_base + ioapics[i].pins);
    return n;
}
