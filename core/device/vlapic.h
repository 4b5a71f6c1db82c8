/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual local APIC of a vCPU (xAPIC and x2APIC). */
#ifndef DEVICE_VLAPIC_H
#define DEVICE_VLAPIC_H

#include "lib/base.h"

struct vcpu;
struct domain;

/* The xAPIC's registers by their place in its page (SDM vol. 3, 12.4.1). */
#define APIC_ID      0x020
#define APIC_VERSION 0x030
#define APIC_TPR     0x080
#define APIC_PPR     0x0a0
#define APIC_EOI     0x0b0
#define APIC_LDR     0x0d0
#define APIC_DFR     0x0e0
#define APIC_SVR     0x0f0
#define APIC_ISR     0x100
#define APIC_TMR     0x180
#define APIC_IRR     0x200
#define APIC_ICR     0x300
#define APIC_ICR_HI  0x310
#define APIC_LVTT    0x320
#define APIC_LVTERR  0x370
#define APIC_TMICT   0x380
#define APIC_TMCCT   0x390
#define APIC_TDCR    0x3e0
#define APIC_SELF    0x3f0

int vlapic_init(struct vcpu *v) must_use;
void vlapic_free(struct vcpu *v);
void vlapic_stop(struct vcpu *v); /* its timer */
void vlapic_reset(struct vcpu *v);
/* Carries out v->sipi, in v's own run loop: reset, then real mode. */
void vlapic_start(struct vcpu *v);

/* Sets a vector's IRR bit (level: and TMR) and notifies v.  Any CPU; lock-free
 * on the way of edge interrupts. */
void vlapic_set_irq(struct vcpu *v, uint8_t vector, bool level);
/* The same for an event's upcall, which a disabled APIC keeps until it is
 * enabled again: Linux disables it while it is suspended. */
void vlapic_set_upcall(struct vcpu *v, uint8_t vector);
/* A message: finds the destination vCPUs of d.  Its format is that of the ICR
 * and of an IO-APIC's pin. */
#define MESSAGE_LOGICAL BIT(11)
#define MESSAGE_LEVEL   BIT(15)
void vlapic_deliver(struct domain *d, uint32_t dest, uint32_t message);

/* Highest pending vector above the processor priority, or -1. */
int vlapic_pending(struct vcpu *v);
/* Before v is entered, on its CPU: the vector to inject, or -1; where the processor
 * delivers by itself it is told what waits. */
int vlapic_next(struct vcpu *v);
/* The processor has ended this vector by itself, or put what the guest wrote into a
 * register of the xAPIC. */
void vlapic_ended(struct vcpu *v, uint8_t vector);
void vlapic_written(struct vcpu *v, unsigned int offset);
/* Moves it from IRR to ISR: it is being injected. */
void vlapic_accept(struct vcpu *v, uint8_t vector);
/* Takes that back: the guest has not taken it. */
void vlapic_withdraw(struct vcpu *v, uint8_t vector);

/* xAPIC page: offset in 0..0xfff. */
uint64_t vlapic_access(struct vcpu *v, unsigned int offset, unsigned int size, bool write,
                       uint64_t value);
/* MOV from or to CR8, the TPR's upper half; false: #GP. */
bool vlapic_cr8(struct vcpu *v, uint64_t *reg, bool write);
/* MSR_APIC_BASE, _TSC_DEADLINE, _X2APIC to _X2APIC_END: 0 or -1 for #GP. */
int vlapic_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value);
int vlapic_write_msr(struct vcpu *v, uint32_t msr, uint64_t value);

/* The number of the same register among the x2APIC's MSRs. */
#define X2APIC(offset) ((offset) >> 4)
/* Which x2APIC registers can be read, by this number. */
#define X2APIC_READ                                                                              \
    (BIT(2) | BIT(3) | BIT(8) | BIT(10) | BIT(13) | BIT(15) | MASK(39, 16) | BIT(40) | BIT(48) | \
     MASK(57, 50) | BIT(62))

/* Context records 5 (24 bytes) and 6 (1024 bytes). */
struct hvm_hw_lapic;
struct hvm_hw_lapic_regs;
void vlapic_save(struct vcpu *v, struct hvm_hw_lapic *hw, struct hvm_hw_lapic_regs *regs);
int vlapic_load(struct vcpu *v, const struct hvm_hw_lapic *hw);
int vlapic_load_regs(struct vcpu *v, const struct hvm_hw_lapic_regs *regs);

#endif
