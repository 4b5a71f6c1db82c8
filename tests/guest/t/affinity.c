/* SPDX-License-Identifier: Apache-2.0 */
/* Hard affinity: a busy guest runs where it is told, on two CPUs. */
/* run: cpus=2 */
#include "test.h"
#include "toolstack.h"

void guest_main(const char *role)
{
    (void)role;
    for (;;) cpu_relax();
}

static uint8_t pinned(domid_t d)
{
    struct xen_domctl op = {0};
    uint8_t mask = 0;

    op.u.vcpuaffinity.flags = XEN_VCPUAFFINITY_HARD;
    op.u.vcpuaffinity.cpumap_hard.nr_bits = 8;
    set_xen_guest_handle(op.u.vcpuaffinity.cpumap_hard.bitmap, &mask);
    if (domctl(&op, XEN_DOMCTL_getvcpuaffinity, d)) return 0;
    return mask;
}

static struct xen_domctl_getvcpuinfo info(domid_t d)
{
    struct xen_domctl op = {0};

    if (domctl(&op, XEN_DOMCTL_getvcpuinfo, d)) op.u.getvcpuinfo.cpu = 99;
    return op.u.getvcpuinfo;
}

void test_main(void)
{
    struct xen_domctl_getvcpuinfo i;
    struct guest g;
    uint64_t t;

    guest_create(&g, &(struct guest_config){.cmdline = "role=busy"});
    guest_unpause(&g);
    check_eq(pinned(g.id) & 3, 3, "both at first");
    for (uint8_t cpu = 0; cpu < 2; cpu++) {
        check_eq(vcpu_pin(g.id, 0, (uint8_t)(1u << cpu)), 0, "pin");
        check_eq(pinned(g.id) & 3, 1u << cpu, "it reads back");
        for (unsigned int n = 0; n < 100; n++) {
            nap(10 * NS_PER_MS);
            i = info(g.id);
            if (i.cpu == cpu) break;
        }
        t = i.cpu_time;
        check_eq(i.cpu, cpu, "it runs there");
        check_eq(i.online, 1, "online");
        nap(200 * NS_PER_MS);
        check(info(g.id).cpu_time - t > 50 * NS_PER_MS, "and gets time");
    }
    check(vcpu_pin(g.id, 0, 0) < 0, "pin to nothing");
    check(vcpu_pin(g.id, 0, 0xf0) < 0, "pin to CPUs that do not exist");
    check_eq(pinned(g.id) & 3, 2, "as it was");
    check(guest_destroy(&g), "destroyed");
}
