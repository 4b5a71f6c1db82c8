/* SPDX-License-Identifier: Apache-2.0 */
/* See fake_control.h. */
#include "fake_control.h"
#include "cpu/arch.h"
#include "device/console.h"
#include "device/vlapic.h"
#include "hypercall/control.h"
#include "lib/print.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include "msan.h"
#include "sched/sched.h"
#include "vm/cpu_policy.h"
#include "vm/vcpu.h"
#include <stdlib.h>
#include <string.h>
#include <xen/domctl.h>
#include <xen/hvm/save.h>

struct control control;
uint32_t tsc_khz = 2000000;
struct tsc_scale tsc_scale = {1u << 31, 0}; /* 0.5 ns */
uint64_t fpu_host_xcr0;
uint32_t fpu_area_size;

/* --- vendor --- */

static void get_state(struct vcpu *v, struct arch_state *s)
{
    *s = control.state[v->id];
}

static void set_state(struct vcpu *v, const struct arch_state *s)
{
    TO_GUEST(s, sizeof(*s));
    control.state[v->id] = *s;
}

static uint64_t get_cr(struct vcpu *v, unsigned int n)
{
    return n == 4 ? control.state[v->id].cr4 : control.state[v->id].cr0;
}

static void changed(struct vcpu *v)
{
    (void)v;
}

static uint64_t get_efer(struct vcpu *v)
{
    return control.state[v->id].efer;
}

static void set_efer(struct vcpu *v, uint64_t value)
{
    control.state[v->id].efer = value;
}

static void set_pat(struct vcpu *v, uint64_t value)
{
    (void)v;
    control.pat = value;
}

void fake_control_init(struct domain *d)
{
    struct vendor_ops *ops = (struct vendor_ops *)vendor;
    static struct vendor_ops mine;
    struct vcpu *v;

    if (vendor != &mine) {
        mine = *ops;
        mine.get_state = get_state;
        mine.set_state = set_state;
        mine.get_cr = get_cr;
        mine.tsc_changed = mine.policy_changed = changed;
        mine.get_efer = get_efer;
        mine.set_efer = set_efer;
        mine.set_pat = set_pat;
        memcpy(mine.hypercall_insn, "\x0f\x01\xd9", 3);
        vendor = &mine;
    }
    if (!fpu_area_size) {
        fpu_area_size = 4096;
        fpu_host_xcr0 = cpuid(1, 0).c & BIT(26) ? cpuid(0xd, 0).a & 0x2e7 : 0;
        cpu_policy_boot();
    }
    if (cpu_policy_init(d)) abort();
    tsc_init(d, 1000);
    for_each_vcpu (d, v) {
        v->fpu = core_alloc_pages(1);
        v->pat = 0x0007040600070406;
        v->mtrr[MTRR_DEF_TYPE] = 0xc06;
        v->tsc_offset = -1000ull;
        v->holds = HOLD_DOWN;
        v->xcr0 = 1;
        fpu_reset(v);
    }
}

/* --- the rest --- */

bool read_msr_safe(uint32_t msr, uint64_t *value)
{
    (void)msr;
    (void)value;
    return false;
}

bool write_msr_safe(uint32_t msr, uint64_t value)
{
    (void)msr;
    (void)value;
    return true;
}

void fpu_reset(struct vcpu *v)
{
    uint8_t *area = v->fpu;

    memset(area, 0, fpu_area_size);
    area[0] = 0x7f;
    area[1] = 0x03;
    area[24] = 0x80;
    area[25] = 0x1f;
    area[512] = 3;
}

void fpu_read_xcr0(struct vcpu *v)
{
    (void)v; /* it is where it belongs */
}

bool xcr0_valid(uint64_t v)
{
    return v & 1 && !(v & ~fpu_host_xcr0) && (!(v & 4) || v & 2);
}

int copy_to_gpa(struct domain *d, uint64_t gpa, const void *src, size_t len)
{
    uint64_t mfn = p2m_get_frame(d, gpa >> PAGE_SHIFT, true, true);

    if (mfn == MFN_INVALID) return -XEN_EFAULT;
    TO_GUEST(src, len);
    memcpy(fake_ram[mfn] + (gpa & (PAGE_SIZE - 1)), src, len);
    frame_put(mfn);
    return 0;
}

uint64_t tsc_to_ns(uint64_t tsc)
{
    return tsc / 2;
}

uint64_t time_boot_tsc(void)
{
    return 0;
}

void clock_write_wall(struct domain *d)
{
    (void)d;
    control.wall_writes++;
}

int domain_create(domid_t id, bool privileged, const struct xen_domctl_createdomain *c,
                  struct domain **out)
{
    *out = fake_domain(id ? id : 5, privileged, c->max_vcpus);
    (*out)->emulation_flags = c->arch.emulation_flags;
    memcpy((*out)->handle, c->handle, sizeof(c->handle));
    (*out)->ctl_pauses = 1;
    return 0;
}

int domain_kill(struct domain *d)
{
    d->dying = DYING;
    if (control.killed++ < control.kill_after) return -XEN_ERESTART;
    d->dying = DEAD;
    return 0;
}

void domain_pause_sync(struct domain *d)
{
    (void)d;
    control.pauses++;
}

void domain_unpause(struct domain *d)
{
    (void)d;
    control.pauses--;
}

void domain_resume(struct domain *d)
{
    d->is_shut_down = false;
    d->shutdown_code = 0;
}

void vcpu_reset(struct vcpu *v)
{
    memset(&v->regs, 0, sizeof(v->regs));
}

int vcpu_create(struct domain *d, unsigned int id)
{
    (void)d;
    (void)id;
    return -XEN_ENOMEM;
}

uint32_t sched_ratelimit_us = 1000;

uint64_t vcpu_run_time(struct vcpu *v)
{
    return v->runstate.time[0];
}

int sched_set_params(struct domain *d, uint16_t weight, uint16_t cap)
{
    if (!weight || cap > 100 * d->max_vcpus) return -XEN_EINVAL;
    d->weight = weight;
    d->cap = cap;
    return 0;
}

int sched_set_affinity(struct vcpu *v, const unsigned long *hard, const unsigned long *soft)
{
    if (find_bit(hard, cpu_count, 0) == cpu_count) return -XEN_EINVAL;
    memcpy(v->sched.hard, hard, sizeof(v->sched.hard));
    memcpy(v->sched.soft, soft, sizeof(v->sched.soft));
    return 0;
}

struct frame_counts frame_counts = {.ram = FAKE_FRAMES, .free = FAKE_FRAMES};

size_t console_ring_read(char *buf, size_t size, uint32_t *pos, bool clear)
{
    static const char text[] = "hello from the ring";
    size_t n = *pos < strlen(text) ? MIN(size, strlen(text) - *pos) : 0;

    (void)clear;
    memcpy(buf, text + *pos, n);
    *pos += n;
    return n;
}

void debug_key(char key)
{
    control.keys[strlen(control.keys)] = key;
}

void vlapic_save(struct vcpu *v, struct hvm_hw_lapic *hw, struct hvm_hw_lapic_regs *regs)
{
    memset(hw, 0, sizeof(*hw));
    hw->apic_base_msr = 0xfee00800;
    memcpy(regs->data, control.lapic[v->id], sizeof(regs->data));
}

int vlapic_load(struct vcpu *v, const struct hvm_hw_lapic *hw)
{
    (void)v;
    return hw->apic_base_msr == 0xfee00800 ? 0 : -XEN_EINVAL;
}

int vlapic_load_regs(struct vcpu *v, const struct hvm_hw_lapic_regs *regs)
{
    memcpy(control.lapic[v->id], regs->data, sizeof(regs->data));
    return 0;
}

int vlapic_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    (void)v;
    *value = msr;
    return 0;
}

int vlapic_write_msr(struct vcpu *v, uint32_t msr, uint64_t value)
{
    (void)v;
    (void)msr;
    (void)value;
    return 0;
}
