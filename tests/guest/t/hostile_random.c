/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest makes hypercalls with random numbers and arguments, from a printed
 * seed.  It may die of it; its neighbour, dom0 and the memory may not.
 *     ARGS="seed=5" tests/guest/run hostile_random     repeats one
 */
/* Bochs' SVM does not end a guest that shuts down: it stops itself. */
/* run: time=240 bochs=bochs-vmx */
#include "test.h"
#include "toolstack.h"

static uint64_t states[2], buffers[2][8 * 512] __attribute__((aligned(4096)));
#define state  states[this_cpu()->index]
#define buffer buffers[this_cpu()->index]

static uint64_t random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* Numbers that matter: small, huge, pointers of ours, frame numbers. */
static uint64_t value(void)
{
    switch (random() % 8) {
    case 0: return random() % 64;
    case 1: return (uint64_t)buffer + random() % 4096;
    case 2: return random();
    case 3: return random() & 0xffffffff;
    case 4: return 0x1800 + random() % 0x1000; /* frames, domain ids */
    case 5: return 0x7ff0 + random() % 16;
    case 6: return ~0ull << random() % 64;
    default: return (uint64_t)buffer;
    }
}

static void one_call(void)
{
    static const uint8_t numbers[] = {12, 17, 18, 20, 24, 29, 32, 34, 35,
                                      36, 7,  33, 21, 13, 15, 41, 27, 39};
    uint64_t nr = random() % 16 ? numbers[random() % sizeof(numbers)] : random() % 70;
    uint64_t first = random() % 4 ? random() % 48 : value();

    for (unsigned int i = 0; i < 24; i++) buffer[i] = value();
    if (nr == __HYPERVISOR_sched_op && first != SCHEDOP_yield)
        return; /* may end or stop it by right */
    if (nr == __HYPERVISOR_vcpu_op && (first == VCPUOP_down || first == VCPUOP_send_nmi)) return;
    if (nr == __HYPERVISOR_domctl || nr == __HYPERVISOR_sysctl) {
        buffer[0] = random() % 90; /* the command; then the version */
        buffer[0] |= (nr == __HYPERVISOR_domctl ? (uint64_t)XEN_DOMCTL_INTERFACE_VERSION
                                                : (uint64_t)XEN_SYSCTL_INTERFACE_VERSION)
                     << 32;
        first = (uint64_t)buffer;
    }
    if (nr == __HYPERVISOR_multicall) {
        /* It writes a result into each entry: not all over our memory. */
        buffer[0] = numbers[random() % 4] | (random() % 4 ? 0 : random() << 32);
        buffer[8] = random() % 70;
        hypercall(nr, (uint64_t)buffer, random() % 4, 0, 0, 0);
        return;
    }
    MAILBOX[10] = nr, MAILBOX[11] = first; /* what the last call was */
    hypercall(nr, first, random() % 4 ? (uint64_t)buffer : value(),
              random() % 64 ? random() % 4 : value(), value(), value());
}

static void many_calls(void *arg)
{
    uint64_t calls = *(uint64_t *)arg;

    for (uint64_t i = 0; i < calls; i++) one_call(), MAILBOX[9] = i + 1;
}

void guest_main(const char *role)
{
    uint64_t calls = argument("calls=", 1000), seed = argument("seed=", 1);

    (void)role;
    states[0] = seed * 0x9e3779b97f4a7c15ull | 1;
    states[1] = seed * 0xc2b2ae3d27d4eb4full | 1;
    if (argument("cpus=", 1) == 2) {
        apic_enable(true);
        if (cpu_start(1)) cpu_run_async(1, many_calls, &calls);
    }
    many_calls(&calls);
}

static long answer(long a, long b, long c)
{
    (void)b, (void)c;
    return a * 2;
}

static void attack(uint64_t seed, uint64_t calls, uint64_t *done)
{
    struct xen_domctl_getdomaininfo info;
    struct guest g;
    char line[96];
    long reason;

    /* Every second guest does it on two vCPUs at once. */
    format(line, sizeof(line), "role=x seed=%lu calls=%lu cpus=%lu", seed, calls, seed % 2 + 1);
    guest_create(&g, &(struct guest_config){.cmdline = line, .vcpus = 2, .slot = 2});
    guest_unpause(&g);
    reason = guest_wait(&g, 30 * NS_PER_S);
    print("seed %lu: %lu calls, ended with %ld; last %lu(%lu)\n", seed, g.box[9], reason, g.box[10],
          g.box[11]);
    *done += g.box[9];
    check(domain_info(g.id, &info), "dom0 still sees it");
    check(guest_destroy(&g), "destroyed");
}

void test_main(void)
{
    uint64_t rounds = argument("rounds=", 6), calls = argument("calls=", 20000);
    uint64_t first = argument("seed=", 1), done = 0, before;
    struct guest friend[2];

    for (unsigned int k = 0; k < 2; k++) servant_start(&friend[k], k);
    attack(first, 100, &done);
    before = free_pages_settled();
    for (uint64_t i = 0; i < rounds; i++) {
        attack(first + i, calls, &done);
        for (unsigned int k = 0; k < 2; k++)
            check_eq(guest_call(&friend[k], answer, 21, 0, 0), 42, "a neighbour answers");
    }
    check(done > 2000, "calls made");
    free_pages_return(before);
    check_in((long)(before - free_pages()), 0, find(cmdline, "hv=xen") ? 16 : 0,
             "pages that do not come back");
    for (unsigned int k = 0; k < 2; k++) check(guest_destroy(&friend[k]), "destroyed");
}
