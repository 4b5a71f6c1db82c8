/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel starts, finds itself where PVH says, and is heard. */
/* run: as=both */
#include "test.h"

void test_main(void)
{
    check_eq(start_info->magic, XEN_HVM_START_MAGIC_VALUE, "start info magic");
    check(start_info->version <= 1, "start info version");
    check(xen_leaf != 0, "CPUID names Xen");
    check(now() > 0, "the clock runs");
    if (is_dom0) check(start_info->rsdp_paddr != 0, "dom0 has an RSDP");
}
