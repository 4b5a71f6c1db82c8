/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A flush of the core's TLBs that began before a request does not serve it.
 * Two CPUs are two threads; the instructions that flush are privileged here, so
 * that each flush comes by the handler of the fault.
 */
#define _GNU_SOURCE
#include "cpu/cpu.c"
#include <asm/prctl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

char boot_stack_top[1];
static struct cpu other = {.self = &other, .id = 1, .online = true};
static unsigned int flushes; /* of CPU 0 */
static bool asks;            /* CPU 1 does */

_Noreturn void assert_failed(const char *expr, const char *file, int line)
{
    printf("not ok assertion: %s:%d: %s\n", file, line, expr);
    exit(1);
}

void apic_send(uint32_t id, uint32_t command)
{
    (void)id;
    (void)command;
}

static void as_cpu(struct cpu *c)
{
    syscall(SYS_arch_prctl, ARCH_SET_GS, c);
}

/* Skips the two instructions of a flush, MOV from and to CR3.  CPU 0's first one is
 * over when CPU 1 begins to ask, and CPU 0 is not through. */
static void privileged(int sig, siginfo_t *info, void *context)
{
    greg_t *rip = &((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    const uint8_t *insn = (const uint8_t *)*rip;

    (void)sig;
    (void)info;
    if (insn[0] == 0x41) insn++;
    if (insn[0] != 0x0f || (insn[1] != 0x20 && insn[1] != 0x22)) abort();
    *rip = (greg_t)(insn + 3);
    if (insn[1] == 0x20 || this_cpu() != &cpu0) return;
    if (__atomic_fetch_add(&flushes, 1, __ATOMIC_SEQ_CST)) return;
    __atomic_store_n(&asks, true, __ATOMIC_SEQ_CST);
    usleep(100000);
}

static void *asker(void *seen)
{
    as_cpu(&other);
    while (!__atomic_load_n(&asks, __ATOMIC_SEQ_CST)) cpu_relax();
    flush_core_tlb_all();
    *(unsigned int *)seen = __atomic_load_n(&flushes, __ATOMIC_SEQ_CST);
    __atomic_store_n(&asks, false, __ATOMIC_SEQ_CST);
    return NULL;
}

int main(void)
{
    struct sigaction on_fault = {.sa_sigaction = privileged, .sa_flags = SA_SIGINFO};
    unsigned int seen = 0;
    pthread_t t;

    sigaction(SIGSEGV, &on_fault, NULL);
    as_cpu(&cpu0);
    cpus[1] = &other;
    cpu_count = 2;
    pthread_create(&t, NULL, asker, &seen);
    cpu_poll();                              /* nothing to be done */
    set_bit(WORK_FLUSH_CORE, &cpu0.pending); /* by a third */
    do {
        cpu_poll();
        usleep(100000); /* who believes to be served sees so many flushes */
    } while (__atomic_load_n(&asks, __ATOMIC_SEQ_CST));
    pthread_join(t, NULL);
    if (flushes == 2 && seen == 2 && !cpu0.pending)
        printf("ok flush_request\n");
    else
        printf("not ok flush_request: served after %u of %u flushes\n", seen, flushes);
    return seen != 2;
}
