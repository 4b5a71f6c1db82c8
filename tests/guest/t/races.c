/* SPDX-License-Identifier: Apache-2.0 */
/* Two vCPUs fight over the same ports and frames for a while: every
 * result is one that the interface knows, and in the end all is in order. */
/* run: as=both cpus=2 time=120 */
#include "test.h"

#define NS (500 * NS_PER_MS)

static volatile long unexpected;
static uint64_t rounds[2];

static void expect(long got, long a, long b)
{
    if (got < 0 && got != a && got != b) unexpected = got;
}

/* Opens, binds, sends, closes: any port number may be the other's. */
static void ports(void *arg)
{
    uint64_t end = now() + NS;

    (void)arg;
    for (; now() < end; rounds[this_cpu()->index]++) {
        long a = port_unbound(DOMID_SELF), b;

        expect(a, -XEN_ENOSPC, 0);
        if (a < 0) continue;
        b = port_bind(DOMID_SELF, (evtchn_port_t)a);
        expect(b, -XEN_EINVAL, -XEN_ENOSPC);
        for (evtchn_port_t p = 1; p < 10; p++) expect(port_send(p), -XEN_EINVAL, 0);
        expect(port_close((evtchn_port_t)a), -XEN_EINVAL, 0);
        if (b > 0) expect(port_close((evtchn_port_t)b), -XEN_EINVAL, 0);
        expect(port_close(3), -XEN_EINVAL, 0);
        expect(port_unmask(4), -XEN_EINVAL, 0);
    }
}

/* Both give back and take the same frames. */
static void frames(void *arg)
{
    uint64_t gfn[8], end = now() + NS;

    (void)arg;
    for (; now() < end; rounds[this_cpu()->index]++) {
        for (unsigned int i = 0; i < 8; i++) gfn[i] = 0x1c00 + i;
        expect(decrease(DOMID_SELF, 0, gfn, 8), -XEN_EINVAL, 0);
        expect(populate(DOMID_SELF, 0, gfn, 8), -XEN_EINVAL, -XEN_ENOMEM);
    }
}

static void fight(void (*fn)(void *), const char *name)
{
    unexpected = 0;
    rounds[0] = rounds[1] = 0;
    cpu_run_async(1, fn, NULL);
    fn(NULL);
    cpu_wait(1);
    print("%s: %lu and %lu rounds\n", name, rounds[0], rounds[1]);
    check_eq(unexpected, 0, name);
    check(rounds[0] > 3 && rounds[1] > 3, "both got on");
}

void test_main(void)
{
    struct evtchn_reset reset = {DOMID_SELF};
    uint64_t gfn;
    unsigned int n = 0;

    apic_enable(true);
    if (!check(cpu_start(1), "second CPU")) return;
    fight(ports, "ports");
    check_eq(evtchn_op(EVTCHNOP_reset, &reset), 0, "reset");
    check_in(port_unbound(DOMID_SELF), 1, 3, "ports are free again");
    if (!is_dom0) /* stock Xen leaks frames to the guest in such a fight, */
        return;   /* up to the guest's limit                              */
    fight(frames, "frames");
    for (gfn = 0x1c00; gfn < 0x1c08; gfn++) {
        populate(DOMID_SELF, 0, &gfn, 1);
        *(volatile uint64_t *)(gfn << 12) = gfn;
    }
    for (gfn = 0x1c00; gfn < 0x1c08; gfn++) n += *(volatile uint64_t *)(gfn << 12) == gfn;
    check_eq(n, 8, "the frames are RAM again");
}
