// SPDX-License-Identifier: Apache-2.0
/*
 * Restores mutated streams of a saved guest, each in a new domain and by a
 * process of its own (libxenguest may fall), then destroys the domain and looks
 * whether all memory is back.
 *
 * usage: mutate_streams IMAGE SEED FIRST COUNT
 *
 * IMAGE is what `xl save` wrote; all but a few of its pages are left out.
 * Stream FIRST + n depends on SEED and its number only.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xenctrl.h>
#include <xenguest.h>

enum {
    XL_HEADER = 48,     /* the last word of it: the length of what follows */
    LIBXL_HEADERS = 24, /* its header and the record that says: libxc's stream */
    XC_HEADERS = 40,
    REC_END = 0,
    REC_PAGE_DATA = 1,
    REC_HVM_CONTEXT = 9,
    REC_LAST = 0x12,
    MAX_RECORDS = 64,
    LOW_PAGES = 24,       /* these are kept, and the special ones: */
    HIGH_PAGES = 0xf0000, /* from this frame on */
    PAGE = 4096,
    SECONDS = 20, /* for one restore */
    VCPUS = 2,
};

struct record {
    uint32_t type, length; /* as the stream says */
    uint8_t *body;
    size_t size; /* of the body in truth, filled up to 8 bytes */
};

static uint8_t headers[XC_HEADERS];
static struct record records[MAX_RECORDS];
static unsigned int count;
static uint64_t state; /* of the random numbers */
static xc_interface *xch;

static void die(const char *what)
{
    fprintf(stderr, "mutate_streams: %s\n", what);
    exit(2);
}

/* --- random numbers (splitmix64) --- */

static uint64_t any(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint64_t below(uint64_t n)
{
    return n ? any() % n : 0;
}

/* One that may matter, made from what was there. */
static uint64_t telling(uint64_t old)
{
    switch (below(8)) {
    case 0: return 0;
    case 1: return ~0ULL;
    case 2: return old + 1;
    case 3: return old - 1;
    case 4: return 1ULL << below(64);
    case 5: return any();
    default: return old ^ 1ULL << below(64);
    }
}

/* --- the base --- */

/* Of a record of pages those that are kept: the number of pages and 0, a word for
 * each (frame, type from bit 60 on), then those that have content. */
static void keep_few(struct record *r, unsigned int *low)
{
    uint64_t word;
    uint32_t n, kept = 0;
    uint8_t *out = malloc(r->size), *page;

    memcpy(&n, r->body, sizeof(n));
    page = r->body + 8 + 8 * (size_t)n;
    for (int pass = 0; pass < 2; pass++) {
        uint32_t k = 0;
        unsigned int room = LOW_PAGES - *low;

        for (uint32_t i = 0; i < n; i++) {
            memcpy(&word, r->body + 8 + 8 * (size_t)i, sizeof(word));
            bool content = word >> 60 < 0xd;
            bool keep = content && ((word << 12 >> 12) >= HIGH_PAGES || room > 0);

            if (keep && (word << 12 >> 12) < HIGH_PAGES) room--;
            if (keep && pass == 0) memcpy(out + 8 + 8 * (size_t)kept++, &word, sizeof(word));
            if (keep && pass == 1)
                memcpy(out + 8 + 8 * (size_t)kept + PAGE * (size_t)k++, page, PAGE);
            if (pass == 1 && content) page += PAGE;
        }
        if (pass == 1) *low = LOW_PAGES - room;
    }
    memcpy(out, &(uint64_t){kept}, 8);
    r->size = r->length = 8 + kept * (8 + PAGE);
    r->body = out;
    if (!kept) count--; /* r is the last one */
}

static void load(const char *file)
{
    FILE *f = fopen(file, "rb");
    uint8_t xl[XL_HEADER];
    uint32_t skip;
    unsigned int low = 0;

    if (!f || fread(xl, sizeof(xl), 1, f) != 1) die("no image");
    memcpy(&skip, xl + XL_HEADER - 4, sizeof(skip));
    if (fseek(f, skip + LIBXL_HEADERS, SEEK_CUR) || fread(headers, sizeof(headers), 1, f) != 1)
        die("no stream in the image");
    for (struct record *r = records; count < MAX_RECORDS; r = &records[count]) {
        if (fread(r, 8, 1, f) != 1) die("the image ends too early");
        r->size = (r->length + 7UL) & ~7UL;
        r->body = malloc(r->size + 1);
        if (r->size && fread(r->body, r->size, 1, f) != 1) die("the image ends too early");
        count++;
        if (r->type == REC_END) break;
        if (r->type == REC_PAGE_DATA) {
            uint8_t *whole = r->body;

            keep_few(r, &low);
            free(whole);
        }
    }
    fclose(f);
    if (!low || records[count - 1].type != REC_END) die("not the image of a small guest");
}

/* --- mutations --- */

static void change_word(uint8_t *at, size_t size)
{
    size_t bytes = 1UL << below(4), offset = size >= bytes ? below(size / bytes) * bytes : 0;
    uint64_t word = 0;

    if (size < bytes) return;
    memcpy(&word, at + offset, bytes);
    word = telling(word);
    memcpy(at + offset, &word, bytes);
}

/* Takes `old` bytes at `at` out of the body and puts `new` ones there. */
static void splice(struct record *r, size_t at, size_t old, const uint8_t *bytes, size_t new)
{
    uint8_t *body = calloc(1, r->size + new + 8);
    size_t size = r->size - old + new;

    memcpy(body, r->body, at);
    if (new) memcpy(body + at, bytes, new);
    memcpy(body + at + new, r->body + at + old, r->size - at - old);
    r->body = body;
    r->length = (uint32_t)size;
    r->size = (size + 7) & ~7UL;
}

/* A record of the context: type and instance (16 bits each), length, body. */
static void change_context(struct record *r)
{
    struct {
        uint16_t type, instance;
        uint32_t length;
    } d;
    size_t at[MAX_RECORDS], n = 0;
    uint8_t *copy;

    for (size_t next = 0; next + sizeof(d) <= r->length && n < MAX_RECORDS; n++) {
        at[n] = next;
        memcpy(&d, r->body + next, sizeof(d));
        if (d.length > r->length - next - sizeof(d)) break;
        next += sizeof(d) + d.length;
    }
    if (!n) return;
    n = at[below(n)];
    memcpy(&d, r->body + n, sizeof(d));
    if (d.length > r->length - n - sizeof(d)) d.length = (uint32_t)(r->length - n - sizeof(d));
    switch (below(10)) {
    case 0: splice(r, n, sizeof(d) + d.length, NULL, 0); return;
    case 1:
        copy = malloc(sizeof(d) + d.length);
        memcpy(copy, r->body + n, sizeof(d) + d.length);
        splice(r, n, 0, copy, sizeof(d) + d.length);
        return;
    case 2: change_word(r->body + n, sizeof(d)); return;
    case 3: splice(r, n + sizeof(d), below(d.length), NULL, 0); return;
    default: change_word(r->body + n + sizeof(d), d.length);
    }
}

static void mutate(void)
{
    struct record *r = &records[below(count)], copy = *r, *other = &records[below(count)];
    unsigned int i = (unsigned int)(r - records);
    uint32_t pages;

    /* Half of all: what the core gets to see, in a whole stream. */
    if (below(2))
        while (r->type <= REC_PAGE_DATA) r = &records[below(count)];
    else
        switch (below(6)) {
        case 0: /* dropped */ memmove(r, r + 1, (--count - i) * sizeof(*r)); return;
        case 1: /* doubled */
            if (count == MAX_RECORDS) return;
            memmove(r + 1, r, (count++ - i) * sizeof(*r));
            return;
        case 2: /* in another place */
            *r = *other;
            *other = copy;
            return;
        case 3: /* shorter or longer, with or without its header saying so */
            r->length = below(2) ? (uint32_t)telling(r->length) : (uint32_t)below(r->length + 1);
            if (below(2)) r->size = r->length < copy.size ? (r->length + 7UL) & ~7UL : copy.size;
            return;
        case 4:
            r->type = below(2) ? (uint32_t)below(REC_LAST + 2) : (uint32_t)telling(r->type);
            return;
        case 5: /* the headers: rarely, as nothing else is looked at then */
            if (below(4) == 0) change_word(headers, sizeof(headers));
            return;
        }
    if (r->type == REC_HVM_CONTEXT && r->length <= r->size) {
        change_context(r);
    } else if (r->type == REC_PAGE_DATA && r->size >= 8) {
        memcpy(&pages, r->body, sizeof(pages));
        change_word(r->body, 8 + 8UL * pages < r->size ? 8 + 8UL * pages : r->size);
    } else {
        change_word(r->body, r->size);
    }
}

/* The stream, cut off or not, from its start. */
static int write_stream(bool cut)
{
    int fd = memfd_create("stream", 0);
    off_t end;

    if (fd < 0 || write(fd, headers, sizeof(headers)) < 0) die("no memory for a stream");
    for (struct record *r = records; r < records + count; r++)
        if (write(fd, r, 8) != 8 || write(fd, r->body, r->size) != (ssize_t)r->size)
            die("no memory for a stream");
    end = lseek(fd, 0, SEEK_CUR);
    if (cut && ftruncate(fd, (off_t)below((uint64_t)end))) die("the stream cannot be cut");
    lseek(fd, 0, SEEK_SET);
    return fd;
}

/* --- domains --- */

static int nothing_missing(unsigned int missing, void *data)
{
    (void)missing, (void)data;
    return 0;
}

/* In a process of its own: stream `number` (0: as it was saved) into the domain. */
static int restore(uint32_t domid, unsigned long seed, unsigned long number, int store, int console)
{
    struct restore_callbacks callbacks = {.static_data_done = nothing_missing};
    unsigned long gfn[2];
    int fd;

    alarm(SECONDS);
    state = seed * 0x10001 + number;
    for (uint64_t n = number ? 1 + below(3) : 0; n > 0; n--) mutate();
    fd = write_stream(number && below(20) == 0);
    if (!freopen("/dev/null", "w", stderr) || !(xch = xc_interface_open(NULL, NULL, 0))) return 2;
    return xc_domain_restore(xch, fd, domid, (unsigned int)store, &gfn[0], 0, (unsigned int)console,
                             &gfn[1], 0, XC_STREAM_PLAIN, &callbacks, -1)
               ? 1
               : 0;
}

static uint32_t new_domain(void)
{
    struct xen_domctl_createdomain config = {
        .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
        .max_vcpus = VCPUS,
        .max_evtchn_port = 1023,
        .max_grant_frames = 4,
        .max_maptrack_frames = 0,
        .grant_opts = XEN_DOMCTL_GRANT_version(1),
        .arch.emulation_flags = XEN_X86_EMU_LAPIC,
    };
    uint32_t domid = 0;

    if (xc_domain_create(xch, &domid, &config)) die("no domain");
    if (xc_domain_max_vcpus(xch, domid, VCPUS) || xc_set_paging_mempool_size(xch, domid, 1 << 20) ||
        xc_domain_setmaxmem(xch, domid, 4096))
        die("the domain cannot be set up");
    return domid;
}

static uint64_t free_pages(void)
{
    xc_physinfo_t info = {0};

    if (xc_physinfo(xch, &info)) die("no physinfo");
    return info.free_pages;
}

/* Waits up to two seconds for the last of a dead domain. */
static bool all_back(uint64_t before)
{
    for (int i = 0; i < 200 && free_pages() != before; i++) usleep(10000);
    return free_pages() == before;
}

/* What became of a stream: 0 restored, 1 refused, 2 libxenguest fell, 3 too slow. */
static int one(unsigned long seed, unsigned long number)
{
    uint32_t domid = new_domain();
    int store = xc_evtchn_alloc_unbound(xch, domid, 0), status;
    int console = xc_evtchn_alloc_unbound(xch, domid, 0);
    xc_dominfo_t info;
    pid_t pid = fork();

    if (pid == 0) _exit(restore(domid, seed, number, store, console));
    if (pid < 0 || waitpid(pid, &status, 0) != pid) die("no process");
    if (WIFEXITED(status) && WEXITSTATUS(status) > 1) die("a restore could not start");
    /* It runs for a moment, mostly into what was left out, even half restored. */
    if (number % 2 && !xc_domain_unpause(xch, domid)) usleep(2000);
    if (xc_domain_destroy(xch, domid)) die("the domain cannot be destroyed");
    for (int i = 0; i < 500; i++) {
        if (xc_domain_getinfo(xch, domid, 1, &info) != 1 || info.domid != domid) break;
        usleep(2000);
    }
    if (WIFSIGNALED(status)) return WTERMSIG(status) == SIGALRM ? 3 : 2;
    return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
    unsigned long seed, first, number, became[4] = {0}, leaks = 0;
    uint64_t before;

    if (argc != 5) die("usage: mutate_streams IMAGE SEED FIRST COUNT");
    seed = strtoul(argv[2], NULL, 0);
    first = strtoul(argv[3], NULL, 0);
    number = strtoul(argv[4], NULL, 0);
    load(argv[1]);
    if (!(xch = xc_interface_open(NULL, NULL, 0))) die("no access to the hypervisor");
    for (int i = 0; i < 3; i++)
        if (one(0, 0)) die("the stream as it was saved is not restored");
    before = free_pages();
    for (unsigned long i = first; i < first + number; i++) {
        became[one(seed, i)]++;
        if (i % 500 == 0) printf("stream %lu\n", i), fflush(stdout);
        if (!all_back(before)) {
            printf("stream %lu: %ld pages are missing\n", i, (long)(before - free_pages()));
            before = free_pages();
            if (++leaks == 10) break;
        }
    }
    printf("seed %lu, %lu streams: %lu restored, %lu refused, libxenguest fell %lu times, "
           "%lu too slow, %lu leaks\n",
           seed, number, became[0], became[1], became[2], became[3], leaks);
    return leaks || became[3] || became[0] < number / 10 || became[1] < number / 10;
}
