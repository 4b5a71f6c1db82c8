/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended processor state (x87, SSE, AVX, PKRU ...).  The core itself uses
 * none of it, so registers hold a guest's state from one switch to the next;
 * they are switched at once with the vCPU, never lazily.
 */
#include "cpu/arch.h"
#include "cpu/cpu.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "vm/domain.h"

/* Features we know how to switch: x87, SSE, AVX, AVX-512, PKRU. */
#define XCR0_KNOWN 0x2e7ull
#define CR0_MASK   (CR0_TS | BIT(2))

uint64_t fpu_host_xcr0;
uint32_t fpu_area_size = 512;

void fpu_set_xcr0(uint64_t v)
{
    struct cpu *c = this_cpu();

    if (!fpu_host_xcr0 || c->xcr0 == v) return;
    c->xcr0 = v;
    __asm__ volatile("xsetbv" : : "c"(0), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

void fpu_boot(void)
{
    struct cpuid_regs r = cpuid(1, 0);

    if (r.c & BIT(26)) { /* XSAVE */
        r = cpuid(0xd, 0);
        fpu_host_xcr0 = (r.a | (uint64_t)r.d << 32) & XCR0_KNOWN;
    }
    fpu_init_cpu();
    if (fpu_host_xcr0) fpu_area_size = cpuid(0xd, 0).b; /* for what XCR0 enables now */
    log_info("FPU: xcr0 %lx, %u bytes", fpu_host_xcr0, fpu_area_size);
}

void fpu_init_cpu(void)
{
    uint64_t cr0, cr4;

    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0 & ~CR0_MASK));
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    cr4 |= CR4_OSFXSR | BIT(10);
    if (fpu_host_xcr0) cr4 |= CR4_OSXSAVE;
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4));
    fpu_set_xcr0(fpu_host_xcr0);
}

void fpu_reset(struct vcpu *v)
{
    uint8_t *area = v->fpu;

    v->fpu_cpu = NULL; /* what registers hold is old */
    memset(area, 0, fpu_area_size);
    area[0] = 0x7f; /* FCW 0x037f: reset would be 0x40, INIT keeps; Xen's */
    area[1] = 0x03;
    area[24] = 0x80; /* MXCSR 0x1f80 */
    area[25] = 0x1f;
    area[512] = fpu_host_xcr0 ? 3 : 0; /* XSTATE_BV: x87 and SSE given */
}

bool xcr0_valid(uint64_t v)
{
    const uint64_t avx = BIT(2), sse = BIT(1), avx512 = MASK(7, 5);

    return v & 1 && !(v & ~fpu_host_xcr0) && (!(v & avx) || v & sse) &&
           (!(v & avx512) || ((v & avx512) == avx512 && v & avx));
}

/* Not every emulator lets the core see XSETBV: ask the processor. */
void fpu_read_xcr0(struct vcpu *v)
{
    uint32_t lo, hi;

    if (!fpu_host_xcr0) return;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    this_cpu()->xcr0 = v->xcr0 = (uint64_t)hi << 32 | lo;
}

void fpu_save(struct vcpu *v)
{
    fpu_read_xcr0(v);
    /* All of it, whatever the guest has turned on. */
    fpu_set_xcr0(fpu_host_xcr0);
    if (fpu_host_xcr0)
        __asm__ volatile("xsave64 (%0)" : : "r"(v->fpu), "a"(~0u), "d"(~0u) : "memory");
    else
        __asm__ volatile("fxsave64 (%0)" : : "r"(v->fpu) : "memory");
}

void fpu_restore(struct vcpu *v)
{
    /* FOP, FIP and FDP of another vCPU could stay behind where FXRSTOR and XRSTOR
     * skip them (AMD, no exception pending): they are the load's then.  For QEMU 7.2
     * there is no FNINIT (docs/testing.md). */
    static const uint32_t zero = 0;

    __asm__ volatile("fnclex; ffree %%st(7); fildl %0" : : "m"(zero));
    fpu_set_xcr0(fpu_host_xcr0);
    if (fpu_host_xcr0)
        __asm__ volatile("xrstor64 (%0)" : : "r"(v->fpu), "a"(~0u), "d"(~0u));
    else
        __asm__ volatile("fxrstor64 (%0)" : : "r"(v->fpu));
}
