/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the reading of the real-time clock (a Motorola MC146818, and what PCs
 * keep beside it), which the core does not drive.
 */
#include "loader.h"

#define CMOS     0x70 /* the register's number; its value one port above */
#define HOUR     4
#define STATUS_A 0x0a
#define UPDATING 0x80
#define STATUS_B 0x0b
#define BINARY   0x04
#define TRIES    1000000

static uint8_t cmos(uint8_t reg)
{
    outb(CMOS, reg);
    return inb(CMOS + 1);
}

static unsigned int number(uint8_t reg, bool binary)
{
    uint8_t v = cmos(reg) & (reg == HOUR ? 0x7f : 0xff); /* without the PM bit */

    return binary ? v : (v & 15) + (v >> 4) * 10;
}

uint64_t days_since_1970(unsigned int year, unsigned int month, unsigned int day)
{
    static const uint16_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    uint64_t past = year - 1;

    return past * 365 + past / 4 - past / 100 + past / 400 - 719162 + before[(month - 1) % 12] +
           (month > 2 && leap) + day - 1;
}

uint64_t clock_seconds(void)
{
    bool binary;
    unsigned int year, month;
    uint64_t days;

    for (int i = 0; i < TRIES && cmos(STATUS_A) & UPDATING; i++)
        ;
    binary = cmos(STATUS_B) & BINARY;
    year = number(9, binary);
    month = number(8, binary);
    days = days_since_1970(year + (year < 70 ? 2000 : 1900), month ? month : 1, number(7, binary));
    return ((days * 24 + number(HOUR, binary)) * 60 + number(2, binary)) * 60 + number(0, binary);
}
