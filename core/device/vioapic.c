/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dom0's IO-APICs: one for each of the host's, with the same pins.  A pin is
 * bound to its host interrupt when dom0 first unmasks it.  A level interrupt
 * keeps the host's pin masked from its arrival to dom0's EOI.
 */
#include "cpu/irq.h"
#include "device/console.h"
#include "device/hwdev.h"
#include "device/vlapic.h"
#include "lib/print.h"
#include "memory/heap.h"
#include "vm/domain.h"
#include <xen/errno.h>

#define RTE_LOGICAL BIT(11)
#define RTE_LOW     BIT(13)
#define RTE_IRR     BIT(14)
#define RTE_LEVEL   BIT(15)
#define RTE_MASKED  BIT(16)
#define RTE_DEST    MASK(63, 56)
#define RTE_WRITE   (RTE_DEST | 0x1afff)

struct pin {
    uint64_t rte, routed; /* as dom0 wrote it, as the host's pin has it */
    uint32_t gsi;
    uint8_t vector; /* the host's, 0: not bound */
};

static struct pin *pins;
static uint32_t pin_count;
static uint8_t selected[MAX_IOAPICS];

/* Guards: pins and selected. */
static struct spinlock vioapic_lock = SPINLOCK(RANK_HWDEV);

int vioapic_init(void)
{
    pin_count = ioapic_gsi_count();
    pins = core_alloc(pin_count * sizeof(*pins));
    if (!pins) return -XEN_ENOMEM;
    for (uint32_t i = 0; i < pin_count; i++) {
        pins[i].gsi = i;
        pins[i].routed = ~0ull;
        pins[i].rte = RTE_MASKED;
    }
    return 0;
}

static void interrupt(void *data)
{
    struct pin *p = data;

    spin_lock(&vioapic_lock);
    if (p->rte & RTE_LEVEL) ioapic_mask(p->gsi, true);
    /* One that was on its way as dom0 masked the pin is lost; a level that
     * still stands comes again when the pin is unmasked. */
    if (!(p->rte & RTE_MASKED)) {
        if (p->rte & RTE_LEVEL) p->rte |= RTE_IRR;
        vlapic_deliver(dom0, p->rte >> 56, p->rte);
    }
    spin_unlock(&vioapic_lock);
}

/* Where the vCPU of that destination ran last; CPU 0 for what 8 bits do not name. */
uint32_t hwdev_apic_id(const struct domain *d, unsigned int dest, bool logical)
{
    struct vcpu *v = logical ? NULL : domain_vcpu(d, dest / 2);

    return v && v->sched.last_cpu->apic_id < 256 ? v->sched.last_cpu->apic_id : cpus[0]->apic_id;
}

static void write_rte(struct pin *p, uint64_t value)
{
    uint64_t wanted = value & (RTE_LEVEL | RTE_LOW | RTE_DEST);
    int vector = p->vector;

    /* Edge has no remote IRR; the change from level acts as an EOI. */
    p->rte = (value & RTE_WRITE) | (value & RTE_LEVEL ? p->rte & RTE_IRR : 0);
    if (console_has_gsi(p->gsi)) return;
    if (p->rte & RTE_MASKED) {
        if (p->vector) ioapic_mask(p->gsi, true);
        return;
    }
    if (!vector) vector = irq_alloc_vector(interrupt, p);
    if (vector < 0) {
        log_guest(LOG_WARN, "d0: no vector left for interrupt %u", p->gsi);
        return;
    }
    p->vector = vector;
    if (p->routed != wanted &&
        ioapic_route(p->gsi, p->vector, hwdev_apic_id(dom0, p->rte >> 56, p->rte & RTE_LOGICAL),
                     p->rte & RTE_LEVEL, p->rte & RTE_LOW))
        log_guest(LOG_WARN, "d0: no interrupt %u", p->gsi);
    p->routed = wanted;
    ioapic_mask(p->gsi, p->rte & RTE_IRR);
}

/* Pin of a redirection register, or NULL. */
static struct pin *pin_at(unsigned int i, uint8_t reg)
{
    unsigned int pin = (reg - 0x10) / 2;

    if (reg < 0x10 || pin >= ioapics[i].pins) return NULL;
    return &pins[index_nospec(ioapics[i].gsi_base + pin, pin_count)];
}

static uint32_t read(unsigned int i)
{
    struct pin *p = pin_at(i, selected[i]);

    if (p) return selected[i] & 1 ? p->rte >> 32 : p->rte;
    if (selected[i] == 0) return ioapics[i].id << 24;
    return selected[i] == 1 ? 0x11 | (ioapics[i].pins - 1) << 16 : 0;
}

static void write(unsigned int i, uint32_t value)
{
    struct pin *p = pin_at(i, selected[i]);

    if (p && selected[i] & 1)
        write_rte(p, (uint32_t)p->rte | (uint64_t)value << 32);
    else if (p)
        write_rte(p, (p->rte & ~0xffffffffull) | value);
}

bool vioapic_access(uint64_t gpa, bool is_write, uint64_t *value)
{
    unsigned int i = 0, reg = gpa & 0xff;

    while (i < ioapic_count && gpa >> PAGE_SHIFT != ioapics[i].address >> PAGE_SHIFT) i++;
    if (i == ioapic_count) return false;
    spin_lock(&vioapic_lock);
    if (reg == 0 && is_write)
        selected[i] = *value;
    else if (reg == 0x10 && is_write)
        write(i, *value);
    else
        *value = reg == 0 ? selected[i] : reg == 0x10 ? read(i) : 0;
    spin_unlock(&vioapic_lock);
    return true;
}

void vioapic_eoi(uint8_t vector)
{
    spin_lock(&vioapic_lock);
    for (uint32_t i = 0; i < pin_count; i++) {
        struct pin *p = &pins[i];

        if (!(p->rte & RTE_IRR) || (uint8_t)p->rte != vector) continue;
        p->rte &= ~RTE_IRR;
        if (!(p->rte & RTE_MASKED)) ioapic_mask(p->gsi, false);
    }
    spin_unlock(&vioapic_lock);
}
