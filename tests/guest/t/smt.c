/* SPDX-License-Identifier: Apache-2.0 */
/* smt=0: of two cores of two threads each, one thread of each core is brought up. */
/* run: cpus=4,sockets=1,cores=2,threads=2 core=smt=0 hv=insula bochs=no */
#include "toolstack.h"
#include "test.h"

void test_main(void)
{
    struct xen_sysctl op = {0};

    check_eq(sysctl(&op, XEN_SYSCTL_physinfo), 0, "physinfo");
    check_eq(op.u.physinfo.nr_cpus, 2, "CPUs");
    check_eq(op.u.physinfo.max_cpu_id, 1, "the last of them");
}
