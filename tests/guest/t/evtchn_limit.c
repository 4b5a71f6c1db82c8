/* SPDX-License-Identifier: Apache-2.0 */
/* A guest can have as many ports as its configuration says, and no more. */
/* run: as=guest */
#include "test.h"

void test_main(void)
{
    unsigned int n = 0;
    long last;

    while ((last = port_unbound(DOMID_SELF)) > 0 && n < 5000) n++;
    check_in(n, 1000, 1023, "ports");
    check_eq(last, -XEN_ENOSPC, "then no space");
    check_eq(port_close(500), 0, "close one");
    check_eq(port_unbound(DOMID_SELF), 500, "get that one");
    check_eq(port_unbound(DOMID_SELF), -XEN_ENOSPC, "and full again");
}
