/* SPDX-License-Identifier: Apache-2.0 */
/* See fake_vm.h.  Real: locks and their order, the p2m.  Fake: the rest. */
#define _GNU_SOURCE
#include "fake_vm.h"
#include "boot/boot.h"
#include "cpu/irq.h"
#include "device/console.h"
#include "device/vlapic.h"
#include "hypercall/evtchn.h"
#include "hypercall/grant.h"
#include "lib/print.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include "memory/window.h"
#include "msan.h"
#include "sched/sched.h"
#include "vm/guest.h"
#include "vm/vcpu.h"
#include "vm/vendor.h"
#include <asm/prctl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HEAP_PAGES 4096u

struct fake fake;
char fake_ram[FAKE_FRAMES][PAGE_SIZE] __attribute__((aligned(4096)));
unsigned int test_failed;
char cmdline[1024] = "console=com1 dom0_mem=512M";
uint64_t max_mfn = FAKE_FRAMES;
struct domain *dom0;
struct cpu *cpus[MAX_CPUS];
unsigned int cpu_count;

static struct domain *domains[8];
static uint16_t owners[FAKE_FRAMES];
static uint32_t refs[FAKE_FRAMES];
static char heap[HEAP_PAGES][PAGE_SIZE] __attribute__((aligned(4096)));
static unsigned char heap_used[HEAP_PAGES];
static size_t objects;
static __thread struct cpu this;
static __thread unsigned int preempt_calls;
static __thread bool preempt_due;

/* --- the processor --- */

void fake_init(void)
{
    memset(&this, 0, sizeof(this));
    this.self = &this;
    syscall(SYS_arch_prctl, ARCH_SET_GS, &this);
    fake.shutdown_code = -1;
}

void fake_run(struct vcpu *v)
{
    this.current = v;
}

_Noreturn void assert_failed(const char *expr, const char *file, int line)
{
    printf("not ok assertion: %s:%d: %s\n", file, line, expr);
    fflush(stdout);
    abort();
}

void log_core(enum log_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

void log_guest(enum log_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

void cpu_poll(void)
{
    syscall(SYS_sched_yield);
}

void cpu_kick(struct cpu *c)
{
    if (fake.kick) fake.kick(c);
}

bool hypercall_preempt(void)
{
    /* As in the core: what is due stays so until the hypercall makes way. */
    preempt_due |= fake.preempt_every && ++preempt_calls % fake.preempt_every == 0;
    return preempt_due && fake.preempt_every;
}

uint64_t now(void)
{
    return fake.now;
}

/* --- vendor --- */

static void skip_insn(struct vcpu *v, unsigned int len)
{
    v->regs.rip += len;
    fake.skipped += len;
}

static uint64_t leaf_bits(enum p2m_type type)
{
    return type == P2M_RAM_RO || type == P2M_GRANT_RO ? 5 : 7;
}

static const struct vendor_ops ops = {
    .max_level = 3,
    .skip_insn = skip_insn,
    .leaf_bits = leaf_bits,
};
const struct vendor_ops *vendor = &ops;

long fake_call(struct vcpu *v, unsigned int nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
    struct vm_exit e = {.len = 3, .call = {.cpl = fake.cpl, .long_mode = !fake.code32}};
    uint64_t rip = v->regs.rip;

    v->regs.rdi = a0;
    v->regs.rsi = a1;
    v->regs.rdx = a2;
    fake_run(v);
    for (unsigned int i = 0; i < 100000; i++) {
        v->regs.rax = nr;
        preempt_due = false;
        if (do_hypercall(v, &e))
            skip_insn(v, e.len);
        else
            fake.continuations++;
        TO_GUEST(&v->regs, sizeof(v->regs));
        if (v->regs.rip != rip) return v->regs.rax;
    }
    printf("# hypercall %u never ends\n", nr);
    test_failed++;
    return -1;
}

/* --- memory --- */

void *core_alloc(size_t size)
{
    if (fake.no_memory) return NULL;
    if (size >= PAGE_SIZE) size = ROUND_UP(size, PAGE_SIZE);
    __atomic_fetch_add(&objects, 1, __ATOMIC_SEQ_CST);
    return calloc(1, size);
}

void core_free(void *p)
{
    if (p) __atomic_fetch_sub(&objects, 1, __ATOMIC_SEQ_CST);
    free(p);
}

/* Takes a page that is free. */
static bool take_page(unsigned int i)
{
    return i < HEAP_PAGES && !__atomic_exchange_n(&heap_used[i], 1, __ATOMIC_SEQ_CST);
}

void *core_alloc_pages(unsigned int count)
{
    if (fake.no_memory) return NULL;
    for (unsigned int i = 0; i + count <= HEAP_PAGES; i++) {
        unsigned int n = 0;

        while (n < count && take_page(i + n)) n++;
        if (n == count) return memset(heap[i], 0, count * PAGE_SIZE);
        while (n--) __atomic_store_n(&heap_used[i + n], 0, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

void core_free_pages(void *p, unsigned int count)
{
    unsigned int first = ((char *)p - heap[0]) / PAGE_SIZE;

    for (unsigned int i = first; p && i < first + count; i++) {
        if (i >= HEAP_PAGES || !heap_used[i])
            assert_failed("page given back once", __FILE__, __LINE__);
        memset(heap[i], 0xa5, PAGE_SIZE);
        __atomic_store_n(&heap_used[i], 0, __ATOMIC_SEQ_CST);
    }
}

size_t fake_heap_used(void)
{
    size_t n = objects;

    for (unsigned int i = 0; i < HEAP_PAGES; i++) n += heap_used[i];
    return n;
}

uint64_t core_to_mfn(const void *p)
{
    return FAKE_HEAP_MFN + ((const char *)p - heap[0]) / PAGE_SIZE;
}

void *core_from_mfn(uint64_t mfn)
{
    return heap[mfn - FAKE_HEAP_MFN];
}

uint16_t frame_owner(uint64_t mfn)
{
    return mfn < FAKE_FRAMES ? owners[mfn] : OWNER_CORE;
}

bool frame_get(uint64_t mfn, uint16_t owner)
{
    uint32_t old;

    if (fake.before_get) fake.before_get();
    if (mfn >= FAKE_FRAMES || owners[mfn] != owner) return false;
    old = READ_ONCE(refs[mfn]);
    do {
        if (!old) return false;
    } while (!__atomic_compare_exchange_n(&refs[mfn], &old, old + 1, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST));
    return true;
}

void frame_put(uint64_t mfn)
{
    uint32_t old;

    if (mfn >= FAKE_MANY_MFN) {
        fake.many_puts++;
        return;
    }
    ASSERT(mfn < FAKE_FRAMES);
    old = __atomic_fetch_sub(&refs[mfn], 1, __ATOMIC_SEQ_CST);
    ASSERT(old > 0);
    if (old == 1) {
        struct domain *d = domains[owners[mfn]];

        memset(fake_ram[mfn], 0xdd, PAGE_SIZE);
        owners[mfn] = OWNER_FREE;
        domain_put(d);
    }
}

unsigned int fake_frames_used(void)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < FAKE_FRAMES; i++) n += refs[i] != 0;
    return n;
}

uint64_t frames_alloc(struct domain *d, unsigned int order, bool low)
{
    fake.low_allocs += low;
    for (uint64_t mfn = 0; order == 0 && mfn < FAKE_FRAMES; mfn++) {
        if (refs[mfn]) continue;
        refs[mfn] = 1;
        owners[mfn] = d->id;
        __atomic_fetch_add(&d->refs, 1, __ATOMIC_SEQ_CST);
        memset(fake_ram[mfn], 0, PAGE_SIZE);
        return mfn;
    }
    return MFN_INVALID;
}

void fake_give(struct domain *d, uint64_t gfn, uint64_t mfn)
{
    ASSERT(!refs[mfn]);
    refs[mfn] = 1;
    owners[mfn] = d->id;
    __atomic_fetch_add(&d->refs, 1, __ATOMIC_SEQ_CST);
    memset(fake_ram[mfn], 0, PAGE_SIZE);
    ASSERT(!p2m_add(d, gfn, mfn, 0, P2M_RAM));
}

void window_copy(uint64_t dst, unsigned int dst_off, uint64_t src, unsigned int src_off,
                 unsigned int len)
{
    ASSERT(dst < FAKE_FRAMES && src < FAKE_FRAMES && refs[dst] && refs[src]);
    ASSERT(dst_off + len <= PAGE_SIZE && src_off + len <= PAGE_SIZE);
    memmove(fake_ram[dst] + dst_off, fake_ram[src] + src_off, len);
    TO_GUEST(fake_ram[dst], PAGE_SIZE);
}

void *vmap(uint64_t mfn)
{
    return fake.no_memory ? NULL : fake_ram[mfn];
}

void vunmap_begin(void *p)
{
    (void)p;
    fake.leaving++;
}

void vunmap_end(void *p)
{
    (void)p;
    ASSERT(!fake.leaving);
}

void vunmap(void *p)
{
    vunmap_begin(p);
    flush_core_tlb_all();
    vunmap_end(p);
}

int copy_from_guest(void *dst, uint64_t va, size_t len)
{
    if (!len) return 0;
    if (va < PAGE_SIZE) return -XEN_EFAULT;
    memcpy(dst, (void *)va, len);
    FROM_GUEST(dst, len);
    return 0;
}

int copy_to_guest(uint64_t va, const void *src, size_t len)
{
    if (!len) return 0;
    if (va < PAGE_SIZE) return -XEN_EFAULT;
    TO_GUEST(src, len);
    memcpy((void *)va, src, len);
    return 0;
}

void copy_string(char *dst, const char *src, size_t size)
{
    snprintf(dst, size, "%s", src);
}

/* --- domains --- */

struct domain *fake_domain(domid_t id, bool privileged, unsigned int vcpus)
{
    struct domain *d = calloc(1, sizeof(*d));

    d->id = id;
    d->privileged = privileged;
    d->refs = 1;
    d->max_vcpus = vcpus;
    d->pool_pages = 1024;
    spin_init(&d->lock, RANK_DOMAIN);
    d->shared_info = core_alloc_pages(1);
    ASSERT(!p2m_init(d));
    for (unsigned int i = 0; i < vcpus; i++) {
        struct vcpu *v = calloc(1, sizeof(*v));

        v->domain = d;
        v->id = i;
        v->info = &d->shared_info->vcpu_info[i];
        v->info_mfn = MFN_INVALID;
        v->regs.rip = 0x1000;
        d->vcpus[i] = v;
    }
    domains[id] = d;
    if (privileged) dom0 = d;
    return d;
}

void fake_domain_free(struct domain *d)
{
    CHECK_EQ(d->refs, 1);
    p2m_free(d);
    for (unsigned int i = 0; i < d->max_vcpus; i++) free(d->vcpus[i]);
    core_free_pages(d->shared_info, 1);
    domains[d->id] = NULL;
    if (dom0 == d) dom0 = NULL;
    free(d);
}

struct domain *domain_get(domid_t id)
{
    struct domain *d = id == DOMID_SELF ? current_domain() : id < 8 ? domains[id] : NULL;

    if (d) __atomic_fetch_add(&d->refs, 1, __ATOMIC_SEQ_CST);
    return d;
}

struct domain *domain_get_from(domid_t id)
{
    for (; id < 8; id++) {
        struct domain *d = domain_get(id);

        if (d) return d;
    }
    return NULL;
}

void domain_put(struct domain *d)
{
    uint32_t left = __atomic_sub_fetch(&d->refs, 1, __ATOMIC_SEQ_CST);

    ASSERT(left > 0); /* the test's own reference stays */
}

void domain_shutdown(struct domain *d, uint8_t reason)
{
    fake.shutdown_domain = d->id;
    fake.shutdown_code = reason;
}

void vcpu_notify(struct vcpu *v)
{
    __atomic_fetch_add(&fake.notified[v->domain->id][v->id], 1, __ATOMIC_SEQ_CST);
}

void vcpu_set_down(struct vcpu *v, bool down)
{
    v->holds = down ? v->holds | HOLD_DOWN : v->holds & ~HOLD_DOWN;
}

bool vcpu_event_pending(struct vcpu *v)
{
    return v->nmi_pending || evtchn_upcall_pending(v);
}

void clock_update_vcpu(struct vcpu *v)
{
    v->info->time.version += 2;
}

void clock_set_wall(uint64_t sec, uint32_t nsec, uint64_t at)
{
    fake.wall_sec = sec;
    fake.wall_nsec = nsec;
    fake.wall_at = at;
}

/* --- scheduler, timers, devices --- */

void sched_yield(struct vcpu *v)
{
    (void)v;
    fake.yielded++;
}

void sched_wake(struct vcpu *v)
{
    __atomic_fetch_add(&fake.woken[v->domain->id][v->id], 1, __ATOMIC_SEQ_CST);
}

void sched_stop(struct vcpu *v)
{
    (void)v;
    fake.stopped++;
}

void vcpu_get_runstate(struct vcpu *v, struct vcpu_runstate_info *out)
{
    *out = v->runstate;
}

void timer_set(struct timer *t, uint64_t expires)
{
    t->expires = expires;
    t->cpu = &this;
}

void timer_stop(struct timer *t)
{
    t->cpu = NULL;
}

void vlapic_set_upcall(struct vcpu *v, uint8_t vector)
{
    (void)v;
    fake.lapic_irqs++;
    fake.lapic_vector = vector;
}

void console_write(const char *text, size_t len)
{
    ASSERT(fake.console_len + len <= sizeof(fake.console));
    memcpy(fake.console + fake.console_len, text, len);
    fake.console_len += len;
}

size_t console_read(char *buf, size_t size)
{
    size_t n = fake.input ? strnlen(fake.input, size) : 0;

    memcpy(buf, fake.input, n);
    return n;
}

/* --- hypercalls that other tests look at --- */

static long absent(struct vcpu *v, const struct hc_args *args)
{
    (void)v;
    (void)args;
    return -XEN_ENOSYS;
}

__attribute__((weak)) long hc_memory_op(struct vcpu *v, const struct hc_args *args)
{
    return absent(v, args);
}

__attribute__((weak)) long hc_sysctl(struct vcpu *v, const struct hc_args *args)
{
    return absent(v, args);
}

__attribute__((weak)) long hc_domctl(struct vcpu *v, const struct hc_args *args)
{
    return absent(v, args);
}

/* One CPU: nobody else looks at tables. */
void flush_core_tlb_all(void)
{
    fake.core_flushes++;
    if (fake.core_flush) fake.core_flush();
    fake.leaving = 0;
}
