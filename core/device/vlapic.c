/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual local APIC (APM vol. 2, chapter 16).  Vectors are asked for from
 * any CPU, atomically; the timer has a lock; everything else belongs to the CPU
 * that runs the vCPU, which takes what was asked for into the IRR.
 *
 * A processor that can (vendor->virtual_apic) reads the registers itself, takes
 * vectors from the IRR and ends them while the APIC is enabled.
 */
#include "device/vlapic.h"
#include "cpu/time.h"
#include "device/hwdev.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "sched/sched.h"
#include "vm/domain.h"
#include "vm/vcpu.h"
#include "vm/vendor.h"
#include <xen/errno.h>
#include <xen/hvm/save.h>

#define SVR_ENABLED    BIT(8)
#define LVT_MASKED     BIT(16)
#define LVT_MODE       MASK(18, 17)
#define LVT_PERIODIC   BIT(17)
#define LVT_DEADLINE   BIT(18)
#define BUS_CYCLE_NS   10u
#define MIN_PERIOD_NS  100000ul  /* between two ticks that the guest takes */
#define IDLE_PERIOD_NS NS_PER_MS /* between two that it does not */

enum { MODE_FIXED = 0, MODE_LOWEST = 1, MODE_NMI = 4, MODE_INIT, MODE_SIPI };
#define MODE(message) ((message) >> 8 & 7)

struct vlapic {
    uint32_t reg[256]; /* by offset / 4; the processor's page begins with them */
    uint32_t asked[8]; /* vectors on their way into the IRR */
    uint32_t level[8]; /* which of these go into the TMR too */
    /* Which words of asked (set after the word) and of the IRR may have a bit set;
     * none other has. */
    union {
        struct {
            uint8_t asked, irr;
        };
        uint16_t any;
    } words;
    uint32_t isr_words; /* the same of the ISR */
    bool by_cpu;        /* the processor delivers and ends */
    uint8_t told;       /* the IRR's words of which it was told */
    uint32_t mode;      /* of the timer: LVT_MODE */
    bool levels;        /* the TMR has changed since it was told */
    /* Guards what follows: a timer can fire on a CPU that v has left. */
    struct spinlock lock;
    struct timer timer;
    uint64_t timer_start; /* ns, when the count began   */
    uint64_t period;      /* ns, of the whole count     */
    uint64_t deadline;    /* guest TSC, IA32_TSC_DEADLINE */
};

#define REG(l, offset) ((l)->reg[(offset) / 4])

static uint32_t my_id(const struct vcpu *v)
{
    return 2 * v->id;
}

static bool x2apic(const struct vcpu *v)
{
    return v->apic_base & APIC_BASE_EXTD;
}

static uint32_t x2apic_ldr(uint32_t id)
{
    return (id >> 4) << 16 | 1u << (id & 15);
}

/* --- vectors: 8 words of 32 bits, 16 bytes apart --- */

static bool test_vector(struct vlapic *l, unsigned int set, uint8_t vector)
{
    return REG(l, set + (vector >> 5) * 16) >> (vector & 31) & 1;
}

static void set_vector(struct vlapic *l, unsigned int set, uint8_t vector)
{
    REG(l, set + (vector >> 5) * 16) |= 1u << (vector & 31);
}

/* Is the word empty now? */
static bool clear_vector(struct vlapic *l, unsigned int set, uint8_t vector)
{
    return !(REG(l, set + (vector >> 5) * 16) &= ~(1u << (vector & 31)));
}

#define WORD_OF(vector) (1u << ((vector) >> 5))
#define ALL_WORDS       0xffu

/* The highest vector in one of these words, or -1. */
static int highest(struct vlapic *l, unsigned int set, uint32_t words)
{
    while (words) {
        unsigned int i = 31 - __builtin_clz(words);
        uint32_t word = REG(l, set + i * 16);

        if (likely(word)) return i * 32 + 31 - __builtin_clz(word);
        words ^= 1u << i;
    }
    return -1;
}

/* The words of a set that have a bit set. */
static uint8_t words_of(struct vlapic *l, unsigned int set)
{
    unsigned int words = 0;

    for (unsigned int i = 0; i < 8; i++) words |= (REG(l, set + i * 16) != 0) << i;
    return words;
}

static uint32_t ppr(struct vlapic *l)
{
    uint32_t tpr = REG(l, APIC_TPR) & 0xff;
    int isr = highest(l, APIC_ISR, l->isr_words);

    return isr >= 0 && (isr & 0xf0) > (int)(tpr & 0xf0) ? isr & 0xf0 : tpr;
}

static void ask(struct vcpu *v, uint8_t vector, bool level)
{
    struct vlapic *l = v->lapic;
    uint32_t bit = 1u << (vector & 31), *levels = &l->level[vector >> 5];

    if (level)
        __atomic_fetch_or(levels, bit, __ATOMIC_SEQ_CST);
    else if (unlikely(READ_ONCE(*levels) & bit))
        __atomic_fetch_and(levels, ~bit, __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&l->asked[vector >> 5], bit, __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&l->words.asked, WORD_OF(vector), __ATOMIC_SEQ_CST);
    vcpu_notify(v);
}

void vlapic_set_irq(struct vcpu *v, uint8_t vector, bool level)
{
    if (vector < 16 || !(REG(v->lapic, APIC_SVR) & SVR_ENABLED) || !(v->apic_base & APIC_BASE_EN))
        return;
    ask(v, vector, level);
}

void vlapic_set_upcall(struct vcpu *v, uint8_t vector)
{
    ask(v, vector, false);
}

/* What was asked for goes into the IRR, and into the TMR what is level-triggered. */
static void take(struct vlapic *l)
{
    uint32_t words = __atomic_exchange_n(&l->words.asked, 0, __ATOMIC_SEQ_CST);

    l->words.irr |= words;
    for (; words; words &= words - 1) {
        unsigned int i = __builtin_ctz(words);
        uint32_t bits = __atomic_exchange_n(&l->asked[i], 0, __ATOMIC_SEQ_CST);
        uint32_t *tmr = &REG(l, APIC_TMR + i * 16);
        uint32_t changed = (*tmr ^ READ_ONCE(l->level[i])) & bits;

        *tmr ^= changed;
        l->levels |= changed != 0;
        REG(l, APIC_IRR + i * 16) |= bits;
    }
}

/* The highest vector that waits, whatever the priority, or -1. */
static int waiting(struct vlapic *l)
{
    int vector;

    if (READ_ONCE(l->words.asked)) take(l);
    vector = highest(l, APIC_IRR, l->words.irr);
    if (vector < 0) l->words.irr = 0; /* after a reset, or the processor took it */
    return REG(l, APIC_SVR) & SVR_ENABLED ? vector : -1; /* an upcall waits */
}

int vlapic_pending(struct vcpu *v)
{
    struct vlapic *l = v->lapic;
    int vector;

    if (l->by_cpu) l->words.irr |= l->told;
    if (likely(!READ_ONCE(l->words.any))) return -1;
    vector = waiting(l);
    return vector >= 0 && (vector & 0xf0) > (int)(ppr(l) & 0xf0) ? vector : -1;
}

int vlapic_next(struct vcpu *v)
{
    struct vlapic *l = v->lapic;

    if (likely(!READ_ONCE(l->words.any))) return -1;
    if (!l->by_cpu) return vlapic_pending(v);
    l->words.irr |= l->told;
    vmx_request_interrupt(MAX(waiting(l), 0));
    if (x2apic(v)) l->told = l->words.irr;
    l->words.irr = 0; /* until there is more, the processor goes on by itself */
    if (unlikely(l->levels)) vmx_level_vectors(&REG(l, APIC_TMR));
    l->levels = false;
    return -1;
}

void vlapic_accept(struct vcpu *v, uint8_t vector)
{
    struct vlapic *l = v->lapic;

    if (clear_vector(l, APIC_IRR, vector)) l->words.irr &= ~WORD_OF(vector);
    set_vector(l, APIC_ISR, vector);
    l->isr_words |= WORD_OF(vector);
}

void vlapic_withdraw(struct vcpu *v, uint8_t vector)
{
    clear_vector(v->lapic, APIC_ISR, vector);
    set_vector(v->lapic, APIC_IRR, vector);
    v->lapic->words.irr |= WORD_OF(vector);
}

static void eoi(struct vcpu *v)
{
    struct vlapic *l = v->lapic;
    int vector = highest(l, APIC_ISR, l->isr_words);

    if (vector < 0) return;
    if (clear_vector(l, APIC_ISR, vector)) l->isr_words &= ~WORD_OF(vector);
    vlapic_ended(v, vector);
}

void vlapic_ended(struct vcpu *v, uint8_t vector)
{
    if (test_vector(v->lapic, APIC_TMR, vector) && v->domain->privileged) vioapic_eoi(vector);
}

/* After a change of the mode or of everything: who delivers now, and what the
 * processor is to find in the page. */
static void begin_mode(struct vcpu *v)
{
    struct vlapic *l = v->lapic;

    l->words.irr = words_of(l, APIC_IRR);
    l->isr_words = words_of(l, APIC_ISR);
    REG(l, APIC_ID) = x2apic(v) ? my_id(v) : my_id(v) << 24;
    if (x2apic(v)) REG(l, APIC_LDR) = x2apic_ldr(my_id(v));
    if (!vendor->virtual_apic) return;
    l->by_cpu = vendor->virtual_apic(v, v->apic_base & APIC_BASE_EN ? l->reg : NULL,
                                     MAX(highest(l, APIC_ISR, ALL_WORDS), 0));
    if (l->by_cpu) l->isr_words = ALL_WORDS; /* it sets them */
    l->told = x2apic(v) ? 0 : ALL_WORDS;     /* ICR to oneself is its own, too */
}

/* --- messages --- */

static bool match(struct vcpu *v, uint32_t dest, bool logical)
{
    uint32_t ldr = REG(v->lapic, APIC_LDR);

    if (x2apic(v)) {
        if (dest == 0xffffffff) return true;
        if (!logical) return dest == my_id(v);
        ldr = x2apic_ldr(my_id(v));
        return ldr >> 16 == dest >> 16 && ldr & dest & 0xffff;
    }
    if ((dest & 0xff) == 0xff) return true;
    if (!logical) return dest == my_id(v);
    ldr >>= 24;
    if (REG(v->lapic, APIC_DFR) >> 28 == 0xf) return ldr & dest;
    return ldr >> 4 == (dest >> 4 & 15) && ldr & dest & 15;
}

/* INIT only stops a vCPU; its state is reset when it starts, by itself. */
static void accept(struct vcpu *v, uint32_t message)
{
    switch (MODE(message)) {
    case MODE_FIXED:
    case MODE_LOWEST: vlapic_set_irq(v, message, message & MESSAGE_LEVEL); break;
    case MODE_NMI:
        WRITE_ONCE(v->nmi_pending, true);
        vcpu_notify(v);
        break;
    case MODE_INIT:
        v->wait_sipi = 1;
        __atomic_fetch_or(&v->holds, HOLD_DOWN, __ATOMIC_SEQ_CST);
        sched_stop(v);
        break;
    case MODE_SIPI:
        if (!__atomic_exchange_n(&v->wait_sipi, 0, __ATOMIC_SEQ_CST)) break;
        v->sipi = 0x100 | (uint8_t)message;
        WRITE_ONCE(v->initialised, true);
        vcpu_set_down(v, false);
        break;
    }
}

static void deliver_to_all(struct domain *d, uint32_t dest, uint32_t message)
{
    struct vcpu *v;

    for_each_vcpu (d, v) {
        if (!match(v, dest, message & MESSAGE_LOGICAL)) continue;
        accept(v, message);
        if (MODE(message) == MODE_LOWEST) break;
    }
}

void vlapic_deliver(struct domain *d, uint32_t dest, uint32_t message)
{
    struct vcpu *v;

    if (message & MESSAGE_LOGICAL || (dest & 0xff) == 0xff) {
        deliver_to_all(d, dest, message);
        return;
    }
    v = domain_vcpu(d, dest / 2); /* one, by its id */
    if (v && match(v, dest, false)) accept(v, message);
}

static void send(struct vcpu *v, uint32_t icr, uint32_t dest)
{
    enum { TO_DEST, TO_SELF, TO_ALL, TO_OTHERS } to = icr >> 18 & 3;
    struct vcpu *t;

    if (MODE(icr) == MODE_INIT && !(icr & BIT(14))) return; /* INIT de-assert */
    if (to == TO_SELF && MODE(icr) != MODE_FIXED) return;
    icr &= ~MESSAGE_LEVEL;
    if (to == TO_DEST) {
        vlapic_deliver(v->domain, dest, icr);
        return;
    }
    for_each_vcpu (v->domain, t)
        if (to == TO_ALL || (t == v) == (to == TO_SELF)) accept(t, icr);
}

void vlapic_start(struct vcpu *v)
{
    uint8_t page = v->sipi;
    struct arch_state s;

    v->sipi = 0;
    vcpu_reset(v);
    vlapic_reset(v);
    vendor->get_state(v, &s);
    s.seg[SEG_CS].selector = page << 8;
    s.seg[SEG_CS].base = page << 12;
    vendor->set_state(v, &s);
    v->regs.rip = 0;
    WRITE_ONCE(v->nmi_pending, false);
}

/* --- timer --- */

static uint64_t tick_ns(struct vlapic *l)
{
    uint32_t d = REG(l, APIC_TDCR);
    unsigned int shift = ((d & 3) | (d >> 1 & 4)) + 1;

    return (uint64_t)BUS_CYCLE_NS << (shift & 7);
}

static void timer_fired(void *data)
{
    struct vcpu *v = data;
    struct vlapic *l = v->lapic;
    uint32_t lvt = REG(l, APIC_LVTT);
    uint8_t word = (uint8_t)lvt / 32;
    uint32_t waiting = READ_ONCE(l->asked[word]) | READ_ONCE(REG(l, APIC_IRR + word * 16));
    bool lost = lvt & LVT_MASKED || waiting >> lvt % 32 & 1; /* roughly, if v runs */

    if (READ_ONCE(v->domain->dying)) return; /* what is set again would outlive v */
    if (!(lvt & LVT_MASKED)) vlapic_set_irq(v, lvt, false);
    spin_lock(&l->lock);
    if (timer_is_set(&l->timer)) {
        /* v was faster and set it anew. */
    } else if ((lvt & LVT_MODE) == LVT_PERIODIC && l->period) {
        uint64_t t = now();

        l->timer_start += l->period;
        /* A guest that asks for more than it can take loses ticks: they are at
         * the cost of whoever runs here. */
        if (l->timer_start + l->period < t) l->timer_start = t;
        timer_set(&l->timer,
                  l->timer_start + MAX(l->period, lost ? IDLE_PERIOD_NS : MIN_PERIOD_NS));
    } else {
        l->deadline = 0;
    }
    spin_unlock(&l->lock);
}

/* Starts it anew; `expires` 0: stops it. */
static void arm(struct vlapic *l, uint64_t period, uint64_t deadline, uint64_t expires)
{
    spin_lock(&l->lock);
    timer_stop(&l->timer);
    l->period = period;
    l->deadline = deadline;
    l->timer_start = now();
    if (expires) timer_set(&l->timer, expires);
    spin_unlock(&l->lock);
}

static void start_count(struct vlapic *l)
{
    uint64_t period = REG(l, APIC_TMICT) * tick_ns(l);

    if ((REG(l, APIC_LVTT) & LVT_MODE) != LVT_DEADLINE)
        arm(l, period, 0, period ? now() + period : 0);
}

static uint32_t current_count(struct vlapic *l)
{
    uint64_t passed = now() - l->timer_start;

    if (!l->period || (REG(l, APIC_LVTT) & LVT_MODE) == LVT_DEADLINE) return 0;
    if ((REG(l, APIC_LVTT) & LVT_MODE) == LVT_PERIODIC) passed %= l->period;
    return passed >= l->period ? 0 : (l->period - passed) / tick_ns(l);
}

static void set_deadline(struct vcpu *v, uint64_t tsc)
{
    int64_t ticks = tsc - guest_tsc(v, time_boot_tsc());

    if ((REG(v->lapic, APIC_LVTT) & LVT_MODE) == LVT_DEADLINE)
        arm(v->lapic, 0, tsc, !tsc ? 0 : ticks > 0 ? ticks_to_ns(&v->domain->tsc.scale, ticks) : 1);
}

/* --- registers --- */

static uint32_t read_reg(struct vcpu *v, unsigned int offset)
{
    switch (offset) {
    case APIC_PPR: return ppr(v->lapic);
    case APIC_TMR ... APIC_IRR + 0x70: take(v->lapic); return REG(v->lapic, offset & 0x3fc);
    case APIC_TMCCT: return current_count(v->lapic);
    default: return REG(v->lapic, offset & 0x3fc);
    }
}

/* The bits of each register that can be set. */
static const uint32_t writable[64] = {
    [APIC_TPR / 16] = 0xff,         [APIC_LDR / 16] = 0xff000000,   [APIC_DFR / 16] = 0xf0000000,
    [APIC_SVR / 16] = 0x1ff,        [APIC_ICR / 16] = 0xcdfff,      [APIC_ICR_HI / 16] = 0xff000000,
    [APIC_LVTT / 16] = 0x710ff,     [APIC_LVTT / 16 + 1] = 0x117ff, [APIC_LVTT / 16 + 2] = 0x117ff,
    [APIC_LVTT / 16 + 3] = 0x1f7ff, [APIC_LVTT / 16 + 4] = 0x1f7ff, [APIC_LVTERR / 16] = 0x110ff,
    [APIC_TMICT / 16] = 0xffffffff, [APIC_TDCR / 16] = 0xb,         [APIC_SELF / 16] = 0xff,
};

static void write_svr(struct vlapic *l, uint32_t value)
{
    REG(l, APIC_SVR) = value;
    l->words.irr = words_of(l, APIC_IRR); /* may wait or may not, now */
    if (value & SVR_ENABLED) return;
    for (unsigned int i = APIC_LVTT; i <= APIC_LVTERR; i += 16) REG(l, i) |= LVT_MASKED;
}

/* Registers of both modes. */
static void write_reg(struct vcpu *v, unsigned int offset, uint32_t value)
{
    struct vlapic *l = v->lapic;

    value &= writable[offset / 16];
    if (writable[offset / 16]) REG(l, offset) = value;
    switch (offset) {
    case APIC_EOI: eoi(v); break;
    case APIC_DFR: REG(l, offset) |= 0x0fffffff; break;
    case APIC_SVR: write_svr(l, value); break;
    case APIC_LVTT ... APIC_LVTERR:
        if (!(REG(l, APIC_SVR) & SVR_ENABLED)) REG(l, offset) |= LVT_MASKED;
        if (offset == APIC_LVTT && (l->mode ^ value) & LVT_MODE) arm(l, 0, 0, 0);
        l->mode = REG(l, APIC_LVTT) & LVT_MODE;
        break;
    case APIC_TMICT: start_count(l); break;
    case APIC_ICR: send(v, value, REG(l, APIC_ICR_HI) >> 24); break;
    case APIC_SELF:
        if (x2apic(v)) vlapic_set_irq(v, value, false);
        break;
    }
}

uint64_t vlapic_access(struct vcpu *v, unsigned int offset, unsigned int size, bool write,
                       uint64_t value)
{
    if (offset >= 0x400) return 0;
    if (!write) return offset & 12 ? 0 : read_reg(v, offset & ~3u) >> (offset & 3) * 8;
    if (size == 4 && !(offset & 15)) write_reg(v, offset, value);
    return 0;
}

bool vlapic_cr8(struct vcpu *v, uint64_t *reg, bool write)
{
    if (!write)
        *reg = REG(v->lapic, APIC_TPR) >> 4;
    else if (*reg < 16)
        write_reg(v, APIC_TPR, *reg << 4);
    return !write || *reg < 16;
}

void vlapic_written(struct vcpu *v, unsigned int offset)
{
    struct vlapic *l = v->lapic;

    offset &= 0x3f0;
    if (writable[offset / 16])
        write_reg(v, offset, REG(l, offset));
    else if (offset == APIC_ID)
        REG(l, APIC_ID) = my_id(v) << 24;
    else
        REG(l, offset) = 0; /* ESR */
}

static bool base_valid(uint64_t base)
{
    return (base & ~(APIC_BASE_BSP | APIC_BASE_EXTD | APIC_BASE_EN)) == APIC_BASE_DEFAULT &&
           (base & APIC_BASE_EN || !(base & APIC_BASE_EXTD));
}

static int write_base(struct vcpu *v, uint64_t value)
{
    uint64_t old = v->apic_base;

    if (!base_valid(value)) return -1;
    /* x2APIC goes back to xAPIC only through off (APM vol. 2, 16.9). */
    if (old & APIC_BASE_EXTD && value & APIC_BASE_EN && !(value & APIC_BASE_EXTD)) return -1;
    if (!(old & APIC_BASE_EN) && value & APIC_BASE_EXTD) return -1;
    v->apic_base = (value & ~APIC_BASE_BSP) | (old & APIC_BASE_BSP);
    if (!(value & APIC_BASE_EN)) vlapic_reset(v);
    begin_mode(v);
    return 0;
}

/* ... and written. */
#define X2APIC_WRITE \
    (BIT(8) | BIT(11) | BIT(15) | BIT(40) | BIT(48) | MASK(56, 50) | BIT(62) | BIT(63))

int vlapic_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    unsigned int n = msr - MSR_X2APIC;

    if (msr == MSR_APIC_BASE) {
        *value = v->apic_base;
        return 0;
    }
    if (msr == MSR_TSC_DEADLINE) {
        *value = v->lapic->deadline;
        return 0;
    }
    if (!x2apic(v) || n >= 64 || !(X2APIC_READ >> n & 1)) return -1;
    *value = read_reg(v, n * 16);
    if (n == X2APIC(APIC_ICR)) *value |= (uint64_t)REG(v->lapic, APIC_ICR_HI) << 32;
    return 0;
}

int vlapic_write_msr(struct vcpu *v, uint32_t msr, uint64_t value)
{
    unsigned int n = msr - MSR_X2APIC;

    if (likely(n == X2APIC(APIC_EOI) && !value && x2apic(v))) { /* the most frequent */
        eoi(v);
        return 0;
    }
    if (n >= 64) {
        if (msr == MSR_APIC_BASE) return write_base(v, value);
        if (msr == MSR_TSC_DEADLINE) set_deadline(v, value);
        return msr == MSR_TSC_DEADLINE ? 0 : -1;
    }
    if (!x2apic(v) || !(X2APIC_WRITE >> n & 1)) return -1;
    if (n == X2APIC(APIC_ICR)) {
        if ((uint32_t)value & ~writable[n]) return -1;
        REG(v->lapic, APIC_ICR) = value;
        REG(v->lapic, APIC_ICR_HI) = value >> 32;
        send(v, value, value >> 32);
        return 0;
    }
    if (value & ~(uint64_t)writable[n]) return -1;
    write_reg(v, n * 16, value);
    return 0;
}

/* --- life --- */

void vlapic_reset(struct vcpu *v)
{
    struct vlapic *l = v->lapic;

    arm(l, 0, 0, 0);
    memset(l->reg, 0, sizeof(l->reg));
    memset(l->asked, 0, sizeof(l->asked));
    REG(l, APIC_VERSION) = 0x50014;
    REG(l, APIC_DFR) = 0xffffffff;
    write_svr(l, 0xff);
    l->mode = 0;
    begin_mode(v);
}

int vlapic_init(struct vcpu *v)
{
    _Static_assert(sizeof(*v->lapic) <= PAGE_SIZE, "the processor's page");
    v->lapic = core_alloc_pages(1);
    if (!v->lapic) return -XEN_ENOMEM;
    spin_init(&v->lapic->lock, RANK_VLAPIC);
    timer_init(&v->lapic->timer, timer_fired, v);
    v->apic_base = APIC_BASE_DEFAULT | APIC_BASE_EN | (v->id ? 0 : APIC_BASE_BSP);
    vlapic_reset(v);
    return 0;
}

void vlapic_stop(struct vcpu *v)
{
    if (v->lapic) timer_stop(&v->lapic->timer);
}

void vlapic_free(struct vcpu *v)
{
    vlapic_stop(v);
    core_free_pages(v->lapic, 1);
    v->lapic = NULL;
}

void vlapic_save(struct vcpu *v, struct hvm_hw_lapic *hw, struct hvm_hw_lapic_regs *regs)
{
    struct vlapic *l = v->lapic;

    hw->apic_base_msr = v->apic_base;
    hw->disabled = !(REG(l, APIC_SVR) & SVR_ENABLED);
    hw->timer_divisor = tick_ns(l) / BUS_CYCLE_NS;
    hw->tdt_msr = l->deadline;
    take(l);
    REG(l, APIC_TMCCT) = current_count(l);
    memcpy(regs->data, l->reg, sizeof(regs->data));
}

int vlapic_load(struct vcpu *v, const struct hvm_hw_lapic *hw)
{
    uint64_t base = hw->apic_base_msr;

    if (!base_valid(base)) return -XEN_EINVAL;
    v->apic_base = base;
    begin_mode(v);
    v->lapic->deadline = hw->tdt_msr; /* armed with the registers */
    return 0;
}

int vlapic_load_regs(struct vcpu *v, const struct hvm_hw_lapic_regs *regs)
{
    struct vlapic *l = v->lapic;

    _Static_assert(sizeof(l->reg) == sizeof(regs->data), "LAPIC_REGS");
    memcpy(l->reg, regs->data, sizeof(l->reg));
    REG(l, APIC_VERSION) = 0x50014;
    REG(l, APIC_SVR) &= 0x1ff;
    REG(l, APIC_TDCR) &= 0xb;
    l->mode = REG(l, APIC_LVTT) & LVT_MODE;
    begin_mode(v);
    start_count(l);
    set_deadline(v, l->deadline);
    return 0;
}
