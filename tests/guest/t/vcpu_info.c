/* SPDX-License-Identifier: Apache-2.0 */
/* VCPUOP_register_vcpu_info: moved once, content kept, event raised. */
/* run: as=both */
#include "test.h"

static long put(unsigned int vcpu, void *page, uint32_t offset)
{
    struct vcpu_register_vcpu_info op = {.mfn = gfn_of(page), .offset = offset};

    return vcpu_op(VCPUOP_register_vcpu_info, vcpu, &op);
}

void test_main(void)
{
    uint8_t *page = page_alloc();
    struct vcpu_info *info = (struct vcpu_info *)(page + 128);

    vcpu_info()->evtchn_upcall_pending = 0;
    vcpu_info()->evtchn_pending_sel = 0;
    memset(page, 0xee, PAGE_SIZE);
    check_eq(put(0, page, 4096 - 32), -XEN_ENXIO, "across the page's end");
    check(put(0, (void *)0xfffff000, 0) < 0, "page without RAM");
    check_eq(put(200, page, 0), -XEN_ENOENT, "no such vCPU");
    check_eq(put(0, page, 128), 0, "register");
    check_eq(info->evtchn_upcall_pending, 1, "event raised");
    check_eq(info->evtchn_pending_sel, -1, "all words selected");
    check(info->time.version % 2 == 0 && info->time.tsc_to_system_mul, "the clock is there");
    check(page[127] == 0xee && page[192] == 0xee, "nothing around it touched");
    check_eq(put(0, page, 512), -XEN_EINVAL, "only once");
}
