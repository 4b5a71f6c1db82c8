/* SPDX-License-Identifier: Apache-2.0 */
/* A machine check on an idle CPU stops the machine with a line: also the CPU that
 * runs a guest.  (QEMU resets the machine at once where the check comes while the
 * guest runs that has no CR4.MCE, so that runs elsewhere.) */
/* run: cpus=2 time=15 monitor=mce+0+0+0xb200000000000000+5+0+0 */
/* run: expect=PANIC:.machine.check hv=insula bochs=no */
#include "test.h"
#include "toolstack.h"

void test_main(void)
{
    uint64_t end;

    check_eq(vcpu_pin(0, 0, 2), 0, "CPU 0 is idle");
    print("ready\n");
    end = now() + 5 * NS_PER_S;
    while (now() < end) cpu_relax();
    check(false, "this runs no longer");
}
