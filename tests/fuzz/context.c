/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader of context records: a good stream with bytes changed (offset,
 * value), or any stream.  What is loaded can be saved and loaded again.
 */
#define main unit_main
#include "../unit/test_context.c"
#undef main

static uint8_t good[sizeof(buf)];
static long good_size;

/* From which fields the changes come: the records one after the other. */
static void change(const uint8_t *data, size_t len)
{
    for (; len >= 4; data += 4, len -= 4) {
        uint32_t at = (data[0] | data[1] << 8) % good_size;

        buf[at] = data[2];
        if (data[3] & 1) buf[(at + 1) % good_size] = data[3];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (!good_size) {
        setup();
        memcpy(good, buf, size);
        good_size = size;
    }
    if (!len) return 0;
    if (context_load(d1, good, good_size)) abort();
    memcpy(buf, good, good_size);
    size = good_size;
    if (data[0] & 1) {
        size = MIN(len - 1, sizeof(buf));
        memcpy(buf, data + 1, size);
    } else {
        change(data + 1, len - 1);
        if (data[0] & 2) size = good_size * data[0] / 256;
    }
    if (!context_load(d1, buf, size)) {
        const struct arch_state *s = &control.state[0];

        if (!(s->cr0 & CR0_ET) || s->efer & EFER_SVME) abort();
        if (!(s->efer & EFER_LMA) != !(s->cr0 & CR0_PG && s->efer & EFER_LME)) abort();
        for (unsigned int i = 0; i < SEG_COUNT; i++)
            if (!is_canonical(s->seg[i].base)) abort();
        size = context_save(d1, buf, sizeof(buf));
        if (size <= 0 || context_load(d1, buf, size)) abort();
    }
    if (test_failed) abort();
    return 0;
}
