/* SPDX-License-Identifier: Apache-2.0 */
/* Events in the FIFO form: queues by priority, masks, what came early, reset. */
/* run: as=both */
#include "test.h"

#define PENDING (1u << EVTCHN_FIFO_PENDING)
#define MASKED  (1u << EVTCHN_FIFO_MASKED)
#define LINKED  (1u << EVTCHN_FIFO_LINKED)
#define LINK(w) ((w)&EVTCHN_FIFO_LINK_MASK)
#define PRIO    EVTCHN_FIFO_PRIORITY_DEFAULT

static struct evtchn_fifo_control_block *control;
static volatile event_word_t *word;

static long init(uint32_t vcpu, uint64_t gfn, uint32_t offset, uint8_t *bits)
{
    struct evtchn_init_control a = {.control_gfn = gfn, .offset = offset, .vcpu = vcpu};
    long rc = evtchn_op(EVTCHNOP_init_control, &a);

    if (bits) *bits = a.link_bits;
    return rc;
}

static long expand(uint64_t gfn)
{
    struct evtchn_expand_array a = {.array_gfn = gfn};

    return evtchn_op(EVTCHNOP_expand_array, &a);
}

static long priority(uint32_t port, uint32_t value)
{
    struct evtchn_set_priority a = {.port = port, .priority = value};

    return evtchn_op(EVTCHNOP_set_priority, &a);
}

/* Takes the first of a queue off, as a guest does. */
static uint32_t take(unsigned int p)
{
    uint32_t port = control->head[p], next;

    if (!port) return 0;
    next = LINK(word[port]);
    __atomic_fetch_and(&word[port], ~(LINKED | EVTCHN_FIFO_LINK_MASK), __ATOMIC_SEQ_CST);
    control->head[p] = next;
    if (!next) __atomic_fetch_and(&control->ready, ~(1u << p), __ATOMIC_SEQ_CST);
    __atomic_fetch_and(&word[port], ~PENDING, __ATOMIC_SEQ_CST);
    return port;
}

static void set_up(uint32_t early)
{
    char *page = page_alloc();
    uint8_t bits = 0;

    word = page_alloc();
    check_eq(priority(early, 3), -XEN_ENOSYS, "no priorities before");
    check_eq(expand(gfn_of(word)), -XEN_EOPNOTSUPP, "no words before");
    check_eq(init(99, gfn_of(page), 0, NULL), -XEN_ENOENT, "no such vCPU");
    check_eq(init(0, gfn_of(page), PAGE_SIZE - 64, NULL), -XEN_EINVAL, "across pages");
    check_eq(init(0, gfn_of(page), 4, NULL), -XEN_EINVAL, "not aligned");
    check(init(0, 1ull << 40, 0, NULL) < 0, "no such page");
    check_eq(init(0, gfn_of(page), 256, &bits), 0, "control block");
    check_eq(bits, EVTCHN_FIFO_LINK_BITS, "bits of a link");
    check_eq(init(0, gfn_of(page), 0, NULL), -XEN_EINVAL, "only once");
    control = (void *)(page + 256);
    check(expand(1ull << 40) < 0, "no such page for words");
    check_eq(expand(gfn_of(word)), 0, "words");
    check_eq(priority(early, 16), -XEN_EINVAL, "no such priority");
    check_eq(priority(5000, 3), -XEN_EINVAL, "no such port");
}

static void queues(uint32_t a, uint32_t b, uint32_t c)
{
    check_eq(port_send(a), 0, "sent");
    check_eq(port_send(b), 0, "a second");
    check_eq(port_send(c), 0, "a third");
    check_eq(port_send(a), 0, "the first again");
    check_eq(control->ready, 1 << PRIO, "one queue is ready");
    check_eq(control->head[PRIO], a, "its head");
    check(LINK(word[a]) == b && LINK(word[b]) == c && LINK(word[c]) == 0, "in this order");
    check_eq(take(PRIO), a, "the first is taken");
    check_eq(port_send(a), 0, "and is raised again");
    check_eq(LINK(word[c]), a, "at the end");
    check(take(PRIO) == b && take(PRIO) == c && take(PRIO) == a && !take(PRIO), "all are taken");
    check_eq(port_send(a), 0, "the last one again");
    check(control->head[PRIO] == a && LINK(word[a]) == 0, "no link to itself");
    take(PRIO);
    check_eq(priority(b, 2), 0, "a higher priority");
    port_send(a);
    port_send(b);
    check_eq(control->ready, 1 << PRIO | 1 << 2, "two queues");
    check(take(2) == b && take(PRIO) == a, "one in each");
    check_eq(priority(b, PRIO), 0, "back");
    port_send(a);
    port_send(b);
    check(take(PRIO) == a && take(PRIO) == b, "one queue again");
}

static void masks(uint32_t a)
{
    struct sched_poll poll = {.nr_ports = 1};
    evtchn_port_t port = a;

    __atomic_fetch_or(&word[a], MASKED, __ATOMIC_SEQ_CST);
    port_send(a);
    check_eq(word[a], PENDING | MASKED, "masked: pending, not linked");
    poll.timeout = now() + NS_PER_S;
    set_xen_guest_handle(poll.ports, &port);
    check_eq(sched_op(SCHEDOP_poll, &poll), 0, "poll sees it");
    check(now() < poll.timeout, "at once");
    check_eq(port_unmask(a), 0, "unmask");
    check_eq(word[a], PENDING | LINKED, "linked now");
    check_eq(take(PRIO), a, "and taken");
    port_send(a);
    check_eq(port_close(a), 0, "closed while pending");
    check(!(word[a] & PENDING), "not pending any more");
    while (take(PRIO))
        ;
}

/* Words that no honest guest writes: the core goes on. */
static void nonsense(uint32_t a, uint32_t b)
{
    port_send(a);
    word[a] = 0xffffffff & ~PENDING;
    port_send(b);
    port_send(a);
    word[a] = word[b] = 0;
    for (unsigned int i = 0; i < 16; i++) control->head[i] = 0xfffff;
    control->ready = 0;
    port_send(a);
    port_send(b);
    check(true, "nonsense in the words");
    memset(control, 0, sizeof(*control));
    word[a] = word[b] = 0;
}

void test_main(void)
{
    uint32_t a = (uint32_t)port_ipi(0), b = (uint32_t)port_ipi(0), c = (uint32_t)port_ipi(0);
    struct evtchn_reset reset = {DOMID_SELF};

    events_on();
    vcpu_info()->evtchn_upcall_pending = 0;
    port_send(c);
    set_up(c);
    check_eq(word[c], PENDING | LINKED, "what came before has a word now");
    check_eq(vcpu_info()->evtchn_upcall_pending, 1, "the vCPU is told");
    check_eq(take(PRIO), c, "the early one");
    queues(a, b, c);
    masks(c);
    nonsense(a, b);
    check_eq(evtchn_op(EVTCHNOP_reset, &reset), 0, "reset");
    a = (uint32_t)port_ipi(0);
    port_send(a);
    check(port_take(a), "the two-level form again");
    check(!(word[a] & PENDING), "and not the other");
}
