/* SPDX-License-Identifier: Apache-2.0 */
/* A guest registers pages with the hypervisor and then gives them away: no
 * harm to others, and nothing is lost when it ends. */
#include "test.h"
#include "toolstack.h"

static uint8_t info_page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t area_page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static long give_away(long a, long b, long c)
{
    struct vcpu_register_vcpu_info info = {.mfn = gfn_of(info_page)};
    struct vcpu_register_runstate_memory_area run = {0};
    struct vcpu_register_time_memory_area time = {0};
    uint64_t gfn[3] = {gfn_of(info_page), gfn_of(area_page), gfn_of(shared)};
    long port = port_ipi(0), good = 0;

    (void)a, (void)b, (void)c;
    run.addr.v = (void *)area_page;
    time.addr.v = (void *)(area_page + 1024);
    good += vcpu_op(VCPUOP_register_vcpu_info, 0, &info) == 0;
    good += vcpu_op(VCPUOP_register_runstate_memory_area, 0, &run) == 0;
    good += vcpu_op(VCPUOP_register_vcpu_time_memory_area, 0, &time) == 0;
    for (unsigned int i = 0; i < 3; i++) decrease(DOMID_SELF, 0, &gfn[i], 1);
    for (unsigned int i = 0; i < 20; i++) {
        port_send((evtchn_port_t)port);
        sched_op(SCHEDOP_yield, 0);
    }
    for (unsigned int i = 0; i < 2; i++) populate(DOMID_SELF, 0, &gfn[i], 1);
    sched_op(SCHEDOP_yield, 0);
    shutdown(SHUTDOWN_suspend + (good == 3 ? 0 : 1));
    return 0;
}

void test_main(void)
{
    uint64_t before = 0;
    struct guest g;

    for (unsigned int i = 0; i < 6; i++) {
        servant_start(&g, 0);
        guest_call_async(&g, give_away, 0, 0, 0);
        check_eq(guest_wait(&g, 5 * NS_PER_S), SHUTDOWN_suspend, "registered, gave away, ended");
        check(guest_destroy(&g), "destroyed");
        if (i == 0) before = free_pages_settled();
    }
    check(free_pages_return(before), "all memory comes back");
    check_eq(free_pages(), before, "free pages");
}
