/* SPDX-License-Identifier: Apache-2.0 */
/* A guest that comes from a machine with another TSC frequency keeps its rate,
 * scaled by the processor or emulated, and its clocks stay right. */
/* run: time=120 */
#include "test.h"
#include "toolstack.h"

#define VECTOR 0x52

/* --- in the guest --- */

static long read_tsc_there(long a, long b, long c)
{
    (void)a, (void)b, (void)c;
    return (long)rdtsc();
}

static uint64_t rdtscp(uint32_t *aux)
{
    uint32_t lo, hi;

    asm volatile("rdtscp" : "=a"(lo), "=d"(hi), "=c"(*aux)::"memory");
    return (uint64_t)hi << 32 | lo;
}

static void handler(struct regs *r)
{
    (void)r;
    apic_write(APIC_EOI, 0);
}

/* The local APIC's deadline is in the guest's own ticks. */
static void deadline(uint64_t khz)
{
    uint64_t start = now();

    if (!(cpuid(1, 0).c >> 24 & 1)) return;
    apic_enable(true);
    set_irq(VECTOR, handler);
    irq_count[VECTOR] = 0;
    apic_write(APIC_LVTT, VECTOR | 2u << 17);
    wrmsr(MSR_TSC_DL, rdtsc() + khz * 20);
    irq_enable();
    while (!irq_count[VECTOR] && now() < start + NS_PER_S) cpu_relax();
    irq_disable();
    check_in((long)((now() - start) / 1000), 20000, 60000, "us to a deadline of 20 ms");
}

static void with_aux(void)
{
    uint64_t before, tsc;
    uint32_t aux;

    if (!(cpuid(0x80000001, 0).d >> 27 & 1)) return;
    wrmsr(0xc0000103, 77);
    before = rdtsc();
    tsc = rdtscp(&aux);
    check(before < tsc && tsc < rdtsc() && aux == 77, "RDTSCP");
}

/* The TSC and the time at one moment: the closest pair of some, as whoever runs
 * beside this machine may come in between the two readings. */
static void read_both(uint64_t *tsc, uint64_t *ns)
{
    uint64_t closest = ~0ull;

    *tsc = *ns = 0;
    for (int i = 0; i < 50; i++) {
        uint64_t before = rdtsc(), at = now(), apart = rdtsc() - before;

        if (apart >= closest) continue;
        closest = apart;
        *tsc = before + apart / 2;
        *ns = at;
    }
}

static long measure(long khz, long mode, long exits)
{
    uint64_t t0, c0, t1, c1, m;

    check_eq(cpuid(xen_leaf + 3, 0).c, khz, "CPUID's frequency");
    check_eq(cpuid(xen_leaf + 3, 0).b, mode, "and mode");
    if (exits >= 0) check_eq(cpuid(xen_leaf + 3, 0).a & 1, exits, "whether it is emulated");
    read_both(&c0, &t0);
    delay(50 * NS_PER_MS);
    read_both(&c1, &t1);
    check_in((long)((c1 - c0) * 1000000 / ((t1 - t0) / 1000 * (uint64_t)khz)), 999, 1001,
             "its rate (per mille)");
    c0 = rdtsc(), m = rdmsr(0x10), c1 = rdtsc();
    check(c0 < m && m < c1, "by MSR it is the same");
    wrmsr(0x10, 1ull << 50);
    c0 = rdtsc(), t0 = now();
    check(c0 >> 50 == 1 && c0 - (1ull << 50) < (uint64_t)khz * 1000, "written");
    check_in((long)(t0 - t1), 0, NS_PER_S, "the clock does not step");
    with_aux();
    deadline((uint64_t)khz);
    return 0;
}

/* --- dom0 --- */

static long set_tsc(struct guest *g, uint32_t mode, uint32_t khz)
{
    struct xen_domctl op = {0};

    op.u.tsc_info.tsc_mode = mode;
    op.u.tsc_info.gtsc_khz = khz;
    return domctl(&op, XEN_DOMCTL_settscinfo, g->id);
}

/* real: what its rate is then. */
static void at_rate(struct guest *g, uint32_t mode, uint32_t khz, uint32_t real, long exits)
{
    uint64_t fastest = 2 * cpuid(xen_leaf + 3, 0).c; /* of all that are set here */
    uint64_t start = now();
    long before = guest_call(g, read_tsc_there, 0, 0, 0), step;

    check_eq(set_tsc(g, mode, khz), 0, "settscinfo");
    step = guest_call(g, read_tsc_there, 0, 0, 0) - before;
    check_in(step, 1, (long)((now() - start) / 1000 * fastest / 1000),
             "the TSC goes on from its value");
    guest_call(g, measure, real, mode, exits);
}

void test_main(void)
{
    uint32_t khz = cpuid(xen_leaf + 3, 0).c;
    struct xen_domctl op = {0};
    struct guest g;

    servant_start(&g, 0);
    at_rate(&g, 0, 0, khz, 0);
    at_rate(&g, 0, khz + khz / 20000, khz, 0); /* a measurement's error */
    at_rate(&g, 0, khz / 2, khz / 2, -1);
    check_eq(domctl(&op, XEN_DOMCTL_gettscinfo, g.id), 0, "gettscinfo");
    check_eq(op.u.tsc_info.gtsc_khz, khz / 2, "tells it");
    at_rate(&g, 0, khz / 7 * 10, khz / 7 * 10, -1);
    at_rate(&g, 1, khz / 3, khz / 3, 1); /* always emulated */
    at_rate(&g, 1, 0, khz, 1);
    at_rate(&g, 2, khz / 2, khz, 0); /* never */
    check_eq(set_tsc(&g, 3, 0), -XEN_EOPNOTSUPP, "an unknown mode");
    check_eq(set_tsc(&g, 0, 1), -XEN_EINVAL, "1 kHz");
    check_eq(cpuid(xen_leaf + 3, 0).c, khz, "one's own is as it was");
    check(guest_destroy(&g), "destroyed");
}
