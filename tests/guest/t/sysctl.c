/* SPDX-License-Identifier: Apache-2.0 */
/* The sysctls behind xl info, dmesg, debug-keys and top. */
/* run: cpus=2 */
#include "test.h"
#include "toolstack.h"

static struct xen_sysctl op;
static char ring[32768];

static void dmesg(void)
{
    memset(&op, 0, sizeof(op));
    set_xen_guest_handle(op.u.readconsole.buffer, ring);
    op.u.readconsole.count = sizeof(ring);
    check_eq(sysctl(&op, XEN_SYSCTL_readconsole), 0, "readconsole");
    check_in(op.u.readconsole.count, 200, sizeof(ring), "what was printed");
    check(op.u.readconsole.count < sizeof(ring) &&
              (find(ring, "command line") || find(ring, "Command line")),
          "with the command line");
}

static void topology(void)
{
    static struct xen_sysctl_cputopo cpu[4];
    static struct xen_sysctl_cpuinfo load[4];
    uint64_t idle;

    memset(&op, 0, sizeof(op));
    check_eq(sysctl(&op, XEN_SYSCTL_cputopoinfo), 0, "cputopoinfo");
    check_eq(op.u.cputopoinfo.num_cpus, 2, "CPUs");
    op.u.cputopoinfo.num_cpus = 4;
    set_xen_guest_handle(op.u.cputopoinfo.cputopo, cpu);
    check_eq(sysctl(&op, XEN_SYSCTL_cputopoinfo), 0, "cputopoinfo, list");
    check(op.u.cputopoinfo.num_cpus == 2 && cpu[0].node == 0, "on node 0");
    memset(&op, 0, sizeof(op));
    op.u.getcpuinfo.max_cpus = 4;
    set_xen_guest_handle(op.u.getcpuinfo.info, load);
    check_eq(sysctl(&op, XEN_SYSCTL_getcpuinfo), 0, "getcpuinfo");
    check_eq(op.u.getcpuinfo.nr_cpus, 2, "CPUs");
    idle = load[0].idletime + load[1].idletime;
    check(idle > 0, "one was idle");
    for (uint64_t end = now() + 20 * NS_PER_MS; now() < end;) cpu_relax();
    check_eq(sysctl(&op, XEN_SYSCTL_getcpuinfo), 0, "getcpuinfo again");
    check_in(load[0].idletime + load[1].idletime - idle, 15 * NS_PER_MS, NS_PER_S,
             "one is idle all the while");
}

static void keys(void)
{
    char key[] = "h";

    memset(&op, 0, sizeof(op));
    set_xen_guest_handle(op.u.debug_keys.keys, key);
    op.u.debug_keys.nr_keys = 1;
    check_eq(sysctl(&op, XEN_SYSCTL_debug_keys), 0, "debug key h");
    memset(&op, 0, sizeof(op));
    memset(ring, 0, sizeof(ring));
    op.u.readconsole.incremental = 0;
    op.u.readconsole.count = sizeof(ring);
    set_xen_guest_handle(op.u.readconsole.buffer, ring);
    sysctl(&op, XEN_SYSCTL_readconsole);
    check(find(ring, "key") != NULL, "its list is in the console ring");
}

void test_main(void)
{
    dmesg();
    topology();
    keys();
    memset(&op, 0, sizeof(op));
    check(sysctl(&op, 99) < 0, "sysctl 99");
}
