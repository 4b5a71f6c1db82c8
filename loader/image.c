/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the knowledge of kernel file formats: the bzImage header (Linux
 * Documentation/arch/x86/boot.rst), ELF and its notes (ELF gABI, chapters 4
 * and 5). Every offset and length in the file is checked before it is used.
 */
#include <elf.h>
#include <string.h>
#include <xen/elfnote.h>
#include "loader.h"

/* Offsets in a bzImage. */
#define BZ_SETUP_SECTS    0x1f1
#define BZ_BOOT_FLAG      0x1fe
#define BZ_HEADER         0x202
#define BZ_VERSION        0x206
#define BZ_PAYLOAD_OFFSET 0x248
#define BZ_PAYLOAD_LENGTH 0x24c
#define BZ_SIZE           0x250

static uint32_t get32(struct bytes b, uint64_t offset)
{
    uint32_t v;

    memcpy(&v, b.data + offset, sizeof(v));
    return v;
}

static uint16_t get16(struct bytes b, uint64_t offset)
{
    uint16_t v;

    memcpy(&v, b.data + offset, sizeof(v));
    return v;
}

bool is_bzimage(struct bytes image)
{
    return image.size >= BZ_SIZE && get16(image, BZ_BOOT_FLAG) == 0xaa55 &&
           !memcmp(image.data + BZ_HEADER, "HdrS", 4);
}

const char *bzimage_payload(struct bytes image, struct bytes *payload)
{
    uint64_t sectors = image.data[BZ_SETUP_SECTS];
    uint64_t offset, length;

    if (get16(image, BZ_VERSION) < 0x208)
        return error("dom0 kernel: boot protocol %x.%02x is too old (2.08 is needed)",
                     image.data[BZ_VERSION + 1], image.data[BZ_VERSION]);
    if (!sectors) sectors = 4;
    offset = (sectors + 1) * 512 + get32(image, BZ_PAYLOAD_OFFSET);
    length = get32(image, BZ_PAYLOAD_LENGTH);
    if (!inside(image, offset, length))
        return error("dom0 kernel: the image is cut off (%lu bytes, %lu needed)", image.size,
                     offset + length);
    *payload = (struct bytes){image.data + offset, length};
    return NULL;
}

bool is_elf(struct bytes image)
{
    return image.size >= SELFMAG && !memcmp(image.data, ELFMAG, SELFMAG);
}

struct segment elf_segment(const struct elf *elf, unsigned int i)
{
    struct segment s;

    if (elf->is64) {
        Elf64_Phdr p;

        memcpy(&p, elf->file.data + elf->headers + i * sizeof(p), sizeof(p));
        s = (struct segment){p.p_type,  p.p_offset, p.p_filesz,
                             p.p_memsz, p.p_align,  {p.p_paddr, 0}};
    } else {
        Elf32_Phdr p;

        memcpy(&p, elf->file.data + elf->headers + i * sizeof(p), sizeof(p));
        s = (struct segment){p.p_type,  p.p_offset, p.p_filesz,
                             p.p_memsz, p.p_align,  {p.p_paddr, 0}};
    }
    s.to.end = s.to.start + s.memory_size;
    return s;
}

/* Takes over the ELF header, of either class. */
static const char *read_header(struct elf *elf)
{
    const uint8_t *ident = elf->file.data;
    unsigned int machine, entry_size, want;

    if (elf->file.size < sizeof(Elf64_Ehdr)) return error("dom0 kernel: the ELF file is cut off");
    elf->is64 = ident[EI_CLASS] == ELFCLASS64;
    if ((!elf->is64 && ident[EI_CLASS] != ELFCLASS32) || ident[EI_DATA] != ELFDATA2LSB)
        return error("dom0 kernel: the ELF file is of an unknown class");
    if (elf->is64) {
        Elf64_Ehdr h;

        memcpy(&h, ident, sizeof(h));
        machine = h.e_machine;
        elf->headers = h.e_phoff;
        elf->nr_headers = h.e_phnum;
        entry_size = h.e_phentsize;
        want = sizeof(Elf64_Phdr);
    } else {
        Elf32_Ehdr h;

        memcpy(&h, ident, sizeof(h));
        machine = h.e_machine;
        elf->headers = h.e_phoff;
        elf->nr_headers = h.e_phnum;
        entry_size = h.e_phentsize;
        want = sizeof(Elf32_Phdr);
    }
    if (machine != EM_X86_64 && machine != EM_386)
        return error("dom0 kernel: the ELF file is for another processor (%u)", machine);
    if (entry_size != want || !elf->nr_headers ||
        !inside(elf->file, elf->headers, (uint64_t)elf->nr_headers * want))
        return error("dom0 kernel: the ELF program headers are broken");
    return NULL;
}

/* Looks for the PVH entry among the notes; the last one counts. */
static bool find_entry(const struct elf *elf, const struct segment *s, uint64_t *entry)
{
    struct bytes notes = {elf->file.data + s->offset, s->file_size};
    uint64_t mask = s->align == 8 ? 7 : 3;
    uint64_t at = 0;
    bool found = false;

    while (inside(notes, at, sizeof(Elf32_Nhdr))) {
        uint64_t name_size = get32(notes, at);
        uint64_t value_size = get32(notes, at + 4);
        uint32_t type = get32(notes, at + 8);
        uint64_t name = at + sizeof(Elf32_Nhdr);
        uint64_t value = (name + name_size + mask) & ~mask;

        if (!inside(notes, name, name_size) || !inside(notes, value, value_size)) break;
        if (type == XEN_ELFNOTE_PHYS32_ENTRY && name_size == 4 &&
            !memcmp(notes.data + name, "Xen", 4) && (value_size == 4 || value_size == 8)) {
            *entry = 0;
            memcpy(entry, notes.data + value, value_size);
            found = true;
        }
        at = (value + value_size + mask) & ~mask;
    }
    return found;
}

/* Does the entry point at bytes that the file brings? */
static bool entry_is_loaded(const struct elf *elf, uint64_t entry)
{
    for (unsigned int i = 0; i < elf->nr_headers; i++) {
        struct segment s = elf_segment(elf, i);

        if (s.type == PT_LOAD && entry >= s.to.start && entry - s.to.start < s.file_size)
            return true;
    }
    return false;
}

const char *elf_open(struct bytes file, struct elf *elf)
{
    const char *why;
    uint64_t entry = 0;
    bool found = false;

    elf->file = file;
    why = read_header(elf);
    if (why) return why;

    for (unsigned int i = 0; i < elf->nr_headers; i++) {
        struct segment s = elf_segment(elf, i);

        if (s.type != PT_LOAD && s.type != PT_NOTE) continue;
        if (!inside(file, s.offset, s.file_size))
            return error("dom0 kernel: the ELF file is cut off (segment %u)", i);
        if (s.type == PT_NOTE) {
            found |= find_entry(elf, &s, &entry);
            continue;
        }
        if (s.file_size > s.memory_size || s.to.start >= LIMIT_4G ||
            s.memory_size > LIMIT_4G - s.to.start)
            return error("dom0 kernel: ELF segment %u does not fit below 4 GiB", i);
    }
    if (!found)
        return error("dom0 kernel has no PVH entry (Xen note 18); "
                     "use a kernel built with CONFIG_PVH");
    if (!entry_is_loaded(elf, entry))
        return error("dom0 kernel: the PVH entry 0x%lx is outside the kernel", entry);
    elf->entry = entry;
    return NULL;
}
