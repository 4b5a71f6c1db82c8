/* SPDX-License-Identifier: Apache-2.0 */
/* MSRs: those that a kernel may use work, the others are #GP. */
/* run: as=both */
#include "test.h"

#define GP 13

static const struct {
    uint32_t msr;
    const char *name;
} forbidden[] = {
    {0x0000003a, "FEATURE_CONTROL"}, {0x00000480, "VMX_BASIC"},

    {0x12345678, "no MSR at all"},   {0x40000123, "no hypervisor MSR"}, {0xffffffff, "the last"},
};

static void deny(void)
{
    char name[64];

    for (unsigned int i = 0; i < sizeof(forbidden) / sizeof(*forbidden); i++) {
        format(name, sizeof(name), "read %s", forbidden[i].name);
        check_eq(try_rdmsr(forbidden[i].msr, NULL), GP, name);
        format(name, sizeof(name), "write %s", forbidden[i].name);
        check_eq(try_wrmsr(forbidden[i].msr, 0), GP, name);
    }
}

static void cpuid_faulting(void)
{
    check_eq(rdmsr(0xce), 1ul << 31, "PLATFORM_INFO: CPUID faulting");
    check_eq(try_wrmsr(0xce, 0), GP, "PLATFORM_INFO is read-only");
    check_eq(rdmsr(0x140), 0, "MISC_FEATURES_ENABLES");
    check_eq(try_wrmsr(0x140, 2), GP, "its bit 1 refused");
    check_eq(try_wrmsr(0x140, 1), -1, "CPUID faulting on");
    check_eq(rdmsr(0x140), 1, "it reads back");
    cpuid(0, 0);
    check(true, "CPUID in ring 0");
    check_eq(try_wrmsr(0x140, 0), -1, "CPUID faulting off");
}

/* On request only, for guests that come from stock Xen: two banks that report
 * nothing.  The one that CPUID does not show has no register of it. */
static void machine_check(void)
{
    if (find(cmdline, "hv=xen")) return;
    if (!(cpuid(1, 0).d & 1 << 14)) {
        check_eq(try_rdmsr(0x179, NULL), GP, "no MCG_CAP without machine checks");
        check_eq(try_rdmsr(0x407, NULL), GP, "no bank");
        check_eq(try_wrmsr(0x401, 0), GP, "no bank to be cleared");
        return;
    }
    check_eq(rdmsr(0x179), 2, "MCG_CAP: two banks");
    check_eq(rdmsr(0x407), 0, "the last register of the second");
    check_eq(try_wrmsr(0x401, 0), -1, "MC0_STATUS cleared");
    check_eq(try_rdmsr(0x408, NULL), GP, "no third bank");
    check_eq(try_wrmsr(0x179, 0), GP, "MCG_CAP is read-only");
}

static void efer(void)
{
    uint64_t v = rdmsr(0xc0000080);

    check_eq(v & 0x1000, 0, "EFER.SVME hidden");
    check_eq(v & 0x500, 0x500, "EFER.LME and LMA");
    check_eq(try_wrmsr(0xc0000080, v | 0x1000), GP, "EFER.SVME refused");
    check_eq(try_wrmsr(0xc0000080, v | 1ull << 40), GP, "EFER bit 40 refused");
    check_eq(try_wrmsr(0xc0000080, v | 1), -1, "EFER.SCE accepted");
    check_eq(rdmsr(0xc0000080), v | 1, "EFER.SCE reads back");
}

static void pat_mtrr(void)
{
    uint64_t old = rdmsr(0x277), v = 0x0007010600070106ull;

    check_eq(try_wrmsr(0x277, v), -1, "PAT written");
    check_eq(rdmsr(0x277), v, "PAT reads back");
    wrmsr(0x277, old);
    check_eq(rdmsr(0xfe) & 0xff, 8, "MTRR count");
    v = rdmsr(0x2ff);
    check_eq(try_wrmsr(0x2ff, v), -1, "MTRR default type written");
    check_eq(try_rdmsr(0x250, NULL), -1, "fixed MTRR");
    check_eq(try_rdmsr(0x200 + 2 * 7 + 1, NULL), -1, "variable MTRR 7");
}

static void hypercall_page(void)
{
    uint8_t *page = page_alloc();
    long result;

    check_eq(try_wrmsr(0x40000000, (uint64_t)page | 1), GP, "hypercall page 1");
    check_eq(try_wrmsr(0x40000000, (uint64_t)page), -1, "hypercall page 0");
    asm volatile("call *%1"
                 : "=a"(result)
                 : "r"(page + 32 * __HYPERVISOR_xen_version), "D"(0), "S"(0)
                 : "rcx", "r11", "memory");
    check_eq(result, 0x40011, "a call through the page");
}

static void apic_base(void)
{
    uint64_t v = rdmsr(0x1b);

    check_eq(v & ~0x400ull, 0xfee00900, "APIC_BASE: BSP, enabled");
    check_eq(try_wrmsr(0x1b, v + 0x1000), GP, "APIC_BASE does not move");
}

static void tsc(void)
{
    uint64_t a = rdmsr(0x10), b = rdtsc();

    check(b > a && b - a < 1000000000, "TSC by MSR");
    wrmsr(0x10, 1ull << 50);
    a = rdtsc();
    check(a >> 50 == 1 && a - (1ull << 50) < 10000000000, "TSC written");
    a = now();
    delay(NS_PER_MS);
    check_in((long)(now() - a), NS_PER_MS, 100 * NS_PER_MS, "clock after a TSC write");
}

void test_main(void)
{
    deny();
    cpuid_faulting();
    machine_check();
    efer();
    pat_mtrr();
    hypercall_page();
    apic_base();
    tsc();
    if (cpuid(0, 0).c == 0x444d4163) {
        check_eq(try_rdmsr(0xc0010015, NULL), -1, "HWCR");
        check_eq(try_rdmsr(0x8b, NULL), -1, "microcode level");
    }
}
