/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the loader's talk with what runs it: Xen's hypercalls where CPUID shows
 * Xen, the first serial port where it does not (tests on a bare machine).
 */
#include "loader.h"
#include <cpuid.h>
#include <string.h>
#include <xen/xen.h>
#include <xen/platform.h>
#include <xen/sched.h>
#include <xen/vcpu.h>

#define UART        0x3f8
#define UART_STATUS (UART + 5)
#define UART_EMPTY  0x20
#define UART_TRIES  100000

static bool on_xen;
static bool use_vmmcall;

/* Xen public/arch-x86/cpuid.h: the signature, at one of 256 places. */
static bool find_xen(void)
{
    for (uint32_t leaf = 0x40000000; leaf < 0x40010000; leaf += 0x100) {
        uint32_t max, id[3];

        __cpuid(leaf, max, id[0], id[1], id[2]);
        if (!memcmp(id, "XenVMMXenVMM", 12) && max - leaf >= 2) return true;
    }
    return false;
}

void hyper_init(void)
{
    uint32_t max, id[3];

    __cpuid(0, max, id[0], id[2], id[1]);
    use_vmmcall = !memcmp(id, "AuthenticAMD", 12) || !memcmp(id, "HygonGenuine", 12);
    on_xen = find_xen();
}

/* The convention of 64-bit guests; the arguments do not survive. */
static long hypercall(long number, uint64_t a, uint64_t b, uint64_t c)
{
    if (use_vmmcall)
        asm volatile("vmmcall" : "+a"(number), "+D"(a), "+S"(b), "+d"(c)::"memory");
    else
        asm volatile("vmcall" : "+a"(number), "+D"(a), "+S"(b), "+d"(c)::"memory");
    return number;
}

unsigned int vcpu_count(void)
{
    unsigned int n = 0;

    while (hypercall(__HYPERVISOR_vcpu_op, VCPUOP_is_up, n, 0) >= 0) n++;
    return n;
}

void set_wallclock(uint64_t seconds)
{
    struct xen_platform_op op = {.cmd = XENPF_settime64,
                                 .interface_version = XENPF_INTERFACE_VERSION};
    struct vcpu_runstate_info now = {0};

    if (hypercall(__HYPERVISOR_vcpu_op, VCPUOP_get_runstate_info, 0, (uintptr_t)&now)) return;
    op.u.settime64.secs = seconds;
    op.u.settime64.system_time = now.state_entry_time;
    hypercall(__HYPERVISOR_platform_op, (uintptr_t)&op, 0, 0);
}

static void serial_put(char c)
{
    for (int i = 0; i < UART_TRIES && !(inb(UART_STATUS) & UART_EMPTY); i++)
        ;
    outb(UART, c);
}

void console_write(const char *text, size_t length)
{
    if (on_xen) {
        hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, length, (uintptr_t)text);
        return;
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n') serial_put('\r');
        serial_put(text[i]);
    }
}

_Noreturn void crash(void)
{
    struct sched_shutdown arg = {SHUTDOWN_crash};

    if (on_xen) hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (uintptr_t)&arg, 0);
    for (;;) asm volatile("cli; hlt");
}
