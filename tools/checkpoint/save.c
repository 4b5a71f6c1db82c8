// SPDX-License-Identifier: Apache-2.0
/*
 * Takes checkpoints of a running guest: libxenguest's checkpointed save, whose
 * callbacks suspend the guest and let it go on.
 */
#include "checkpoint.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xenctrl.h>
#include <xenguest.h>
#include <xenstore.h>

#define SUSPEND_MS 60000 /* for a guest to suspend itself */

static xc_interface *xch;
static struct xs_handle *xs;
static uint32_t domid;
static volatile sig_atomic_t stop;

static unsigned int interval, count; /* ms; 0: without end */
static unsigned int taken;
static bool suspended;
static uint64_t asked, stopped, started; /* of the checkpoint under way */

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int fail(const char *what)
{
    fprintf(stderr, "insula-checkpoint: %s\n", what);
    return 0;
}

/* --- suspend and resume --- */

static bool go_on(void)
{
    if (xc_domain_resume(xch, domid, 1)) return fail("the guest cannot be resumed");
    xs_resume_domain(xs, domid);
    suspended = false;
    started = now_us();
    return true;
}

static int suspend(void *data)
{
    char name[64];
    xc_dominfo_t info;

    (void)data;
    asked = now_us();
    snprintf(name, sizeof(name), "/local/domain/%u/control/shutdown", domid);
    if (!xs_write(xs, XBT_NULL, name, "suspend", 7)) return fail("xenstore refuses to suspend");
    while (now_us() - asked < SUSPEND_MS * 1000ULL) {
        if (xc_domain_getinfo(xch, domid, 1, &info) != 1 || info.domid != domid || info.dying)
            return fail("the guest is gone");
        if (info.shutdown) {
            stopped = now_us();
            suspended = info.shutdown_reason == SHUTDOWN_suspend;
            return suspended ? 1 : fail("the guest has ended");
        }
        usleep(500);
    }
    xs_write(xs, XBT_NULL, name, "", 0);
    return fail("the guest does not suspend");
}

static int postcopy(void *data)
{
    (void)data;
    return go_on();
}

/* The checkpoint was sent: says so when it is whole, then waits for the next. */
static int checkpoint(void *data)
{
    struct progress p = sink_wait(++taken);
    uint64_t next = asked + interval * 1000ULL, now;

    (void)data;
    if (p.checkpoints < taken) {
        fail("the target takes no more");
        return -1;
    }
    fprintf(stderr,
            "checkpoint %u: pause %.1f ms (stopped %.1f ms), %llu dirty pages, %llu bytes\n", taken,
            (double)(started - asked) / 1000, (double)(started - stopped) / 1000,
            (unsigned long long)p.pages, (unsigned long long)p.bytes);
    if (stop || taken == count) return 0;
    now = now_us();
    if (now < next) usleep((useconds_t)(next - now));
    return !stop;
}

/* Only a guest with QEMU would need it. */
static int no_qemu(uint32_t id, unsigned int enable, void *data)
{
    (void)id, (void)enable, (void)data;
    return 0;
}

/* --- start and end --- */

/* What a program prints; 0 when it fails. */
static char *output(char *const argv[])
{
    char *text = NULL;
    size_t length = 0, room = 0;
    ssize_t n = 1;
    int ends[2], status = 1;
    pid_t pid;

    if (pipe(ends)) return NULL;
    if ((pid = fork()) == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(ends[1]);
    for (; n > 0; length += (size_t)n) {
        char *more = length + 4097 > room ? realloc(text, room = 2 * length + 8192) : text;

        if (!more) break;
        text = more;
        if ((n = read(ends[0], text + length, 4096)) <= 0) break;
    }
    close(ends[0]);
    if (pid > 0) waitpid(pid, &status, 0);
    if (!text || status) return free(text), NULL;
    text[length] = 0;
    return text;
}

/* The value of "config" in what `xl list -l` prints: an object of JSON. */
static char *configuration(const char *domain)
{
    char *argv[] = {"xl", "list", "-l", (char *)domain, NULL};
    char *text = output(argv), *start = text ? strstr(text, "\"config\"") : NULL, *p;
    int depth = 0;
    bool quoted = false;

    if (!start || !(start = strchr(start, '{'))) return free(text), NULL;
    for (p = start; *p; p++) {
        if (quoted && *p == '\\' && p[1])
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (!quoted && *p == '{')
            depth++;
        else if (!quoted && *p == '}' && --depth == 0)
            break;
    }
    start = *p ? strndup(start, (size_t)(p + 1 - start)) : NULL;
    free(text);
    return start;
}

static bool find(const char *domain)
{
    char *argv[] = {"xl", "domid", (char *)domain, NULL}, *end;
    unsigned long id = strtoul(domain, &end, 10);
    char *text = NULL;

    if (*end || end == domain) {
        if (!(text = output(argv))) return false;
        id = strtoul(text, NULL, 10);
        free(text);
    }
    domid = (uint32_t)id;
    xch = xc_interface_open(NULL, NULL, 0);
    xs = xs_open(0);
    return (xch && xs && id) || fail("no access to this domain");
}

static bool is_suspended(void)
{
    xc_dominfo_t info;

    return xc_domain_getinfo(xch, domid, 1, &info) == 1 && info.domid == domid && info.shutdown &&
           info.shutdown_reason == SHUTDOWN_suspend;
}

int resume(const char *domain)
{
    if (!find(domain)) return 1;
    if (!is_suspended()) return fail("the guest is not suspended"), 1;
    return !go_on();
}

static void on_signal(int signal)
{
    (void)signal;
    stop = 1;
}

static void *run_sink(void *fd)
{
    sink_run(*(int *)fd);
    return NULL;
}

int save(const char *domain, unsigned int interval_ms, unsigned int number, const char *target)
{
    struct save_callbacks callbacks = {.suspend = suspend,
                                       .postcopy = postcopy,
                                       .checkpoint = checkpoint,
                                       .switch_qemu_logdirty = no_qemu};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    char *config;
    int ends[2], rc;
    pthread_t thread;

    interval = interval_ms;
    count = number;
    if (!find(domain)) return 1;
    if (!(config = configuration(domain))) return fail("xl does not tell its configuration"), 1;
    if (!sink_open(target) || pipe(ends) || pthread_create(&thread, NULL, run_sink, &ends[0]))
        return free(config), 1;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (is_suspended()) go_on(); /* one of ours was killed at the wrong time */
    rc = write_prefix(ends[1], config)
             ? xc_domain_save(xch, ends[1], domid, XCFLAGS_LIVE, &callbacks, XC_STREAM_REMUS, -1)
             : -1;
    if (suspended) go_on();
    close(ends[1]);
    pthread_join(thread, NULL);
    free(config);
    if (rc) fail("the checkpoints ended with an error");
    return rc != 0;
}
