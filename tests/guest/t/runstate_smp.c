/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU's runstate area tells the others when it waits for its CPU (Linux's
 * spinlocks look), and when it sleeps.  Two vCPUs, one CPU. */
/* run: core=dom0_max_vcpus=2 */
#include "test.h"

static volatile struct vcpu_runstate_info area[2];
static volatile bool stop, sleeps;

static void registers(void *arg)
{
    struct vcpu_register_runstate_memory_area op = {0};
    uint64_t n = (uint64_t)arg;

    op.addr.v = (void *)(uintptr_t)&area[n];
    check_eq(vcpu_op(VCPUOP_register_runstate_memory_area, n, &op), 0, "register");
}

static void spins(void *arg)
{
    (void)arg;
    while (!stop) cpu_relax();
    sleeps = true;
    nap(NS_PER_S);
}

void test_main(void)
{
    apic_enable(true);
    check(cpu_start(1), "second vCPU");
    registers(0);
    cpu_run(1, registers, (void *)1);
    cpu_run_async(1, spins, NULL);
    delay(100 * NS_PER_MS); /* they take turns */
    check_eq(area[0].state, RUNSTATE_running, "we run");
    check_eq(area[1].state, RUNSTATE_runnable, "the other waits for its turn");
    check(area[1].time[RUNSTATE_running] > 10 * NS_PER_MS, "it has had some");
    stop = true;
    for (unsigned int i = 0; i < 100 && !sleeps; i++) delay(10 * NS_PER_MS);
    delay(20 * NS_PER_MS);
    check_eq(area[1].state, RUNSTATE_blocked, "then it sleeps");
    check_eq(area[0].state, RUNSTATE_running, "we still run");
    cpu_wait(1);
}
