// SPDX-License-Identifier: Apache-2.0
/*
 * The format of the file: prefix, and folding to one page per frame.
 */
#include "checkpoint.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE    4096
#define MAX_GFN (1ULL << 28) /* 1 TiB */
#define TAILS   32

bool read_all(int fd, void *buffer, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t n = read(fd, (char *)buffer + done, length - done);

        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = 0;
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

bool write_all(int fd, const void *buffer, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t n = write(fd, (const char *)buffer + done, length - done);

        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        done += (size_t)n;
    }
    return true;
}

/* --- the prefix --- */

/* xl's header (32 bytes of name, byte order, flags, length of what follows: a
 * length and the configuration), libxl's header and its record that says that
 * libxc's stream follows. */
struct xl_header {
    char magic[32];
    uint32_t byte_order, mandatory, optional, length;
};

struct libxl_header {
    uint64_t id;
    uint32_t version, options;
    struct record context;
};

#define XL_MAGIC      "Xen saved domain, xl format\n \0 \r"
#define XL_BYTE_ORDER 0x01020304
#define XL_JSON_V2    3          /* the configuration is JSON, libxl's stream is version 2 */
#define LIBXL_ID      "LibxlFmt" /* in memory's order */
#define LIBXC_HEADERS (24 + 16)  /* of the image, of the domain */
#define MAX_CONFIG    (1U << 20)

bool write_prefix(int fd, const char *config)
{
    struct xl_header xl = {.magic = XL_MAGIC,
                           .byte_order = XL_BYTE_ORDER,
                           .mandatory = XL_JSON_V2,
                           .length = (uint32_t)strlen(config) + 1 + 4};
    uint32_t length = xl.length - 4;
    struct libxl_header libxl = {.version = htobe32(2), .context = {1, 0}};

    memcpy(&libxl.id, LIBXL_ID, sizeof(libxl.id));
    return write_all(fd, &xl, sizeof(xl)) && write_all(fd, &length, sizeof(length)) &&
           write_all(fd, config, length) && write_all(fd, &libxl, sizeof(libxl));
}

static bool good_xl(const struct xl_header *xl)
{
    return !memcmp(xl->magic, XL_MAGIC, sizeof(xl->magic)) && xl->byte_order == XL_BYTE_ORDER &&
           xl->mandatory == XL_JSON_V2 && xl->length <= MAX_CONFIG;
}

bool copy_prefix(int from, int to)
{
    struct xl_header xl;
    size_t rest;
    char *buffer;
    bool good;

    if (!read_all(from, &xl, sizeof(xl)) || !good_xl(&xl)) return false;
    rest = xl.length + sizeof(struct libxl_header) + LIBXC_HEADERS;
    if (!(buffer = malloc(rest))) return false;
    good = read_all(from, buffer, rest) && write_all(to, &xl, sizeof(xl)) &&
           write_all(to, buffer, rest);
    free(buffer);
    return good;
}

/* --- folding --- */

/* A file, and where in it the newest of everything is. */
struct image {
    uint8_t *base;
    size_t size, head; /* head: prefix, headers and records before the first page */
    size_t *page;      /* by gfn: where its bytes are; 0: a hole */
    uint64_t gfns;
    size_t tail[TAILS]; /* the other records of the last whole checkpoint */
    unsigned int tails, checkpoints;
};

static int complain(const char *what)
{
    fprintf(stderr, "insula-checkpoint: %s\n", what);
    return -1;
}

/* The record at `at`; false where the file ends before it does. */
static bool record_at(const struct image *im, size_t at, struct record *r)
{
    if (im->size - at < sizeof(*r)) return false;
    memcpy(r, im->base + at, sizeof(*r));
    return r->length <= MAX_RECORD && PADDED(r->length) <= im->size - at - sizeof(*r);
}

static size_t after(size_t at, const struct record *r)
{
    return at + sizeof(*r) + PADDED(r->length);
}

static bool room_for(struct image *im, uint64_t gfn)
{
    uint64_t gfns = im->gfns ? im->gfns : 1 << 16;
    size_t *page;

    if (gfn >= MAX_GFN) return false;
    if (gfn < im->gfns) return true;
    while (gfns <= gfn) gfns *= 2;
    if (!(page = realloc(im->page, gfns * sizeof(*page)))) return false;
    memset(page + im->gfns, 0, (gfns - im->gfns) * sizeof(*page));
    im->page = page;
    im->gfns = gfns;
    return true;
}

/* Body: u32 count, u32 0, count words of a gfn with its type from bit 60 on,
 * the pages of those whose type is not that of a hole or a broken one. */
static bool take_pages(struct image *im, size_t at, uint32_t length)
{
    uint32_t count;
    size_t data;

    if (length < 8) return false;
    memcpy(&count, im->base + at, sizeof(count));
    if (count > (length - 8) / 8) return false;
    data = 8 + 8 * (size_t)count;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t word, gfn;

        memcpy(&word, im->base + at + 8 + 8 * (size_t)i, sizeof(word));
        gfn = word << 12 >> 12;
        if (word >> 60 == 0xe || !room_for(im, gfn)) return false;
        im->page[gfn] = 0;
        if (word >> 60 >= 0xd) continue;
        if (length - data < PAGE) return false;
        im->page[gfn] = at + data;
        data += PAGE;
    }
    return true;
}

/* One whole checkpoint lies in [at, end). */
static bool take_checkpoint(struct image *im, size_t at, size_t end)
{
    struct record r;

    im->tails = 0;
    for (; at < end && record_at(im, at, &r); at = after(at, &r)) {
        if (r.type == REC_PAGE_DATA) {
            if (!take_pages(im, at + sizeof(r), r.length)) return false;
        } else if (im->tails == TAILS) {
            return false;
        } else {
            im->tail[im->tails++] = at;
        }
    }
    im->checkpoints++;
    return true;
}

static bool scan(struct image *im)
{
    struct xl_header xl;
    struct record r;
    size_t at, start;

    if (im->size < sizeof(xl)) return false;
    memcpy(&xl, im->base, sizeof(xl));
    at = sizeof(xl) + xl.length + sizeof(struct libxl_header) + LIBXC_HEADERS;
    if (!good_xl(&xl) || at > im->size) return false;
    do {
        if (!record_at(im, at, &r) || r.type == REC_PAGE_DATA) return false;
        at = after(at, &r);
    } while (r.type != REC_STATIC_DATA_END);
    im->head = start = at;
    for (; record_at(im, at, &r); at = after(at, &r)) {
        if (r.type != REC_CHECKPOINT) continue;
        if (!take_checkpoint(im, start, at)) return false;
        start = after(at, &r);
    }
    return im->checkpoints > 0;
}

/* Writes the gfns from *next on, as many as a record holds; their number. */
static int write_batch(const struct image *im, int to, uint64_t *next)
{
    enum { BATCH = 512 };
    struct {
        struct record r;
        uint32_t count, zero;
        uint64_t gfn[BATCH];
    } b = {.r.type = REC_PAGE_DATA};

    for (; *next < im->gfns && b.count < BATCH; ++*next)
        if (im->page[*next]) b.gfn[b.count++] = *next;
    if (!b.count) return 0;
    b.r.length = (uint32_t)(8 + b.count * (8ul + PAGE));
    if (!write_all(to, &b, sizeof(b.r) + 8 + 8ul * b.count)) return -1;
    for (uint32_t i = 0; i < b.count; i++)
        if (!write_all(to, im->base + im->page[b.gfn[i]], PAGE)) return -1;
    return (int)b.count;
}

static long write_folded(const struct image *im, int to, bool plain)
{
    static const struct record end[2] = {{REC_END, 0}, {REC_END, 0}}; /* libxc's, libxl's */
    static const struct record checkpoint = {REC_CHECKPOINT, 0};
    uint64_t next = 0;
    long pages = 0;
    struct record r;
    int n;

    if (!write_all(to, im->base, im->head)) return -1;
    while ((n = write_batch(im, to, &next)) > 0) pages += n;
    if (n < 0) return -1;
    for (unsigned int i = 0; i < im->tails; i++) {
        if (!record_at(im, im->tail[i], &r) || !write_all(to, im->base + im->tail[i], after(0, &r)))
            return -1;
    }
    if (plain ? !write_all(to, end, sizeof(end)) : !write_all(to, &checkpoint, sizeof(checkpoint)))
        return -1;
    return pages;
}

long fold(const char *file, int to, bool plain)
{
    struct image im = {0};
    struct stat st;
    long pages = -1;
    int fd = open(file, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st)) {
        perror(file);
    } else {
        im.size = (size_t)st.st_size;
        im.base = mmap(NULL, im.size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (im.base == MAP_FAILED)
            complain("the file cannot be mapped");
        else if (!scan(&im))
            complain("the file holds no whole checkpoint");
        else if ((pages = write_folded(&im, to, plain)) < 0)
            complain("writing failed");
        if (im.base != MAP_FAILED) munmap(im.base, im.size);
    }
    if (fd >= 0) close(fd);
    free(im.page);
    return pages;
}
