/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI tables: those of the test's machine with bytes changed (offset, value),
 * with checksums that are right or not. */
#define main unit_main
#include "../unit/test_acpi.c"
#undef main

static void mend(uint32_t table_at)
{
    struct acpi_header *h = (void *)(ram + table_at);

    if (h->length < sizeof(*h) || h->length > 0x10000) return;
    h->checksum = 0;
    h->checksum = -acpi_sum(h, h->length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t all[] = {fadt_at, madt_at, hpet_at, mcfg_at, root};
    const uint32_t first = 0x100000 - 64;
    struct acpi_rsdp *r = (void *)(ram + 0xf5000);
    uint8_t mode;

    if (!size) return 0;
    mode = data[0];
    machine(mode & 1);
    all[0] = fadt_at, all[1] = madt_at, all[2] = hpet_at, all[3] = mcfg_at, all[4] = root;
    for (data++, size--; size >= 3; data += 3, size -= 3) {
        uint32_t where = data[0] | data[1] << 8;

        if (where < 1024)
            ram[first + where % (at - first)] = data[2];
        else
            ram[0xf5000 + where % 36] = data[2];
    }
    if (mode & 2)
        for (unsigned int i = 0; i < ARRAY_SIZE(all); i++) mend(all[i]);
    if (mode & 4) {
        r->checksum = 0;
        r->checksum = -acpi_sum(r, 20);
    }
    check_case = "acpi";
    if (!parses(mode & 8 ? 0 : 0xf5000)) return 0;
    if (acpi.cpus > MAX_CPUS || ioapic_count > MAX_IOAPICS) abort();
    if (check_failed || windows) abort();
    return 0;
}
