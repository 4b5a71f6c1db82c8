/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host interrupts: vectors, the local APIC and the IO-APICs.
 *
 * Vectors: 0x20-0xdf belong to devices and are handed out machine-wide (one
 * vector has one meaning on all CPUs); above them are the core's own.
 */
#ifndef CPU_IRQ_H
#define CPU_IRQ_H

#include "lib/base.h"

#define VECTOR_FIRST_DEVICE 0x20
#define VECTOR_LAST_DEVICE  0xdf
#define VECTOR_PIC          0xe0 /* of 16, none is expected  */
#define VECTOR_KICK         0xf0 /* pass the run loop        */
#define VECTOR_TIMER        0xf1 /* local APIC timer         */
#define VECTOR_SPURIOUS     0xff

/* Called on the CPU that took it, interrupts off; EOI comes after it. */
typedef void irq_handler(void *data);

/* Gives a free device vector to a handler; -ENOSPC when all are taken. */
int irq_alloc_vector(irq_handler *fn, void *data) must_use;
/* The handler may still be running elsewhere: its data lives on. */
void irq_free_vector(unsigned int vector);
/* Called by the trap entry for each external interrupt. */
void irq_dispatch(unsigned int vector);
void irqs_dump(void); /* printed by a debug key */

/* --- local APIC (cpu/apic.c) --- */
void apic_init_cpu(void); /* on each CPU                     */
uint32_t apic_id(void);
bool apic_is_x2(void);
void apic_eoi(void);
/* To another CPU: an interrupt, or ICR_NMI, or ICR_INIT, or ICR_STARTUP | page. */
#define ICR_NMI     0x400
#define ICR_INIT    0x500
#define ICR_STARTUP 0x600
void apic_send(uint32_t apic_id, uint32_t command);
void apic_set_timer(uint64_t deadline_ns); /* TIME_NEVER: off; absolute      */
void apic_calibrate(void);                 /* on the boot CPU, before timers */
/* The address and data that make a device interrupt this CPU (APM vol. 2,
 * 16.; SDM vol. 3, 11.11). */
void apic_msi_message(uint32_t apic_id, uint8_t vector, uint64_t *addr, uint32_t *data);

/* --- IO-APICs (cpu/ioapic.c) --- */
/* Masks the old interrupt controller, for good. */
void pic_off(void);
struct ioapic_info {
    uint8_t id;
    uint32_t address; /* physical */
    uint32_t gsi_base;
    uint32_t pins;
    uint16_t source; /* bus << 8 | devfn of its requests, 0: not known */
};

#define MAX_IOAPICS 16
extern struct ioapic_info ioapics[MAX_IOAPICS];
extern unsigned int ioapic_count;

/* Found by ACPI; maps its registers, masks every pin. */
void ioapic_add(uint8_t id, uint32_t address, uint32_t gsi_base);
/* Points a pin at a vector of a CPU, masked; -ENODEV for an unknown gsi. */
int ioapic_route(uint32_t gsi, uint8_t vector, uint32_t apic_id, bool level, bool low) must_use;
void ioapic_mask(uint32_t gsi, bool masked);
/* Highest gsi known + 1. */
uint32_t ioapic_gsi_count(void);

#endif
