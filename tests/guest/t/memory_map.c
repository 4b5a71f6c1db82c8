/* SPDX-License-Identifier: Apache-2.0 */
/* XENMEM_memory_map: sorted, with our RAM, cut to the caller's array. */
/* run: as=both */
#include "test.h"

static struct entry {
    uint64_t addr, size;
    uint32_t type;
} __attribute__((packed)) map[128];

static long get(unsigned int *n)
{
    struct xen_memory_map op = {.nr_entries = *n};
    long err;

    set_xen_guest_handle(op.buffer, (void *)map);
    err = memory_op(XENMEM_memory_map, &op);
    *n = op.nr_entries;
    return err;
}

void test_main(void)
{
    unsigned int n = 128, one = 1;
    uint64_t ram = 0, want = (is_dom0 ? 256ull : 32ull) << 20;
    bool sorted = true, image = false;

    check_eq(get(&n), 0, "memory_map");
    check_in(n, is_dom0 ? 3 : 1, 127, "entries");
    for (unsigned int i = 0; i < n && i < 128; i++) {
        if (i && map[i].addr < map[i - 1].addr + map[i - 1].size) sorted = false;
        if (map[i].type != 1) continue;
        ram += map[i].size;
        if (map[i].addr <= 0x1000000 && map[i].addr + map[i].size > 0x1400000) image = true;
    }
    check(sorted, "sorted, no overlap");
    check(image, "our image is in RAM");
    check_in((long)(ram >> 10), (long)(want >> 10) - 2048, (long)(want >> 10), "RAM in KiB");
    memset(map, 0, sizeof(map));
    check_eq(get(&one), 0, "memory_map with one entry");
    check(one == 1 && map[1].size == 0, "only one entry written");
}
