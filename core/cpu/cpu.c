/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between CPUs. */
#include "cpu/cpu.h"
#include "cpu/arch.h"
#include "cpu/irq.h"
#include "memory/map.h"

extern char boot_stack_top[];
struct cpu cpu0 = {
    .self = &cpu0,
    .online = true,
    .stack_top = boot_stack_top,
};
struct cpu *cpus[MAX_CPUS] = {&cpu0};
unsigned int cpu_count = 1;

void cpu_kick(struct cpu *c)
{
    if (c != this_cpu() && c->online) apic_send(c->apic_id, VECTOR_KICK);
}

void cpu_ask(struct cpu *c, enum cpu_work work)
{
    if (!test_and_set_bit(work, &c->pending)) cpu_kick(c);
}

static void flush_core_tlb(void)
{
    uint64_t cr3;

    /* Nothing of the core's is global. */
    __asm__ volatile("mov %%cr3, %0; mov %0, %%cr3" : "=r"(cr3) : : "memory");
}

static uint64_t flush_requests; /* of the core's TLBs, numbered from 1 */

void cpu_poll(void)
{
    struct cpu *c = this_cpu();
    uint64_t newest;

    if (unlikely(test_bit(WORK_FLUSH_CORE, &c->pending))) {
        /* Who asks from now on sets the bit again; only the flush that begins after a
         * request serves it. */
        clear_bit(WORK_FLUSH_CORE, &c->pending);
        newest = __atomic_load_n(&flush_requests, __ATOMIC_SEQ_CST);
        flush_core_tlb();
        __atomic_store_n(&c->flushed, newest, __ATOMIC_RELEASE);
    }
}

void flush_core_tlb_all(void)
{
    uint64_t mine = __atomic_add_fetch(&flush_requests, 1, __ATOMIC_SEQ_CST);
    struct cpu *c;

    flush_core_tlb();
    for_each_cpu (c)
        if (c != this_cpu()) cpu_ask(c, WORK_FLUSH_CORE);
    for_each_cpu (c)
        while (c != this_cpu() && __atomic_load_n(&c->flushed, __ATOMIC_ACQUIRE) < mine) {
            cpu_poll();
            cpu_relax();
        }
}
