/* SPDX-License-Identifier: Apache-2.0 */
/* Starting CPUs: TSCs that are equal, behind and ahead, a thread being the other CPU;
 * where stacks are. */
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
    while (!done)
        if (!READ_ONCE(other.op_start)) WRITE_ONCE(other.op_start, ordered_tsc() + shift);
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

/* --- stacks --- */

static uint64_t mapped[MAX_CPUS * STACK_SIZE / PAGE_SIZE];
static unsigned int maps;

void *core_alloc_pages(unsigned int count)
{
    return (void *)(HEAP_BASE + count * PAGE_SIZE);
}

uint64_t core_to_mfn(const void *p)
{
    return ((uintptr_t)p - HEAP_BASE) >> PAGE_SHIFT;
}

bool core_map(uint64_t va, uint64_t phys, unsigned int level, uint64_t flags)
{
    CHECK(level == 1 && flags == PTE_DATA && maps < ARRAY_SIZE(mapped));
    CHECK(phys == STACK_SIZE + maps % (STACK_SIZE / PAGE_SIZE) * PAGE_SIZE);
    mapped[maps++] = va;
    return true;
}

/* Nobody's page is below a stack, nor where another's is. */
static void stacks(void)
{
    for (unsigned int id = 0; id < MAX_CPUS; id++) {
        uint64_t top = (uintptr_t)new_stack(id), n = STACK_SIZE / PAGE_SIZE;

        CHECK(maps == (id + 1) * n);
        for (unsigned int i = 0; i < n; i++)
            CHECK(mapped[id * n + i] == top - STACK_SIZE + i * PAGE_SIZE);
        CHECK(!id || top - STACK_SIZE - PAGE_SIZE > mapped[id * n - 1]);
    }
}

int main(void)
{
    RUN(equal_tsc);
    RUN(other_tsc);
    RUN(stacks);
    return CHECK_RESULT();
}
