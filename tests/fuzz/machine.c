/* SPDX-License-Identifier: Apache-2.0 */
/* See machine.h.  Fake: the processor, the scheduler, timers, devices. */
#define _GNU_SOURCE
#include "machine.h"
#include "boot/boot.h"
#include "cpu/arch.h"
#include "cpu/irq.h"
#include "device/console.h"
#include "device/hwdev.h"
#include "device/vlapic.h"
#include "hypercall/control.h"
#include "hypercall/evtchn.h"
#include "iommu/iommu.h"
#include "lib/print.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include "memory/map.h"
#include "memory/window.h"
#include "msan.h"
#include "sched/sched.h"
#include "vm/cpu_policy.h"
#include "vm/guest.h"
#include "vm/vcpu.h"
#include <asm/prctl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xen/domctl.h>
#include <xen/hvm/save.h>

/* The fuzzer looks for paths of the core, not of these checks. */
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

__thread struct machine machine;
struct machine_shared machine_shared;
char cmdline[1024] = "console=com1";
char image_start[1], text_end[1], rodata_end[1], image_end[1];
struct cpu *cpus[MAX_CPUS];
unsigned int cpu_count;
uint32_t tsc_khz = 2000000;
bool tsc_agrees = true;
struct tsc_scale tsc_scale = {1u << 31, 0};
uint64_t fpu_host_xcr0;
uint32_t fpu_area_size = 4096;
static struct cpu cpu[8];
static uint64_t free_at_boot;

_Noreturn void assert_failed(const char *expr, const char *file, int line)
{
    fprintf(stderr, "not ok assertion: %s:%d: %s\n", file, line, expr);
    abort();
}

_Noreturn void panic(const char *fmt, ...)
{
    fprintf(stderr, "not ok panic: %s\n", fmt);
    abort();
}

void log_core(maybe_unused enum log_level level, maybe_unused const char *fmt, ...)
{
}

void log_guest(maybe_unused enum log_level level, maybe_unused const char *fmt, ...)
{
}

/* --- the processor and its vendor --- */

static int vcpu_init(struct vcpu *v)
{
    v->vendor = core_alloc(sizeof(struct arch_state));
    return v->vendor ? 0 : -XEN_ENOMEM;
}

static void vcpu_done(struct vcpu *v)
{
    core_free(v->vendor);
}

static void get_state(struct vcpu *v, struct arch_state *s)
{
    *s = *(struct arch_state *)v->vendor;
}

static void set_state(struct vcpu *v, const struct arch_state *s)
{
    TO_GUEST(s, sizeof(*s));
    *(struct arch_state *)v->vendor = *s;
}

static uint64_t get_cr(maybe_unused struct vcpu *v, unsigned int n)
{
    return n ? 0 : CR0_ET; /* whatever was loaded: no paging */
}

static uint64_t get_efer(maybe_unused struct vcpu *v)
{
    return 0;
}

static void get_segment(maybe_unused struct vcpu *v, maybe_unused enum segment_name n,
                        struct segment *s)
{
    *s = (struct segment){.selector = 0x10, .attr = 0x29b};
}

static void skip_insn(struct vcpu *v, unsigned int len)
{
    v->regs.rip += len;
}

static void changed(maybe_unused struct vcpu *v)
{
}

static void set_msr(maybe_unused struct vcpu *v, maybe_unused uint64_t value)
{
}

static uint64_t leaf_bits(enum p2m_type type)
{
    return type == P2M_RAM_RO || type == P2M_GRANT_RO ? 5 : 7;
}

static const struct vendor_ops ops = {
    .hypercall_insn = {0x0f, 0x01, 0xd9},
    .max_level = 3,
    .vcpu_init = vcpu_init,
    .vcpu_free = vcpu_done,
    .get_state = get_state,
    .set_state = set_state,
    .get_cr = get_cr,
    .get_efer = get_efer,
    .get_segment = get_segment,
    .skip_insn = skip_insn,
    .tsc_changed = changed,
    .policy_changed = changed,
    .set_efer = set_msr,
    .set_pat = set_msr,
    .leaf_bits = leaf_bits,
};
const struct vendor_ops *vendor = &ops;

void fpu_reset(struct vcpu *v)
{
    static const uint8_t head[] = {0x7f, 3}, mxcsr[] = {0x80, 0x1f};
    uint8_t *area = v->fpu;

    memset(area, 0, fpu_area_size);
    memcpy(area, head, sizeof(head));
    memcpy(area + 24, mxcsr, sizeof(mxcsr));
    area[512] = 3;
}

bool xcr0_valid(uint64_t v)
{
    return v & 1 && !(v & ~fpu_host_xcr0) && (!(v & 4) || v & 2);
}

/* --- memory --- */

uint8_t *ram(uint64_t mfn)
{
    INSIST(mfn < RAM_FRAMES);
    return (uint8_t *)HEAP_BASE + (mfn << PAGE_SHIFT);
}

uint32_t frame_refs(uint64_t mfn)
{
    return READ_ONCE(((uint64_t *)FRAMES_BASE)[mfn]);
}

bool core_map(uint64_t va, maybe_unused uint64_t phys, unsigned int level,
              maybe_unused uint64_t flags)
{
    size_t size = PAGE_SIZE << 9 * (level - 1);

    if (va >= HEAP_BASE && va < FRAMES_BASE) return true; /* RAM is there already */
    return mmap((void *)va, size, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == (void *)va;
}

uint64_t *core_entry(maybe_unused uint64_t va, maybe_unused unsigned int level)
{
    static uint64_t entry;

    return &entry;
}

static bool fails(void)
{
    return machine.fail_in && --machine.fail_in == 0;
}

/* Small objects come from the host, which sees what is done to them; pages from
 * the real allocator (renamed by the makefile). */
void *core_alloc(size_t size)
{
    if (fails()) return NULL;
    __atomic_fetch_add(&machine_shared.objects, 1, __ATOMIC_RELAXED);
    return calloc(1, size);
}

void core_free(void *p)
{
    __atomic_fetch_sub(&machine_shared.objects, p != NULL, __ATOMIC_RELAXED);
    free(p);
}

void *real_alloc_pages(unsigned int count);
void *core_alloc_pages(unsigned int count)
{
    return fails() ? NULL : real_alloc_pages(count);
}

/* What guests have in their memory they may race for. */
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
static void ignore_begin(void)
{
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}

static void ignore_end(void)
{
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
}
#else
#define ignore_begin()
#define ignore_end()
#endif

void *window_open(uint64_t mfn)
{
    INSIST(frame_refs(mfn) > 0);
    ignore_begin();
    return ram(mfn);
}

void window_close(const void *p)
{
    TO_GUEST((void *)((uintptr_t)p & PAGE_MASK), PAGE_SIZE);
    ignore_end();
}

void window_zero(uint64_t mfn)
{
    if (machine_shared.alone) check_frame_freed(mfn);
    memset(ram(mfn), 0, PAGE_SIZE);
}

void window_copy(uint64_t dst, unsigned int dst_off, uint64_t src, unsigned int src_off,
                 unsigned int len)
{
    INSIST(frame_refs(dst) > 0 && frame_refs(src) > 0);
    INSIST(dst_off + len <= PAGE_SIZE && src_off + len <= PAGE_SIZE);
    ignore_begin();
    memmove(ram(dst) + dst_off, ram(src) + src_off, len);
    TO_GUEST(ram(dst), PAGE_SIZE);
    ignore_end();
}

void *vmap(uint64_t mfn)
{
    return fails() ? NULL : ram(mfn);
}

void vunmap_begin(maybe_unused void *p)
{
}

void vunmap_end(maybe_unused void *p)
{
}

void vunmap(maybe_unused void *p)
{
    flush_core_tlb_all();
}

bool guest_poke(struct domain *d, uint64_t gpa, const void *src, size_t len)
{
    uint64_t mfn = p2m_get_frame(d, gpa >> PAGE_SHIFT, true, false);
    uint8_t *at;

    if (mfn == MFN_INVALID) return false;
    if (d->p2m->log.on) (void)logdirty_fault(d, gpa >> PAGE_SHIFT);
    gpa &= PAGE_SIZE - 1;
    len = MIN(len, PAGE_SIZE - gpa);
    at = (uint8_t *)window_open(mfn) + gpa;
    memcpy(at, src, len);
    FROM_GUEST(at, len);
    window_close(at);
    frame_put(mfn);
    return true;
}

/* --- the clock and the scheduler --- */

bool hypercall_preempt(void)
{
    struct machine *m = &machine;

    m->preempt_due |= m->preempt_every && ++m->preempt_calls % m->preempt_every == 0;
    return m->preempt_due;
}

uint64_t now(void)
{
    return machine.now;
}

uint64_t tsc_to_ns(uint64_t tsc)
{
    return tsc / 2;
}

void timer_init(struct timer *t, void (*fn)(void *data), void *data)
{
    *t = (struct timer){.fn = fn, .data = data};
}

void timer_set(struct timer *t, uint64_t expires)
{
    t->expires = expires;
    WRITE_ONCE(t->cpu, this_cpu());
}

void timer_stop(struct timer *t)
{
    WRITE_ONCE(t->cpu, NULL);
}

void cpu_ask(struct cpu *c, enum cpu_work work)
{
    set_bit(work, &c->pending);
}

/* As in core/cpu/cpu.c: who spins answers; and lets others run. */
void cpu_poll(void)
{
    clear_bit(WORK_FLUSH_CORE, &this_cpu()->pending);
    syscall(SYS_sched_yield);
}

void flush_core_tlb_all(void)
{
    struct cpu *c;

    for_each_cpu (c)
        if (c != this_cpu()) set_bit(WORK_FLUSH_CORE, &c->pending);
    for_each_cpu (c)
        while (c != this_cpu() && __atomic_load_n(&c->passes, __ATOMIC_SEQ_CST) & 1 &&
               test_bit(WORK_FLUSH_CORE, &c->pending))
            cpu_poll();
}

/* As in core/sched/sched.c: everybody else has been outside of the core. */
void wait_quiescent(void)
{
    struct cpu *c;

    for_each_cpu (c) {
        uint64_t before = __atomic_load_n(&c->passes, __ATOMIC_SEQ_CST);

        while (c != this_cpu() && before & 1 &&
               __atomic_load_n(&c->passes, __ATOMIC_SEQ_CST) == before)
            cpu_poll();
    }
}

void dom0_shutdown(maybe_unused uint8_t reason)
{
    machine.stopped = true;
}

void iommu_flush(maybe_unused struct domain *d)
{
    __atomic_fetch_add(&machine_shared.iommu_flushes, 1, __ATOMIC_RELAXED);
}

int hwdev_init(struct domain *d)
{
    d->p2m->dma = true;
    return 0;
}

int sched_set_params(struct domain *d, uint16_t weight, uint16_t cap)
{
    if (!weight || cap > 100 * d->max_vcpus) return -XEN_EINVAL;
    d->weight = weight;
    d->cap = cap;
    return 0;
}

int sched_set_affinity(maybe_unused struct vcpu *v, const unsigned long *hard,
                       maybe_unused const unsigned long *soft)
{
    return hard[0] & 1 ? 0 : -XEN_EINVAL;
}

void vcpu_get_runstate(struct vcpu *v, struct vcpu_runstate_info *out)
{
    *out = v->runstate;
}

size_t console_ring_read(char *buf, size_t size, maybe_unused uint32_t *pos,
                         maybe_unused bool clear)
{
    memset(buf, 'c', size);
    return *pos < 100 ? (*pos += size, size) : 0;
}

void vlapic_save(maybe_unused struct vcpu *v, struct hvm_hw_lapic *hw,
                 struct hvm_hw_lapic_regs *regs)
{
    memset(hw, 0, sizeof(*hw));
    memset(regs, 0, sizeof(*regs));
    hw->apic_base_msr = 0xfee00800;
}

int vlapic_load(maybe_unused struct vcpu *v, const struct hvm_hw_lapic *hw)
{
    return hw->apic_base_msr == 0xfee00800 ? 0 : -XEN_EINVAL;
}

int vlapic_read_msr(maybe_unused struct vcpu *v, uint32_t msr, uint64_t *value)
{
    *value = msr;
    return 0;
}

int vlapic_pending(maybe_unused struct vcpu *v)
{
    return -1;
}

void copy_string(char *dst, const char *src, size_t size)
{
    snprintf(dst, size, "%s", src);
}

/* --- what has no effect here --- */

#define NOTHING(name, ...) \
    void name(__VA_ARGS__) \
    {                      \
    }
#define ALWAYS(type, value, name, ...) \
    type name(__VA_ARGS__)             \
    {                                  \
        return value;                  \
    }
#define _ maybe_unused
NOTHING(core_unmap, _ uint64_t va, _ unsigned int level)

NOTHING(cpu_kick, _ struct cpu *c)
NOTHING(iommu_sync, _ const void *p, _ size_t len)
NOTHING(fpu_read_xcr0, _ struct vcpu *v)
NOTHING(fpu_set_xcr0, _ uint64_t v)
NOTHING(fpu_save, _ struct vcpu *v)
NOTHING(fpu_restore, _ struct vcpu *v)
NOTHING(mitigate_switch, _ const struct domain *d)
NOTHING(mitigate_forget, _ uint16_t id)
NOTHING(sched_init_domain, _ struct domain *d)
NOTHING(sched_remove_domain, _ struct domain *d)
NOTHING(sched_add_vcpu, _ struct vcpu *v)
NOTHING(sched_remove_vcpu, _ struct vcpu *v)
NOTHING(sched_wake, _ struct vcpu *v)
NOTHING(sched_stop, _ struct vcpu *v)
NOTHING(sched_yield, _ struct vcpu *v)
NOTHING(sched_wait_off_cpu, _ struct vcpu *v)
NOTHING(console_write, _ const char *text, _ size_t len)
NOTHING(debug_key, _ char key)
NOTHING(vpci_assign, _ struct domain *d)
NOTHING(vlapic_free, _ struct vcpu *v)
NOTHING(vlapic_stop, _ struct vcpu *v)
NOTHING(vlapic_set_upcall, _ struct vcpu *v, _ uint8_t vector)
ALWAYS(size_t, 0, console_read, _ char *buf, _ size_t size)
ALWAYS(uint64_t, 0, time_boot_tsc, void)
ALWAYS(uint64_t, 0, vcpu_run_time, _ struct vcpu *v)
ALWAYS(bool, false, read_msr_safe, _ uint32_t msr, _ uint64_t *value)
ALWAYS(bool, true, write_msr_safe, _ uint32_t msr, _ uint64_t value)
ALWAYS(int, 0, vpci_release, _ struct domain *d)
ALWAYS(int, 0, vlapic_init, _ struct vcpu *v)
ALWAYS(int, 0, vlapic_load_regs, _ struct vcpu *v, _ const struct hvm_hw_lapic_regs *regs)
ALWAYS(int, 0, vlapic_write_msr, _ struct vcpu *v, _ uint32_t msr, _ uint64_t value)

struct iommu iommu;
uint32_t sched_ratelimit_us;

/* --- its life --- */

void run_vcpu(struct vcpu *v)
{
    WRITE_ONCE(this_cpu()->current, v);
}

void run_idle(void)
{
    run_vcpu(this_cpu()->idle);
}

static void turn(void)
{
    __atomic_fetch_add(&this_cpu()->passes, 1, __ATOMIC_SEQ_CST);
}

void reclaim(void)
{
    run_idle();
    if (test_and_clear_bit(WORK_RECLAIM, &this_cpu()->pending)) domains_reclaim();
}

void cpu_begin(void)
{
    unsigned int id = __atomic_fetch_add(&cpu_count, 1, __ATOMIC_SEQ_CST);
    struct cpu *c = &cpu[id];

    c->self = cpus[id] = c;
    c->id = id;
    c->passes = 1;
    syscall(SYS_arch_prctl, ARCH_SET_GS, c);
}

void cpu_end(void)
{
    run_idle();
    turn();
}

void machine_boot(void)
{
    cpu_begin();
    INSIST(mmap((void *)HEAP_BASE, RAM_FRAMES * PAGE_SIZE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == (void *)HEAP_BASE);
    memset((void *)HEAP_BASE, 0xdd, RAM_FRAMES * PAGE_SIZE);
    NEVER_SET((void *)HEAP_BASE, RAM_FRAMES * PAGE_SIZE);
    frames_note_ram(0, RAM_FRAMES * PAGE_SIZE);
    frames_init(0);
    frames_add_ram(0, RAM_FRAMES * PAGE_SIZE);
    for (unsigned int i = 0; i < ARRAY_SIZE(cpu); i++) cpu[i].idle = vcpu_create_idle();
    run_idle();
    fpu_host_xcr0 = cpuid(1, 0).c & BIT(26) ? cpuid(0xd, 0).a & 0x2e7 : 0;
    cpu_policy_boot();
    machine_shared = (struct machine_shared){.alone = true};
    free_at_boot = frame_counts.free;
}

void machine_start(void)
{
    struct xen_domctl_createdomain c = {
        .max_vcpus = 2, .max_evtchn_port = 63, .max_grant_frames = 1, .max_maptrack_frames = 1};
    struct domain *d;

    machine = (struct machine){.now = 1000};
    check_reset();
    INSIST(!domain_create(0, true, &c, &d));
    d->max_pages = 256;
    for (unsigned int i = 0; i < 2; i++) {
        INSIST(!vcpu_create(d, i));
        d->vcpus[i]->initialised = true;
        vcpu_set_down(d->vcpus[i], false);
    }
    for (uint64_t gfn = 0; gfn < 24; gfn++)
        INSIST(!p2m_add(d, gfn, frames_alloc(d, 0, false), 0, P2M_RAM));
    domain_unpause(d);
    d->ctl_pauses--;
    dom0 = d;
}

/* Ends a domain, however often it has to be asked. */
static void kill(struct domain *d)
{
    unsigned int tries = 0;
    int rc;

    do {
        machine.preempt_due = false;
        rc = d->dying == DEAD ? 0 : domain_kill(d);
        INSIST(++tries < 100000);
    } while (rc == -XEN_ERESTART);
    INSIST(!rc);
}

void end_others(void)
{
    struct domain *d;

    for_each_domain (d)
        if (d->id >= DOMAINS) kill(d);
    reclaim();
}

void machine_end(void)
{
    struct domain *d;

    machine.fail_in = 0;
    run_idle();
    for (domid_t id = 1; id < DOMAINS; id++) {
        if (!(d = domain_get(id))) continue;
        kill(d);
        domain_put(d);
    }
    d = dom0;
    dom0 = NULL;
    kill(d);
    cpu_ask(this_cpu(), WORK_RECLAIM);
    reclaim();
    INSIST(!domain_get_from(0));
    INSIST(!machine_shared.objects);
    INSIST(frame_counts.free == free_at_boot);
}

long hypercall(struct vcpu *v, unsigned int nr, const uint64_t *args, bool abandon)
{
    uint64_t rip = v->regs.rip;
    unsigned int times = 0;

    v->regs.rdi = args[0];
    v->regs.rsi = args[1];
    v->regs.rdx = args[2];
    v->regs.r10 = args[3];
    v->regs.r8 = args[4];
    do {
        INSIST(++times < 100000);
        run_vcpu(v);
        v->regs.rax = nr;
        machine.preempt_due = false;
        if (do_hypercall(v, &(struct vm_exit){.len = 3, .call = {.long_mode = true}}))
            skip_insn(v, 3);
        INSIST(!this_cpu()->held);
        TO_GUEST(&v->regs, sizeof(v->regs));
        turn(); /* in the guest */
        clear_bit(WORK_FLUSH_CORE, &this_cpu()->pending);
        turn();
        reclaim();
    } while (v->regs.rip == rip && !abandon && !machine.stopped);
    v->regs.rip = rip;
    return v->regs.rax;
}

#pragma clang attribute pop
