/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions that leave the guest, or that it does not have; and its own
 * exceptions, which are its own business. */
/* run: as=both */
#include "test.h"

#define UD 6
#define INSN(name, text)                                        \
    static void name(void *arg)                                 \
    {                                                           \
        (void)arg;                                              \
        asm volatile(text ::"a"(0), "c"(0), "d"(0) : "memory"); \
    }

INSN(i_vmrun, "vmrun")
INSN(i_vmload, "vmload")
INSN(i_vmsave, "vmsave")
INSN(i_stgi, "stgi")
INSN(i_clgi, "clgi")
INSN(i_skinit, ".byte 0x0f, 0x01, 0xde")
INSN(i_invlpga, "invlpga")
INSN(i_monitor, "monitor")
INSN(i_mwait, "mwait")
INSN(i_rdpru, ".byte 0x0f, 0x01, 0xfd")
INSN(i_vmxon, ".byte 0xf3, 0x0f, 0xc7, 0x30")
INSN(i_ud2, "ud2")
INSN(i_wbinvd, "wbinvd")
INSN(i_pause, "pause")
INSN(i_int3, "int3")

static void divide(void *arg)
{
    asm volatile("divl %0" ::"r"(0), "a"(1), "d"(0));
    (void)arg;
}
static void fault(void *arg)
{
    *(volatile char *)arg = 0;
}

void test_main(void)
{
    static const struct {
        void (*fn)(void *);
        int vector;
        const char *name;
    } list[] = {
        {i_vmrun, UD, "VMRUN"},     {i_vmload, UD, "VMLOAD"},   {i_vmsave, UD, "VMSAVE"},
        {i_stgi, UD, "STGI"},       {i_clgi, UD, "CLGI"},       {i_skinit, UD, "SKINIT"},
        {i_invlpga, UD, "INVLPGA"}, {i_monitor, UD, "MONITOR"}, {i_mwait, UD, "MWAIT"},
        {i_rdpru, UD, "RDPRU"},     {i_vmxon, UD, "VMXON"},     {i_ud2, UD, "UD2"},
        {i_wbinvd, -1, "WBINVD"},   {i_pause, -1, "PAUSE"},     {i_int3, 3, "INT3"},
        {divide, 0, "divide by 0"},
    };
    uint64_t cr0, before;

    for (unsigned int i = 0; i < sizeof(list) / sizeof(*list); i++)
        check_eq(try_call(list[i].fn, NULL), list[i].vector, list[i].name);
    check_eq(try_call(fault, (void *)0x7f0000001234), 14, "page fault");
    check_eq(this_cpu()->cr2, 0x7f0000001234, "CR2");
    check_eq(this_cpu()->error, 2, "error code: write");
    before = rdtsc();
    check(rdtsc() > before, "RDTSC");
    asm volatile("mov %%cr0, %0" : "=r"(cr0));
    asm volatile("mov %0, %%cr0" ::"r"(cr0 & ~0x10ull));
    asm volatile("mov %%cr0, %0" : "=r"(cr0));
    check_eq(cr0 & 0x10, 0x10, "CR0.ET reads one");
}
