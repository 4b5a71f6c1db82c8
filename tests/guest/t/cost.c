/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an exit costs in instructions of the hypervisor.  Only Bochs' TSC
 * counts instructions, one each; elsewhere there are times, and no result.
 * tests/bochs/run compares the lines `cost NAME: N`.  clean=1: of rounds of log-dirty too.
 */
/* run: bochs=bochs-vmx,bochs-svm qemu=no mem=1536 time=150 ips=2000000000 */
#include "test.h"
#include "toolstack.h"

#define ROUNDS 1000

/* What the guest writes between two looks at the log. */
#define DIRTY 100
#define BASE  0x1600000ul /* above the guest's image */
#define STEP  5           /* pages */

static long port, other;

static void nothing(void)
{
    asm volatile("" ::: "memory");
}

static void null_call(void)
{
    version_op(XENVER_version, 0);
}

static void cpuid_exit(void)
{
    cpuid(0x40000000, 0);
}

static void event(void)
{
    port_send((evtchn_port_t)port);
    port_take((evtchn_port_t)other);
}

static uint64_t run(void (*fn)(void))
{
    uint64_t start;

    fn();
    start = rdtsc();
    for (unsigned int i = 0; i < ROUNDS; i++) fn();
    return (rdtsc() - start) / ROUNDS;
}

static long write_pages(long a, long b, long c)
{
    (void)a, (void)b, (void)c;
    for (unsigned long i = 0; i < DIRTY; i++) *(volatile uint64_t *)(BASE + i * STEP * 4096) += 1;
    return 0;
}

static long shadow_op(domid_t d, unsigned int op, uint64_t pages, void *bitmap)
{
    struct xen_domctl c = {0};

    c.u.shadow_op.op = op;
    c.u.shadow_op.pages = pages;
    set_xen_guest_handle(c.u.shadow_op.dirty_bitmap, bitmap);
    return domctl(&c, XEN_DOMCTL_shadow_op, d);
}

/* A CLEAN round after which the pages that were written are watched again. */
static void clean_rounds(unsigned int mib)
{
    static uint64_t log[262144 / 64] __attribute__((aligned(4096)));
    struct guest_config config = {.cmdline = SERVANT, .mib = mib};
    unsigned int rounds = 10, found = 0;
    uint64_t start, spent = 0;
    struct guest g;
    long rc;

    guest_create(&g, &config);
    guest_unpause(&g);
    check_eq(shadow_op(g.id, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, 0, NULL), 0, "on");
    for (unsigned int i = 0; i <= rounds; i++) {
        guest_call(&g, write_pages, 0, 0, 0);
        domain_pause(g.id); /* what it does itself does not count */
        start = rdtsc();
        rc = shadow_op(g.id, XEN_DOMCTL_SHADOW_OP_CLEAN, mib * 256ul, log);
        if (i) spent += rdtsc() - start; /* the first one sees all of them */
        domain_unpause(g.id);
        check_eq(rc, 0, "clean");
    }
    for (unsigned int i = 0; i < mib * 256ul / 64; i++)
        for (uint64_t word = log[i]; word; word &= word - 1) found++;
    check(found >= DIRTY && found < 2 * DIRTY, "what was written is in the log");
    print("cost CLEAN of %u pages, %u MiB: %lu\n", DIRTY, mib, spent / rounds);
    guest_destroy(&g);
}

void test_main(void)
{
    static const struct {
        const char *name;
        void (*fn)(void);
    } ops[] = {{"null hypercall", null_call}, {"CPUID", cpuid_exit}, {"event to oneself", event}};
    uint64_t loop = run(nothing);
    unsigned int before;

    events_on();
    other = port_unbound(DOMID_SELF);
    port = port_bind(DOMID_SELF, (evtchn_port_t)other);
    check(other > 0 && port > 0, "bound to itself");
    port_unmask((evtchn_port_t)other);
    irq_enable();
    before = irq_count[EVENT_VECTOR];
    for (unsigned int i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        print("cost %s: %lu\n", ops[i].name, run(ops[i].fn) - loop);
    irq_disable();
    print("%u events taken\n", irq_count[EVENT_VECTOR] - before);
    check(irq_count[EVENT_VECTOR] - before >= ROUNDS, "each event was taken");
    if (!argument("clean=", 0)) return;
    clean_rounds(64);
    clean_rounds(1024);
}
