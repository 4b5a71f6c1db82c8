/* SPDX-License-Identifier: Apache-2.0 */
/* Broken vCPU contexts: each is refused or, at worst, ends its own guest. */
/* Bochs' SVM does not end a guest that shuts down: it stops itself. */
/* run: time=120 bochs=bochs-vmx */
#include "test.h"
#include "toolstack.h"

static uint8_t good[16384], bad[16384];
static uint64_t seed;

static uint64_t random(void)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return seed >> 33;
}

static uint64_t interesting(void)
{
    static const uint64_t value[] = {0,          ~0ull,          1ull << 63,   1ull << 31,
                                     0x80000001, 0x7fffffffffff, 0xd01,        0x1000,
                                     0x20,       0xfee00900,     0x10000000000};

    return random() % 2 ? value[random() % 11] : random() << 31 ^ random();
}

static struct hvm_hw_cpu *cpu_record(uint8_t *buf, uint32_t size)
{
    for (uint32_t at = 0; at < size;) {
        struct hvm_save_descriptor *d = (void *)(buf + at);

        if (d->typecode == HVM_SAVE_CODE(CPU)) return (void *)(d + 1);
        at += (uint32_t)sizeof(*d) + d->length;
    }
    fatal("no CPU record");
}

static long set(domid_t d, uint32_t size)
{
    struct xen_domctl op = {0};

    op.u.hvmcontext.size = size;
    set_xen_guest_handle(op.u.hvmcontext.buffer, bad);
    return domctl(&op, XEN_DOMCTL_sethvmcontext, d);
}

static long answer(long a, long b, long c)
{
    (void)b, (void)c;
    return a * 2;
}

void test_main(void)
{
    struct xen_domctl op = {0};
    struct xen_domctl_getdomaininfo info;
    unsigned int refused = 0, taken = 0, ended = 0;
    struct guest g, friend;
    uint32_t size;

    seed = argument("seed=", 1);
    servant_start(&friend, 1);
    servant_start(&g, 0);
    guest_call(&g, answer, 1, 0, 0);
    domain_pause(g.id);
    op.u.hvmcontext.size = sizeof(good);
    set_xen_guest_handle(op.u.hvmcontext.buffer, good);
    check_eq(domctl(&op, XEN_DOMCTL_gethvmcontext, g.id), 0, "get");
    size = op.u.hvmcontext.size;
    guest_destroy(&g);

    for (unsigned int i = 0; i < 150; i++) {
        struct hvm_hw_cpu *c;
        unsigned int n = 1 + random() % 3;

        guest_create(&g, &(struct guest_config){.cmdline = SERVANT, .mib = 24});
        memcpy(bad, good, size);
        c = cpu_record(bad, size);
        while (n--) { /* a 64-bit or a 32-bit field, or any byte at all */
            if (random() % 4 == 0)
                bad[random() % size] = (uint8_t)random();
            else if (random() % 3)
                ((uint64_t *)&c->rip)[random() % 12] = interesting();
            else
                ((uint32_t *)&c->cs_sel)[random() % 18] = (uint32_t)interesting();
        }
        if (set(g.id, size) == 0)
            taken++;
        else
            refused++;
        guest_unpause(&g);
        nap(2 * NS_PER_MS);
        domain_info(g.id, &info);
        ended += (info.flags & XEN_DOMINF_shutdown) != 0;
        if (!guest_destroy(&g)) check(false, "destroyed");
    }
    print("%u refused, %u taken, of which %u ended\n", refused, taken, ended);
    check(refused > 5 && taken > 5, "some refused, some taken");
    check_eq(guest_call(&friend, answer, 21, 0, 0), 42, "the neighbour answers");
    check(guest_destroy(&friend), "destroyed");
}
