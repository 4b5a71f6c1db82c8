/* SPDX-License-Identifier: Apache-2.0 */
/* A guest has no I/O ports: reads are all ones, writes are lost, no fault. */
/* run: as=guest */
#include "test.h"

static void string_out(void *arg)
{
    const void *from = arg;
    uint64_t n = 4;

    asm volatile("rep outsb" : "+S"(from), "+c"(n) : "d"(0x3f8) : "memory");
}

void test_main(void)
{
    static const uint16_t port[] = {0x20, 0x21,  0x40,  0x61,  0x64,  0x70,  0x71,  0x92,  0xa1,
                                    0xe9, 0x1f7, 0x3d4, 0x3f8, 0x3fd, 0x510, 0xcf8, 0xcf9, 0xb008};
    char name[48];

    for (unsigned int i = 0; i < sizeof(port) / sizeof(*port); i++) {
        format(name, sizeof(name), "port %x", port[i]);
        if (port[i] != 0xcf9) outb(port[i], 0);
        check_eq(inb(port[i]), 0xff, name);
    }
    check_eq(inw(0x3f8), 0xffff, "2 bytes");
    check_eq(inl(0x3f8), 0xffffffff, "4 bytes");
    check_eq(inl(0xffff), 0xffffffff, "across the last port");
    outb(0xcf9, 6); /* a reset, were it the host's */
    outw(0xb004, 0x3c00);
    outw(0x604, 0x2000);
    try_call(string_out, name); /* no effect, or #GP: but no crash */
    check(true, "alive after reset and power ports");
}
