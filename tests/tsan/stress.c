/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fuzzers' hypercalls by four CPUs at once, under ThreadSanitizer: dom0's
 * two vCPUs and one of each of two guests, while a third guest is made and
 * destroyed.  At the end every invariant holds and nothing is left.
 *
 * usage: stress SEED ROUNDS
 */
#include "../fuzz/hypercalls.c"
#include <pthread.h>

#define CPUS 4

static unsigned int seed, rounds;
static pthread_barrier_t ready, done;

/* A volatile access is one that the core means to race: on x86 it is a load
 * that acquires or a store that releases (SDM vol. 3, 9.2.2). */
#define VOLATILE(bytes, bits, type)                                   \
    type __tsan_atomic##bits##_load(const volatile type *, int);      \
    void __tsan_volatile_read##bytes(void *p)                         \
    {                                                                 \
        (void)__tsan_atomic##bits##_load(p, __ATOMIC_ACQUIRE);        \
    }                                                                 \
    type __tsan_atomic##bits##_fetch_or(volatile type *, type, int);  \
    void __tsan_volatile_write##bytes(void *p)                        \
    {                                                                 \
        (void)__tsan_atomic##bits##_fetch_or(p, 0, __ATOMIC_RELEASE); \
    }
VOLATILE(1, 8, uint8_t)
VOLATILE(2, 16, uint16_t)
VOLATILE(4, 32, uint32_t)
VOLATILE(8, 64, uint64_t)

static uint8_t next(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 24;
}

/* What each may do: only CPU 0 makes and ends domains, only number 3; nobody
 * stops, or takes away the memory of, who runs at the same time. */
static bool allowed(unsigned int cpu, struct step *s)
{
    void (*fn)(const struct step *) = steps[s->what % ARRAY_SIZE(steps)];

    if (fn == step_memory_short || fn == step_time || fn == step_raw || fn == step_limits)
        return false;
    if (fn == step_domain || fn == step_logdirty) {
        s->a = 3;
        return cpu == 0 && (fn == step_logdirty || (s->e & 7) < 4);
    }
    if (fn == step_sched && (s->e & 7) == 5) s->a = 3;
    if (fn == step_sched && (s->e & 7) == 4) return false;
    return true;
}

static struct vcpu *role(unsigned int cpu)
{
    struct domain *d = domain_get(cpu < 2 ? 0 : cpu - 1);

    domain_put(d);
    return d->vcpus[cpu == 1];
}

static void play(unsigned int cpu)
{
    uint32_t state = seed * CPUS + cpu;
    struct vcpu *me = role(cpu);

    pthread_barrier_wait(&ready);
    for (unsigned int i = 0; i < rounds; i++) {
        struct step s;

        for (unsigned int k = 0; k < sizeof(s); k++) ((uint8_t *)&s)[k] = next(&state);
        if (!allowed(cpu, &s)) continue;
        become(me);
        multi = false;
        half = (s.who & 0x60) == 0x60;
        steps[s.what % ARRAY_SIZE(steps)](&s);
        reclaim();
    }
    cpu_end();
    pthread_barrier_wait(&done);
}

static void *thread(void *id)
{
    cpu_begin();
    run_idle();
    play((uintptr_t)id);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t t[CPUS];

    if (argc < 3) return 2;
    seed = atoi(argv[1]);
    rounds = atoi(argv[2]);
    pthread_barrier_init(&ready, NULL, CPUS);
    pthread_barrier_init(&done, NULL, CPUS);
    machine_boot();
    machine_shared.alone = false;
    machine_start();
    become(dom0->vcpus[0]);
    create_guest(1, 2, 12);
    create_guest(2, 1, 12);
    for (uintptr_t i = 1; i < CPUS; i++) pthread_create(&t[i], NULL, thread, (void *)i);
    play(0);
    for (unsigned int i = 1; i < CPUS; i++) pthread_join(t[i], NULL);
    check_machine(false);
    machine_end();
    printf("ok tsan_stress: seed %u, %u hypercalls by each of %u CPUs\n", seed, rounds, CPUS);
    return 0;
}
