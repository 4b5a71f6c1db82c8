/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID: Xen's leaves, what is hidden, what follows CR4 and XCR0. */
/* run: as=both */
#include "test.h"

static void xen_leaves(void)
{
    struct cpuid r = cpuid(xen_leaf, 0);

    check_eq(r.a, xen_leaf + 5, "last Xen leaf");
    check_eq(cpuid(xen_leaf + 1, 0).a, 0x40011, "version");
    r = cpuid(xen_leaf + 2, 0);
    check_eq(r.a, 1, "hypercall pages");
    check_eq(r.b, 0x40000000, "hypercall page MSR");
    check_eq(r.c, 0, "features are PV's only");
    check(cpuid(xen_leaf + 3, 0).c > 100000, "TSC kHz");
    r = cpuid(xen_leaf + 4, 0);
    check(r.a & 8, "vCPU id is told");
    check_eq(r.b, 0, "vCPU id");
    check(r.a & 16, "domain id is told");
    check_eq(r.c == 0, is_dom0, "domain id");
    check_eq(r.a & 32, 0, "no extended destination id");
    check_eq(cpuid(xen_leaf + 5, 0).a, 0, "PV leaf is empty");
}

static void hidden(void)
{
    struct cpuid one = cpuid(1, 0), ext = cpuid(0x80000001, 0), r;

    check(one.c >> 31, "hypervisor bit");
    check(one.c >> 21 & 1, "x2APIC");
    check(one.d >> 9 & 1, "APIC");
    check_eq(one.c >> 3 & 1, 0, "MONITOR hidden");
    check_eq(one.c >> 5 & 1, 0, "VMX hidden");
    check_eq(one.b >> 24, 0, "APIC id of vCPU 0");
    check_eq(ext.c >> 2 & 1, 0, "SVM hidden");
    check_eq(cpuid(0x8000000a, 0).a, 0, "SVM leaf is empty");
    check_eq(cpuid(7, 0).c >> 16 & 1, 0, "LA57 hidden");
    check_eq(cpuid(10, 0).a, 0, "PMU hidden");
    r = cpuid(cpuid(0, 0).a + 1, 0);
    check_eq(r.a | r.b | r.c | r.d, 0, "basic leaf behind the last");
    r = cpuid(cpuid(0x80000000, 0).a + 1, 0);
    check_eq(r.a | r.b | r.c | r.d, 0, "extended leaf behind the last");
    r = cpuid(0x50000000, 0);
    check_eq(r.a | r.b | r.c | r.d, 0, "leaf of no range");
}

static void set_cr4(uint64_t set, uint64_t clear)
{
    uint64_t cr4;

    asm volatile("mov %%cr4, %0" : "=r"(cr4));
    cr4 = (cr4 | set) & ~clear;
    asm volatile("mov %0, %%cr4" ::"r"(cr4) : "memory");
}

static void xsetbv(void *arg)
{
    uint64_t v = *(uint64_t *)arg;

    asm volatile("xsetbv" ::"c"(0), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

static void xsave(void)
{
    uint64_t x87 = 1, avx = 7, bad = 4;

    if (!(cpuid(1, 0).c >> 26 & 1)) {
        skip("XSAVE", "not offered");
        return;
    }
    check_eq(cpuid(1, 0).c >> 27 & 1, 0, "OSXSAVE clear before CR4");
    set_cr4(1u << 18, 0);
    check_eq(cpuid(1, 0).c >> 27 & 1, 1, "OSXSAVE follows CR4");
    check_eq(try_call(xsetbv, &x87), -1, "XCR0 = x87");
    check_eq(cpuid(13, 0).b, 576, "size for x87");
    if (cpuid(1, 0).c >> 28 & 1) {
        check_eq(try_call(xsetbv, &avx), -1, "XCR0 = AVX");
        check_eq(cpuid(13, 0).b, 832, "size for AVX");
    }
    check_eq(try_call(xsetbv, &bad), 13, "XCR0 = AVX without x87: #GP");
    bad = ~0ull;
    check_eq(try_call(xsetbv, &bad), 13, "XCR0 = all: #GP");
    set_cr4(0, 1u << 18);
    check_eq(cpuid(1, 0).c >> 27 & 1, 0, "OSXSAVE clear again");
}

void test_main(void)
{
    xen_leaves();
    hidden();
    xsave();
}
