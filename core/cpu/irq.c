/* SPDX-License-Identifier: Apache-2.0 */
/* Host vectors: who has which, and calling them. */
#include "cpu/irq.h"
#include "cpu/arch.h"
#include "cpu/cpu.h"
#include "cpu/lock.h"
#include "lib/print.h"
#include <xen/errno.h>

/* Guards: handing out vectors.  Dispatch reads fn, then data. */
static struct spinlock irq_lock = SPINLOCK(RANK_IRQ);
static struct {
    irq_handler *fn;
    void *data;
    uint64_t count;
} vectors[256];

int irq_alloc_vector(irq_handler *fn, void *data)
{
    static unsigned int next = VECTOR_FIRST_DEVICE;
    int rc = -XEN_ENOSPC;

    spin_lock(&irq_lock);
    for (unsigned int i = VECTOR_FIRST_DEVICE; i <= VECTOR_LAST_DEVICE; i++) {
        unsigned int v = next;

        next = next == VECTOR_LAST_DEVICE ? VECTOR_FIRST_DEVICE : next + 1;
        if (vectors[v].fn) continue;
        __atomic_store_n(&vectors[v].data, data, __ATOMIC_RELEASE);
        vectors[v].count = 0;
        __atomic_store_n(&vectors[v].fn, fn, __ATOMIC_RELEASE);
        rc = v;
        break;
    }
    spin_unlock(&irq_lock);
    return rc;
}

void irq_free_vector(unsigned int vector)
{
    spin_lock(&irq_lock);
    __atomic_store_n(&vectors[vector].fn, NULL, __ATOMIC_SEQ_CST);
    spin_unlock(&irq_lock);
}

/* A vector may change hands meanwhile: fn and data must belong together. */
static void call(unsigned int vector)
{
    irq_handler *fn;
    void *data;

    do {
        fn = __atomic_load_n(&vectors[vector].fn, __ATOMIC_ACQUIRE);
        data = __atomic_load_n(&vectors[vector].data, __ATOMIC_ACQUIRE);
    } while (READ_ONCE(vectors[vector].fn) != fn);
    vectors[vector].count++;
    if (fn) fn(data);
}

void irq_dispatch(unsigned int vector)
{
    if (vector == VECTOR_SPURIOUS) return;
    if (vector == VECTOR_TIMER)
        timer_interrupt();
    else if (vector != VECTOR_KICK)
        call(vector);
    apic_eoi();
}

void irqs_dump(void)
{
    for (unsigned int v = VECTOR_FIRST_DEVICE; v <= VECTOR_LAST_DEVICE; v++)
        if (vectors[v].count || vectors[v].fn)
            log_info("vector %02x: %lu interrupts%s", v, vectors[v].count,
                     vectors[v].fn ? "" : ", free");
}
