/* SPDX-License-Identifier: Apache-2.0 */
/* The single-shot timer: never early, seldom late, at once for the past. */
/* run: as=both */
#include "test.h"

static long set(uint64_t at, uint32_t flags)
{
    struct vcpu_set_singleshot_timer t = {at, flags};

    return vcpu_op(VCPUOP_set_singleshot_timer, 0, &t);
}

void test_main(void)
{
    evtchn_port_t port = (evtchn_port_t)port_virq(VIRQ_TIMER, 0);
    uint64_t late[20], at, sum = 0, shortest = ~0ull;
    bool early = false;

    check_eq(vcpu_op(VCPUOP_stop_periodic_timer, 0, 0), 0, "stop periodic");
    for (unsigned int i = 0; i < 20; i++) {
        at = now() + (i + 1) * NS_PER_MS;
        set(at, 0);
        if (!port_wait(port, NS_PER_S)) fatal("the timer does not come");
        late[i] = now() - at;
        early |= now() < at;
        if (late[i] < shortest) shortest = late[i];
        sum += late[i];
    }
    print("late by %lu us at best, %lu us on average\n", shortest / 1000, sum / 20 / 1000);
    check(!early, "never early");
    check_in((long)shortest, 0, NS_PER_MS, "late by (ns, best of 20)");
    check_in((long)sum / 20, 0, 20 * NS_PER_MS, "late by (ns, average)");

    check_eq(set(now() - NS_PER_MS, 0), 0, "in the past");
    check(port_wait(port, 100 * NS_PER_MS), "fires at once");
    at = (uint64_t)set(now() - NS_PER_MS, VCPU_SSHOTTMR_future);
    check((long)at == -XEN_ETIME || (at == 0 && port_wait(port, NS_PER_S)),
          "asked for the future only: refused, or fires at once");
    set(now() + 5 * NS_PER_MS, 0);
    check_eq(vcpu_op(VCPUOP_stop_singleshot_timer, 0, 0), 0, "stop");
    check(!port_wait(port, 20 * NS_PER_MS), "stopped: does not come");
    set(now() + 5 * NS_PER_MS, 0);
    set(now() + 400 * NS_PER_MS, 0);
    check(!port_wait(port, 100 * NS_PER_MS), "set again: the old is forgotten");
    check(port_wait(port, NS_PER_S), "the new comes");
    check(vcpu_op(VCPUOP_set_singleshot_timer, 0, 0x7f0000000000) == -XEN_EFAULT,
          "argument in a hole");
}
