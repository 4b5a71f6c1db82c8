/* SPDX-License-Identifier: Apache-2.0 */
/* No interrupt is lost while CPU 1 makes devices raise them and CPU 0 masks,
 * unmasks and moves them changes= times: two edu devices at one level pin, edu's
 * MSI, three of e1000e's MSI-X vectors.  (Stock Xen 4.17 loses some of them.) */
/* run: cpus=2 device=edu,addr=4+edu,addr=8+e1000e,addr=5 time=320 hv=insula */
#include "pci.h"
#include "test.h"

#define EDU_ID      0x11e81234u
#define E1000E_ID   0x10d38086u
#define ISR         0x24 / 4
#define RAISE       0x60 / 4
#define ACK         0x64 / 4
#define PIN_VECTOR  0x60
#define MSI_VECTOR  0x91 /* and the next */
#define MSIX_VECTOR 0xa0 /* of the first */
/* e1000e (82574 data sheet, 10.2.4) */
#define ICS     0xc8 / 4
#define IMS     0xd0 / 4
#define EIAC    0xdc / 4
#define IVAR    0xe4 / 4
#define CAUSE   20 /* bits of the first, one a vector */
#define VECTORS 3

static volatile uint32_t *edu[2], *card, *table;
static volatile unsigned int pending[VECTORS], taken, raised, by_cpu[2];
static volatile bool stop;
static void (*raise)(unsigned int source);
static unsigned int sources;
static uint64_t changes, seed = 1;

static unsigned int chance(unsigned int n)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned int)(seed >> 33) % n;
}

/* --- what is taken --- */

static void take(unsigned int source)
{
    if (!__atomic_exchange_n(&pending[source], 0, __ATOMIC_SEQ_CST)) return;
    __atomic_fetch_add(&taken, 1, __ATOMIC_SEQ_CST);
    by_cpu[this_cpu()->index]++;
}
static void on_edu(struct regs *r)
{
    (void)r;
    for (unsigned int k = 0; k < 2; k++) {
        uint32_t status = edu[k][ISR];

        if (!status) continue;
        edu[k][ACK] = status;
        take(k);
    }
    apic_write(APIC_EOI, 0);
}
static void on_card(struct regs *r)
{
    unsigned int n = (unsigned int)r->vector - MSIX_VECTOR;

    card[IMS] = 1u << (CAUSE + n);
    take(n);
    apic_write(APIC_EOI, 0);
}

/* --- what is raised --- */

static void raise_edu(unsigned int k)
{
    edu[k][RAISE] = 1;
}
static void raise_card(unsigned int n)
{
    card[ICS] = 1u << (CAUSE + n);
}
/* CPU 1: each source again as soon as its last one was taken. */
static void raiser(void *arg)
{
    (void)arg;
    irq_enable();
    while (!stop)
        for (unsigned int s = 0; s < sources; s++) {
            if (pending[s]) continue;
            pending[s] = 1;
            raised++;
            raise(s);
        }
    irq_disable();
}
static bool all_taken(void)
{
    uint64_t end = now() + NS_PER_S;

    irq_enable();
    while (taken != raised && now() < end) cpu_relax();
    irq_disable();
    return taken == raised;
}

/* change(how, cpu): 0 masks, 1 unmasks, the rest move. */
static void run(const char *name, unsigned int n, void (*how)(unsigned int s),
                void (*change)(unsigned int, unsigned int))
{
    uint64_t end = now() + 100 * NS_PER_S;
    unsigned int i, last = 0;

    sources = n;
    raise = how;
    taken = raised = by_cpu[0] = by_cpu[1] = 0;
    stop = false;
    cpu_run_async(1, raiser, NULL);
    for (i = 0; i < changes && now() < end; i++) {
        change(chance(4), chance(2));
        irq_enable();
        for (unsigned int k = chance(20); k; k--) cpu_relax();
        irq_disable();
        if (i % 16) continue;
        /* Unmasked, they come. */
        change(1, 0);
        irq_enable();
        for (uint64_t until = now() + NS_PER_S; taken == last && now() < until;) cpu_relax();
        irq_disable();
        if (taken == last) break;
        last = taken;
    }
    change(1, 0);
    stop = true;
    cpu_wait(1);
    print("%s: %u changes, %u raised, %u and %u taken on each CPU\n", name, i, raised, by_cpu[0],
          by_cpu[1]);
    check_eq(i, changes, name);
    check(all_taken(), "each that was raised was taken");
    check(by_cpu[0] > changes / 100 && by_cpu[1] > changes / 100, "on both CPUs");
}

/* --- a level pin --- */

static unsigned int pin;

static void change_pin(unsigned int how, unsigned int cpu)
{
    static uint32_t low;

    if (how <= 1) low = 0xa000 | PIN_VECTOR | (how == 0) << 16;
    if (how > 1) ioapic_write(0x11 + 2 * pin, cpu * 2 << 24);
    ioapic_write(0x10 + 2 * pin, low);
}
static void find_pin(void)
{
    unsigned int of[2] = {0, 0};

    for (unsigned int k = 0; k < 2; k++) {
        for (pin = 16; pin < 24 && !of[k]; pin++) {
            taken = 0;
            pending[k] = 1;
            change_pin(1, 0);
            edu[k][RAISE] = 1;
            irq_enable();
            for (uint64_t end = now() + NS_PER_S / 50; !taken && now() < end;) cpu_relax();
            irq_disable();
            if (taken) of[k] = pin;
            change_pin(0, 0);
            edu[k][ACK] = edu[k][ISR];
        }
        pending[k] = 0;
    }
    pin = of[0];
    check(pin && of[0] == of[1], "two devices share a pin");
}

/* --- MSI --- */

static uint32_t edu_dev[2], msi;

static void change_msi(unsigned int how, unsigned int cpu)
{
    if (how <= 1)
        pci_write(edu_dev[0], msi + 12, MSI_VECTOR + cpu);
    else
        pci_write(edu_dev[0], msi + 4, 0xfee00000 | cpu * 2 << 12);
}

/* --- MSI-X --- */

static void change_msix(unsigned int how, unsigned int cpu)
{
    for (unsigned int n = 0; n < VECTORS; n++) {
        volatile uint32_t *e = table + 4 * n;

        if (how == 0) e[3] = 1;
        if (how > 1) {
            bool was = e[3] & 1;

            e[3] = 1;
            e[0] = 0xfee00000 | cpu * 2 << 12;
            e[2] = MSIX_VECTOR + n;
            if (!was) e[3] = 0;
        }
        if (how == 1) e[3] = 0;
    }
}

static void find_devices(void)
{
    unsigned int n = 0;
    uint32_t at;

    for (uint32_t dev = 0; dev < 32; dev++) {
        if (pci_read(dev, 0) == EDU_ID && n < 2) {
            edu_dev[n] = dev;
            edu[n++] = pci_open_bar(dev, 0);
        }
        if (pci_read(dev, 0) != E1000E_ID) continue;
        card = pci_open_bar(dev, 0);
        at = pci_capability(dev, 0x11);
        table = pci_open_bar(dev, pci_read(dev, at + 4) & 7);
        table += (pci_read(dev, at + 4) & ~7u) / 4;
        for (unsigned int v = 0; v < VECTORS; v++) {
            set_irq(MSIX_VECTOR + v, on_card);
            table[4 * v] = 0xfee00000;
            table[4 * v + 1] = 0;
            table[4 * v + 2] = MSIX_VECTOR + v;
        }
        pci_write(dev, at, 0x80000000 | (pci_read(dev, at) & 0xffff));
        card[IVAR] = 0xba98; /* three causes: vectors 0, 1, 2 */
        card[EIAC] = card[IMS] = 7u << CAUSE;
    }
    if (n < 2 || !card) fatal("devices are missing");
}

static void on_cpu1(void *arg)
{
    (void)arg;
    apic_enable(true);
}

void test_main(void)
{
    changes = argument("changes=", 2000);
    apic_enable(true);
    if (!cpu_start(1)) fatal("no second CPU");
    cpu_run(1, on_cpu1, NULL);
    find_devices();
    set_irq(PIN_VECTOR, on_edu);
    set_irq(MSI_VECTOR, on_edu);
    set_irq(MSI_VECTOR + 1, on_edu);
    find_pin();
    run("INTx: changes of a level pin", 2, raise_edu, change_pin);
    change_pin(0, 0);
    msi = pci_capability(edu_dev[0], 5);
    pci_write(edu_dev[0], msi + 4, 0xfee00000);
    pci_write(edu_dev[0], msi + 8, 0);
    pci_write(edu_dev[0], msi + 12, MSI_VECTOR);
    pci_write(edu_dev[0], msi, (pci_read(edu_dev[0], msi) & 0xffff0000) | 1u << 16);
    run("MSI: changes of address and data", 1, raise_edu, change_msi);
    run("MSI-X: changes of three entries", VECTORS, raise_card, change_msix);
}
