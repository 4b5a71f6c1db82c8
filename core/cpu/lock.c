/* SPDX-License-Identifier: Apache-2.0 */
/* Ticket spinlocks and the check of their order. */
#include "cpu/lock.h"
#include "cpu/cpu.h"

/* The rank of the last one held is the highest.  `second`: of two of one rank. */
static void note_taken(const struct spinlock *l, bool second)
{
    struct cpu *c = this_cpu();

    ASSERT(c->held < ARRAY_SIZE(c->held_rank));
    if (c->held) ASSERT(c->held_rank[c->held - 1] < l->rank + second);
    c->held_rank[c->held++] = l->rank;
}

/* Locks may be dropped in another order than they were taken. */
static void note_dropped(const struct spinlock *l)
{
    struct cpu *c = this_cpu();
    unsigned int i = c->held;

    while (i > 0 && c->held_rank[i - 1] != l->rank) i--;
    ASSERT(i > 0);
    for (; i < c->held; i++) c->held_rank[i - 1] = c->held_rank[i];
    c->held--;
}

void spin_init(struct spinlock *l, enum lock_rank rank)
{
    *l = (struct spinlock)SPINLOCK(rank);
}

/* What the lock guards is not looked at before the lock is held, even where the
 * processor guesses that it will be. */
static inline void after_wait(void)
{
    __asm__ volatile("lfence" : : : "memory");
}

static inline void take(struct spinlock *l, bool second)
{
    uint16_t ticket = __atomic_fetch_add(&l->next, 1, __ATOMIC_ACQUIRE);

    while (__atomic_load_n(&l->serving, __ATOMIC_ACQUIRE) != ticket) {
        cpu_poll();
        cpu_relax();
    }
    after_wait();
    if (LOCK_CHECK) note_taken(l, second);
}

void spin_lock(struct spinlock *l)
{
    take(l, false);
}

bool spin_trylock(struct spinlock *l)
{
    uint16_t serving = READ_ONCE(l->serving);
    uint16_t ticket = serving;

    if (!__atomic_compare_exchange_n(&l->next, &ticket, serving + 1, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return false;
    after_wait();
    if (LOCK_CHECK) note_taken(l, false);
    return true;
}

void spin_unlock(struct spinlock *l)
{
    if (LOCK_CHECK) note_dropped(l);
    __atomic_store_n(&l->serving, l->serving + 1, __ATOMIC_RELEASE);
}

void spin_lock_two(struct spinlock *a, struct spinlock *b)
{
    take(a < b ? a : b, false);
    if (a != b) take(a < b ? b : a, true);
}

void spin_unlock_two(struct spinlock *a, struct spinlock *b)
{
    spin_unlock(a);
    if (a != b) spin_unlock(b);
}
