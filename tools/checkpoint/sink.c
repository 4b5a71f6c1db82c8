// SPDX-License-Identifier: Apache-2.0
/*
 * Takes a stream of checkpoints in, record by record, and keeps it in a file
 * or sends it on.
 */
#include "checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <unistd.h>

static int out = -1;
static const char *path;      /* 0: not a file            */
static uint64_t size, folded; /* of the file; after it was folded the last time */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards `state` */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct progress state;

static int dial(const char *target)
{
    struct addrinfo *list, hints = {.ai_socktype = SOCK_STREAM};
    char host[256];
    const char *colon = strrchr(target, ':');
    int fd = -1;

    if ((size_t)(colon - target) >= sizeof(host)) return -1;
    memcpy(host, target, (size_t)(colon - target));
    host[colon - target] = 0;
    if (getaddrinfo(host, colon + 1, &hints, &list)) return -1;
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen)) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    return fd;
}

bool sink_open(const char *target)
{
    errno = 0;
    if (!strcmp(target, "-")) {
        out = dup(STDOUT_FILENO);
    } else if (!strchr(target, '/') && strchr(target, ':')) {
        out = dial(target);
    } else {
        path = target;
        out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    }
    if (out >= 0) return true;
    fprintf(stderr, "insula-checkpoint: %s: %s\n", target,
            errno ? strerror(errno) : "cannot be reached");
    return false;
}

/* The file's old pages go: a new file takes its place, whole from the start. */
static bool refold(void)
{
    char name[4096];
    int fd;

    if ((size_t)snprintf(name, sizeof(name), "%s.new", path) >= sizeof(name)) return false;
    fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || fold(path, fd, false) < 0 || fsync(fd) || rename(name, path)) {
        if (fd >= 0) close(fd);
        unlink(name);
        return false;
    }
    close(out);
    out = fd;
    size = folded = (uint64_t)lseek(fd, 0, SEEK_END);
    return true;
}

/* A checkpoint is whole: it is on the disk before it counts. */
static bool whole(struct progress *now)
{
    if (path && fsync(out) && errno != EINVAL) return false;
    if (path && !folded) folded = size;
    if (path && size > folded + folded / 2 + (8 << 20) && !refold()) return false;
    pthread_mutex_lock(&lock);
    now->checkpoints++;
    state = *now;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    now->bytes = now->pages = 0;
    return true;
}

static bool take(int fd, struct progress *now)
{
    static uint8_t *buffer;
    static size_t room;
    struct record r;
    size_t length;

    if (!read_all(fd, &r, sizeof(r)) || r.length > MAX_RECORD) return false;
    length = sizeof(r) + PADDED(r.length);
    if (length > room) {
        free(buffer);
        buffer = malloc(length);
        room = buffer ? length : 0;
    }
    if (!buffer) return false;
    memcpy(buffer, &r, sizeof(r));
    if (!read_all(fd, buffer + sizeof(r), length - sizeof(r))) return false;
    if (!write_all(out, buffer, length)) {
        perror("insula-checkpoint: writing");
        return false;
    }
    size += length;
    now->bytes += length;
    if (r.type == REC_PAGE_DATA && r.length >= 8) {
        uint64_t count = *(uint32_t *)(void *)(buffer + sizeof(r));

        now->pages += (r.length - 8 - MIN(8 * count, r.length - 8)) / 4096; /* holes have none */
    }
    return r.type != REC_CHECKPOINT || whole(now);
}

void sink_run(int fd)
{
    struct progress now = {0};

    if (copy_prefix(fd, out))
        while (take(fd, &now)) {
        }
    close(fd); /* who writes must not wait for ever */
    pthread_mutex_lock(&lock);
    state.ended = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

struct progress sink_wait(unsigned int checkpoints)
{
    struct progress now;

    pthread_mutex_lock(&lock);
    while (state.checkpoints < checkpoints && !state.ended) pthread_cond_wait(&changed, &lock);
    now = state;
    pthread_mutex_unlock(&lock);
    return now;
}
