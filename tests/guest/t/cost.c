/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an exit costs in instructions of the hypervisor.  Only Bochs' TSC
 * counts instructions, one each; elsewhere there are times, and no result.
 * tests/bochs/run compares the lines `cost NAME: N`.
 */
/* run: bochs=bochs-vmx,bochs-svm qemu=no */
#include "test.h"

#define ROUNDS 1000

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
}
