/* SPDX-License-Identifier: Apache-2.0 */
/* Event channels: every operation, its refusals, and a race of two CPUs. */
#define GROUP "evtchn"
#include "fake_vm.h"
#include "hypercall/evtchn.h"
#include <pthread.h>
#include <string.h>
#include <xen/event_channel.h>

#define NR __HYPERVISOR_event_channel_op

static struct domain *d0, *d1, *d2;

static void setup(void)
{
    memset(&fake, 0, sizeof(fake));
    fake_init();
    d0 = fake_domain(0, true, 2);
    d1 = fake_domain(1, false, 2);
    d2 = fake_domain(2, false, 1);
    CHECK_EQ(evtchn_init(d0, 0xffffffff), 0);
    CHECK_EQ(evtchn_init(d1, 1023), 0);
    CHECK_EQ(evtchn_init(d2, 5), 0);
}

static void teardown(void)
{
    struct domain *all[] = {d0, d1, d2};

    fake.preempt_every = 0;
    for (int i = 0; i < 3; i++) {
        all[i]->dying = DYING;
        CHECK_EQ(evtchn_release(all[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        evtchn_free(all[i]);
        fake_domain_free(all[i]);
    }
    CHECK_EQ(fake_heap_used(), 0);
}

static long op(struct domain *d, unsigned int cmd, void *arg)
{
    return fake_call(d->vcpus[0], NR, cmd, (uintptr_t)arg, 0);
}

static long unbound(struct domain *by, domid_t dom, domid_t remote)
{
    struct evtchn_alloc_unbound a = {.dom = dom, .remote_dom = remote};
    long rc = op(by, EVTCHNOP_alloc_unbound, &a);

    return rc ? rc : (long)a.port;
}

static long bind(struct domain *by, domid_t remote, uint32_t port)
{
    struct evtchn_bind_interdomain a = {.remote_dom = remote, .remote_port = port};
    long rc = op(by, EVTCHNOP_bind_interdomain, &a);

    return rc ? rc : (long)a.local_port;
}

static long send(struct domain *by, uint32_t port)
{
    struct evtchn_send a = {port};

    return op(by, EVTCHNOP_send, &a);
}

static long close_port(struct domain *by, uint32_t port)
{
    struct evtchn_close a = {port};

    return op(by, EVTCHNOP_close, &a);
}

static struct evtchn_status status(struct domain *by, domid_t dom, uint32_t port)
{
    struct evtchn_status a = {.dom = dom, .port = port, .status = 99};
    long rc = op(by, EVTCHNOP_status, &a);

    if (rc) a.status = 100 - rc;
    return a;
}

static bool pending(struct domain *d, uint32_t port)
{
    return test_bit(port, d->shared_info->evtchn_pending);
}

static void test_send_and_receive(void)
{
    long l, r;
    struct vcpu_info *info;

    setup();
    info = d1->vcpus[0]->info;
    r = unbound(d1, DOMID_SELF, 0);
    CHECK_EQ(r, 1);
    l = bind(d0, 1, r);
    CHECK_EQ(l, 1);
    CHECK(pending(d0, l)); /* told at once */
    CHECK(!pending(d1, r));
    CHECK_EQ(send(d0, l), 0);
    CHECK(pending(d1, r));
    CHECK_EQ(info->evtchn_pending_sel, 1);
    CHECK_EQ(info->evtchn_upcall_pending, 1);
    CHECK_EQ(fake.notified[1][0], 1);
    CHECK_EQ(send(d0, l), 0); /* pending already: no second notice */
    CHECK_EQ(fake.notified[1][0], 1);

    /* Masked: only the bit; unmasking raises it. */
    memset(d1->shared_info, 0, PAGE_SIZE);
    set_bit(r, d1->shared_info->evtchn_mask);
    CHECK_EQ(send(d0, l), 0);
    CHECK(pending(d1, r));
    CHECK_EQ(info->evtchn_upcall_pending, 0);
    CHECK_EQ(fake.notified[1][0], 1);
    CHECK_EQ(op(d1, EVTCHNOP_unmask, &(struct evtchn_unmask){r}), 0);
    CHECK_EQ(info->evtchn_upcall_pending, 1);
    CHECK_EQ(fake.notified[1][0], 2);

    /* To the vCPU that was asked for, and through its vector. */
    memset(d1->shared_info, 0, PAGE_SIZE);
    d1->vcpus[1]->upcall_vector = 0xf3;
    CHECK_EQ(op(d1, EVTCHNOP_bind_vcpu, &(struct evtchn_bind_vcpu){r, 1}), 0);
    CHECK_EQ(send(d0, l), 0);
    CHECK_EQ(info->evtchn_upcall_pending, 0);
    CHECK_EQ(d1->vcpus[1]->info->evtchn_upcall_pending, 1);
    CHECK_EQ(fake.lapic_irqs, 1);
    CHECK_EQ(fake.lapic_vector, 0xf3);
    teardown();
}

static void test_close(void)
{
    long l, r;

    setup();
    r = unbound(d1, DOMID_SELF, 2);
    l = bind(d2, 1, r);
    CHECK(r > 0 && l > 0);
    CHECK_EQ(status(d0, 1, r).status, EVTCHNSTAT_interdomain);
    CHECK_EQ(status(d0, 1, r).u.interdomain.dom, 2);
    CHECK_EQ(status(d0, 1, r).u.interdomain.port, l);
    CHECK_EQ(send(d1, r), 0);
    CHECK(pending(d2, l));
    CHECK_EQ(close_port(d2, l), 0);
    CHECK(!pending(d2, l)); /* the next owner finds it clear */
    CHECK_EQ(status(d1, DOMID_SELF, r).status, EVTCHNSTAT_unbound);
    CHECK_EQ(status(d1, DOMID_SELF, r).u.unbound.dom, 2);
    CHECK_EQ(send(d1, r), 0); /* nobody hears it */
    CHECK_EQ(send(d2, l), -XEN_EINVAL);
    CHECK_EQ(close_port(d2, l), -XEN_EINVAL);
    CHECK_EQ(bind(d2, 1, r), l); /* joined again, same number */
    CHECK_EQ(close_port(d1, r), 0);
    CHECK_EQ(status(d2, DOMID_SELF, l).status, EVTCHNSTAT_unbound);
    /* Within one domain. */
    r = unbound(d1, DOMID_SELF, DOMID_SELF);
    l = bind(d1, DOMID_SELF, r);
    CHECK(r > 0 && l > 0 && r != l);
    CHECK_EQ(send(d1, l), 0);
    CHECK(pending(d1, r));
    CHECK_EQ(close_port(d1, l), 0);
    CHECK_EQ(status(d1, DOMID_SELF, r).status, EVTCHNSTAT_unbound);
    teardown();
}

static void test_refusals(void)
{
    long r;

    setup();
    r = unbound(d1, DOMID_SELF, 0);
    CHECK_EQ(bind(d2, 1, r), -XEN_EINVAL); /* waits for dom0, not d2 */
    CHECK_EQ(bind(d0, 1, r + 1), -XEN_EINVAL);
    CHECK_EQ(bind(d0, 1, 4095), -XEN_EINVAL);
    CHECK_EQ(bind(d0, 1, 0xffffffff), -XEN_EINVAL);
    CHECK_EQ(bind(d0, 7, r), -XEN_ESRCH);
    CHECK_EQ(unbound(d1, 2, 1), -XEN_EPERM);
    CHECK_EQ(unbound(d1, 7, 1), -XEN_ESRCH);
    CHECK(unbound(d0, 2, 1) > 0); /* dom0 may */
    CHECK_EQ(status(d1, 2, 1).status, 100 + XEN_EPERM);
    CHECK_EQ(send(d1, 0), -XEN_EINVAL);
    CHECK_EQ(send(d1, 1024), -XEN_EINVAL);
    CHECK_EQ(send(d1, 0x80000001), -XEN_EINVAL);
    CHECK_EQ(close_port(d1, 0), -XEN_EINVAL);
    CHECK_EQ(op(d1, EVTCHNOP_reset, &(struct evtchn_reset){2}), -XEN_EPERM);
    CHECK_EQ(op(d1, EVTCHNOP_unmask, &(struct evtchn_unmask){4096}), -XEN_EINVAL);
    CHECK_EQ(op(d1, EVTCHNOP_bind_vcpu, &(struct evtchn_bind_vcpu){r, 2}), -XEN_ENOENT);
    CHECK_EQ(op(d1, EVTCHNOP_init_control, NULL), -XEN_EFAULT);
    CHECK_EQ(op(d1, EVTCHNOP_bind_pirq, NULL), -XEN_ENOSYS);
    CHECK_EQ(op(d1, 0xffffffff, NULL), -XEN_ENOSYS);
    CHECK_EQ(op(d1, EVTCHNOP_send, NULL), -XEN_EFAULT);
    /* A failed bind costs no port. */
    for (int i = 0; i < 5000; i++) CHECK_EQ(bind(d2, 1, r), -XEN_EINVAL);
    teardown();
}

/* --- the FIFO form --- */

static long init_control(struct domain *d, uint32_t vcpu, uint64_t gfn)
{
    struct evtchn_init_control a = {.control_gfn = gfn, .vcpu = vcpu};

    return op(d, EVTCHNOP_init_control, &a);
}

static uint32_t ipi(struct domain *d, uint32_t vcpu)
{
    struct evtchn_bind_ipi a = {.vcpu = vcpu};

    CHECK_EQ(op(d, EVTCHNOP_bind_ipi, &a), 0);
    return a.port;
}

/* What is raised before its port has a word, or its vCPU a queue, is told
 * later; ports that move between vCPUs break no queue; all pages come back. */
static void test_fifo(void)
{
    struct evtchn_fifo_control_block *control;
    struct evtchn_expand_array more = {.array_gfn = 6};
    struct evtchn_bind_vcpu to0, to1;
    uint32_t a, b, local, *word;

    setup();
    for (uint64_t gfn = 5; gfn < 9; gfn++) fake_give(d1, gfn, gfn + 4);
    control = (void *)fake_ram[9];
    word = (void *)fake_ram[10];
    memset(fake_ram[9], 0, 4096);
    memset(fake_ram[10], 0, 4096);
    memset(fake_ram[11], 0, 4096);
    a = ipi(d1, 0);
    b = ipi(d1, 1);
    local = unbound(d1, 1, 1);
    CHECK(bind(d1, 1, local) > 0);
    CHECK_EQ(send(d1, a), 0);
    CHECK_EQ(init_control(d1, 0, 5), 0);
    CHECK_EQ(init_control(d1, 0, 7), -XEN_EINVAL);
    CHECK_EQ(init_control(d1, 2, 7), -XEN_ENOENT);
    CHECK_EQ(init_control(d1, 1, 99), -XEN_EINVAL);
    CHECK_EQ(control->ready, 0);
    CHECK_EQ(op(d1, EVTCHNOP_expand_array, &more), 0);
    CHECK(control->ready == 1 << 7 && control->head[7] == a &&
          d1->vcpus[0]->info->evtchn_upcall_pending);
    CHECK_EQ(send(d1, b), 0); /* vCPU 1 has no queue yet */
    CHECK_EQ(word[b], 1u << EVTCHN_FIFO_PENDING);
    CHECK_EQ(init_control(d1, 1, 7), 0);
    CHECK_EQ(word[b], 1u << EVTCHN_FIFO_PENDING | 1u << EVTCHN_FIFO_LINKED);
    CHECK_EQ(((struct evtchn_fifo_control_block *)fake_ram[11])->head[7], b);
    /* The guest takes a off; the port moves; it is no link of the old queue. */
    to0 = (struct evtchn_bind_vcpu){local, 0};
    to1 = (struct evtchn_bind_vcpu){local, 1};
    CHECK_EQ(word[a] & EVTCHN_FIFO_LINK_MASK, local + 1); /* pending since it was bound */
    word[a] = word[local + 1] = 0;
    control->head[7] = control->ready = 0;
    CHECK_EQ(op(d1, EVTCHNOP_bind_vcpu, &to0), 0);
    word[local] = 0;
    CHECK_EQ(op(d1, EVTCHNOP_unmask, &(struct evtchn_unmask){local}), 0);
    CHECK_EQ(control->head[7], 0); /* not pending: nothing to tell */
    CHECK_EQ(send(d1, local + 1), 0);
    CHECK_EQ(control->head[7], local);
    word[local] = 0;
    control->head[7] = control->ready = 0;
    CHECK_EQ(op(d1, EVTCHNOP_bind_vcpu, &to1), 0);
    CHECK_EQ(send(d1, local + 1), 0); /* behind b on vCPU 1 */
    CHECK_EQ(word[b] & EVTCHN_FIFO_LINK_MASK, local);
    CHECK_EQ(send(d1, a), 0); /* alone on vCPU 0, though `local` was its end */
    CHECK(control->head[7] == a && !(word[local] & EVTCHN_FIFO_LINK_MASK));
    CHECK_EQ(op(d1, EVTCHNOP_set_priority, &(struct evtchn_set_priority){a, 16}), -XEN_EINVAL);
    for (int i = 1; i < 4; i++) CHECK_EQ(op(d1, EVTCHNOP_expand_array, &more), 0);
    CHECK_EQ(op(d1, EVTCHNOP_expand_array, &more), -XEN_EINVAL); /* words enough */
    fake.core_flushes = 0;
    CHECK_EQ(op(d1, EVTCHNOP_reset, &(struct evtchn_reset){DOMID_SELF}), 0);
    CHECK_EQ(fake.core_flushes, 1); /* for all six pages */
    CHECK_EQ(op(d1, EVTCHNOP_expand_array, &more), -XEN_EOPNOTSUPP);
    while (p2m_release(d1))
        ;
    teardown();
}

static void test_limits(void)
{
    unsigned int n = 0;

    setup();
    while (unbound(d2, DOMID_SELF, 0) > 0) n++;
    CHECK_EQ(n, 5); /* ports 1 to 5 */
    teardown();
}

static void test_all_ports(void)
{
    long port;
    unsigned int n = 0;

    setup();
    while ((port = unbound(d0, DOMID_SELF, 1)) > 0) CHECK_EQ(port, ++n);
    CHECK_EQ(port, -XEN_ENOSPC);
    CHECK_EQ(n, 4095);
    CHECK_EQ(close_port(d0, 2000), 0);
    CHECK_EQ(unbound(d0, DOMID_SELF, 1), 2000);
    fake.preempt_every = 100; /* reset goes on until all are closed */
    CHECK_EQ(op(d0, EVTCHNOP_reset, &(struct evtchn_reset){DOMID_SELF}), 0);
    CHECK(fake.continuations >= 40);
    CHECK_EQ(unbound(d0, DOMID_SELF, 1), 1);
    fake.preempt_every = 0;
    fake.no_memory = true;
    CHECK_EQ(evtchn_init(d1, 1023), -XEN_ENOMEM);
    fake.no_memory = false;
    CHECK_EQ(unbound(d1, DOMID_SELF, 0), 1);
    teardown();
}

static long bind_virq(struct domain *d, uint32_t virq, uint32_t vcpu)
{
    struct evtchn_bind_virq a = {virq, vcpu, 0};
    long rc = op(d, EVTCHNOP_bind_virq, &a);

    return rc ? rc : (long)a.port;
}

static void test_virq_and_ipi(void)
{
    struct evtchn_bind_ipi ipi = {1, 0};
    long timer, console;

    setup();
    virq_raise_vcpu(d1->vcpus[1], VIRQ_TIMER); /* not bound: nothing */
    timer = bind_virq(d1, VIRQ_TIMER, 1);
    CHECK(timer > 0);
    CHECK_EQ(bind_virq(d1, VIRQ_TIMER, 1), -XEN_EEXIST);
    CHECK(bind_virq(d1, VIRQ_TIMER, 0) > 0);
    CHECK_EQ(bind_virq(d1, VIRQ_CONSOLE, 1), -XEN_EINVAL);
    CHECK_EQ(bind_virq(d1, NR_VIRQS, 0), -XEN_EINVAL);
    CHECK_EQ(bind_virq(d1, VIRQ_TIMER, 2), -XEN_ENOENT);
    virq_raise_vcpu(d1->vcpus[1], VIRQ_TIMER);
    CHECK(pending(d1, timer));
    CHECK_EQ(fake.notified[1][1], 1);
    CHECK_EQ(fake.notified[1][0], 0);
    CHECK_EQ(send(d1, timer), -XEN_EINVAL); /* only the core raises it */
    CHECK_EQ(op(d1, EVTCHNOP_bind_vcpu, &(struct evtchn_bind_vcpu){timer, 0}), -XEN_EINVAL);
    CHECK_EQ(status(d1, DOMID_SELF, timer).status, EVTCHNSTAT_virq);
    CHECK_EQ(status(d1, DOMID_SELF, timer).vcpu, 1);
    CHECK_EQ(close_port(d1, timer), 0);
    virq_raise_vcpu(d1->vcpus[1], VIRQ_TIMER);
    CHECK(!pending(d1, timer));
    CHECK(bind_virq(d1, VIRQ_TIMER, 1) > 0);

    console = bind_virq(d0, VIRQ_CONSOLE, 0);
    CHECK_EQ(op(d0, EVTCHNOP_bind_vcpu, &(struct evtchn_bind_vcpu){console, 1}), 0);
    virq_raise_dom0(VIRQ_CONSOLE);
    CHECK(pending(d0, console));
    CHECK_EQ(fake.notified[0][1], 1);
    CHECK_EQ(close_port(d0, console), 0);
    CHECK(bind_virq(d0, VIRQ_CONSOLE, 0) > 0); /* its binding is gone */

    CHECK_EQ(op(d1, EVTCHNOP_bind_ipi, &ipi), 0);
    CHECK_EQ(send(d1, ipi.port), 0);
    CHECK(pending(d1, ipi.port));
    ipi.vcpu = 2;
    CHECK_EQ(op(d1, EVTCHNOP_bind_ipi, &ipi), -XEN_ENOENT);
    teardown();
}

/* A dying domain gets no port, neither from itself nor from dom0. */
static void test_dying(void)
{
    long r;

    setup();
    r = unbound(d1, DOMID_SELF, 0);
    CHECK(bind(d0, 1, r) > 0);
    d1->dying = DYING;
    CHECK_EQ(evtchn_release(d1), 0);
    CHECK_EQ(unbound(d0, 1, 0), -XEN_EINVAL);
    CHECK_EQ(bind(d0, 1, r), -XEN_EINVAL);
    CHECK_EQ(status(d0, DOMID_SELF, 1).status, EVTCHNSTAT_unbound);
    CHECK_EQ(send(d0, 1), 0);
    teardown();
}

static void test_no_vcpu_yet(void)
{
    struct vcpu *v;
    long l;

    setup();
    v = d2->vcpus[0];
    d2->vcpus[0] = NULL;
    CHECK_EQ(unbound(d0, 2, 0), 1);
    l = bind(d0, 2, 1);
    CHECK_EQ(send(d0, l), 0);
    CHECK(pending(d2, 1));
    d2->vcpus[0] = v;
    teardown();
}

static void test_mark_all(void)
{
    setup();
    evtchn_mark_all(d1->vcpus[1]);
    CHECK_EQ(d1->vcpus[1]->info->evtchn_pending_sel, ~0ul);
    CHECK_EQ(d1->vcpus[1]->info->evtchn_upcall_pending, 1);
    CHECK_EQ(fake.notified[1][1], 1);
    teardown();
}

/* --- two CPUs --- */

#define ROUNDS 20000

static long race_port;

static void *race_sender(void *data)
{
    (void)data;
    fake_init();
    for (int i = 0; i < ROUNDS; i++) {
        long l = bind(d0, 1, race_port);

        if (l > 0) {
            struct evtchn_send s = {l};

            fake_call(d0->vcpus[0], NR, EVTCHNOP_send, (uintptr_t)&s, 0);
            fake_call(d0->vcpus[0], NR, EVTCHNOP_close, (uintptr_t)&s, 0);
        }
    }
    return NULL;
}

static void *race_closer(void *data)
{
    (void)data;
    fake_init();
    for (int i = 0; i < ROUNDS; i++) {
        struct evtchn_close c = {race_port};
        struct evtchn_alloc_unbound a = {DOMID_SELF, 0, 0};

        CHECK_EQ(fake_call(d1->vcpus[1], NR, EVTCHNOP_send, (uintptr_t)&c, 0), 0);
        CHECK_EQ(fake_call(d1->vcpus[1], NR, EVTCHNOP_close, (uintptr_t)&c, 0), 0);
        CHECK_EQ(fake_call(d1->vcpus[1], NR, EVTCHNOP_alloc_unbound, (uintptr_t)&a, 0), 0);
        CHECK_EQ(a.port, race_port);
    }
    return NULL;
}

static void test_race(void)
{
    pthread_t a, b;

    setup();
    race_port = unbound(d1, DOMID_SELF, 0);
    pthread_create(&a, NULL, race_sender, NULL);
    pthread_create(&b, NULL, race_closer, NULL);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    CHECK_EQ(status(d1, DOMID_SELF, race_port).status, EVTCHNSTAT_unbound);
    /* No port of dom0 was lost on the way. */
    for (int i = 1; i < 8; i++) {
        uint32_t s = status(d0, DOMID_SELF, i).status;

        CHECK(s == EVTCHNSTAT_closed);
    }
    teardown();
}

/* What looks at ports that were never open makes nothing for another domain. */
static void test_pages(void)
{
    size_t before;

    setup();
    CHECK(unbound(d1, DOMID_SELF, 0) > 0);
    CHECK(unbound(d2, DOMID_SELF, 0) > 0);
    before = fake_heap_used();
    for (uint32_t port = 64; port < 1024; port += 64) {
        CHECK_EQ(bind(d2, 1, port), -XEN_EINVAL);
        CHECK_EQ(status(d0, 1, port).status, EVTCHNSTAT_closed);
        CHECK_EQ(send(d1, port), -XEN_EINVAL);
        CHECK_EQ(close_port(d1, port), -XEN_EINVAL);
    }
    CHECK_EQ(fake_heap_used(), before);
    for (unsigned int i = 0; i < 64; i++) CHECK(unbound(d1, DOMID_SELF, 0) > 0);
    CHECK(fake_heap_used() > before);
    CHECK_EQ(status(d1, DOMID_SELF, 64).status, EVTCHNSTAT_unbound);
    teardown();
}

int main(void)
{
    RUN(send_and_receive);
    RUN(pages);
    RUN(close);
    RUN(refusals);
    RUN(fifo);
    RUN(limits);
    RUN(all_ports);
    RUN(virq_and_ipi);
    RUN(dying);
    RUN(no_vcpu_yet);
    RUN(mark_all);
    RUN(race);
    return test_failed != 0;
}
