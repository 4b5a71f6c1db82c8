/* SPDX-License-Identifier: Apache-2.0 */
/* dom0 hangs with interrupts off on all its vCPUs: its watchdog resets the
 * machine, and the console says so first. */
/* QEMU stops at the reset, Bochs goes on: not there. */
/* run: cpus=2 expect=d0:.its.watchdog.expired hv=insula bochs=no */
#include "test.h"

static void hang(void *arg)
{
    (void)arg;
    __asm__ volatile("cli");
    for (;;) cpu_relax();
}

void test_main(void)
{
    struct sched_watchdog w = {0, 2};

    check_eq(sched_op(SCHEDOP_watchdog, &w), 1, "set");
    apic_enable(true);
    check(cpu_start(1), "CPU 1 starts");
    cpu_run_async(1, hang, NULL);
    hang(NULL);
}
