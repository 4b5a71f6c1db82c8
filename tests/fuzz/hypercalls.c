/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sequences of hypercalls of dom0 and two or more guests.  The input is read as
 * steps of eight bytes: what, who, and six small numbers, of which valid
 * domains, frames, references and ports are made more often than others.
 */
#include "hypercall/evtchn.h"
#include "machine.h"
#include <string.h>
#include <xen/domctl.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/sysctl.h>
#include <xen/version.h>

/* Where the caller keeps its arguments: in the first page that it has left, the
 * second vCPU in the second one. */
#define ARG   (page + 0x100)
#define MULTI (page + 0x200)
#define LIST  (page + 0x300)
#define LIST2 (page + 0x900)
#define LIST3 (page + 0xf00)
#define STEPS 200u

struct step {
    uint8_t what, who, a, b, c, d, e, f;
};

static __thread struct vcpu *v; /* the caller of this step */
static __thread uint64_t page;
static __thread bool multi, half; /* by a multicall; given up when interrupted */

/* --- small numbers --- */

static domid_t domid(uint8_t x)
{
    x &= 15;
    return x < 8 ? x % 4 : x < 12 ? DOMID_SELF : x == 12 ? 4 : x == 13 ? 5 : 0x7fe0 + x;
}

static uint64_t gfn(uint8_t x)
{
    if (x < 0xc0) return x & 0x3f;
    if (x < 0xf0) return 512 + (x & 1) * 512 + (x & 0xe) * 8;
    return x == 0xff   ? ~0ull
           : x == 0xfe ? (1ull << 36) - 1
           : x == 0xfd ? 1ull << 36
                       : 1ull << x % 64;
}

static uint32_t port(uint8_t x)
{
    return x < 0xe0 ? x % 16 : x < 0xf0 ? x % 16 + 56 : x == 0xff ? ~0u : 1u << x % 32;
}

static uint32_t gref(uint8_t x)
{
    return x < 0xf0 ? x % 16 : x < 0xf8 ? 504 + x % 16 : ~0u << x % 32;
}

/* --- calls --- */

static void put(uint64_t at, const void *p, size_t len)
{
    (void)guest_poke(v->domain, at, p, len);
}

static long call(unsigned int nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
    uint64_t args[5] = {a0, a1, a2};
    struct multicall_entry e = {.op = nr, .args = {a0, a1, a2}};

    if (!multi) return hypercall(v, nr, args, half);
    put(MULTI, &e, sizeof(e));
    return hypercall(v, __HYPERVISOR_multicall, (uint64_t[5]){MULTI, 1}, half) ? -1 : 0;
}

/* One whose argument is a structure. */
#define OP(nr, cmd, s) (put(ARG, &(s), sizeof(s)), call(nr, cmd, ARG, 1))

#define HANDLE_TO(h, at) ((h).p = (void *)(uintptr_t)(at))

/* --- memory --- */

static void step_extents(const struct step *s)
{
    struct xen_memory_reservation r = {.nr_extents = s->c % 24,
                                       .extent_order = s->d < 200   ? 0
                                                       : s->d < 250 ? 9
                                                                    : s->d,
                                       .mem_flags = s->e & 1 ? XENMEMF_address_bits(32) : 0,
                                       .domid = domid(s->a)};
    uint64_t list[24];

    for (unsigned int i = 0; i < 24; i++) list[i] = gfn(s->b) + i * (s->f & 3);
    HANDLE_TO(r.extent_start, LIST);
    put(LIST, list, sizeof(list));
    OP(__HYPERVISOR_memory_op, s->e & 2 ? XENMEM_decrease_reservation : XENMEM_populate_physmap, r);
}

static void step_add(const struct step *s)
{
    struct xen_add_to_physmap a = {
        .domid = domid(s->a), .space = s->b % 5, .idx = gfn(s->c), .gpfn = gfn(s->d)};
    struct xen_remove_from_physmap r = {domid(s->a), gfn(s->d)};

    if (a.space == XENMAPSPACE_grant_table || a.space == XENMAPSPACE_shared_info)
        a.idx = s->c < 200 ? 0 : s->c & 3;
    if (s->e & 1)
        OP(__HYPERVISOR_memory_op, XENMEM_remove_from_physmap, r);
    else
        OP(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, a);
}

static void step_batch(const struct step *s)
{
    struct xen_add_to_physmap_batch b = {.domid = domid(s->a), .space = s->e & 1 ? 4 : s->e % 5};
    uint64_t idx[20], to[20];

    b.size = s->f % 20;
    if (b.space == XENMAPSPACE_gmfn_foreign) b.u.foreign_domid = domid(s->b);
    for (unsigned int i = 0; i < 20; i++) {
        idx[i] = gfn(s->c + i);
        to[i] = gfn(s->d + i);
    }
    HANDLE_TO(b.idxs, LIST);
    HANDLE_TO(b.gpfns, LIST2);
    HANDLE_TO(b.errs, LIST3);
    put(LIST, idx, sizeof(idx));
    put(LIST2, to, sizeof(to));
    OP(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, b);
}

static void step_resource(const struct step *s)
{
    struct xen_mem_acquire_resource r = {.domid = domid(s->a),
                                         .type = XENMEM_resource_grant_table,
                                         .id = s->f & 1,
                                         .nr_frames = s->b % 3,
                                         .frame = s->e < 200 ? 0 : s->e};
    uint64_t to[2] = {gfn(s->c), gfn(s->d)};

    HANDLE_TO(r.frame_list, s->f & 2 ? 0 : LIST);
    put(LIST, to, sizeof(to));
    OP(__HYPERVISOR_memory_op, XENMEM_acquire_resource, r);
}

static void step_memory_map(const struct step *s)
{
    struct xen_foreign_memory_map m = {.domid = domid(s->a), .map = {.nr_entries = s->b}};
    static const uint8_t numbers[] = {XENMEM_current_reservation, XENMEM_maximum_reservation,
                                      XENMEM_maximum_gpfn, XENMEM_get_pod_target};

    HANDLE_TO(m.map.buffer, LIST);
    if (s->e % 3 == 0)
        OP(__HYPERVISOR_memory_op, XENMEM_set_memory_map, m);
    else if (s->e % 3 == 1)
        OP(__HYPERVISOR_memory_op, XENMEM_memory_map, m.map);
    else
        OP(__HYPERVISOR_memory_op, numbers[s->f % 4], m);
}

/* --- grants --- */

static void step_entry(const struct step *s)
{
    static const uint16_t flags[] = {GTF_permit_access, GTF_permit_access | GTF_readonly, 0,
                                     GTF_permit_access | GTF_writing, GTF_accept_transfer};

    grant_poke(v->domain, gref(s->a), s->b < 0xe0 ? flags[s->b % 5] : s->b, domid(s->c), gfn(s->d));
}

static void step_map(const struct step *s)
{
    struct gnttab_map_grant_ref m[3];
    unsigned int n = s->f % 4;

    for (unsigned int i = 0; i < 3; i++)
        m[i] =
            (struct gnttab_map_grant_ref){.host_addr = gfn(s->c + i) << PAGE_SHIFT,
                                          .flags = s->d < 100   ? GNTMAP_host_map
                                                   : s->d < 200 ? GNTMAP_host_map | GNTMAP_readonly
                                                                : s->d,
                                          .ref = gref(s->b + i * (s->e & 1)),
                                          .dom = domid(s->a)};
    put(LIST, m, sizeof(m));
    call(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, LIST, n);
}

static void step_unmap(const struct step *s)
{
    struct gnttab_unmap_grant_ref u[3];

    for (unsigned int i = 0; i < 3; i++)
        u[i] = (struct gnttab_unmap_grant_ref){.host_addr = gfn(s->a + i) << PAGE_SHIFT,
                                               .handle =
                                                   s->b < 0xf0 ? s->b % 16 + i : ~0u << s->b % 32};
    put(LIST, u, sizeof(u));
    call(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, LIST, s->f % 4);
}

static void step_copy(const struct step *s)
{
    struct gnttab_copy c[3];

    for (unsigned int i = 0; i < 3; i++) {
        c[i] = (struct gnttab_copy){.source = {.domid = domid(s->a), .offset = s->e * 16},
                                    .dest = {.domid = domid(s->b), .offset = s->f * 16},
                                    .len = s->f * 17,
                                    .flags = s->e & 3};
        if (s->e & GNTCOPY_source_gref)
            c[i].source.u.ref = gref(s->c + i);
        else
            c[i].source.u.gmfn = gfn(s->c + i);
        if (s->e & GNTCOPY_dest_gref)
            c[i].dest.u.ref = gref(s->d + i / 2);
        else
            c[i].dest.u.gmfn = gfn(s->d + i / 2);
    }
    put(LIST, c, sizeof(c));
    call(__HYPERVISOR_grant_table_op, GNTTABOP_copy, LIST, s->f % 4);
}

static void step_grant_table(const struct step *s)
{
    struct gnttab_setup_table t = {.dom = domid(s->a), .nr_frames = s->b % 4};
    struct gnttab_query_size q = {.dom = domid(s->a)};
    struct gnttab_get_version g = {.dom = domid(s->a)};
    struct gnttab_set_version w = {.version = s->b};

    HANDLE_TO(t.frame_list, LIST);
    switch (s->e % 4) {
    case 0: OP(__HYPERVISOR_grant_table_op, GNTTABOP_setup_table, t); break;
    case 1: OP(__HYPERVISOR_grant_table_op, GNTTABOP_query_size, q); break;
    case 2: OP(__HYPERVISOR_grant_table_op, GNTTABOP_get_version, g); break;
    default: OP(__HYPERVISOR_grant_table_op, GNTTABOP_set_version, w);
    }
}

/* --- events --- */

static void step_open(const struct step *s)
{
    struct evtchn_alloc_unbound a = {.dom = domid(s->a), .remote_dom = domid(s->b)};
    struct evtchn_bind_interdomain i = {.remote_dom = domid(s->a), .remote_port = port(s->b)};
    struct evtchn_bind_virq q = {.virq = s->a % 26, .vcpu = s->b % 3};
    struct evtchn_bind_ipi p = {.vcpu = s->b % 3};

    switch (s->e % 4) {
    case 0: OP(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, a); break;
    case 1: OP(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain, i); break;
    case 2: OP(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, q); break;
    default: OP(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, p);
    }
}

static void step_port(const struct step *s)
{
    struct evtchn_send send = {.port = port(s->a)};
    struct evtchn_bind_vcpu b = {.port = port(s->a), .vcpu = s->b % 3};
    struct evtchn_status t = {.dom = domid(s->b), .port = port(s->a)};
    struct evtchn_reset r = {.dom = domid(s->b)};
    bool left;

    switch (s->e % 8) {
    case 0:
    case 1:
        /* A guest may leave a port pending and forget it: it is not told again. */
        left = machine_shared.alone && port_peer_set(v->domain, send.port);
        if (!OP(__HYPERVISOR_event_channel_op, EVTCHNOP_send, send) && !multi && !half &&
            machine_shared.alone && !left)
            INSIST(port_peer_pending(v->domain, send.port));
        break;
    case 2: OP(__HYPERVISOR_event_channel_op, EVTCHNOP_close, send); break;
    case 3: OP(__HYPERVISOR_event_channel_op, EVTCHNOP_unmask, send); break;
    case 4: OP(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_vcpu, b); break;
    case 5: OP(__HYPERVISOR_event_channel_op, EVTCHNOP_status, t); break;
    case 6:
        if (s->f > 200) OP(__HYPERVISOR_event_channel_op, EVTCHNOP_reset, r);
        break;
    default: virq_raise_dom0(s->f % NR_VIRQS);
    }
}

static void step_fifo(const struct step *s)
{
    struct evtchn_init_control i = {
        .control_gfn = gfn(s->a), .vcpu = s->b % 3, .offset = s->c < 250 ? s->c % 64 * 64 : s->c};
    struct evtchn_expand_array x = {.array_gfn = gfn(s->a)};
    struct evtchn_set_priority p = {.port = port(s->a), .priority = s->b % 17};

    switch (s->e % 8) {
    case 0: OP(__HYPERVISOR_event_channel_op, EVTCHNOP_init_control, i); break;
    case 1: OP(__HYPERVISOR_event_channel_op, EVTCHNOP_expand_array, x); break;
    case 2: OP(__HYPERVISOR_event_channel_op, EVTCHNOP_set_priority, p); break;
    case 3: fifo_poke(v->domain, p.port, (uint32_t)s->c << 24 | s->d, 0); break;
    case 4: fifo_poke(v->domain, p.port, 0, (uint32_t)s->c << 24 | s->d); break;
    default: fifo_take(v->domain, s->b % 3, s->c < 128 ? 7 : s->c % 16);
    }
}

/* What a guest does with its own shared page. */
static void step_shared(const struct step *s)
{
    struct shared_info *i = v->domain->shared_info;
    unsigned long *words = s->e & 1 ? i->evtchn_mask : i->evtchn_pending;
    uint64_t bit = 1ull << s->a % 64;

    if (s->e & 2)
        __atomic_fetch_or(words, bit, __ATOMIC_SEQ_CST);
    else
        __atomic_fetch_and(words, ~bit, __ATOMIC_SEQ_CST);
    if (s->e & 4) WRITE_ONCE(READ_ONCE(v->info)->evtchn_upcall_pending, 0);
    if (s->e & 8) __atomic_store_n(&READ_ONCE(v->info)->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
}

/* --- vCPUs, the scheduler, parameters --- */

static void step_vcpu(const struct step *s)
{
    struct vcpu_register_vcpu_info r = {.mfn = gfn(s->a),
                                        .offset = s->b < 128 ? s->b * 16 : s->b * 16 + s->c % 16};
    uint64_t area[8] = {gfn(s->a) << PAGE_SHIFT | s->b << 4, s->c};
    static const uint8_t ops[] = {VCPUOP_up,
                                  VCPUOP_down,
                                  VCPUOP_is_up,
                                  VCPUOP_get_runstate_info,
                                  VCPUOP_register_runstate_memory_area,
                                  VCPUOP_register_vcpu_time_memory_area,
                                  VCPUOP_set_singleshot_timer,
                                  VCPUOP_send_nmi};
    unsigned int id = s->d % 3;

    if (s->e & 1) {
        put(ARG, &r, sizeof(r));
        call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, id, ARG);
    } else {
        put(ARG, area, sizeof(area));
        call(__HYPERVISOR_vcpu_op, ops[s->f % 8], id, ARG);
    }
}

static void step_sched(const struct step *s)
{
    struct sched_poll p = {.nr_ports = s->b % 5, .timeout = s->c * 1000};
    struct sched_shutdown h = {.reason = s->b};
    struct sched_remote_shutdown r = {.domain_id = domid(s->a), .reason = s->b};
    struct sched_watchdog w = {.id = s->b % 4, .timeout = s->c % 3};
    uint32_t ports[4] = {port(s->a), port(s->b), port(s->c), port(s->d)};

    HANDLE_TO(p.ports, LIST);
    put(LIST, ports, sizeof(ports));
    switch (s->e % 8) {
    case 0: call(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0); break;
    case 1: call(__HYPERVISOR_sched_op, SCHEDOP_block, 0, 0); break;
    case 2:
    case 3: OP(__HYPERVISOR_sched_op, SCHEDOP_poll, p); break;
    case 4:
        if (!v->domain->privileged && s->f > 200) OP(__HYPERVISOR_sched_op, SCHEDOP_shutdown, h);
        break;
    case 5:
        if (r.domain_id && r.domain_id < 8) OP(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, r);
        break;
    case 6: OP(__HYPERVISOR_sched_op, SCHEDOP_shutdown_code, h); break;
    default: OP(__HYPERVISOR_sched_op, SCHEDOP_watchdog, w);
    }
}

static void step_param(const struct step *s)
{
    struct xen_hvm_param p = {.domid = domid(s->a), .index = s->b % 48, .value = s->c};
    struct xen_hvm_evtchn_upcall_vector u = {.vcpu = s->a % 3, .vector = s->b};

    if (s->e & 4) p.value |= 2ull << 56;
    switch (s->e & 3) {
    case 0:
    case 1: OP(__HYPERVISOR_hvm_op, s->e & 1 ? HVMOP_set_param : HVMOP_get_param, p); break;
    default: OP(__HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, u);
    }
}

/* --- control --- */

static long domctl(uint32_t cmd, domid_t id, struct xen_domctl *op)
{
    op->cmd = cmd;
    op->domain = id;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    put(ARG, op, sizeof(*op));
    return call(__HYPERVISOR_domctl, ARG, 0, 0);
}

/* As if a context had been loaded. */
static void bring_up(domid_t id)
{
    struct domain *d = domain_get(id);
    struct vcpu *u;

    if (!d) return;
    for_each_vcpu (d, u) u->initialised = true;
    if (d->vcpus[0]) d->vcpus[0]->holds = 0;
    domain_put(d);
}

static void create_guest(domid_t id, uint8_t vcpus, uint8_t pages)
{
    struct xen_domctl op = {.u.createdomain = {.flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
                                               .max_vcpus = vcpus,
                                               .max_evtchn_port = 63,
                                               .max_grant_frames = 1,
                                               .max_maptrack_frames = 1,
                                               .grant_opts = XEN_DOMCTL_GRANT_version(1),
                                               .arch.emulation_flags = XEN_X86_EMU_LAPIC}};
    struct step memory = {.a = id, .c = pages, .f = 1};

    if (domctl(XEN_DOMCTL_createdomain, id, &op)) return;
    op.u.max_vcpus.max = vcpus;
    domctl(XEN_DOMCTL_max_vcpus, id, &op);
    op.u.max_mem.max_memkb = 4 * 700;
    domctl(XEN_DOMCTL_max_mem, id, &op);
    step_extents(&memory);
    bring_up(id);
    domctl(XEN_DOMCTL_unpausedomain, id, &op);
}

static void step_domain(const struct step *s)
{
    struct xen_domctl op = {0};
    domid_t id = domid(s->a);

    switch (s->e % 8) {
    case 0:
    case 1:
        if (id && id < DOMAINS) create_guest(id, 1 + s->b % 2, 8 + s->c % 16);
        break;
    case 2:
    case 3: domctl(XEN_DOMCTL_destroydomain, id, &op); break;
    case 4: domctl(XEN_DOMCTL_pausedomain, id, &op); break;
    case 5: domctl(XEN_DOMCTL_unpausedomain, id, &op); break;
    case 6: domctl(XEN_DOMCTL_resumedomain, id, &op); break;
    default:
        if (!domctl(XEN_DOMCTL_soft_reset, id, &op)) bring_up(id);
    }
}

static void step_logdirty(const struct step *s)
{
    struct xen_domctl op = {.u.shadow_op = {.pages = s->b * 8, .mode = s->c & 1 ? 2 : 0}};
    static const uint32_t ops[] = {XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, XEN_DOMCTL_SHADOW_OP_OFF,
                                   XEN_DOMCTL_SHADOW_OP_CLEAN, XEN_DOMCTL_SHADOW_OP_PEEK};

    op.u.shadow_op.op = ops[s->e % 4];
    HANDLE_TO(op.u.shadow_op.dirty_bitmap, s->f & 1 ? LIST : 0);
    domctl(XEN_DOMCTL_shadow_op, domid(s->a), &op);
}

static void step_limits(const struct step *s)
{
    struct xen_domctl op = {0};
    domid_t id = domid(s->a);

    switch (s->e % 4) {
    case 0:
        op.u.max_mem.max_memkb = s->b * 16;
        domctl(XEN_DOMCTL_max_mem, id, &op);
        break;
    case 1:
        op.u.paging_mempool.size = s->b % 16 * PAGE_SIZE;
        domctl(XEN_DOMCTL_set_paging_mempool_size, id, &op);
        break;
    case 2: domctl(XEN_DOMCTL_getdomaininfo, id, &op); break;
    default:
        op.u.getpageframeinfo3.num = s->b;
        HANDLE_TO(op.u.getpageframeinfo3.array, LIST);
        domctl(XEN_DOMCTL_getpageframeinfo3, id, &op);
    }
}

/* Any number with arguments that mean nothing, or nearly. */
static void step_raw(const struct step *s)
{
    uint64_t raw[16];

    for (unsigned int i = 0; i < 16; i++) raw[i] = (s->c * 0x9e3779b97f4a7c15ull >> i) * s->d;
    if (s->f & 1) {
        struct xen_domctl op = {0};

        memcpy(&op.u, raw, sizeof(op.u));
        if (s->a % 90 == XEN_DOMCTL_createdomain) return;
        domctl(s->a % 90, domid(s->b), &op);
    } else {
        unsigned int nr = s->a % 44;

        put(ARG, raw, sizeof(raw));
        if (nr == __HYPERVISOR_sysctl) put(ARG, &(uint32_t){s->e % 32}, 4);
        if (nr == __HYPERVISOR_sysctl) put(ARG + 4, &(uint32_t){XEN_SYSCTL_INTERFACE_VERSION}, 4);
        if (nr == __HYPERVISOR_sched_op && s->b % 8 == SCHEDOP_shutdown) return;
        call(nr, nr == __HYPERVISOR_sysctl ? ARG : s->b, s->e & 32 ? ARG : s->e, ARG);
    }
}

/* Time passes: what is due fires. */
static void step_time(const struct step *s)
{
    struct domain *d;
    struct vcpu *u;

    machine.now += s->a * 1000ull + (s->b > 250 ? 10000000000ull : 0);
    run_idle();
    for_each_domain (d) {
        for_each_vcpu (d, u) {
            struct timer *t[] = {&u->oneshot, &u->poll_timer};

            for (unsigned int i = 0; i < 2; i++) {
                if (!timer_is_set(t[i]) || t[i]->expires > machine.now) continue;
                timer_stop(t[i]);
                t[i]->fn(t[i]->data);
            }
        }
    }
}

static void step_touch(const struct step *s)
{
    uint64_t word = s->b;

    if (s->e & 1)
        (void)logdirty_fault(v->domain, gfn(s->a));
    else
        put(gfn(s->a) << PAGE_SHIFT | (s->c * 8 & 0xfff), &word, sizeof(word));
}

static void step_memory_short(const struct step *s)
{
    machine.fail_in = s->a % 32;
}

static void (*const steps[])(const struct step *s) = {
    step_extents, step_add,   step_batch,        step_resource, step_memory_map, step_entry,
    step_entry,   step_map,   step_map,          step_unmap,    step_copy,       step_grant_table,
    step_open,    step_open,  step_port,         step_port,     step_shared,     step_vcpu,
    step_sched,   step_param, step_domain,       step_logdirty, step_limits,     step_raw,
    step_time,    step_touch, step_memory_short, step_fifo,     step_fifo,
};

/* Makes u the caller. */
static void become(struct vcpu *u)
{
    unsigned int skip = u->id;

    v = u;
    page = 0;
    for (uint64_t g = 0; g < 64; g++) {
        if (p2m_lookup(u->domain, g).type != P2M_RAM) continue;
        page = g << PAGE_SHIFT;
        if (!skip--) return;
    }
}

/* One that may run: it asks for nothing while it is paused or dead. */
static struct vcpu *caller(uint8_t who)
{
    struct domain *d = domain_get(who & 3);
    struct vcpu *found = NULL;

    if (d) {
        if (d->dying == ALIVE && !d->pause_count) found = d->vcpus[who >> 2 & 1];
        domain_put(d);
    }
    if (!found || found->holds & HOLD_DOWN) found = dom0->vcpus[0];
    found->holds = 0;
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool booted;

    if (!booted) machine_boot();
    booted = true;
    machine_start();
    check_machine(true);
    multi = half = false;
    become(dom0->vcpus[0]);
    create_guest(1, 2, 12);
    create_guest(2, 1, 12);
    check_machine(true);
    for (unsigned int n = 0; size >= 8 && n < STEPS && !machine.stopped; n++) {
        struct step s;

        memcpy(&s, data, 8);
        data += 8;
        size -= 8;
        become(caller(s.who));
        multi = (s.who & 0x18) == 0x18;
        half = (s.who & 0x60) == 0x60;
        machine.preempt_every = s.who & 0x80 ? 1 + (s.who >> 5 & 3) : 0;
        steps[s.what % (sizeof(steps) / sizeof(steps[0]))](&s);
        reclaim();
        end_others();
        check_machine(!multi);
    }
    machine_end();
    return 0;
}
