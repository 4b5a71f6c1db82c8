/* SPDX-License-Identifier: Apache-2.0 */
/*
 * insula-checkpoint: what its files share.
 *
 * A file of checkpoints is an xl image (xl's header with the guest's
 * configuration, libxl's header, libxc's stream of version 3) in which each
 * checkpoint ends with a CHECKPOINT record: first all pages, then the pages
 * written since the one before, each time followed by the records of the vCPUs
 * and devices.
 */
#ifndef CHECKPOINT_H
#define CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Records of libxc's stream that need a look (docs/specs of Xen). */
enum {
    REC_END = 0,
    REC_PAGE_DATA = 1,
    REC_CHECKPOINT = 0xe,
    REC_STATIC_DATA_END = 0x10,
    MAX_RECORD = 128 << 20, /* what libxenguest takes */
};

struct record {
    uint32_t type, length; /* the body follows, filled up to 8 bytes */
};

#define PADDED(length) (((size_t)(length) + 7) & ~(size_t)7)

/* stream.c */

/* All of it, or false; an end of file is false with errno 0. */
bool read_all(int fd, void *buffer, size_t length);
bool write_all(int fd, const void *buffer, size_t length);

/* Writes what precedes libxc's stream; config: JSON as xl writes it. */
bool write_prefix(int fd, const char *config);
/* Copies that and libxc's two headers from one to the other. */
bool copy_prefix(int from, int to);

/*
 * Writes the last whole checkpoint of `file` to `to`: each page once.
 * plain: as an ordinary image that `xl restore` takes; otherwise as the first
 * checkpoint of a file.  The number of pages, or -1 after a message.
 */
long fold(const char *file, int to, bool plain);

/* sink.c: takes a stream in and keeps it */

struct progress {
    unsigned int checkpoints; /* whole ones             */
    uint64_t bytes, pages;    /* of the last            */
    bool ended;               /* no more is taken in    */
};

/*
 * Opens the target: a file (which is folded when old pages fill a third of
 * it), "-" for standard output, or HOST:PORT.  False after a message.
 */
bool sink_open(const char *target);
/* Takes a stream from fd until it ends. */
void sink_run(int fd);
/* Waits until `checkpoints` are whole, or all has ended. */
struct progress sink_wait(unsigned int checkpoints);

/* save.c */
int save(const char *domain, unsigned int interval_ms, unsigned int count, const char *target);
int resume(const char *domain);

#endif
