/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the loader share. The loader runs inside dom0, in guest
 * mode and long mode, with the first 4 GiB mapped one to one: a physical
 * address is a pointer. It has one CPU, no interrupts and no locks.
 */
#ifndef LOADER_H
#define LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/arch-x86/hvm/start_info.h>

#define PAGE_SIZE 0x1000ULL
#define LIMIT_4G  0x100000000ULL
#define PRINTF(n) __attribute__((format(printf, n, (n) + 1)))
#define MUST_USE  __attribute__((warn_unused_result))

struct bytes {
    const uint8_t *data;
    uint64_t size;
};

/* Physical addresses, end exclusive. */
struct range {
    uint64_t start;
    uint64_t end;
};

static inline void *phys(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

static inline bool overlaps(struct range a, struct range b)
{
    return a.start < b.end && b.start < a.end;
}

/* Is [offset, offset + size) inside the bytes? Safe against overflow. */
static inline bool inside(struct bytes b, uint64_t offset, uint64_t size)
{
    return offset <= b.size && size <= b.size - offset;
}

static inline void outb(uint16_t port, uint8_t value)
{
    asm volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t value;

    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/*
 * text.c: makes text with %s, %c, %u, %lu, %x, %lx (width and zeros as in
 * %02x) and returns its length; cuts what does not fit.
 */
size_t text_format(char *to, size_t room, const char *format, ...) PRINTF(3);

/* Formats into the one error buffer and returns it. */
const char *error(const char *format, ...) PRINTF(1);

/* memory.c: dom0's memory below 4 GiB and what in it must not be touched. */
#define MAX_KEEP 48

struct keep {
    struct range range;
    const char *name;
};

struct memory {
    const struct hvm_memmap_table_entry *map;
    uint32_t entries;
    unsigned int nr_keep;
    struct keep keep[MAX_KEEP];
};

/* Adds a range to be kept; an error if it is not below 4 GiB. */
const char *memory_keep(struct memory *m, const char *name, uint64_t start, uint64_t size) MUST_USE;

/* Is all of the range RAM? */
bool memory_is_ram(const struct memory *m, struct range r);

/* The name of the first kept thing that the range would hit, or NULL. */
const char *memory_clash(const struct memory *m, struct range r);

/* The highest free pages that hold size bytes, or 0 if there are none. */
uint64_t memory_room(const struct memory *m, uint64_t size);

/* The largest free range of pages; may be empty. */
struct range memory_largest(const struct memory *m);

/* image.c: finds its way in kernel images; all input is hostile. */

/* Finds the compressed payload; an error if the image is cut off or old. */
const char *bzimage_payload(struct bytes image, struct bytes *payload) MUST_USE;
bool is_bzimage(struct bytes image);
bool is_elf(struct bytes image);

struct elf {
    struct bytes file;
    uint64_t headers; /* offset of the program headers */
    unsigned int nr_headers;
    bool is64;
    uint32_t entry; /* physical address of the PVH entry */
};

struct segment {
    uint32_t type;
    uint64_t offset;
    uint64_t file_size;
    uint64_t memory_size;
    uint64_t align;
    struct range to; /* physical */
};

/* Program header i, as it stands in the file: not checked. */
struct segment elf_segment(const struct elf *elf, unsigned int i);

/*
 * Checks all headers and segments and finds the PVH entry; after it, every
 * PT_LOAD lies inside the file and its target below 4 GiB.
 */
const char *elf_open(struct bytes file, struct elf *elf) MUST_USE;

/* unpack.c: the decompressors. */
struct packing;

/* How the bytes are packed, by their first bytes; NULL if unknown. */
const struct packing *packing_of(struct bytes packed);
const char *packing_name(const struct packing *p);
bool packing_is_gzip(const struct packing *p);

/* Size after unpacking: what the last four bytes claim. */
uint32_t unpacked_size(struct bytes packed);

/* Unpacks to out, which must come to exactly size bytes; uses malloc(). */
const char *unpack(const struct packing *p, struct bytes packed, uint8_t *out,
                   uint32_t size) MUST_USE;

/* load.c */
struct loaded {
    uint32_t entry;
    uint64_t size;      /* of the unpacked file */
    const char *packed; /* name of the packing, or NULL */
};

/*
 * Unpacks and places the kernel that is the first module and takes it off the
 * list of modules. self is the loader's own memory. Returns an error or NULL;
 * after an error the start info is as it was.
 */
const char *load_kernel(struct hvm_start_info *info, struct range self,
                        struct loaded *loaded) MUST_USE;

/*
 * acpi.c: dom0's tables, made of the machine's, whose RSDP is at the area's
 * start and is replaced by dom0's. Returns an error or NULL.
 */
const char *acpi_build(struct range area, unsigned int vcpus) MUST_USE;

/* clock.c: the real-time clock. */
uint64_t clock_seconds(void);
uint64_t days_since_1970(unsigned int year, unsigned int month, unsigned int day);

/* libc.c: the memory that malloc() gives out. Forgets what it gave before. */
void arena_set(struct range r);

/* hyper.c */
void hyper_init(void);
unsigned int vcpu_count(void);
/* Says what time it is now, in seconds since 1970. */
void set_wallclock(uint64_t seconds);
void console_write(const char *text, size_t length);
_Noreturn void crash(void);

#endif
