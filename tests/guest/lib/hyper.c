/* SPDX-License-Identifier: Apache-2.0 */
/* Hypercalls and what rests on them: events, time, memory, grants. */
#include "test.h"

void hyper_init(void);

uint32_t xen_leaf;
domid_t self_id;
struct shared_info *shared;
static uint8_t shared_page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static bool amd;

long hypercall(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
    register uint64_t r10 asm("r10") = d;
    register uint64_t r8 asm("r8") = e;

    if (amd)
        asm volatile("vmmcall"
                     : "+a"(nr), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8)
                     :
                     : "memory");
    else
        asm volatile("vmcall"
                     : "+a"(nr), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8)
                     :
                     : "memory");
    let_host_in();
    return (long)nr;
}

long domctl(struct xen_domctl *op, uint32_t cmd, domid_t domid)
{
    op->cmd = cmd;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op->domain = domid;
    return HC(__HYPERVISOR_domctl, op, 0, 0, 0);
}

long sysctl(struct xen_sysctl *op, uint32_t cmd)
{
    op->cmd = cmd;
    op->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    return HC(__HYPERVISOR_sysctl, op, 0, 0, 0);
}

static uint32_t find_xen(void)
{
    for (uint32_t leaf = 0x40000000; leaf < 0x40010000; leaf += 0x100) {
        struct cpuid r = cpuid(leaf, 0);

        if (r.b == 0x566e6558 && r.c == 0x65584d4d && r.d == 0x4d4d566e) return leaf;
    }
    return 0;
}

void hyper_init(void)
{
    amd = cpuid(0, 0).c == 0x444d4163; /* "cAMD" */
    xen_leaf = find_xen();
    self_id = (domid_t)cpuid(xen_leaf + 4, 0).c;
    shared = (struct shared_info *)shared_page;
    if (add_to_physmap(DOMID_SELF, XENMAPSPACE_shared_info, 0, gfn_of(shared_page)))
        fatal("no shared page");
    memset(shared->evtchn_mask, 0xff, sizeof(shared->evtchn_mask));
}

struct vcpu_info *vcpu_info(void)
{
    return &shared->vcpu_info[this_cpu()->index];
}

uint64_t now(void)
{
    volatile struct vcpu_time_info *t = &vcpu_info()->time;
    uint32_t version;
    uint64_t delta, base;

    do {
        let_host_in(); /* should the page be gone, this goes on for ever */
        version = t->version;
        asm volatile("lfence" ::: "memory");
        delta = rdtsc() - t->tsc_timestamp;
        if (t->tsc_shift < 0)
            delta >>= -t->tsc_shift;
        else
            delta <<= t->tsc_shift;
        delta = (uint64_t)((unsigned __int128)delta * t->tsc_to_system_mul >> 32);
        base = t->system_time;
        asm volatile("" ::: "memory");
    } while ((version & 1) || version != t->version);
    return base + delta;
}

void delay(uint64_t ns)
{
    uint64_t end = now() + ns;

    while (now() < end) cpu_relax();
}

void nap(uint64_t ns)
{
    struct sched_poll p = {.timeout = now() + ns};
    uint64_t end = p.timeout;

    if (sched_op(SCHEDOP_poll, &p) == 0) return;
    while (now() < end) /* no poll with a time limit here */
        sched_op(SCHEDOP_yield, 0);
}

static void on_event(struct regs *r)
{
    (void)r;
    vcpu_info()->evtchn_upcall_pending = 0;
    asm volatile("" ::: "memory");
    vcpu_info()->evtchn_pending_sel = 0;
}

void events_on(void)
{
    set_irq(EVENT_VECTOR, on_event);
    if (hvm_set(DOMID_SELF, HVM_PARAM_CALLBACK_IRQ,
                (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | EVENT_VECTOR))
        fatal("no callback vector");
}

long port_unbound(domid_t remote)
{
    struct evtchn_alloc_unbound op = {DOMID_SELF, remote, 0};
    long err = evtchn_op(EVTCHNOP_alloc_unbound, &op);

    return err ? err : (long)op.port;
}

long port_bind(domid_t remote, evtchn_port_t remote_port)
{
    struct evtchn_bind_interdomain op = {remote, remote_port, 0};
    long err = evtchn_op(EVTCHNOP_bind_interdomain, &op);

    return err ? err : (long)op.local_port;
}

long port_virq(uint32_t virq, uint32_t vcpu)
{
    struct evtchn_bind_virq op = {virq, vcpu, 0};
    long err = evtchn_op(EVTCHNOP_bind_virq, &op);

    return err ? err : (long)op.port;
}

long port_ipi(uint32_t vcpu)
{
    struct evtchn_bind_ipi op = {vcpu, 0};
    long err = evtchn_op(EVTCHNOP_bind_ipi, &op);

    return err ? err : (long)op.port;
}

long port_close(evtchn_port_t port)
{
    struct evtchn_close op = {port};

    return evtchn_op(EVTCHNOP_close, &op);
}

long port_send(evtchn_port_t port)
{
    struct evtchn_send op = {port};

    return evtchn_op(EVTCHNOP_send, &op);
}

long port_unmask(evtchn_port_t port)
{
    struct evtchn_unmask op = {port};

    return evtchn_op(EVTCHNOP_unmask, &op);
}

bool port_pending(evtchn_port_t port)
{
    volatile xen_ulong_t *word = &shared->evtchn_pending[port / 64];

    return *word >> port % 64 & 1;
}

void port_mask(evtchn_port_t port)
{
    __atomic_or_fetch(&shared->evtchn_mask[port / 64], 1ull << port % 64, __ATOMIC_SEQ_CST);
}

bool port_take(evtchn_port_t port)
{
    uint64_t bit = 1ull << port % 64;

    return __atomic_fetch_and(&shared->evtchn_pending[port / 64], ~bit, __ATOMIC_SEQ_CST) & bit;
}

bool port_wait(evtchn_port_t port, uint64_t ns)
{
    uint64_t end = now() + ns;

    while (!port_pending(port) && now() < end) {
        struct sched_poll p = {.nr_ports = 1, .timeout = end};

        set_xen_guest_handle(p.ports, &port);
        if (sched_op(SCHEDOP_poll, &p)) sched_op(SCHEDOP_yield, 0);
    }
    return port_take(port);
}

long add_to_physmap(domid_t d, unsigned int space, uint64_t idx, uint64_t gfn)
{
    struct xen_add_to_physmap op = {.domid = d, .space = space, .idx = idx, .gpfn = gfn};

    return memory_op(XENMEM_add_to_physmap, &op);
}

long remove_from_physmap(domid_t d, uint64_t gfn)
{
    struct xen_remove_from_physmap op = {.domid = d, .gpfn = gfn};

    return memory_op(XENMEM_remove_from_physmap, &op);
}

static long reservation(unsigned int cmd, domid_t d, unsigned int order, uint64_t *gfns,
                        unsigned long n)
{
    struct xen_memory_reservation op = {.nr_extents = n, .extent_order = order, .domid = d};

    set_xen_guest_handle(op.extent_start, gfns);
    return memory_op(cmd, &op);
}

long populate(domid_t d, unsigned int order, uint64_t *gfns, unsigned long n)
{
    return reservation(XENMEM_populate_physmap, d, order, gfns, n);
}

long decrease(domid_t d, unsigned int order, uint64_t *gfns, unsigned long n)
{
    return reservation(XENMEM_decrease_reservation, d, order, gfns, n);
}

long hvm_get(domid_t d, uint32_t index, uint64_t *value)
{
    struct xen_hvm_param p = {.domid = d, .index = index};
    long err = hvm_op(HVMOP_get_param, &p);

    *value = p.value;
    return err;
}

long hvm_set(domid_t d, uint32_t index, uint64_t value)
{
    struct xen_hvm_param p = {.domid = d, .index = index, .value = value};

    return hvm_op(HVMOP_set_param, &p);
}

grant_entry_v1_t *grants(void)
{
    static uint8_t table[8][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
    static bool mapped;

    for (unsigned int i = 0; i < 8 && !mapped; i++)
        if (add_to_physmap(DOMID_SELF, XENMAPSPACE_grant_table, i, gfn_of(table[i])))
            fatal("no grant frame %u", i);
    mapped = true;
    return (grant_entry_v1_t *)table;
}

void grant_access(grant_ref_t ref, domid_t to, const void *page, bool ro)
{
    volatile grant_entry_v1_t *e = &grants()[ref];

    e->domid = to;
    e->frame = (uint32_t)gfn_of(page);
    asm volatile("" ::: "memory");
    e->flags = ro ? GTF_permit_access | GTF_readonly : GTF_permit_access;
}

long grant_map(domid_t of, grant_ref_t ref, void *at, bool ro, grant_handle_t *handle)
{
    struct gnttab_map_grant_ref op = {.host_addr = (uint64_t)at,
                                      .flags = GNTMAP_host_map | (ro ? GNTMAP_readonly : 0u),
                                      .ref = ref,
                                      .dom = of};
    long err = grant_op(GNTTABOP_map_grant_ref, &op, 1);

    *handle = op.handle;
    return err ? err : op.status;
}

long grant_unmap(void *at, grant_handle_t handle)
{
    struct gnttab_unmap_grant_ref op = {.host_addr = (uint64_t)at, .handle = handle};
    long err = grant_op(GNTTABOP_unmap_grant_ref, &op, 1);

    return err ? err : op.status;
}
