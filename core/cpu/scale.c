/* SPDX-License-Identifier: Apache-2.0 */
/* Clock ticks to nanoseconds. */
#include "cpu/time.h"

uint64_t ticks_to_ns(const struct tsc_scale *s, uint64_t ticks)
{
    if (s->shift < 0)
        ticks >>= -s->shift;
    else
        ticks <<= s->shift;
    return (unsigned __int128)ticks * s->mul >> 32;
}

/* TSC kHz -> multiplier and shift with the multiplier's top bit set. */
void tsc_scale_set(struct tsc_scale *s, uint32_t khz)
{
    uint64_t ticks = (uint64_t)khz * 1000;
    uint64_t ns = NS_PER_SEC;

    s->shift = 0;
    while (ticks > NS_PER_SEC * 2) {
        ticks >>= 1;
        s->shift--;
    }
    while (ticks <= NS_PER_SEC) {
        ticks <<= 1;
        s->shift++;
    }
    s->mul = (ns << 32) / ticks;
}
