/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual local APIC: priorities, messages, timer, mode rules, records. */
#include "check.h"
#include "fake_device.h"
#include "device/vlapic.c"

static struct vcpu *v0, *v1;
static unsigned int ioapic_eois, ioapic_vector;

void vioapic_eoi(uint8_t vector)
{
    ioapic_eois++;
    ioapic_vector = vector;
}

void *core_alloc_pages(unsigned int count)
{
    return core_alloc(count * PAGE_SIZE);
}

void core_free_pages(void *p, maybe_unused unsigned int count)
{
    core_free(p);
}

static void w(struct vcpu *v, unsigned int offset, uint32_t value)
{
    CHECK(vlapic_access(v, offset, 4, true, value) == 0);
}

static uint32_t r(struct vcpu *v, unsigned int offset)
{
    return vlapic_access(v, offset, 4, false, 0);
}

static void to_x2apic(struct vcpu *v)
{
    CHECK(!vlapic_write_msr(v, MSR_APIC_BASE, v->apic_base | APIC_BASE_EXTD));
}

static void begin(unsigned int vcpus)
{
    struct vcpu *v;

    fake_init(vcpus);
    for_each_vcpu (dom0, v) {
        CHECK(!vlapic_init(v));
        w(v, APIC_SVR, 0x1ff);
    }
    v0 = dom0->vcpus[0];
    v1 = dom0->vcpus[1];
    ioapic_eois = 0;
}

static void end(void)
{
    struct vcpu *v;

    for_each_vcpu (dom0, v) vlapic_free(v);
    CHECK(fake.objects == 0);
    CHECK(fake_run_until(~0ull) == 0); /* no timer left behind */
}

/* IRR, ISR and TPR against a model of three sets. */
static void vlapic_priorities(void)
{
    bool irr[256] = {0}, isr[256] = {0};
    unsigned int tpr = 0, taken = 0;

    begin(1);
    for (unsigned int step = 0; step < 200000; step++) {
        unsigned int n = fake_random() & 255, best = 0, top = 0;
        int got;

        switch (fake_random() & 7) {
        case 0 ... 2:
            vlapic_set_irq(v0, n, false);
            irr[n] |= n >= 16;
            break;
        case 3 ... 4:
            w(v0, APIC_EOI, 0);
            for (n = 255; n && !isr[n]; n--)
                ;
            isr[n] = false;
            break;
        case 5:
            tpr = n & (fake_random() & 1 ? 0x3f : 0xff);
            w(v0, APIC_TPR, tpr);
            break;
        }
        for (unsigned int i = 16; i < 256; i++) {
            best = irr[i] ? i : best;
            top = isr[i] ? i : top;
        }
        got = vlapic_pending(v0);
        if ((best & 0xf0) > MAX(tpr & 0xf0, top & 0xf0)) {
            CHECK(got == (int)best);
            vlapic_accept(v0, best);
            irr[best] = false;
            isr[best] = true;
            taken++;
        } else {
            CHECK(got == -1);
        }
    }
    CHECK(taken > 10000);
    end();
}

/* A processor that serves local APICs (SDM vol. 3, 29.2). */
static struct {
    bool xapic; /* that of the old mode, too */
    uint32_t *page;
    uint8_t waits, in_service;
    uint32_t exits[8];
} processor;

static bool virtual_apic(struct vcpu *v, const uint32_t *page, uint8_t in_service)
{
    if (!x2apic(v) && !processor.xapic) page = NULL;
    processor.page = (uint32_t *)page;
    processor.in_service = in_service;
    for (unsigned int i = 0; page && i < 8; i++) processor.exits[i] = page[APIC_TMR / 4 + 4 * i];
    return page;
}

void vmx_request_interrupt(uint8_t vector)
{
    processor.waits = vector;
}

void vmx_level_vectors(const uint32_t *set)
{
    for (unsigned int i = 0; i < 8; i++) processor.exits[i] = set[4 * i];
}

static uint8_t top_of(unsigned int set)
{
    int vector = highest(v0->lapic, set, ALL_WORDS);

    return vector < 0 ? 0 : vector;
}

/* What it takes now, or 0. */
static uint8_t processor_delivers(void)
{
    uint8_t vector = processor.waits;

    if ((vector & 0xf0) <= (int)(ppr(v0->lapic) & 0xf0)) return 0;
    CHECK(test_vector(v0->lapic, APIC_IRR, vector));
    clear_vector(v0->lapic, APIC_IRR, vector);
    set_vector(v0->lapic, APIC_ISR, vector);
    processor.in_service = vector;
    processor.waits = top_of(APIC_IRR);
    return vector;
}

/* The guest's end of interrupt: the vector, or 0. */
static uint8_t processor_ends(void)
{
    uint8_t vector = processor.in_service;

    CHECK(vector == top_of(APIC_ISR));
    if (!vector) return 0;
    clear_vector(v0->lapic, APIC_ISR, vector);
    processor.in_service = top_of(APIC_ISR);
    if (processor.exits[vector >> 5] >> (vector & 31) & 1) vlapic_ended(v0, vector);
    return vector;
}

static const struct vendor_ops with_apics = {.virtual_apic = virtual_apic};

/* The processor takes and ends vectors by itself: each that was asked for is taken
 * once, the highest first, and of the level-triggered ones the I/O APIC hears. */
static void by_the_processor(bool xapic)
{
    const struct vendor_ops *without = vendor;
    bool asked[256] = {0};
    unsigned int taken = 0, levels = 0;
    uint8_t got;

    vendor = &with_apics;
    processor.xapic = xapic;
    begin(1);
    dom0->privileged = true;
    vlapic_set_irq(v0, 0x41, false);
    if (xapic) {
        CHECK(vlapic_next(v0) == -1 && processor_delivers() == 0x41);
    } else {
        CHECK(!processor.page); /* not yet */
        vlapic_accept(v0, (uint8_t)vlapic_pending(v0));
        to_x2apic(v0);
    }
    CHECK(processor.page == v0->lapic->reg && processor.in_service == 0x41);
    CHECK(vlapic_next(v0) == -1 && processor_ends() == 0x41);
    for (unsigned int step = 0; step < 200000; step++) {
        unsigned int n = fake_random() & 255, best = 0;

        switch (fake_random() & 7) {
        case 0 ... 1: /* vectors of 0x80 and above are level-triggered */
            vlapic_set_irq(v0, n, n & 0x80);
            asked[n] |= n >= 16;
            break;
        case 2: REG(v0->lapic, APIC_TPR) = n & 0x7f; break;
        case 3 ... 5:
            got = processor_ends();
            levels += got >= 0x80;
            CHECK(ioapic_eois == levels);
            break;
        }
        CHECK(vlapic_next(v0) == -1);
        for (unsigned int i = 16; i < 256; i++) best = asked[i] ? i : best;
        CHECK(processor.waits == best);
        if (fake_random() & 1) { /* HLT, say, with interrupts still off */
            bool due = (best & 0xf0) > (ppr(v0->lapic) & 0xf0);

            CHECK(vlapic_pending(v0) == (due ? (int)best : -1));
            CHECK(vlapic_next(v0) == -1 && processor.waits == best);
            continue;
        }
        while ((got = processor_delivers())) {
            CHECK(asked[got]);
            asked[got] = false;
            taken++;
        }
    }
    CHECK(taken > 10000 && levels > 1000);
    REG(v0->lapic, APIC_SVR) = 0xff; /* switched off: nothing is taken */
    vlapic_written(v0, APIC_SVR);
    vlapic_set_upcall(v0, 0x51);
    CHECK(vlapic_next(v0) == -1 && processor.waits == 0);
    REG(v0->lapic, APIC_SVR) = 0x1ff;
    vlapic_written(v0, APIC_SVR);
    CHECK(vlapic_next(v0) == -1 && processor.waits >= 0x51);
    CHECK(!vlapic_write_msr(v0, MSR_APIC_BASE, APIC_BASE_DEFAULT) && !processor.page);
    end();
    vendor = without;
}

static void vlapic_by_the_processor(void)
{
    by_the_processor(false);
    by_the_processor(true);
}

/* What the guest wrote is in the page when the core hears of it: what may not be
 * written is put right, and the rest is done. */
static void vlapic_written_by_the_processor(void)
{
    const struct vendor_ops *without = vendor;
    struct vlapic *l;

    vendor = &with_apics;
    processor.xapic = true;
    begin(2);
    l = v1->lapic;
    for (unsigned int i = 0; i < 256; i += 4) {
        if (i * 4 == APIC_ICR) continue; /* sends */
        l->reg[i] = 0xffffffff;
        vlapic_written(v1, i * 4);
        if (i * 4 == APIC_SVR) w(v1, APIC_SVR, 0x1ff);
    }
    CHECK(REG(l, APIC_ID) == 2u << 24 && REG(l, 0x280) == 0 && REG(l, APIC_DFR) == 0xffffffff);
    CHECK(REG(l, APIC_LVTT) == writable[APIC_LVTT / 16] && REG(l, APIC_TPR) == 0xff);
    REG(l, APIC_TPR) = 0;
    REG(l, APIC_LVTT) = 0x51; /* one shot */
    vlapic_written(v1, APIC_LVTT);
    REG(l, APIC_TMICT) = 100;
    vlapic_written(v1, APIC_TMICT);
    REG(l, APIC_LVTT) = 0x51 | LVT_PERIODIC; /* another mode: the count ends */
    vlapic_written(v1, APIC_LVTT);
    CHECK(!timer_is_set(&l->timer));
    REG(l, APIC_ICR_HI) = 0;
    REG(l, APIC_ICR) = 0x61;
    vlapic_written(v1, APIC_ICR);
    CHECK(vlapic_pending(v0) == 0x61);
    end();
    vendor = without;
}

static void vlapic_disabled(void)
{
    begin(1);
    w(v0, APIC_SVR, 0xff);
    vlapic_set_irq(v0, 0x41, false);
    CHECK(vlapic_pending(v0) == -1 && fake.notified[0][0] == 0);
    CHECK(r(v0, APIC_LVTT) & LVT_MASKED);
    w(v0, APIC_LVTT, 0x41);
    CHECK(r(v0, APIC_LVTT) == (0x41 | LVT_MASKED));
    vlapic_set_upcall(v0, 0x51); /* is kept */
    CHECK(vlapic_pending(v0) == -1);
    w(v0, APIC_SVR, 0x1ff);
    CHECK(vlapic_pending(v0) == 0x51);
    vlapic_accept(v0, 0x51);
    w(v0, APIC_EOI, 0);
    fake.notified[0][0] = 0;
    vlapic_set_irq(v0, 0x41, false);
    CHECK(vlapic_pending(v0) == 0x41 && fake.notified[0][0] == 1);
    vlapic_set_irq(v0, 15, false); /* no such vector */
    CHECK(r(v0, APIC_IRR) == 0 && fake.notified[0][0] == 1);
    CHECK(!vlapic_write_msr(v0, MSR_APIC_BASE, APIC_BASE_DEFAULT));
    vlapic_set_irq(v0, 0x42, false);
    CHECK(vlapic_pending(v0) == -1);
    end();
}

static void vlapic_level(void)
{
    begin(1);
    for (int with = 0; with < 2; with++) {
        dom0->privileged = with;
        vlapic_set_irq(v0, 0x51, true);
        vlapic_set_irq(v0, 0x61, false);
        CHECK(vlapic_pending(v0) == 0x61);
        vlapic_accept(v0, 0x61);
        vlapic_accept(v0, 0x51);
        w(v0, APIC_EOI, 0);
        CHECK(ioapic_eois == 0); /* 0x61 is edge */
        w(v0, APIC_EOI, 0);
        CHECK(ioapic_eois == (unsigned int)with);
    }
    CHECK(ioapic_vector == 0x51);
    vlapic_set_irq(v0, 0x51, false); /* the vector is edge now */
    vlapic_accept(v0, 0x51);
    CHECK(vlapic_pending(v0) == -1);
    vlapic_withdraw(v0, 0x51);
    CHECK(vlapic_pending(v0) == 0x51 && !test_vector(v0->lapic, APIC_ISR, 0x51));
    vlapic_accept(v0, 0x51);
    w(v0, APIC_EOI, 0);
    CHECK(ioapic_eois == 1);
    end();
}

/* Which vCPUs took vector 0x41; it is withdrawn again. */
static unsigned int took(void)
{
    unsigned int mask = 0;
    struct vcpu *v;

    for_each_vcpu (dom0, v) {
        take(v->lapic);
        if (test_vector(v->lapic, APIC_IRR, 0x41)) mask |= 1u << v->id;
        clear_vector(v->lapic, APIC_IRR, 0x41);
    }
    return mask;
}

static unsigned int sent(uint32_t dest, bool logical, uint8_t mode)
{
    vlapic_deliver(dom0, dest, 0x41 | mode << 8 | (logical ? MESSAGE_LOGICAL : 0));
    return took();
}

static void vlapic_destinations(void)
{
    struct vcpu *v;

    begin(8);
    CHECK(sent(0, false, MODE_FIXED) == 1);
    CHECK(sent(6, false, MODE_FIXED) == 8);
    CHECK(sent(7, false, MODE_FIXED) == 0); /* ids are even */
    CHECK(sent(16, false, MODE_FIXED) == 0);
    CHECK(sent(0xff, false, MODE_FIXED) == 0xff);
    for_each_vcpu (dom0, v) w(v, APIC_LDR, 1u << (24 + v->id));
    CHECK(sent(0x81, true, MODE_FIXED) == 0x81); /* flat */
    CHECK(sent(0x06, true, MODE_LOWEST) == 2);   /* one of them */
    CHECK(sent(0, true, MODE_FIXED) == 0);
    for_each_vcpu (dom0, v) {
        w(v, APIC_DFR, 0x0fffffff); /* cluster */
        w(v, APIC_LDR, (v->id / 4) << 28 | 1u << (24 + v->id % 4));
    }
    CHECK(sent(0x13, true, MODE_FIXED) == 0x30);
    CHECK(sent(0x05, true, MODE_FIXED) == 0x05);
    for_each_vcpu (dom0, v) to_x2apic(v);
    CHECK(r(dom0->vcpus[3], APIC_ID) == 6);
    CHECK(r(dom0->vcpus[3], APIC_LDR) == 1u << 6);
    CHECK(sent(6, false, MODE_FIXED) == 8);
    CHECK(sent(0x41, true, MODE_FIXED) == 9); /* ids 0 and 6 of cluster 0 */
    CHECK(sent(0x100, true, MODE_FIXED) == 0x10);
    CHECK(sent(0x10041, true, MODE_FIXED) == 0);
    dom0->vcpus[7]->id = 9; /* id 18: cluster 1, bit 2 */
    vlapic_deliver(dom0, 0x10004, MESSAGE_LOGICAL | 0x41);
    dom0->vcpus[7]->id = 7;
    CHECK(took() == 0x80);
    CHECK(sent(0xffffffff, false, MODE_FIXED) == 0xff);
    end();
}

static void vlapic_shorthands(void)
{
    begin(4);
    w(v1, APIC_ICR, 0x40041);
    CHECK(took() == 2);
    w(v1, APIC_ICR, 0x80041);
    CHECK(took() == 0xf);
    w(v1, APIC_ICR, 0xc0041);
    CHECK(took() == 0xd);
    w(v1, APIC_ICR_HI, 4u << 24);
    w(v1, APIC_ICR, 0x41);
    CHECK(took() == 4);
    to_x2apic(v0);
    CHECK(!vlapic_write_msr(v0, 0x83f, 0x41));
    CHECK(took() == 1);
    CHECK(!vlapic_write_msr(v0, 0x830, 6ull << 32 | 0x41));
    CHECK(took() == 8);
    CHECK(!vlapic_write_msr(v0, 0x830, 6ull << 32 | 0x400));
    CHECK(dom0->vcpus[3]->nmi_pending && fake.notified[0][3]);
    end();
}

static void vlapic_startup(void)
{
    begin(2);
    v1->holds = HOLD_DOWN;
    w(v0, APIC_ICR_HI, 2u << 24);
    w(v0, APIC_ICR, 0x4612); /* SIPI before INIT: nothing */
    CHECK(!v1->sipi && v1->holds == HOLD_DOWN);
    w(v0, APIC_ICR, 0xc500); /* INIT, level assert */
    CHECK(v1->wait_sipi && v1->holds == HOLD_DOWN);
    w(v0, APIC_ICR, 0x8500); /* de-assert: nothing */
    CHECK(v1->wait_sipi);
    w(v0, APIC_ICR, 0x4612);
    CHECK(v1->sipi == 0x112 && !v1->holds && v1->initialised);
    w(v0, APIC_ICR, 0x4634); /* the second is ignored */
    CHECK(v1->sipi == 0x112);
    w(v1, APIC_TPR, 0x20);
    v1->nmi_pending = true;
    v1->regs.rip = 0x1234;
    vlapic_start(v1);
    CHECK(!v1->sipi && !v1->nmi_pending && v1->regs.rip == 0);
    CHECK(fake.state.seg[SEG_CS].selector == 0x1200);
    CHECK(fake.state.seg[SEG_CS].base == 0x12000);
    CHECK(r(v1, APIC_TPR) == 0 && r(v1, APIC_SVR) == 0xff);
    w(v0, APIC_ICR, 0xc500); /* takes a running one down */
    CHECK(v1->holds == HOLD_DOWN && v1->wait_sipi);
    end();
}

static void vlapic_timer(void)
{
    static const struct {
        uint8_t tdcr, divisor;
    } dividers[] = {{0, 2}, {1, 4}, {2, 8}, {3, 16}, {8, 32}, {9, 64}, {10, 128}, {11, 1}};
    unsigned int ticks = 0;
    uint64_t start;

    begin(1);
    w(v0, APIC_LVTT, 0x41);
    for (unsigned int i = 0; i < ARRAY_SIZE(dividers); i++) {
        w(v0, APIC_TDCR, dividers[i].tdcr);
        CHECK(r(v0, APIC_TDCR) == dividers[i].tdcr);
        w(v0, APIC_TMICT, 1000);
        start = fake.now;
        CHECK(r(v0, APIC_TMCCT) == 1000);
        CHECK(fake_run_until(start + 5000ull * dividers[i].divisor) == 0);
        CHECK(r(v0, APIC_TMCCT) == 500);
        CHECK(fake_run_until(start + 10000ull * dividers[i].divisor) == 1);
        CHECK(r(v0, APIC_TMCCT) == 0 && took() == 1);
    }
    CHECK(fake_run_until(fake.now + NS_PER_SEC) == 0);
    w(v0, APIC_LVTT, 0x41 | LVT_PERIODIC);
    w(v0, APIC_TMICT, 100000); /* 1 ms */
    start = fake.now;
    CHECK(fake_run_until(start + 10 * NS_PER_MS) == 10 && took() == 1);
    CHECK(fake_run_until(start + 10 * NS_PER_MS + NS_PER_MS / 4) == 0);
    CHECK(r(v0, APIC_TMCCT) == 75000);
    w(v0, APIC_LVTT, 0x41 | LVT_PERIODIC | LVT_MASKED);
    CHECK(fake_run_until(fake.now + 2 * NS_PER_MS) == 2 && took() == 0);
    w(v0, APIC_TMICT, 0);
    CHECK(fake_run_until(fake.now + NS_PER_SEC) == 0);
    /* A period that no guest could serve does not occupy the core. */
    w(v0, APIC_LVTT, 0x41 | LVT_PERIODIC);
    w(v0, APIC_TMICT, 1);
    CHECK(fake_run_until(fake.now + 10 * NS_PER_MS) <= 11 && took() == 1);
    for (unsigned int n = 0; n < 2000; n++) { /* it takes them at once */
        fake_run_until(fake.now + 1000);
        ticks += took();
    }
    CHECK(ticks >= 19 && ticks <= 21);
    w(v0, APIC_LVTT, 0x41 | LVT_PERIODIC | LVT_MASKED);
    CHECK(fake_run_until(fake.now + 10 * NS_PER_MS) <= 11);
    w(v0, APIC_LVTT, 0x41); /* a change of mode stops it */
    CHECK(fake_run_until(fake.now + NS_PER_SEC) == 0);
    took();
    end();
}

static void set_5_ms(void)
{
    w(v0, APIC_TMICT, 500000);
}

static void set_deadline_5_ms(void)
{
    CHECK(!vlapic_write_msr(v0, MSR_TSC_DEADLINE, fake.now + 5 * NS_PER_MS));
}

/* The vCPU, on another CPU, sets the timer while it fires: that counts. */
static void vlapic_timer_set_while_firing(void)
{
    uint64_t value;

    begin(1);
    w(v0, APIC_TDCR, 11);
    w(v0, APIC_LVTT, 0x41 | LVT_PERIODIC);
    w(v0, APIC_TMICT, 100000);
    fake.on_notify = set_5_ms;
    CHECK(fake_run_until(fake.now + NS_PER_MS) == 1 && !fake.on_notify);
    CHECK(fake_run_until(fake.now + 5 * NS_PER_MS - 1) == 0);
    CHECK(fake_run_until(fake.now + 1) == 1);
    CHECK(fake_run_until(fake.now + 10 * NS_PER_MS) == 2);
    w(v0, APIC_LVTT, 0x41 | LVT_DEADLINE);
    CHECK(!vlapic_write_msr(v0, MSR_TSC_DEADLINE, fake.now + NS_PER_MS));
    fake.on_notify = set_deadline_5_ms;
    CHECK(fake_run_until(fake.now + NS_PER_MS) == 1);
    CHECK(!vlapic_read_msr(v0, MSR_TSC_DEADLINE, &value));
    CHECK(value == fake.now + 5 * NS_PER_MS);
    CHECK(fake_run_until(fake.now + 5 * NS_PER_MS) == 1);
    dom0->dying = DYING; /* nothing is set again for the dead */
    w(v0, APIC_LVTT, 0x41 | LVT_PERIODIC);
    w(v0, APIC_TMICT, 100000);
    CHECK(fake_run_until(fake.now + NS_PER_SEC) == 1);
    end();
}

static void vlapic_deadline(void)
{
    uint64_t value;

    begin(1);
    v0->tsc_offset = -500ull;                              /* guest TSC = now - 500 */
    CHECK(!vlapic_write_msr(v0, MSR_TSC_DEADLINE, 12345)); /* not in that mode: lost */
    CHECK(fake_run_until(fake.now + NS_PER_SEC) == 0);
    w(v0, APIC_LVTT, 0x41 | LVT_DEADLINE);
    w(v0, APIC_TMICT, 1000); /* no effect */
    CHECK(r(v0, APIC_TMCCT) == 0);
    CHECK(!vlapic_write_msr(v0, MSR_TSC_DEADLINE, fake.now - 500 + 7000));
    CHECK(fake_run_until(fake.now + 6999) == 0);
    CHECK(!vlapic_read_msr(v0, MSR_TSC_DEADLINE, &value) && value == fake.now - 499);
    CHECK(fake_run_until(fake.now + 1) == 1 && took() == 1);
    CHECK(!vlapic_read_msr(v0, MSR_TSC_DEADLINE, &value) && value == 0);
    CHECK(!vlapic_write_msr(v0, MSR_TSC_DEADLINE, 1)); /* long past: at once */
    CHECK(fake_run_until(fake.now) == 1 && took() == 1);
    CHECK(!vlapic_write_msr(v0, MSR_TSC_DEADLINE, fake.now + 1000));
    CHECK(!vlapic_write_msr(v0, MSR_TSC_DEADLINE, 0));
    CHECK(fake_run_until(fake.now + NS_PER_SEC) == 0);
    end();
}

static void vlapic_mode_rules(void)
{
    uint64_t value;

    begin(1);
    CHECK(vlapic_read_msr(v0, 0x802, &value) == -1);
    CHECK(vlapic_write_msr(v0, MSR_APIC_BASE, APIC_BASE_DEFAULT | APIC_BASE_EXTD) == -1);
    CHECK(vlapic_write_msr(v0, MSR_APIC_BASE, 0xfed00000 | APIC_BASE_EN) == -1);
    CHECK(vlapic_write_msr(v0, MSR_APIC_BASE, APIC_BASE_DEFAULT | APIC_BASE_EN | BIT(9)) == -1);
    CHECK(vlapic_write_msr(v0, MSR_APIC_BASE, 1ull << 40 | APIC_BASE_EN) == -1);
    to_x2apic(v0);
    CHECK(vlapic_write_msr(v0, MSR_APIC_BASE, APIC_BASE_DEFAULT | APIC_BASE_EN) == -1);
    CHECK(!vlapic_read_msr(v0, MSR_APIC_BASE, &value) &&
          value == (APIC_BASE_DEFAULT | APIC_BASE_EN | APIC_BASE_EXTD | APIC_BASE_BSP));
    CHECK(!vlapic_write_msr(v0, MSR_APIC_BASE, APIC_BASE_DEFAULT));
    CHECK(vlapic_write_msr(v0, MSR_APIC_BASE, APIC_BASE_DEFAULT | APIC_BASE_EN | APIC_BASE_EXTD) ==
          -1);
    CHECK(!vlapic_write_msr(v0, MSR_APIC_BASE, APIC_BASE_DEFAULT | APIC_BASE_EN));
    to_x2apic(v0);
    CHECK(vlapic_write_msr(v0, 0x80b, 1) == -1);     /* EOI */
    CHECK(vlapic_write_msr(v0, 0x828, 1) == -1);     /* ESR */
    CHECK(vlapic_write_msr(v0, 0x802, 0) == -1);     /* id */
    CHECK(vlapic_write_msr(v0, 0x808, 0x100) == -1); /* TPR */
    CHECK(vlapic_write_msr(v0, 0x80f, 0x2000) == -1);
    CHECK(vlapic_write_msr(v0, 0x832, 0x100) == -1); /* LVT */
    CHECK(vlapic_write_msr(v0, 0x83f, 0x100) == -1);
    CHECK(vlapic_write_msr(v0, 0x838, BIT(32)) == -1);
    CHECK(vlapic_write_msr(v0, 0x830, BIT(13)) == -1);
    CHECK(vlapic_read_msr(v0, 0x80b, &value) == -1);
    CHECK(vlapic_read_msr(v0, 0x831, &value) == -1);
    CHECK(vlapic_read_msr(v0, 0x83f, &value) == -1);
    CHECK(vlapic_read_msr(v0, 0x8ff, &value) == -1);
    end();
}

/* Save and load: the same APIC, and its timer goes on. */
static void vlapic_records(void)
{
    struct hvm_hw_lapic hw = {0};
    struct hvm_hw_lapic_regs regs;

    begin(2);
    to_x2apic(v0);
    vlapic_set_irq(v0, 0x41, true);
    vlapic_set_irq(v0, 0x91, false);
    CHECK(vlapic_pending(v0) == 0x91);
    vlapic_accept(v0, 0x91);
    CHECK(!vlapic_write_msr(v0, 0x832, 0x51 | LVT_DEADLINE));
    CHECK(!vlapic_write_msr(v0, MSR_TSC_DEADLINE, fake.now + 5000));
    vlapic_save(v0, &hw, &regs);
    vlapic_reset(v0);
    CHECK(fake_run_until(fake.now + 4000) == 0);
    CHECK(!vlapic_load(v0, &hw) && !vlapic_load_regs(v0, &regs));
    CHECK(x2apic(v0) && test_vector(v0->lapic, APIC_TMR, 0x41));
    CHECK(vlapic_pending(v0) == -1); /* 0x91 is in service */
    CHECK(!vlapic_write_msr(v0, 0x80b, 0) && vlapic_pending(v0) == 0x41);
    CHECK(fake_run_until(fake.now + 1000) == 1 && vlapic_pending(v0) == 0x51);
    hw.apic_base_msr = 0xfed00000;
    CHECK(vlapic_load(v0, &hw) < 0);
    hw.apic_base_msr = APIC_BASE_DEFAULT | APIC_BASE_EXTD;
    CHECK(vlapic_load(v0, &hw) < 0);
    end();
}

/* Anything a guest, or a record, can put in: nothing is indexed wrongly (the
 * sanitizers look), and what is pending is a legal vector. */
static void vlapic_noise(void)
{
    struct hvm_hw_lapic_regs regs;
    uint64_t value;

    begin(4);
    for (unsigned int step = 0; step < 200000; step++) {
        struct vcpu *v = dom0->vcpus[fake_random() & 3];
        uint64_t any = (uint64_t)fake_random() << 32 | fake_random();
        unsigned int n = fake_random();

        switch (n >> 8 & 7) {
        case 0: (void)!vlapic_write_msr(v, 0x800 + (n & 255), any & MASK(n >> 16 & 63, 0)); break;
        case 1: CHECK(vlapic_read_msr(v, 0x800 + (n & 255), &value) <= 0); break;
        case 2: w(v, (n & 255) * 16, any); break;
        case 3: (void)r(v, any & 0xfff); break;
        case 4: vlapic_deliver(dom0, any, n >> 16); break;
        case 5:
            (void)!vlapic_write_msr(v, n & 1 ? MSR_APIC_BASE : MSR_TSC_DEADLINE,
                                    n & 2 ? any : APIC_BASE_DEFAULT | (any & 0xc00));
            break;
        case 6:
            if (n & 0xf0000) break;
            for (unsigned int i = 0; i < sizeof(regs.data); i++) regs.data[i] = fake_random();
            CHECK(!vlapic_load_regs(v, &regs));
            break;
        default: fake_run_until(fake.now + (n >> 16)); break;
        }
        CHECK(vlapic_pending(v) == -1 || vlapic_pending(v) >= 16);
        v->holds = 0;
    }
    for (unsigned int i = 0; i < 4; i++) vlapic_reset(dom0->vcpus[i]);
    end();
}

int main(void)
{
    RUN(vlapic_priorities);
    RUN(vlapic_by_the_processor);
    RUN(vlapic_written_by_the_processor);
    RUN(vlapic_disabled);
    RUN(vlapic_level);
    RUN(vlapic_destinations);
    RUN(vlapic_shorthands);
    RUN(vlapic_startup);
    RUN(vlapic_timer);
    RUN(vlapic_timer_set_while_firing);
    RUN(vlapic_deadline);
    RUN(vlapic_mode_rules);
    RUN(vlapic_records);
    RUN(vlapic_noise);
    return CHECK_RESULT();
}
