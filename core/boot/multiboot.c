/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the boot loader tells, by Multiboot 1 or 2, copied into `boot`.  Runs
 * while the low 4 GiB are mapped one to one.
 */
#include "boot/boot.h"
#include "lib/print.h"
#include "lib/string.h"

#define MB1_MAGIC 0x2badb002
#define MB2_MAGIC 0x36d76289
#define MB1_LINE  4096u /* the longest command line that is looked at */
#define RSDP_OLD  20u   /* bytes of ACPI 1.0's */

/* Types of Multiboot 2's tags. */
enum { MB2_END, MB2_LINE, MB2_LOADER, MB2_MODULE, MB2_MMAP = 6, MB2_RSDP = 14, MB2_RSDP2 };

struct boot_info boot;
char cmdline[1024];

struct mb1_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
    uint32_t mods_count, mods_addr;
    uint32_t syms[4];
    uint32_t mmap_length, mmap_addr;
    uint32_t drives[2];
    uint32_t config_table, boot_loader_name;
};

struct mb1_module {
    uint32_t start, end, string, reserved;
};

struct mb2_tag {
    uint32_t type, size;
};

struct mb2_info {
    uint32_t size, reserved;
    struct mb2_tag first;
};

struct mb2_module {
    struct mb2_tag tag;
    uint32_t start, end;
    char line[];
};

struct mb2_mmap {
    struct mb2_tag tag;
    uint32_t entry_size, version;
};

/* Text of at most `len` bytes, by a loader that is known: old ones put the
 * file's name before the arguments. */
static void copy_arguments(char *to, size_t size, const char *line, size_t len)
{
    const char *end = line + len;

    while (line < end && *line == ' ') line++;
    if (strncmp(boot.loader, "GRUB 2", 6)) {
        while (line < end && *line && *line != ' ') line++;
        while (line < end && *line == ' ') line++;
    }
    copy_string(to, line, MIN(size, (size_t)(end - line) + 1));
}

/* Entries of `step` bytes each; Multiboot 1's begin with `skip` bytes that tell
 * the size of the rest. */
static void add_memory(uintptr_t at, uint64_t left, uint32_t step, size_t skip)
{
    const size_t least = skip + sizeof(struct e820_entry);

    while (left >= least) {
        const struct e820_entry *from = (void *)(at + skip);
        struct e820_entry *e = &boot.map.entry[boot.map.count];

        if (skip) step = *(uint32_t *)at + skip;
        if (step < least || step > left) break;
        if (boot.map.count == E820_MAX) panic("the memory map has more than %u entries", E820_MAX);
        /* By address; firmware may list them in any order. */
        for (; e > boot.map.entry && e[-1].addr > from->addr; e--) e[0] = e[-1];
        *e = *from;
        boot.map.count++;
        at += step;
        left -= step;
    }
    if (left) panic("the boot loader's memory map is cut off");
}

static void add_module(uint32_t start, uint32_t end, const char *line, size_t len)
{
    struct boot_module *m = &boot.module[boot.modules];

    if (boot.modules == MAX_MODULES) {
        log_warn("more than %u modules; the rest is ignored", MAX_MODULES);
        return;
    }
    if (start > end) panic("the boot loader gave a broken module %u", boot.modules);
    m->start = start;
    m->size = end - start;
    copy_arguments(m->args, sizeof(m->args), line, len);
    boot.modules++;
}

static void parse_mb1(const struct mb1_info *mb)
{
    const struct mb1_module *m = (void *)(uintptr_t)mb->mods_addr;

    if (mb->flags & BIT(9))
        copy_string(boot.loader, (char *)(uintptr_t)mb->boot_loader_name, sizeof(boot.loader));
    if (mb->flags & BIT(2))
        copy_arguments(cmdline, sizeof(cmdline), (char *)(uintptr_t)mb->cmdline, MB1_LINE);
    if (mb->flags & BIT(6)) add_memory(mb->mmap_addr, mb->mmap_length, 0, sizeof(uint32_t));
    for (uint32_t i = 0; mb->flags & BIT(3) && i < MIN(mb->mods_count, MAX_MODULES + 1u); i++)
        add_module(m[i].start, m[i].end, (char *)(uintptr_t)m[i].string, MB1_LINE);
}

/* The next tag of a type behind `at` (NULL: the first), or NULL.  It has `least`
 * bytes and lies inside the list. */
static const void *mb2_next(const struct mb2_info *mb, const void *at, uint32_t type,
                            uint32_t least)
{
    const struct mb2_tag *t = at;
    uint64_t left;

    do {
        t = t ? (void *)((char *)t + ROUND_UP(t->size, 8ul)) : &mb->first;
        left = (uintptr_t)mb + mb->size - (uintptr_t)t;
        if (left > mb->size || left < sizeof(*t) || t->size < sizeof(*t) || t->size > left)
            panic("the boot loader's list of tags is cut off (%u bytes)", mb->size);
        if (t->type == MB2_END) return NULL;
    } while (t->type != type);
    if (t->size < least) panic("the boot loader gave a broken tag (type %u)", type);
    return t;
}

static void parse_mb2(const struct mb2_info *mb)
{
    const struct mb2_tag *t = mb2_next(mb, NULL, MB2_LOADER, sizeof(*t));
    const struct mb2_module *m = NULL;
    const struct mb2_mmap *map = NULL;

    if (t) copy_string(boot.loader, (char *)(t + 1), MIN(sizeof(boot.loader), t->size - 7ul));
    t = mb2_next(mb, NULL, MB2_LINE, sizeof(*t));
    if (t) copy_arguments(cmdline, sizeof(cmdline), (char *)(t + 1), t->size - sizeof(*t));
    while ((m = mb2_next(mb, m, MB2_MODULE, sizeof(*m))) != NULL)
        add_module(m->start, m->end, m->line, m->tag.size - sizeof(*m));
    while ((map = mb2_next(mb, map, MB2_MMAP, sizeof(*map))) != NULL)
        add_memory((uintptr_t)(map + 1), map->tag.size - sizeof(*map), map->entry_size, 0);
    t = mb2_next(mb, NULL, MB2_RSDP2, sizeof(*t) + RSDP_OLD);
    if (!t) t = mb2_next(mb, NULL, MB2_RSDP, sizeof(*t) + RSDP_OLD);
    if (t) memcpy(&boot.rsdp, t + 1, MIN(t->size - sizeof(*t), sizeof(boot.rsdp)));
}

void boot_parse(uint32_t magic, uint32_t info)
{
    if (magic == MB1_MAGIC)
        parse_mb1((void *)(uintptr_t)info);
    else if (magic == MB2_MAGIC)
        parse_mb2((void *)(uintptr_t)info);
    else
        panic("not started by a Multiboot loader (magic %x)", magic);
    if (!boot.map.count) panic("the boot loader gave no memory map");
}
