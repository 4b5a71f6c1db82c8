/* SPDX-License-Identifier: Apache-2.0 */
/* dom0's IO-APICs and the host's pins behind them, and host vectors. */
#include "check.h"
#include "fake_device.h"
#include "cpu/irq.c"
#include "device/vioapic.c"
#include "lib/string.h"

#define CONSOLE_GSI 36

static struct {
    uint8_t vector;
    uint32_t apic_id;
    bool level, low, masked;
} host[48];
struct ioapic_info ioapics[MAX_IOAPICS];
unsigned int ioapic_count;
static unsigned int delivered, timer_interrupts, eois;
static uint8_t delivered_vector, delivered_mode;
static uint32_t delivered_dest;
static bool delivered_level;

uint32_t ioapic_gsi_count(void)
{
    return ARRAY_SIZE(host);
}

int ioapic_route(uint32_t gsi, uint8_t vector, uint32_t apic_id, bool level, bool low)
{
    host[gsi].vector = vector;
    host[gsi].apic_id = apic_id;
    host[gsi].level = level;
    host[gsi].low = low;
    host[gsi].masked = true;
    return 0;
}

void ioapic_mask(uint32_t gsi, bool masked)
{
    host[gsi].masked = masked;
}

bool console_has_gsi(uint32_t gsi)
{
    return gsi == CONSOLE_GSI;
}

void vlapic_deliver(struct domain *d, uint32_t dest, uint32_t message)
{
    CHECK(d == dom0 && !(message & MESSAGE_LOGICAL));
    delivered++;
    delivered_vector = message;
    delivered_mode = message >> 8 & 7;
    delivered_dest = dest;
    delivered_level = message & MESSAGE_LEVEL;
}

void apic_eoi(void)
{
    eois++;
}

void timer_interrupt(void)
{
    timer_interrupts++;
}

static void begin(void)
{
    fake_init(4);
    memset(vectors, 0, sizeof(vectors));
    memset(host, 0, sizeof(host));
    ioapic_count = 2;
    ioapics[0] = (struct ioapic_info){0, 0xfec00000, 0, 24, 0};
    ioapics[1] = (struct ioapic_info){1, 0xfec01000, 24, 24, 0};
    for (unsigned int i = 0; i < ARRAY_SIZE(host); i++) host[i].masked = true;
    delivered = eois = 0;
    memset(selected, 0, sizeof(selected));
    CHECK(!vioapic_init());
}

static void end(void)
{
    core_free(pins);
    CHECK(fake.objects == 0);
}

static uint32_t mmio_read(uint64_t gpa)
{
    uint64_t v = ~0ull;

    CHECK(vioapic_access(gpa, false, &v) && v >> 32 == 0);
    return v;
}

static void mmio_write(uint64_t gpa, uint64_t v)
{
    CHECK(vioapic_access(gpa, true, &v));
}

static uint32_t get(unsigned int chip, uint8_t reg)
{
    mmio_write(ioapics[chip].address, reg);
    return mmio_read(ioapics[chip].address + 0x10);
}

static void put(unsigned int chip, uint8_t reg, uint32_t v)
{
    mmio_write(ioapics[chip].address, reg);
    mmio_write(ioapics[chip].address + 0x10, v);
}

/* An interrupt arrives at the host's pin, if it lets it through. */
static bool raise(unsigned int gsi)
{
    if (host[gsi].masked) return false;
    irq_dispatch(host[gsi].vector);
    return true;
}

static void vioapic_registers(void)
{
    uint64_t v = 0;

    begin();
    CHECK(get(0, 1) == (23u << 16 | 0x11) && get(1, 0) == 1u << 24);
    CHECK(get(0, 0x10) == RTE_MASKED && get(1, 0x3e) == RTE_MASKED);
    CHECK(mmio_read(0xfec01000) == 0x3e);
    put(1, 0x11, 0x02ffffff);
    put(1, 0x10, 0x1f0ff | RTE_IRR);
    CHECK(get(1, 0x11) == 0x02000000);
    CHECK(get(1, 0x10) == 0x1a0ff); /* bits 12 and 14 are read-only */
    put(0, 0x40, 0x1234);           /* behind the last pin */
    CHECK(get(0, 0x40) == 0 && get(0, 0xff) == 0);
    put(0, 0x0f, 0x1234);
    CHECK(mmio_read(0xfec00020) == 0);
    CHECK(vioapic_access(0xfec01ffc, false, &v) && !vioapic_access(0xfec02000, false, &v));
    for (unsigned int i = 0; i < ARRAY_SIZE(host); i++) CHECK(host[i].masked);
    end();
}

/* The core's own interrupt: dom0 has a register and nothing behind it. */
static void vioapic_of_the_core(void)
{
    const uint8_t reg = 0x10 + 2 * (CONSOLE_GSI - 24);

    begin();
    host[CONSOLE_GSI].vector = 0x77;
    host[CONSOLE_GSI].masked = false;
    put(1, reg, 0x31);
    CHECK(get(1, reg) == 0x31);
    put(1, reg, 0x31 | RTE_MASKED);
    CHECK(host[CONSOLE_GSI].vector == 0x77 && !host[CONSOLE_GSI].masked);
    end();
}

static void vioapic_edge(void)
{
    begin();
    put(0, 0x13, 2u << 24); /* pin 1, to vCPU 1, which ran on CPU 1 */
    put(0, 0x12, 0x31);
    CHECK(!host[1].masked && host[1].apic_id == 4 && !host[1].level);
    for (unsigned int i = 1; i < 4; i++) {
        CHECK(raise(1) && delivered == i && eois == i);
        CHECK(delivered_vector == 0x31 && delivered_dest == 2);
        CHECK(!delivered_level && !(get(0, 0x12) & RTE_IRR));
    }
    put(0, 0x12, 0x31 | RTE_MASKED);
    CHECK(!raise(1));
    irq_dispatch(host[1].vector); /* it was on its way: lost */
    CHECK(delivered == 3);
    put(0, 0x12, 0x132); /* another vector, lowest priority */
    CHECK(raise(1) && delivered_vector == 0x32 && delivered_mode == 1);
    end();
}

static void vioapic_level_irq(void)
{
    begin();
    put(1, 0x13, 0);
    put(1, 0x12, 0xa041); /* gsi 25, level, low */
    CHECK(host[25].level && host[25].low && !host[25].masked);
    CHECK(raise(25) && delivered == 1 && delivered_level);
    CHECK(host[25].masked && get(1, 0x12) & RTE_IRR);
    vioapic_eoi(0x42); /* of another */
    CHECK(host[25].masked);
    vioapic_eoi(0x41);
    CHECK(!host[25].masked && !(get(1, 0x12) & RTE_IRR));
    /* An EOI while masked: opens when dom0 unmasks. */
    CHECK(raise(25) && delivered == 2);
    put(1, 0x12, 0x1a041);
    vioapic_eoi(0x41);
    CHECK(host[25].masked);
    put(1, 0x12, 0xa041);
    CHECK(!host[25].masked);
    /* dom0 masked the pin as it fired: it comes again, and is not stuck. */
    put(1, 0x12, 0x1a041);
    irq_dispatch(host[25].vector);
    CHECK(delivered == 2 && host[25].masked);
    put(1, 0x12, 0xa041);
    CHECK(!host[25].masked && raise(25) && delivered == 3);
    /* Without EOI it stays masked; a change to edge acts as one. */
    put(1, 0x12, 0xa041);
    CHECK(host[25].masked);
    put(1, 0x12, 0x12041);
    put(1, 0x12, 0xa041);
    CHECK(!host[25].masked && host[25].level);
    end();
}

static void vioapic_routes(void)
{
    begin();
    put(0, 0x17, 0);
    put(0, 0x16, 0x8051);
    CHECK(host[3].apic_id == 0 && !host[3].low);
    put(0, 0x16, 0x18051); /* masked, changed, unmasked */
    put(0, 0x17, 6u << 24);
    put(0, 0x16, 0x1a051);
    CHECK(host[3].masked);
    put(0, 0x16, 0xa051);
    CHECK(host[3].apic_id == 4 && host[3].low && !host[3].masked);
    put(0, 0x17, 200u << 24); /* no such vCPU */
    CHECK(host[3].apic_id == 0);
    end();
}

static unsigned int called[2];

static void handler0(void *data)
{
    CHECK(data == &called[0]);
    called[0]++;
}

static void handler1(void *data)
{
    CHECK(data == &called[1]);
    called[1]++;
}

static void irq_vectors(void)
{
    bool seen[256] = {false};
    int v, n = 0;

    begin();
    while ((v = irq_alloc_vector(handler0, &called[0])) >= 0) {
        CHECK(v >= VECTOR_FIRST_DEVICE && v <= VECTOR_LAST_DEVICE && !seen[v]);
        seen[v] = true;
        n++;
    }
    CHECK(n == VECTOR_LAST_DEVICE - VECTOR_FIRST_DEVICE + 1);
    CHECK(v == -XEN_ENOSPC);
    irq_dispatch(0x40);
    irq_free_vector(0x40);
    irq_dispatch(0x40); /* late: nobody's */
    CHECK(called[0] == 1 && eois == 2);
    CHECK(irq_alloc_vector(handler1, &called[1]) == 0x40);
    irq_dispatch(0x40);
    CHECK(called[0] == 1 && called[1] == 1 && eois == 3);
    irq_dispatch(VECTOR_SPURIOUS); /* has no EOI */
    CHECK(eois == 3);
    irq_dispatch(VECTOR_KICK);
    irq_dispatch(VECTOR_TIMER);
    CHECK(eois == 5 && timer_interrupts == 1 && called[0] == 1);
    end();
}

int main(void)
{
    RUN(vioapic_registers);
    RUN(vioapic_of_the_core);
    RUN(vioapic_edge);
    RUN(vioapic_level_irq);
    RUN(vioapic_routes);
    RUN(irq_vectors);
    return CHECK_RESULT();
}
