/* SPDX-License-Identifier: Apache-2.0 */
/* TSCs of two CPUs, a thread being the other: equal, behind and ahead. */
#include "check.h"
#define sched_yield host_sched_yield
#include <pthread.h>
#undef sched_yield
#include "boot/smp.c"

static struct cpu other;
static volatile int64_t shift;
static volatile bool done;
static unsigned int warnings;
bool tsc_agrees;

void log_core(enum log_level level, const char *fmt, ...)
{
    (void)fmt;
    warnings += level == LOG_WARN;
}

static void *write_down(void *data)
{
    while (!done) WRITE_ONCE(other.op_start, ordered_tsc() + shift);
    return data;
}

static bool agrees_with(int64_t by)
{
    pthread_t thread;

    shift = by;
    done = false;
    warnings = other.op_start = 0;
    tsc_agrees = true;
    if (pthread_create(&thread, NULL, write_down, NULL)) return false;
    check_tsc(&other);
    done = true;
    pthread_join(thread, NULL);
    CHECK(warnings == !tsc_agrees);
    return tsc_agrees;
}

static void equal_tsc(void)
{
    CHECK(agrees_with(0));
}

static void other_tsc(void)
{
    CHECK(!agrees_with(-(10l << 30)));
    CHECK(!agrees_with(10l << 30));
}

int main(void)
{
    RUN(equal_tsc);
    RUN(other_tsc);
    return CHECK_RESULT();
}
