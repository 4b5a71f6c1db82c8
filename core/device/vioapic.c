/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dom0's IO-APICs: one for each of the host's, with the same pins.  A pin is
 * bound to its host interrupt when dom0 first unmasks it.  A level interrupt
 * keeps the host's pin masked from its arrival to dom0's EOI.
 */
#include "cpu/irq.h"
#include "device/hwdev.h"
#include "device/hwdev_parts.h"
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

static int find(uint64_t gpa)
{
    for (unsigned int i = 0; i < ioapic_count; i++)
        if (gpa >> PAGE_SHIFT == ioapics[i].address >> PAGE_SHIFT) return i;
    return -1;
}

bool vioapic_covers(struct domain *d, uint64_t gpa)
{
    (void)d;
    return find(gpa) >= 0;
}

static void deliver(struct pin *p)
{
    vlapic_deliver(dom0, p->rte >> 56, p->rte & RTE_LOGICAL, p->rte >> 8 & 7, p->rte,
                   p->rte & RTE_LEVEL);
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
        deliver(p);
    }
    spin_unlock(&vioapic_lock);
}

/* Where the vCPU of that destination ran last. */
uint32_t hwdev_apic_id(unsigned int dest, bool logical)
{
    unsigned int id = dest / 2;
    struct vcpu *v = NULL;

    if (!logical && id < dom0->max_vcpus) v = dom0->vcpus[index_nospec(id, dom0->max_vcpus)];
    return v ? v->sched.last_cpu->apic_id : cpus[0]->apic_id;
}

/* Makes the host's pin as dom0's, masked, unless it is already. */
static void route(struct pin *p)
{
    uint64_t wanted = p->rte & (RTE_LEVEL | RTE_LOW | RTE_DEST);

    if (p->routed == wanted) return;
    if (ioapic_route(p->gsi, p->vector, hwdev_apic_id(p->rte >> 56, p->rte & RTE_LOGICAL),
                     p->rte & RTE_LEVEL, p->rte & RTE_LOW))
        log_guest(LOG_WARN, "d0: no interrupt %u", p->gsi);
    p->routed = wanted;
}

static void write_rte(struct pin *p, uint64_t value)
{
    uint64_t old = p->rte;

    p->rte = (value & RTE_WRITE) | (old & RTE_IRR);
    /* Edge has no remote IRR; the change from level acts as an EOI. */
    if (!(value & RTE_LEVEL)) p->rte &= ~RTE_IRR;
    if (p->rte & RTE_MASKED) {
        if (p->vector) ioapic_mask(p->gsi, true);
        return;
    }
    if (!p->vector) {
        int vector = irq_alloc_vector(interrupt, p);

        if (vector < 0) {
            log_guest(LOG_WARN, "d0: no vector left for interrupt %u", p->gsi);
            return;
        }
        p->vector = vector;
    }
    route(p);
    ioapic_mask(p->gsi, p->rte & RTE_IRR);
}

/* Pin of a redirection register, or NULL. */
static struct pin *pin_at(unsigned int i, uint8_t reg)
{
    unsigned int pin = (reg - 0x10) / 2;

    if (reg < 0x10 || pin >= ioapics[i].pins) return NULL;
    return &pins[index_nospec(ioapics[i].gsi_base + pin, pin_count)];
}

uint32_t vioapic_mmio_read(struct domain *d, uint64_t gpa)
{
    int i = find(gpa);
    struct pin *p;
    uint32_t v = 0;

    (void)d;
    spin_lock(&vioapic_lock);
    if ((gpa & 0xff) == 0) {
        v = selected[i];
    } else if ((gpa & 0xff) == 0x10) {
        if (selected[i] == 0)
            v = ioapics[i].id << 24;
        else if (selected[i] == 1)
            v = 0x11 | (ioapics[i].pins - 1) << 16;
        else if ((p = pin_at(i, selected[i])) != NULL)
            v = selected[i] & 1 ? p->rte >> 32 : p->rte;
    }
    spin_unlock(&vioapic_lock);
    return v;
}

void vioapic_mmio_write(struct domain *d, uint64_t gpa, uint32_t value)
{
    int i = find(gpa);
    struct pin *p;

    (void)d;
    spin_lock(&vioapic_lock);
    if ((gpa & 0xff) == 0) {
        selected[i] = value;
    } else if ((gpa & 0xff) == 0x10 && (p = pin_at(i, selected[i])) != NULL) {
        if (selected[i] & 1)
            write_rte(p, (uint32_t)p->rte | (uint64_t)value << 32);
        else
            write_rte(p, (p->rte & ~0xffffffffull) | value);
    }
    spin_unlock(&vioapic_lock);
}

void vioapic_eoi(struct domain *d, uint8_t vector)
{
    (void)d;
    spin_lock(&vioapic_lock);
    for (uint32_t i = 0; i < pin_count; i++) {
        struct pin *p = &pins[i];

        if (!(p->rte & RTE_IRR) || (uint8_t)p->rte != vector) continue;
        p->rte &= ~RTE_IRR;
        if (!(p->rte & RTE_MASKED)) ioapic_mask(p->gsi, false);
    }
    spin_unlock(&vioapic_lock);
}
