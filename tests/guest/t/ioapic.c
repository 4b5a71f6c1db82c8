/* SPDX-License-Identifier: Apache-2.0 */
/* dom0 has the host's IO-APIC, virtual; a guest has none. */
/* run: as=both */
#include "test.h"

static volatile uint32_t *const select = (volatile uint32_t *)0xfec00000;
static volatile uint32_t *const window = (volatile uint32_t *)0xfec00010;

static uint32_t get(uint32_t reg)
{
    *select = reg;
    return *window;
}

static void put(uint32_t reg, uint32_t value)
{
    *select = reg;
    *window = value;
}

void test_main(void)
{
    if (!is_dom0) {
        check_eq(get(1), 0xffffffff, "no IO-APIC");
        return;
    }
    check_eq(get(1) >> 16 & 0xff, 23, "24 pins");
    check_eq(get(0x10 + 2 * 20) >> 16 & 1, 1, "pin 20 masked at first");
    put(0x10 + 2 * 20, 0x1a055);
    put(0x11 + 2 * 20, 0x02000000);
    check_eq(get(0x10 + 2 * 20), 0x1a055, "pin 20 reads back");
    check_eq(get(0x11 + 2 * 20), 0x02000000, "its destination");
    put(0x10 + 2 * 40, 0xa055);
    check(get(0x10 + 2 * 40) != 0xa055, "no pin behind the last");
}
