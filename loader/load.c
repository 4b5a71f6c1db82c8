/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the way of dom0's kernel from the module that the boot loader brought
 * to the place where its ELF headers want it. The map of memory and the start
 * info come from the core and are believed; the kernel image is not.
 */
#include <elf.h>
#include <string.h>
#include "loader.h"

#define MAX_MODULES 16
#define MAX_CMDLINE 0x10000

static const char *keep_string(struct memory *m, uint64_t address)
{
    if (!address) return NULL;
    if (address > LIMIT_4G - MAX_CMDLINE) return error("the command line is not below 4 GiB");
    return memory_keep(m, "command line", address, strnlen(phys(address), MAX_CMDLINE) + 1);
}

/* Notes everything that the kernel must still find after it was placed. */
static const char *keep_boot_data(struct memory *m, struct range self,
                                  const struct hvm_start_info *info)
{
    const struct hvm_modlist_entry *modules = phys(info->modlist_paddr);
    const struct {
        const char *name;
        uint64_t start;
        uint64_t size;
    } fixed[] = {
        {"loader", self.start, self.end - self.start},
        {"start info", (uintptr_t)info, sizeof(*info)},
        {"list of modules", info->modlist_paddr, info->nr_modules * sizeof(*modules)},
        {"memory map", info->memmap_paddr, info->memmap_entries * sizeof(*m->map)},
        {"ACPI root pointer", info->rsdp_paddr, info->rsdp_paddr ? 36 : 0},
    };
    const char *why = keep_string(m, info->cmdline_paddr);

    for (size_t i = 0; !why && i < sizeof(fixed) / sizeof(fixed[0]); i++)
        why = memory_keep(m, fixed[i].name, fixed[i].start, fixed[i].size);
    for (uint32_t i = 1; !why && i < info->nr_modules; i++) {
        why = memory_keep(m, i == 1 ? "initrd" : "module", modules[i].paddr, modules[i].size);
        if (!why) why = keep_string(m, modules[i].cmdline_paddr);
    }
    return why;
}

/* Unpacks into free memory; file is what to unpack, and then the result. */
static const char *unpack_to_room(struct memory *m, const struct packing *p, struct bytes *file)
{
    uint32_t size = unpacked_size(*file);
    uint64_t room = memory_room(m, size);
    const char *why;

    if (!size) return error("dom0 kernel: %s data is corrupt", packing_name(p));
    if (!room)
        return error("dom0 kernel: no room for %lu MiB of unpacked kernel; "
                     "raise dom0_mem",
                     ((uint64_t)size >> 20) + 1);
    why = memory_keep(m, "unpacked kernel", room, size);
    if (why) return why;
    arena_set(memory_largest(m));
    why = unpack(p, *file, phys(room), size);
    *file = (struct bytes){phys(room), size};
    return why;
}

/*
 * Unwraps the file until it is ELF: a whole file in gzip, then a bzImage, then
 * its payload. Any of the three may be missing.
 */
static const char *unwrap(struct memory *m, struct bytes *file, const char **packed)
{
    const struct packing *p = packing_of(*file);
    const char *why = NULL;

    if (p && packing_is_gzip(p)) {
        *packed = packing_name(p);
        why = unpack_to_room(m, p, file);
    }
    if (why || is_elf(*file)) return why;
    if (!is_bzimage(*file)) return error("dom0 kernel is neither a bzImage nor ELF");
    why = bzimage_payload(*file, file);
    if (why || is_elf(*file)) return why;
    p = packing_of(*file);
    if (!p && file->size < 4) return error("dom0 kernel: the payload is empty");
    if (!p)
        return error("dom0 kernel: unknown compression (magic %02x %02x %02x %02x); "
                     "gzip, xz, zstd and lz4 are known",
                     file->data[0], file->data[1], file->data[2], file->data[3]);
    *packed = packing_name(p);
    why = unpack_to_room(m, p, file);
    if (!why && !is_elf(*file)) why = error("dom0 kernel: the payload is not ELF");
    return why;
}

/* Segment i is one to be placed: copies it out. */
static bool to_place(const struct elf *elf, unsigned int i, struct segment *s)
{
    *s = elf_segment(elf, i);
    return s->type == PT_LOAD && s->memory_size;
}

/* Are all targets RAM that nobody needs? */
static const char *check_targets(const struct memory *m, const struct elf *elf)
{
    struct segment s;

    for (unsigned int i = 0; i < elf->nr_headers; i++) {
        const char *victim;

        if (!to_place(elf, i, &s)) continue;
        if (!memory_is_ram(m, s.to))
            return error("dom0 kernel: its place 0x%lx-0x%lx is not RAM", s.to.start, s.to.end);
        victim = memory_clash(m, s.to);
        if (victim)
            return error("dom0 kernel: its place 0x%lx-0x%lx holds the %s", s.to.start, s.to.end,
                         victim);
    }
    return NULL;
}

/* Moves the file away if a segment's place covers some of it. */
static const char *clear_targets(struct memory *m, struct elf *elf)
{
    uint64_t from = (uintptr_t)elf->file.data, room;
    struct range file = {from, from + elf->file.size};
    const char *why = NULL;
    bool covered = false;
    struct segment s;

    for (unsigned int i = 0; i < elf->nr_headers; i++)
        covered |= to_place(elf, i, &s) && overlaps(file, s.to);
    if (!covered) return NULL;
    for (unsigned int i = 0; !why && i < elf->nr_headers; i++)
        if (to_place(elf, i, &s)) why = memory_keep(m, "kernel", s.to.start, s.memory_size);
    if (why) return why;
    room = memory_room(m, elf->file.size);
    if (!room)
        return error("dom0 kernel: no room beside the kernel's place; "
                     "raise dom0_mem");
    memmove(phys(room), elf->file.data, elf->file.size);
    elf->file.data = phys(room);
    return NULL;
}

/* Cannot fail: everything was checked. */
static void place_segments(const struct elf *elf)
{
    struct segment s;

    for (unsigned int i = 0; i < elf->nr_headers; i++) {
        uint8_t *to;

        if (!to_place(elf, i, &s)) continue;
        to = phys(s.to.start);
        memcpy(to, elf->file.data + s.offset, s.file_size);
        memset(to + s.file_size, 0, s.memory_size - s.file_size);
    }
}

const char *load_kernel(struct hvm_start_info *info, struct range self, struct loaded *loaded)
{
    struct memory m = {phys(info->memmap_paddr), info->memmap_entries, 0, {}};
    const struct hvm_modlist_entry *module = phys(info->modlist_paddr);
    unsigned int nr_lasting;
    struct bytes file;
    struct elf elf;
    const char *why;

    *loaded = (struct loaded){0};
    if (!info->nr_modules) return error("dom0 kernel is missing: give it as the first module");
    if (info->nr_modules > MAX_MODULES) return error("too many modules (%u)", info->nr_modules);
    why = keep_boot_data(&m, self, info);
    if (why) return why;

    nr_lasting = m.nr_keep;
    why = memory_keep(&m, "kernel module", module->paddr, module->size);
    if (why) return why;
    file = (struct bytes){phys(module->paddr), module->size};
    why = unwrap(&m, &file, &loaded->packed);
    if (!why) why = elf_open(file, &elf);
    if (why) return why;

    m.nr_keep = nr_lasting; /* what is left is the ELF file alone */
    why = check_targets(&m, &elf);
    if (!why) why = clear_targets(&m, &elf);
    if (why) return why;
    place_segments(&elf);
    info->modlist_paddr += sizeof(*module);
    info->nr_modules--;
    loaded->entry = elf.entry;
    loaded->size = elf.file.size;
    return NULL;
}
