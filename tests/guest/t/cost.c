/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operation costs in instructions, of the hypervisor's and of those here
 * that ask for it.  Only Bochs' TSC counts instructions, one each; elsewhere there
 * are times, and no result.  tests/bochs/run compares the lines `cost NAME: N`.
 * all=1: not only the three most frequent ones.
 */
/* run: bochs=bochs-vmx,bochs-svm qemu=no mem=1536 time=150 ips=2000000000 */
#include "cost.h"
#include "toolstack.h"

#define ROUNDS 1000
#define FEW    20 /* of what takes long */

/* What the guest writes between two looks at the log. */
#define DIRTY 100
#define BASE  0x1600000ul /* above the guest's image */
#define STEP  5           /* pages */

#define MIB(n)     ((uint64_t)(n) << 20)
#define LOOSE      MIB(48) /* memory of the servant's that it does not use */
#define IPI_VECTOR 0x60

static long port, other, timer, to_servant;
static uint32_t own_id;
static struct guest servant;
static uint8_t page[4096] __attribute__((aligned(4096)));

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

static void msr_exit(void)
{
    rdmsr(MSR_APIC_BASE);
}

static void mmio_exit(void)
{
    apic_read(APIC_TPR);
}

/* What no processor answers by itself. */
static void ioapic_exit(void)
{
    (void)*(volatile uint32_t *)0xfec00000;
}

/* For a time that has passed. */
static void timer_event(void)
{
    HC(__HYPERVISOR_set_timer_op, 1, 0, 0, 0);
    while (!port_take((evtchn_port_t)timer)) continue;
}

static void own_ipi(void)
{
    unsigned int before = irq_count[IPI_VECTOR];

    apic_ipi(own_id, IPI_VECTOR);
    while (irq_count[IPI_VECTOR] == before) continue;
}

static void ipi_taken(struct regs *r)
{
    (void)r;
    apic_write(APIC_EOI, 0);
}

static void event_and_reply(void)
{
    port_send((evtchn_port_t)to_servant);
    if (!port_wait((evtchn_port_t)to_servant, NS_PER_S)) fatal("no reply");
}

static void two_switches(void)
{
    sched_op(SCHEDOP_yield, 0);
}

static void map_and_unmap(void)
{
    grant_handle_t handle;

    if (grant_map(servant.id, 9, WINDOW_PAGE(100), false, &handle) ||
        grant_unmap(WINDOW_PAGE(100), handle))
        fatal("the servant's page is not mapped");
}

static void copy_page(void)
{
    struct gnttab_copy op = {.len = 4096, .flags = GNTCOPY_source_gref};

    op.source.domid = servant.id;
    op.source.u.ref = 9;
    op.dest.domid = DOMID_SELF;
    op.dest.u.gmfn = gfn_of(page);
    if (grant_op(GNTTABOP_copy, &op, 1) || op.status) fatal("the servant's page is not copied");
}

static void take_and_give(unsigned int order)
{
    uint64_t gfn = LOOSE >> 12;

    if (decrease(servant.id, order, &gfn, 1) != 1) fatal("memory is not given back");
    gfn = LOOSE >> 12;
    if (populate(servant.id, order, &gfn, 1) != 1) fatal("memory is not given");
}

static void page_gone_and_back(void)
{
    take_and_give(0);
}

static void superpage_gone_and_back(void)
{
    take_and_give(9);
}

static void domain_comes_and_goes(void)
{
    struct xen_domctl_getdomaininfo info;
    domid_t id;

    if (domain_create(&id, 1) || domain_destroy(id)) fatal("no domain");
    while (domain_info(id, &info)) continue;
}

/* --- in the servant --- */

static long give_page(long a, long b, long c)
{
    (void)a, (void)b, (void)c;
    grant_access(9, 0, page, false);
    return port_unbound(0);
}

static long reply(long to, long rounds, long c)
{
    (void)c;
    for (long i = 0; i < rounds; i++) {
        while (!port_wait((evtchn_port_t)to, NS_PER_S)) continue;
        port_send((evtchn_port_t)to);
    }
    return 0;
}

static long yield(long rounds, long b, long c)
{
    (void)b, (void)c;
    for (long i = 0; i < rounds; i++) sched_op(SCHEDOP_yield, 0);
    return 0;
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

/* Instructions of a CLEAN round: the mean of ten.  log: NULL, the bitmap is not
 * asked for, so that what is left is the work on the tables and the log. */
static void clean_rounds(struct guest *g, unsigned int mib, uint64_t *log, const char *what)
{
    unsigned int rounds = 10;
    uint64_t start, spent = 0;
    long rc;

    for (unsigned int i = 0; i <= rounds; i++) {
        guest_call(g, write_pages, 0, 0, 0);
        domain_pause(g->id); /* what it does itself does not count */
        start = rdtsc();
        rc = shadow_op(g->id, XEN_DOMCTL_SHADOW_OP_CLEAN, mib * 256ul, log);
        if (i) spent += rdtsc() - start; /* the first one sees all of them */
        domain_unpause(g->id);
        check_eq(rc, 0, what);
    }
    print("cost %s of %u pages, %u MiB: %lu\n", what, DIRTY, mib, spent / rounds);
}

static void clean_all(unsigned int mib)
{
    static uint64_t log[262144 / 64] __attribute__((aligned(4096)));
    struct guest_config config = {.cmdline = SERVANT, .mib = mib};
    unsigned int found = 0;
    struct guest g;

    guest_create(&g, &config);
    guest_unpause(&g);
    check_eq(shadow_op(g.id, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, 0, NULL), 0, "on");
    clean_rounds(&g, mib, log, "CLEAN");
    for (unsigned int i = 0; i < mib * 256ul / 64; i++)
        for (uint64_t word = log[i]; word; word &= word - 1) found++;
    check(found >= DIRTY && found < 2 * DIRTY, "what was written is in the log");
    clean_rounds(&g, mib, NULL, "CLEAN without its bitmap");
    guest_destroy(&g);
}

#define SHOW(rows, rounds) show_costs(rows, sizeof(rows) / sizeof((rows)[0]), rounds)

/* What the servant does for one row at a time. */
static void with_servant(remote_fn *fn, long a, long b, const struct row *row)
{
    long result = -1;

    guest_call_async(&servant, fn, a, b, 0);
    show_costs(row, 1, ROUNDS);
    while (!guest_called(&servant, &result)) nap(NS_PER_MS);
    check_eq(result, 0, row->name);
}

static void all_rows(void)
{
    static const struct row alone[] = {{"reading an MSR", msr_exit},
                                       {"a timer that is due", timer_event},
                                       {"reading the local APIC's page", mmio_exit},
                                       {"reading the IO-APIC's page", ioapic_exit}};
    static const struct row x2apic = {"IPI to oneself, x2APIC", own_ipi};
    static const struct row both[] = {
        {"mapping and unmapping a grant", map_and_unmap},
        {"grant copy of 4 KiB", copy_page},
        {"taking and giving 4 KiB", page_gone_and_back},
    };
    static const struct row few[] = {
        {"taking and giving 2 MiB", superpage_gone_and_back},
        {"making and destroying a domain", domain_comes_and_goes},
    };
    struct guest_config config = {.cmdline = SERVANT, .mib = 64};
    long theirs;

    timer = port_virq(VIRQ_TIMER, 0);
    port_mask((evtchn_port_t)timer);
    apic_enable(false);
    SHOW(alone, ROUNDS);
    apic_enable(true);
    own_id = apic_id();
    set_irq(IPI_VECTOR, ipi_taken);
    irq_enable();
    show_costs(&x2apic, 1, ROUNDS);
    irq_disable();
    guest_create(&servant, &config);
    guest_unpause(&servant);
    theirs = guest_call(&servant, give_page, 0, 0, 0);
    to_servant = port_bind(servant.id, (evtchn_port_t)theirs);
    check(to_servant > 0, "a port to the servant");
    port_take((evtchn_port_t)to_servant); /* binding sets it */
    with_servant(reply, theirs, ROUNDS + 1,
                 &(struct row){"event to another domain and its reply", event_and_reply});
    with_servant(yield, ROUNDS + 1, 0, &(struct row){"two switches of vCPUs", two_switches});
    SHOW(both, ROUNDS);
    SHOW(few, FEW);
    guest_destroy(&servant);
    clean_all(64);
    clean_all(1024);
}

void test_main(void)
{
    static const struct row often[] = {
        {"null hypercall", null_call}, {"CPUID", cpuid_exit}, {"event to oneself", event}};
    unsigned int before;

    events_on();
    other = port_unbound(DOMID_SELF);
    port = port_bind(DOMID_SELF, (evtchn_port_t)other);
    check(other > 0 && port > 0, "bound to itself");
    port_unmask((evtchn_port_t)other);
    irq_enable();
    before = irq_count[EVENT_VECTOR];
    SHOW(often, ROUNDS);
    irq_disable();
    print("%u events taken\n", irq_count[EVENT_VECTOR] - before);
    check(irq_count[EVENT_VECTOR] - before >= ROUNDS, "each event was taken");
    if (argument("all=", 0)) all_rows();
}
