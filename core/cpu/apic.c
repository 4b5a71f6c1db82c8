/* SPDX-License-Identifier: Apache-2.0 */
/* The host's local APICs (APM vol. 2, chapter 16). */
#include "cpu/arch.h"
#include "cpu/cpu.h"
#include "cpu/irq.h"
#include "cpu/time.h"
#include "lib/print.h"
#include "memory/window.h"

#define REG_ID     0x020
#define REG_TPR    0x080
#define REG_EOI    0x0b0
#define REG_SVR    0x0f0
#define REG_ICR    0x300
#define REG_ICR_HI 0x310
#define REG_TIMER  0x320
#define REG_LINT0  0x350
#define REG_LINT1  0x360
#define REG_ERROR  0x370
#define REG_INIT   0x380
#define REG_COUNT  0x390
#define REG_DIVIDE 0x3e0

#define LVT_MASKED   BIT(16)
#define LVT_DEADLINE BIT(18)
#define ICR_BUSY     BIT(12)
#define ICR_ASSERT   BIT(14)

static volatile uint32_t *regs; /* xAPIC page */
static bool x2apic, deadline;
static uint32_t timer_khz; /* of the one-shot counter, divided by 16 */

static uint32_t reg_read(unsigned int reg)
{
    return x2apic ? read_msr(MSR_X2APIC + reg / 16) : regs[reg / 4];
}

static void reg_write(unsigned int reg, uint32_t v)
{
    if (x2apic)
        write_msr(MSR_X2APIC + reg / 16, v);
    else
        regs[reg / 4] = v;
}

void apic_init_cpu(void)
{
    uint64_t base = read_msr(MSR_APIC_BASE);
    struct cpuid_regs r = cpuid(1, 0);

    if (!regs) {
        x2apic = base & APIC_BASE_EXTD || r.c & BIT(21);
        deadline = r.c & BIT(24);
        regs = vmap_device(base & MASK(51, 12), PAGE_SIZE);
        if (!regs) panic("cannot map the local APIC");
    }
    base |= APIC_BASE_EN;
    write_msr(MSR_APIC_BASE, base);
    if (x2apic) write_msr(MSR_APIC_BASE, base | APIC_BASE_EXTD);
    /* First: while it is off, every LVT entry stays masked (SDM vol. 3, 11.4.7.2). */
    reg_write(REG_SVR, 0x100 | VECTOR_SPURIOUS);
    reg_write(REG_TPR, 0);
    reg_write(REG_LINT0, LVT_MASKED);
    reg_write(REG_LINT1, 0x400); /* NMI */
    reg_write(REG_ERROR, LVT_MASKED);
    reg_write(REG_DIVIDE, 3); /* by 16 */
    reg_write(REG_TIMER, VECTOR_TIMER | (deadline ? LVT_DEADLINE : 0));
}

bool apic_is_x2(void)
{
    return x2apic;
}

uint32_t apic_id(void)
{
    return x2apic ? reg_read(REG_ID) : reg_read(REG_ID) >> 24;
}

void apic_eoi(void)
{
    reg_write(REG_EOI, 0);
}

void apic_send(uint32_t id, uint32_t command)
{
    smp_mb();
    if (x2apic) {
        write_msr(0x830, (uint64_t)id << 32 | ICR_ASSERT | command);
        return;
    }
    while (regs[REG_ICR / 4] & ICR_BUSY) cpu_relax();
    regs[REG_ICR_HI / 4] = id << 24;
    regs[REG_ICR / 4] = ICR_ASSERT | command;
}

void apic_calibrate(void)
{
    uint64_t start, ticks;
    uint32_t left;

    if (deadline) {
        log_info("timer: TSC deadline%s", x2apic ? ", x2APIC" : "");
        return;
    }
    reg_write(REG_TIMER, VECTOR_TIMER | LVT_MASKED);
    start = read_tsc();
    reg_write(REG_INIT, ~0u);
    delay_us(20000);
    left = reg_read(REG_COUNT);
    ticks = read_tsc() - start;
    reg_write(REG_INIT, 0);
    reg_write(REG_TIMER, VECTOR_TIMER);
    timer_khz = (uint64_t)(~0u - left) * tsc_khz / ticks;
    if (!timer_khz) panic("the local APIC's timer does not count");
    log_info("timer: local APIC, %u kHz%s", timer_khz, x2apic ? ", x2APIC" : "");
}

void apic_set_timer(uint64_t when)
{
    uint64_t ns, count;

    if (when == TIME_NEVER) {
        if (deadline)
            write_msr(MSR_TSC_DEADLINE, 0);
        else
            reg_write(REG_INIT, 0);
        return;
    }
    ns = now();
    ns = when > ns ? when - ns : 0;
    if (ns > NS_PER_SEC) ns = NS_PER_SEC; /* early is harmless: it is set again */
    if (deadline) {
        write_msr(MSR_TSC_DEADLINE, read_tsc() + ns_to_tsc(ns) + 1);
        return;
    }
    count = ns * timer_khz / 1000000 + 1;
    reg_write(REG_INIT, MIN(count, 0xffffffffull));
}

void apic_msi_message(uint32_t id, uint8_t vector, uint64_t *addr, uint32_t *data)
{
    *addr = APIC_BASE_DEFAULT | (id & 0xff) << 12;
    *data = vector; /* fixed, edge */
}
