/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the ACPI tables that dom0 is to find: the machine's, but for those that
 * describe what the core drives itself, and a MADT of dom0's own.  The core
 * checks the machine's tables for itself; what is wrong here misleads dom0
 * alone.  ACPI 6.4, 5.2.
 */
#include <string.h>
#include "loader.h"

#define MAX_TABLE 0x10000
#define MAX_LIST  100
/* Places in the area; the RSDP is at its start. */
#define XSDT_AT 64
#define LIST_AT (XSDT_AT + sizeof(struct header))
#define MADT_AT 1024

struct header {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem[6], oem_table[8];
    uint32_t oem_revision, creator, creator_revision;
} __attribute__((packed));

struct rsdp {
    char signature[8];
    uint8_t checksum;
    char oem[6];
    uint8_t revision;
    uint32_t rsdt, length;
    uint64_t xsdt;
    uint8_t extended_checksum, reserved[3];
} __attribute__((packed));

static uint8_t checksum(const void *p, size_t size)
{
    uint8_t sum = 0;

    for (const uint8_t *b = p; size--; b++) sum -= *b;
    return sum;
}

/* A table of the machine's, or NULL if it is broken or not below 4 GiB. */
static const struct header *table(uint64_t at)
{
    const struct header *h = phys(at);

    if (!at || at > LIMIT_4G - MAX_TABLE || h->length < sizeof(*h) || h->length > MAX_TABLE)
        return NULL;
    return checksum(h, h->length) ? NULL : h;
}

static bool is_allowed(const struct header *h)
{
    static const char names[] = "FACPMCFGSSDTPSDTSLICMSDMWDATFPDTS3PTSBST";

    for (const char *n = names; *n; n += 4)
        if (!memcmp(h->signature, n, 4)) return true;
    return false;
}

static void seal(struct header *h, const char *signature, uint8_t revision, size_t length)
{
    *h = (struct header){.length = length, .revision = revision, .oem_revision = 1};
    memcpy(h->signature, signature, 4);
    memcpy(h->oem, "Insula", 6);
    memcpy(h->oem_table, "dom0    ", 8);
    memcpy(&h->creator, "INSL", 4);
    h->creator_revision = 1;
    h->checksum = checksum(h, length);
}

/* IO-APICs (type 1) and interrupt overrides (2) are the machine's; the CPUs (9)
 * are dom0's.  Linux takes the UID for the vCPU's number. */
static void build_madt(struct header *madt, const struct header *host, unsigned int vcpus)
{
    const uint8_t *e = (const uint8_t *)host + 44, *end = (const uint8_t *)host + host->length;
    uint8_t *p = (uint8_t *)(madt + 1);

    memcpy(p, (uint32_t[]){0xfee00000, 0}, 8);
    for (p += 8; e + 2 <= end && e[1] >= 2 && e[1] <= end - e; e += e[1]) {
        if (e[0] != 1 && e[0] != 2) continue;
        memcpy(p, e, e[1]);
        p += e[1];
    }
    for (uint32_t i = 0; i < vcpus; i++, p += 16)
        memcpy(p, (uint32_t[]){9 | 16 << 8, 2 * i, 1, i}, 16);
    seal(madt, "APIC", 4, p - (uint8_t *)madt);
}

const char *acpi_build(struct range area, unsigned int vcpus)
{
    struct rsdp *r = phys(area.start);
    uint64_t list[1 + MAX_LIST] = {area.start + MADT_AT};
    bool wide = r->revision >= 2 && r->xsdt;
    const struct header *root = table(wide ? r->xsdt : r->rsdt), *madt = NULL;
    unsigned int size = wide ? 8 : 4, n = 1;

    if (!root) return error("the machine's list of ACPI tables is broken");
    for (unsigned int at = sizeof(*root); at + size <= root->length; at += size) {
        const struct header *h;

        if (n > MAX_LIST) return error("more than %u ACPI tables", MAX_LIST);
        list[n] = 0;
        memcpy(&list[n], (const char *)root + at, size);
        h = table(list[n]);
        if (!h) continue;
        n += is_allowed(h);
        if (!memcmp(h->signature, "APIC", 4)) madt = h;
    }
    if (!madt || MADT_AT + madt->length + vcpus * 16ul > area.end - area.start)
        return error("the machine's MADT is broken");
    memcpy(phys(area.start + LIST_AT), list, n * 8ul);
    seal(phys(area.start + XSDT_AT), "XSDT", 1, sizeof(struct header) + n * 8ul);
    build_madt(phys(area.start + MADT_AT), madt, vcpus);
    *r = (struct rsdp){.revision = 2, .length = sizeof(*r), .xsdt = area.start + XSDT_AT};
    memcpy(r->signature, "RSD PTR ", 8);
    memcpy(r->oem, "Insula", 6);
    r->checksum = checksum(r, 20);
    r->extended_checksum = checksum(r, sizeof(*r));
    return NULL;
}
