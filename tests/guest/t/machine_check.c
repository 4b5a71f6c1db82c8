/* SPDX-License-Identifier: Apache-2.0 */
/* A machine check on an idle CPU stops the machine with a line: also the CPU that
 * runs a guest. */
/* run: cpus=2 time=15 monitor=mce+0+0+0xb200000000000000+5+0+0 */
/* run: expect=PANIC:.machine.check hv=insula bochs=no */
#include "test.h"

void test_main(void)
{
    uint64_t end;

    print("ready\n");
    end = now() + 5 * NS_PER_S;
    while (now() < end) cpu_relax();
    check(false, "this runs no longer");
}
