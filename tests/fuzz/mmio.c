/* SPDX-License-Identifier: Apache-2.0 */
/* The MMIO decoder: any bytes as an instruction, on the fakes of its test. */
#define main unit_main
#include "../unit/test_mmio.c"
#undef main

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t targets[] = {BASE, BASE + SIZE - 8, 0xfee00080, 0xfec00010, 0xd0000000};
    struct vcpu *v;
    uint64_t rip;

    if (size < 2) return 0;
    v = begin();
    set_mode(data[0] & 1);
    insn_size = MIN(size - 1, 15u);
    memset(insn, 0, sizeof(insn));
    memcpy(insn, data + 1, insn_size);
    for (unsigned int i = 0; i < 16; i++) v->regs.gpr[i] = 0x0123456789abcdef * (i + 1);
    v->regs.rcx = data[0] >> 4;
    v->regs.rflags = 2;
    v->regs.rip = rip = 0x1000;
    fault = true; /* addresses are any */
    check_case = "mmio";
    handle_mmio(v, targets[(data[0] >> 1) % ARRAY_SIZE(targets)], data[0] & 8);
    TO_GUEST(&v->regs, sizeof(v->regs));
    CHECK(v->regs.rip - rip <= insn_size);
    if (check_failed) abort();
    return 0;
}
