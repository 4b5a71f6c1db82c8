/* SPDX-License-Identifier: Apache-2.0 */
/* Insula has no nested virtualisation: SVM's own MSRs do not exist.  (Stock
 * Xen answers them, with SVM marked as off.) */
/* run: as=both hv=insula */
#include "test.h"

void test_main(void)
{
    check_eq(try_rdmsr(0xc0010114, NULL), 13, "read VM_CR");
    check_eq(try_wrmsr(0xc0010114, 0), 13, "write VM_CR");
    check_eq(try_rdmsr(0xc0010117, NULL), 13, "read VM_HSAVE_PA");
    check_eq(try_wrmsr(0xc0010117, 0), 13, "write VM_HSAVE_PA");
}
