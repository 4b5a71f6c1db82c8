/* SPDX-License-Identifier: Apache-2.0 */
/* Runstates: the area is kept, times grow as they should and add up. */
/* run: as=both */
#include "test.h"

static volatile struct vcpu_runstate_info area;
static volatile struct vcpu_time_info time_area;

static uint64_t total(void)
{
    return area.time[0] + area.time[1] + area.time[2] + area.time[3];
}

void test_main(void)
{
    struct vcpu_register_runstate_memory_area op = {0};
    struct vcpu_register_time_memory_area t = {0};
    uint64_t t0, before[4], used;
    struct vcpu_runstate_info info = {0};

    op.addr.v = (void *)(uintptr_t)&area;
    check_eq(vcpu_op(VCPUOP_register_runstate_memory_area, 0, &op), 0, "register");
    check_eq(area.state, RUNSTATE_running, "we are running");
    nap(NS_PER_MS); /* schedules, so the times are written */
    t0 = now();
    memcpy(before, (void *)(uintptr_t)area.time, sizeof(before));
    nap(50 * NS_PER_MS);
    check_in((long)(area.time[RUNSTATE_blocked] - before[RUNSTATE_blocked]), 30 * NS_PER_MS,
             200 * NS_PER_MS, "time blocked");
    delay(50 * NS_PER_MS);
    nap(NS_PER_MS);
    used = area.time[RUNSTATE_running] - before[RUNSTATE_running];
    check_in((long)used, 25 * NS_PER_MS, 500 * NS_PER_MS, "time run");
    check_in((long)(now() - t0) - (long)(total() - before[0] - before[1] - before[2] - before[3]),
             -5 * (long)NS_PER_MS, 20 * NS_PER_MS, "the four add up");
    check_eq(vcpu_op(VCPUOP_get_runstate_info, 0, &info), 0, "get");
    check(info.state == RUNSTATE_running &&
              info.time[RUNSTATE_running] >= area.time[RUNSTATE_running],
          "the same by call");

    t.addr.v = (struct vcpu_time_info *)(uintptr_t)&time_area;
    check_eq(vcpu_op(VCPUOP_register_vcpu_time_memory_area, 0, &t), 0, "register a time area");
    nap(NS_PER_MS);
    check(time_area.tsc_to_system_mul == vcpu_info()->time.tsc_to_system_mul &&
              time_area.system_time > 0 && time_area.version % 2 == 0,
          "it is filled");
}
