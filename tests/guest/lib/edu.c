/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's `edu` device and the hypervisor's log. */
#include "edu.h"
#include "pci.h"
#include "test.h"

#define EDU_ID  0x11e81234u
#define SOURCE  0x80 / 8
#define TARGET  0x88 / 8
#define COUNT   0x90 / 8
#define COMMAND 0x98 / 8
#define START   1u
#define TO_RAM  2u
#define BUFFER  0x40000u /* the device's own memory */

volatile uint64_t *edu;
static char text[16384];

uint32_t edu_open(void)
{
    uint32_t dev = pci_find(EDU_ID);

    if (dev == 32) return 0;
    pci_write(dev, 4, pci_read(dev, 4) & ~2u);
    edu = pci_open_bar(dev, 0);
    return dev;
}

void edu_begin(uint64_t gpa, bool to_ram, uint64_t bytes)
{
    edu[SOURCE] = to_ram ? BUFFER : gpa;
    edu[TARGET] = to_ram ? gpa : BUFFER;
    edu[COUNT] = bytes;
    edu[COMMAND] = START | (to_ram ? TO_RAM : 0);
}

void edu_finish(void)
{
    uint64_t end = now() + 2 * NS_PER_S;

    while (edu[COMMAND] & START)
        if (now() > end) fatal("the device does not finish");
}

void dma_read(uint64_t gpa)
{
    edu_begin(gpa, false, EDU_BYTES);
    edu_finish();
}

void dma_write(uint64_t gpa)
{
    edu_begin(gpa, true, EDU_BYTES);
    edu_finish();
}

void fill(uint64_t *page, uint64_t seed)
{
    for (unsigned int i = 0; i < EDU_BYTES / 8; i++) page[i] = seed * (i + 1);
}

bool holds(const volatile uint64_t *page, uint64_t seed)
{
    for (unsigned int i = 0; i < EDU_BYTES / 8; i++)
        if (page[i] != seed * (i + 1)) return false;
    return true;
}

void edu_load(uint64_t *page, uint64_t seed)
{
    fill(page, seed);
    dma_read((uint64_t)page);
}

/* What was logged since the last call. */
static const char *log_text(void)
{
    struct xen_sysctl op = {0};

    op.u.readconsole.clear = 1;
    op.u.readconsole.count = sizeof(text) - 1;
    set_xen_guest_handle(op.u.readconsole.buffer, text);
    if (sysctl(&op, XEN_SYSCTL_readconsole)) op.u.readconsole.count = 0;
    text[op.u.readconsole.count] = 0;
    return text;
}

void logged(uint32_t dev, const char *what, uint64_t gpa, const char *name)
{
    static const char vague[] = "its log does not say which";
    char want[80];
    bool found, something;

    format(want, sizeof(want), "device 00:%02x.0 may not %s %lx", dev, what, gpa);
    found = find(log_text(), want);
    something = find(text, vague);
    nap(1100 * NS_PER_MS); /* the log's limit is per second, and so is polling */
    if (!found && (find(log_text(), vague) || something))
        skip(name, "refused, but the IOMMU does not tell what");
    else
        check(found, name);
}
