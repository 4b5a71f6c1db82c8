/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the stand-in for the core in the loader's boot test: a PVH kernel that
 * gets a bundle of files as its one module, makes the start info that the core
 * would make, and starts the loader in place. Runs on bare QEMU and on Xen.
 */
#include <stddef.h>
#include <stdint.h>
#include <xen/arch-x86/hvm/start_info.h>
#include "../../../loader/layout.h"

#define MAX_ENTRIES       64
#define MAX_FILES         4
#define XENMEM_memory_map 9

/* Before the files' bytes; offsets from the bundle's start. See bundle(). */
struct bundle {
    char magic[4]; /* "INSB" */
    uint32_t nr_files;
    struct {
        uint32_t offset;
        uint32_t size;
    } file[MAX_FILES];
};

struct e820 {
    uint64_t addr;
    uint64_t size;
    uint32_t type;
} __attribute__((packed));

/* Not from string.h: Debian has no 32-bit C library headers here. */
void *memcpy(void *restrict to, const void *restrict from, size_t n);
int memcmp(const void *a, const void *b, size_t n);

extern const char loader_bin[], loader_bin_end[];
extern char loader_place[], loader_place_end[];
struct hvm_start_info *wrapper_main(const struct hvm_start_info *from);

static struct hvm_start_info info;
static struct hvm_modlist_entry modules[MAX_FILES];
static struct hvm_memmap_table_entry map[MAX_ENTRIES];

static _Noreturn void stop(const char *why)
{
    for (; *why; why++) asm volatile("outb %0, %1" ::"a"(*why), "Nd"((uint16_t)0x3f8));
    for (;;) asm volatile("cli; hlt");
}

/* Xen 4.17 gives dom0 no map in the start info: ask for it. */
static void map_from_xen(void)
{
    static struct e820 e820[MAX_ENTRIES];
    struct {
        uint32_t nr;
        struct e820 *entries;
    } arg = {MAX_ENTRIES, e820};
    uint32_t b = XENMEM_memory_map, c = (uintptr_t)&arg;
    int result = 12; /* memory_op; VMMCALL: the test is for AMD */

    asm volatile("vmmcall" : "+a"(result), "+b"(b), "+c"(c)::"memory");
    if (result) stop("wrapper: no memory map\r\n");
    for (uint32_t i = 0; i < arg.nr; i++)
        map[i] = (struct hvm_memmap_table_entry){e820[i].addr, e820[i].size, e820[i].type, 0};
    info.memmap_entries = arg.nr;
}

struct hvm_start_info *wrapper_main(const struct hvm_start_info *from)
{
    const struct hvm_modlist_entry *module = (void *)(uintptr_t)from->modlist_paddr;
    const struct bundle *bundle = (void *)(uintptr_t)module->paddr;
    uint32_t need;

    if (!from->nr_modules || memcmp(bundle->magic, "INSB", 4)) stop("wrapper: no bundle\r\n");
    memcpy(loader_place, loader_bin, loader_bin_end - loader_bin);
    memcpy(&need, loader_place + HEADER_SIZE_AT, 4);
    if (need > (uint32_t)(loader_place_end - loader_place))
        stop("wrapper: the loader needs more memory\r\n");

    info = *from;
    if (!from->version) {
        map_from_xen();
    } else {
        info.memmap_entries = from->memmap_entries;
        memcpy(map, (void *)(uintptr_t)from->memmap_paddr, from->memmap_entries * sizeof(map[0]));
    }
    info.version = 1;
    info.reserved = 0;
    info.memmap_paddr = (uintptr_t)map;
    info.nr_modules = bundle->nr_files;
    info.modlist_paddr = (uintptr_t)modules;
    for (uint32_t i = 0; i < bundle->nr_files; i++) {
        modules[i].paddr = module->paddr + bundle->file[i].offset;
        modules[i].size = bundle->file[i].size;
    }
    return &info;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    void *d = to;

    asm volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(n)::"memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;

    for (; n; n--, x++, y++)
        if (*x != *y) return *x - *y;
    return 0;
}
