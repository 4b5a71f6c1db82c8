/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A QEMU TCG plugin (API version 1) that counts the instructions executed in
 * host mode and in guest mode, and the VM entries, of a whole run.
 *
 *   qemu-system-x86_64 -plugin build/bench/count.so,out=FILE ...
 *
 * A vCPU is in guest mode from its VMRUN (AMD APM vol. 2, section 15.5) until
 * the instruction behind that VMRUN is reached again.  Blocks are counted as a
 * whole when they begin, so one that a fault cuts short counts too much: about
 * one per cent.  At the end of the run FILE has one line of JSON; with
 * `,series=FILE` that gets ten lines a second: the time, how many were executed in
 * host mode so far, and VM exits.
 *
 * QEMU's header for plugins is in no package; what is used of it is below.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* --- QEMU's interface for plugins, as far as it is used --- */

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;
enum qemu_plugin_cb_flags { CB_NO_REGISTERS = 0 };
typedef void block_translated_fn(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void executed_fn(unsigned int vcpu, void *data);
typedef void exit_fn(qemu_plugin_id_t, void *data);

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, block_translated_fn *);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, executed_fn *,
                                          enum qemu_plugin_cb_flags, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, executed_fn *,
                                            enum qemu_plugin_cb_flags, void *);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, exit_fn *, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
void *qemu_plugin_insn_haddr(const struct qemu_plugin_insn *);

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc,
                               char **argv);

/* --- what is counted --- */

enum { MAX_VCPUS = 64, VMRUN_BYTES = 3 };

/* A place in code: its linear address, and where QEMU keeps the byte. */
struct place {
    uint64_t linear;
    uintptr_t byte;
};

struct block {
    struct place start;
    uint64_t instructions;
};

/* Written by its own vCPU's thread only; a cache line or more each. */
struct vcpu {
    bool in_guest;
    struct place behind_vmrun;
    uint64_t host, guest, entries, exits;
} __attribute__((aligned(128)));

static struct vcpu vcpus[MAX_VCPUS];
static const char *out_path;

static struct place place_of(const struct qemu_plugin_insn *insn)
{
    return (struct place){qemu_plugin_insn_vaddr(insn), (uintptr_t)qemu_plugin_insn_haddr(insn)};
}

static void block_begins(unsigned int index, void *data)
{
    struct vcpu *vcpu = &vcpus[index % MAX_VCPUS];
    const struct block *block = data;

    if (vcpu->in_guest && block->start.linear == vcpu->behind_vmrun.linear &&
        block->start.byte == vcpu->behind_vmrun.byte) {
        vcpu->in_guest = false;
        vcpu->exits++;
    }
    if (vcpu->in_guest)
        vcpu->guest += block->instructions;
    else
        vcpu->host += block->instructions;
}

static void vmrun_begins(unsigned int index, void *data)
{
    struct vcpu *vcpu = &vcpus[index % MAX_VCPUS];

    vcpu->behind_vmrun = *(const struct place *)data;
    vcpu->in_guest = true;
    vcpu->entries++;
}

static bool is_vmrun(const struct qemu_plugin_insn *insn)
{
    static const uint8_t vmrun[VMRUN_BYTES] = {0x0f, 0x01, 0xd8};

    return qemu_plugin_insn_size(insn) == VMRUN_BYTES &&
           memcmp(qemu_plugin_insn_data(insn), vmrun, VMRUN_BYTES) == 0;
}

static void *must_allocate(size_t size)
{
    void *memory = malloc(size);

    if (!memory) abort();
    return memory;
}

/* Blocks are translated many times; their records live as long as QEMU. */
static void block_translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    size_t count = qemu_plugin_tb_n_insns(tb);
    struct block *block = must_allocate(sizeof(*block));

    (void)id;
    block->start = place_of(qemu_plugin_tb_get_insn(tb, 0));
    block->instructions = count;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, block_begins, CB_NO_REGISTERS, block);
    for (size_t i = 0; i < count; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        struct place *behind;

        if (!is_vmrun(insn)) continue;
        behind = must_allocate(sizeof(*behind));
        *behind = place_of(insn);
        behind->linear += VMRUN_BYTES;
        behind->byte += VMRUN_BYTES;
        qemu_plugin_register_vcpu_insn_exec_cb(insn, vmrun_begins, CB_NO_REGISTERS, behind);
    }
}

static void run_ends(qemu_plugin_id_t id, void *data)
{
    uint64_t host = 0, guest = 0, entries = 0, exits = 0;
    FILE *out = fopen(out_path, "w");

    (void)id, (void)data;
    for (int i = 0; i < MAX_VCPUS; i++) {
        host += vcpus[i].host;
        guest += vcpus[i].guest;
        entries += vcpus[i].entries;
        exits += vcpus[i].exits;
    }
    if (!out) {
        perror(out_path);
        return;
    }
    fprintf(out,
            "{\"host\": %llu, \"guest\": %llu, \"entries\": %llu, "
            "\"exits\": %llu}\n",
            (unsigned long long)host, (unsigned long long)guest, (unsigned long long)entries,
            (unsigned long long)exits);
    fclose(out);
}

/* The counters are others', which only grow. */
static void *write_series(void *path)
{
    FILE *out = fopen(path, "w");

    for (; out; usleep(100000)) {
        uint64_t host = 0, exits = 0;
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        for (int i = 0; i < MAX_VCPUS; i++) {
            host += __atomic_load_n(&vcpus[i].host, __ATOMIC_RELAXED);
            exits += __atomic_load_n(&vcpus[i].exits, __ATOMIC_RELAXED);
        }
        fprintf(out, "%lld.%03ld %llu %llu\n", (long long)now.tv_sec, now.tv_nsec / 1000000,
                (unsigned long long)host, (unsigned long long)exits);
        fflush(out);
    }
    perror(path);
    return NULL;
}

/* QEMU calls this once. */
int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
{
    pthread_t thread;

    (void)info;
    if (argc < 1 || strncmp(argv[0], "out=", 4) != 0 ||
        (argc > 1 && strncmp(argv[1], "series=", 7) != 0)) {
        fprintf(stderr, "count.so: needs out=FILE[,series=FILE]\n");
        return 1;
    }
    if (argc > 1 && pthread_create(&thread, NULL, write_series, strdup(argv[1] + 7))) return 1;
    out_path = strdup(argv[0] + 4);
    qemu_plugin_register_vcpu_tb_trans_cb(id, block_translated);
    qemu_plugin_register_atexit_cb(id, run_ends, NULL);
    return 0;
}
