/* SPDX-License-Identifier: Apache-2.0 */
/* console_io for dom0: writes of any length, reads that do not wait. */
#include "test.h"

static char text[3000];

void test_main(void)
{
    char in[16];
    long n;

    for (unsigned int i = 0; i < sizeof(text); i++) text[i] = i % 60 == 59 ? '\n' : '.';
    n = console_op(CONSOLEIO_write, sizeof(text), text);
    check(n == 0 || n == (long)sizeof(text), "3000 characters");
    check(console_op(CONSOLEIO_write, 0, text) == 0, "none");
    check_eq(console_op(CONSOLEIO_write, 10, 0x7f0000000000), -XEN_EFAULT, "from a hole");
    check_eq(console_op(CONSOLEIO_read, sizeof(in), in), 0, "nothing to read");
    check_eq(console_op(77, 1, text), -XEN_ENOSYS, "operation 77");
}
