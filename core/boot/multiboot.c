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

struct boot_info boot;
char cmdline[1024];
static char rsdp[36]; /* a copy: Multiboot 2 gives the structure itself */

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

struct mb1_mmap {
    uint32_t size; /* of the rest */
    uint64_t addr, length;
    uint32_t type;
} packed;

struct mb2_tag {
    uint32_t type, size;
};

struct mb2_module {
    struct mb2_tag tag;
    uint32_t start, end;
    char string[];
};

struct mb2_mmap {
    struct mb2_tag tag;
    uint32_t entry_size, version;
    char entries[];
};

/* Old boot loaders put the file's name before the arguments (abi.md 1.1). */
static const char *arguments(const char *line)
{
    while (*line == ' ') line++;
    if (!strncmp(boot.loader, "GRUB 2", 6)) return line;
    while (*line && *line != ' ') line++;
    while (*line == ' ') line++;
    return line;
}

static void add_memory(uint64_t addr, uint64_t size, uint32_t type)
{
    if (boot.map.count == E820_MAX) panic("the memory map has more than %u entries", E820_MAX);
    boot.map.entry[boot.map.count++] = (struct e820_entry){addr, size, type};
}

static void add_module(uint64_t start, uint64_t end, const char *line)
{
    struct boot_module *m = &boot.module[boot.modules];

    if (boot.modules == MAX_MODULES) {
        log_warn("more than %u modules; the rest is ignored", MAX_MODULES);
        return;
    }
    m->start = start;
    m->size = end - start;
    copy_string(m->args, arguments(line), sizeof(m->args));
    boot.modules++;
}

static void parse_mb1(const struct mb1_info *mb)
{
    const struct mb1_module *m = (void *)(uintptr_t)mb->mods_addr;
    uintptr_t at = mb->mmap_addr, end = at + mb->mmap_length;

    if (mb->flags & BIT(9))
        copy_string(boot.loader, (char *)(uintptr_t)mb->boot_loader_name, sizeof(boot.loader));
    if (mb->flags & BIT(2))
        copy_string(cmdline, arguments((char *)(uintptr_t)mb->cmdline), sizeof(cmdline));
    if (!(mb->flags & BIT(6))) panic("the boot loader gave no memory map");
    while (at < end) {
        const struct mb1_mmap *e = (void *)at;

        add_memory(e->addr, e->length, e->type);
        at += e->size + 4;
    }
    for (uint32_t i = 0; mb->flags & BIT(3) && i < mb->mods_count; i++)
        add_module(m[i].start, m[i].end, (char *)(uintptr_t)m[i].string);
}

static void parse_mb2_mmap(const struct mb2_mmap *m)
{
    for (uint32_t at = sizeof(*m); at + 20 <= m->tag.size && m->entry_size; at += m->entry_size) {
        const struct e820_entry *e = (void *)((char *)m + at);

        add_memory(e->addr, e->size, e->type);
    }
}

static void parse_mb2(uintptr_t info)
{
    const struct mb2_tag *t;
    uintptr_t end = info + *(uint32_t *)info;

    /* The loader's name decides how lines are read: find it first. */
    for (unsigned int pass = 0; pass < 2; pass++) {
        for (uintptr_t at = info + 8; at < end; at += ROUND_UP(t->size, 8ul)) {
            t = (void *)at;
            if (t->type == 0 || t->size < 8) break;
            if (pass == 0) {
                if (t->type == 2) copy_string(boot.loader, (char *)(t + 1), sizeof(boot.loader));
            } else if (t->type == 1) {
                copy_string(cmdline, arguments((char *)(t + 1)), sizeof(cmdline));
            } else if (t->type == 3) {
                const struct mb2_module *m = (void *)t;

                add_module(m->start, m->end, m->string);
            } else if (t->type == 6) {
                parse_mb2_mmap((void *)t);
            } else if (t->type == 14 || t->type == 15) {
                memcpy(rsdp, t + 1, MIN(t->size - sizeof(*t), sizeof(rsdp)));
                boot.rsdp = (uintptr_t)rsdp;
            }
        }
    }
}

/* By address; firmware may list them in any order. */
static void sort_map(void)
{
    struct e820_entry *e = boot.map.entry;

    for (unsigned int i = 1; i < boot.map.count; i++)
        for (unsigned int k = i; k > 0 && e[k - 1].addr > e[k].addr; k--) {
            struct e820_entry t = e[k];

            e[k] = e[k - 1];
            e[k - 1] = t;
        }
}

void boot_parse(uint32_t magic, uint32_t info)
{
    if (magic == MB1_MAGIC)
        parse_mb1((void *)(uintptr_t)info);
    else if (magic == MB2_MAGIC)
        parse_mb2(info);
    else
        panic("not started by a Multiboot loader (magic %x)", magic);
    if (!boot.map.count) panic("the boot loader gave no memory map");
    sort_map();
}
