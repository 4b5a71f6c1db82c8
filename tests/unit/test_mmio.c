/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MMIO decoder against the processor: each instruction is run natively on
 * a byte array and emulated on a fake device with the same bytes; registers,
 * flags, memory and length must agree.
 */
#include "check.h"
#include "fake_device.h"
#include "msan.h"
#include "device/mmio.c"
#include <stdlib.h>
#include <sys/mman.h>

#define BASE  0x10000000ull /* of the device, guest-physical */
#define SIZE  64u
#define FLAGS (FLAGS_LOGIC | BIT(10))

static uint8_t insn[64], device[SIZE];
static unsigned int insn_size, accesses;
static uint8_t memory[256]; /* what RSI and RDI point to in MOVS */
static bool fault;

/* --- what mmio.c asks of others --- */

unsigned int guest_fetch_insn(struct vcpu *v, uint8_t buf[15])
{
    (void)v;
    memcpy(buf, insn, MIN(insn_size, 15u));
    return MIN(insn_size, 15u);
}

bool vioapic_access(uint64_t gpa, bool write, uint64_t *value)
{
    if (gpa >> PAGE_SHIFT != 0xfec00) return false;
    if (write)
        memcpy(device, value, 4);
    else
        *value = gpa;
    return true;
}

bool vpci_access(struct domain *d, uint64_t gpa, unsigned int size, bool write, uint64_t *value)
{
    CHECK(d == dom0);
    if (gpa < BASE || gpa >= BASE + SIZE) return false;
    accesses++;
    CHECK(gpa - BASE + size <= SIZE);
    if (write) memcpy(device + (gpa - BASE), value, size);
    *value = ~0ull; /* bytes beyond the size are noise */
    memcpy(value, device + (gpa - BASE), size);
    return true;
}

bool vpci_map(struct domain *d, uint64_t gpa)
{
    CHECK(d == dom0);
    return gpa >> PAGE_SHIFT == 0xd0000;
}

static uint32_t lapic[1024];

uint64_t vlapic_access(struct vcpu *v, unsigned int offset, unsigned int size, bool write,
                       uint64_t value)
{
    (void)v;
    CHECK(offset < 4096 && size);
    if (write) lapic[offset / 4] = value;
    return lapic[offset / 4] >> (offset & 3) * 8;
}

int copy_from_guest(void *dst, uint64_t va, size_t len)
{
    if (fault) return -1;
    memcpy(dst, (void *)va, len);
    FROM_GUEST(dst, len);
    return 0;
}

int copy_to_guest(uint64_t va, const void *src, size_t len)
{
    if (fault) return -1;
    TO_GUEST(src, len);
    memcpy((void *)va, src, len);
    return 0;
}

/* --- running natively --- */

static uint8_t *code;

struct native {
    uint64_t gpr[16], rflags;
};
void native_call(struct native *n, void *code);

/* Loads all registers but RSP from *n, runs `code`, which ends with RET, and
 * stores them back.  One that RSP would be is left alone. */
__asm__(".globl native_call\n"
        "native_call:\n"
        "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "push %rdi; push %rsi\n"
        "mov %rdi, %rax\n"
        "pushq 128(%rax)\n"
        "mov 8(%rax), %rcx; mov 16(%rax), %rdx; mov 24(%rax), %rbx\n"
        "mov 40(%rax), %rbp; mov 48(%rax), %rsi; mov 56(%rax), %rdi\n"
        "mov 64(%rax), %r8; mov 72(%rax), %r9; mov 80(%rax), %r10\n"
        "mov 88(%rax), %r11; mov 96(%rax), %r12; mov 104(%rax), %r13\n"
        "mov 112(%rax), %r14; mov 120(%rax), %r15; mov 0(%rax), %rax\n"
        "popf\n"
        "call *(%rsp)\n"
        "pushf; push %rax; mov 24(%rsp), %rax\n"
        "mov %rcx, 8(%rax); mov %rdx, 16(%rax); mov %rbx, 24(%rax)\n"
        "mov %rbp, 40(%rax); mov %rsi, 48(%rax); mov %rdi, 56(%rax)\n"
        "mov %r8, 64(%rax); mov %r9, 72(%rax); mov %r10, 80(%rax)\n"
        "mov %r11, 88(%rax); mov %r12, 96(%rax); mov %r13, 104(%rax)\n"
        "mov %r14, 112(%rax); mov %r15, 120(%rax)\n"
        "pop %rcx; mov %rcx, 0(%rax); pop %rcx; mov %rcx, 128(%rax)\n"
        "cld; pop %rsi; pop %rdi\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "ret\n");

static void set_mode(bool long_mode)
{
    fake.state.efer = long_mode ? EFER_LMA : 0;
    fake.state.seg[SEG_CS].attr = long_mode ? 0xa9b : 0xc9b;
}

static struct vcpu *begin(void)
{
    struct vcpu *v;

    fake_init(1);
    set_mode(true);
    v = dom0->vcpus[0];
    dom0->privileged = true;
    v->apic_base = 0xfee00900;
    accesses = 0;
    fault = false;
    return v;
}

static void assemble(const uint8_t *bytes, unsigned int n)
{
    memcpy(insn, bytes, n);
    memset(insn + n, 0x90, sizeof(insn) - n);
    insn_size = n;
}

static void show(const char *what)
{
    printf("# %s:", what);
    for (unsigned int i = 0; i < insn_size; i++) printf(" %02x", insn[i]);
    printf("\n");
}

/*
 * Runs insn both ways; its memory operand is [RBX + offset].  `write`: what a
 * nested fault would tell.
 */
static void compare(struct vcpu *v, int offset, bool write)
{
    static uint8_t native_device[4096] __attribute__((aligned(4096)));
    struct native n;
    bool same = true;

    memcpy(code, insn, insn_size);
    code[insn_size] = 0xc3;
    for (unsigned int i = 0; i < SIZE; i++) native_device[1024 + i] = device[i] = fake_random();
    for (unsigned int i = 0; i < 16; i++) n.gpr[i] = (uint64_t)fake_random() << 32 | fake_random();
    if (fake_random() & 1) /* so that comparisons also find equality */
        memcpy(&n.gpr[0], device + 16, 8);
    n.gpr[3] = (uintptr_t)native_device + 1024 + 16 - offset;
    n.rflags = 0x202 | (fake_random() & FLAGS_LOGIC);
    memcpy(v->regs.gpr, n.gpr, sizeof(n.gpr));
    v->regs.rip = 0x1000;
    v->regs.rflags = n.rflags;
    native_call(&n, code);
    handle_mmio(v, BASE + 16, write);
    for (unsigned int i = 0; i < 16; i++) same &= i == 4 || v->regs.gpr[i] == n.gpr[i];
    same &= !((v->regs.rflags ^ n.rflags) & FLAGS_LOGIC);
    same &= !memcmp(device, native_device + 1024, SIZE);
    same &= v->regs.rip == 0x1000 + insn_size && fake.exception == -1;
    if (!same) show("differs");
    CHECK(same);
}

/* ModRM forms of [RBX + offset], appended to b; returns the new length. */
static unsigned int operand(uint8_t *b, unsigned int n, unsigned int reg, unsigned int form,
                            int *offset)
{
    int disp = form == 0 ? 0 : (int)(fake_random() % 128) - 64;

    *offset = disp;
    if (form == 3) { /* SIB without index */
        b[n++] = 0x84 | reg << 3;
        b[n++] = 0x23;
    } else {
        b[n++] = (form == 0 ? 0x03 : form == 1 ? 0x43 : 0x83) | reg << 3;
    }
    if (form == 1) b[n++] = disp;
    if (form >= 2) {
        memcpy(b + n, &disp, 4);
        n += 4;
    }
    return n;
}

static const struct {
    uint8_t code;
    bool two_byte, group, store;
    uint8_t imm; /* bytes; 4: as the operand, at most 4 */
} table[] = {
    {0x88, false, false, true, 0},  {0x89, false, false, true, 0},  {0x8a, false, false, false, 0},
    {0x8b, false, false, false, 0}, {0x84, false, false, false, 0}, {0x85, false, false, false, 0},
    {0x86, false, false, true, 0},  {0x87, false, false, true, 0},  {0xb6, true, false, false, 0},
    {0xb7, true, false, false, 0},  {0xbe, true, false, false, 0},  {0xbf, true, false, false, 0},
    {0xc6, false, true, true, 1},   {0xc7, false, true, true, 4},   {0x80, false, true, true, 1},
    {0x81, false, true, true, 4},   {0x83, false, true, true, 1},   {0xf6, false, true, false, 1},
    {0xf7, false, true, false, 4},  {0x00, false, false, true, 0},  {0x01, false, false, true, 0},
    {0x02, false, false, false, 0}, {0x03, false, false, false, 0}, {0x08, false, false, true, 0},
    {0x09, false, false, true, 0},  {0x0a, false, false, false, 0}, {0x0b, false, false, false, 0},
    {0x20, false, false, true, 0},  {0x21, false, false, true, 0},  {0x22, false, false, false, 0},
    {0x23, false, false, false, 0}, {0x28, false, false, true, 0},  {0x29, false, false, true, 0},
    {0x2a, false, false, false, 0}, {0x2b, false, false, false, 0}, {0x30, false, false, true, 0},
    {0x31, false, false, true, 0},  {0x32, false, false, false, 0}, {0x33, false, false, false, 0},
    {0x38, false, false, false, 0}, {0x39, false, false, false, 0}, {0x3a, false, false, false, 0},
    {0x3b, false, false, false, 0},
};

static void one_random(struct vcpu *v)
{
    unsigned int i = fake_random() % ARRAY_SIZE(table), n = 0, size = 4;
    unsigned int reg = fake_random() & 7;
    uint8_t b[32], rex = 0;
    int offset;

    if (fake_random() % 4 == 0) {
        b[n++] = 0x66;
        size = 2;
    }
    if (fake_random() % 2) {
        rex = 0x40 | (fake_random() & 0xc); /* W, R */
        b[n++] = rex;
        if (rex & 8) size = 8;
    }
    if (table[i].two_byte) b[n++] = 0x0f;
    b[n++] = table[i].code;
    if (table[i].group) {
        static const uint8_t alu[] = {0, 1, 4, 5, 6, 7};

        reg = table[i].code < 0xc0 ? alu[reg % 6] : 0;
    } else if ((reg | (rex & 4) << 1) == 4) {
        reg = 0; /* the test has no RSP */
    }
    n = operand(b, n, reg, fake_random() & 3, &offset);
    for (unsigned int k = table[i].imm == 4 ? MIN(size, 4u) : table[i].imm; k; k--)
        b[n++] = fake_random();
    assemble(b, n);
    compare(v, offset, table[i].store);
}

static void mmio_as_the_processor(void)
{
    struct vcpu *v = begin();

    for (unsigned int i = 0; i < 300000 && !check_failed; i++) one_random(v);
    CHECK(accesses > 300000);
}

/* MOV between the accumulator and an absolute address. */
static void mmio_moffs(void)
{
    struct vcpu *v = begin();

    for (unsigned int i = 0; i < 64; i++) {
        uint64_t before = (uint64_t)fake_random() << 32 | fake_random();
        uint8_t b[16] = {0x66, 0x48};
        unsigned int op = i & 3, n = 0, size;
        bool wide = i & 4, half = i & 8;
        uint64_t want = before, mask;

        if (half) b[n++] = 0x66;
        if (wide) b[n++] = 0x48;
        b[n++] = 0xa0 + op;
        assemble(b, n + 8);
        memcpy(device + 16, "\x81\x82\x83\x84\x85\x86\x87\x88", 8);
        size = !(op & 1) ? 1 : wide ? 8 : half ? 2 : 4;
        mask = size == 8 ? ~0ull : (1ull << size * 8) - 1;
        v->regs.rax = before;
        v->regs.rip = 0;
        handle_mmio(v, BASE + 16, op >= 2);
        if (op < 2) want = size == 4 ? 0x84838281 : (before & ~mask) | (0x8887868584838281 & mask);
        CHECK(v->regs.rax == want && v->regs.rip == insn_size);
        CHECK(op < 2 || !memcmp(device + 16, &before, size));
        CHECK(device[16 + size] == (uint8_t)(0x81 + size) || size == 8);
    }
}

static void mmio_strings(void)
{
    struct vcpu *v = begin();

    assemble((const uint8_t[]){0xf3, 0xab}, 2); /* REP STOSD */
    v->regs.rax = 0x11223344;
    v->regs.rcx = 3;
    v->regs.rdi = 0x5000;
    for (unsigned int i = 0; i < 3; i++) {
        CHECK(v->regs.rip == 0);
        handle_mmio(v, BASE + 4 * i, true);
    }
    CHECK(v->regs.rip == 2 && v->regs.rcx == 0 && v->regs.rdi == 0x500c);
    CHECK(accesses == 3 && !memcmp(device + 8, "\x44\x33\x22\x11", 4));
    assemble((const uint8_t[]){0x48, 0xa5}, 2); /* MOVSQ, from the device */
    v->regs.rdi = (uintptr_t)memory;
    v->regs.rsi = 0x7000;
    v->regs.rflags |= BIT(10); /* downwards */
    handle_mmio(v, BASE + 8, false);
    CHECK(!memcmp(memory, device + 8, 8) && v->regs.rip == 4);
    CHECK(v->regs.rsi == 0x6ff8 && v->regs.rdi == (uintptr_t)memory - 8);
    assemble((const uint8_t[]){0xa4}, 1); /* MOVSB, to the device */
    memory[9] = 0x77;
    v->regs.rflags &= ~BIT(10);
    v->regs.rsi = (uintptr_t)&memory[9];
    handle_mmio(v, BASE + 40, true);
    CHECK(device[40] == 0x77 && v->regs.rsi == (uintptr_t)&memory[10]);
    fault = true; /* the other operand has no page: nothing moves */
    v->regs.rip = 0;
    memory[9] = 0x66;
    v->regs.rsi = (uintptr_t)&memory[9];
    handle_mmio(v, BASE + 40, true);
    CHECK(device[40] == 0x77 && v->regs.rsi == (uintptr_t)&memory[9]);
}

/* 32-bit and 16-bit code: no REX, other lengths of addresses. */
static void mmio_modes(void)
{
    struct vcpu *v = begin();

    set_mode(false);
    memcpy(device + 16, "\1\2\3\4", 4);
    assemble((const uint8_t[]){0x8b, 0x05, 1, 2, 3, 4}, 6);
    handle_mmio(v, BASE + 16, false);
    CHECK(v->regs.rax == 0x04030201 && v->regs.rip == 6);
    assemble((const uint8_t[]){0x67, 0x66, 0x8b, 0x0e, 1, 2}, 6);
    handle_mmio(v, BASE + 16, false);
    CHECK(v->regs.rcx == 0x0201 && v->regs.rip == 12);
    assemble((const uint8_t[]){0xa1, 1, 2, 3, 4}, 5);
    handle_mmio(v, BASE + 16, false);
    CHECK(v->regs.rip == 17);
    fake.state.seg[SEG_CS].attr = 0x89b; /* 16 bits */
    v->regs.rdx = ~0ull;
    assemble((const uint8_t[]){0x8b, 0x57, 1}, 3);
    handle_mmio(v, BASE + 16, false);
    CHECK(v->regs.rdx == 0xffffffffffff0201 && v->regs.rip == 20);
    assemble((const uint8_t[]){0x66, 0x8b, 0x97, 1, 2}, 5);
    handle_mmio(v, BASE + 16, false);
    CHECK(v->regs.rdx == 0x04030201 && v->regs.rip == 25);
    CHECK(fake.exception == -1);
    set_mode(true);
    /* A REX that is not right before the opcode counts for nothing. */
    v->regs.r8 = v->regs.rax = 0;
    assemble((const uint8_t[]){0x4c, 0x66, 0x8b, 0x03}, 4);
    handle_mmio(v, BASE + 16, false);
    CHECK(v->regs.r8 == 0 && v->regs.rax == 0x0201);
}

static void mmio_refused(void)
{
    static const struct {
        uint8_t bytes[4];
        uint8_t n;
    } bad[] = {
        {{0x8b}, 1},             /* cut off */
        {{0x8b, 0x83, 0, 0}, 4}, /* in its displacement */
        {{0x8b, 0xc3}, 2},       /* a register operand */
        {{0x10, 0x03}, 2},       /* ADC */
        {{0x81, 0x1b, 0, 0}, 4}, /* SBB, and cut off */
        {{0x0f, 0xb0, 0x0b}, 3}, /* CMPXCHG */
        {{0x0f, 0x05}, 2},
        {{0xd9, 0x03}, 2},       /* FLD */
        {{0xf7, 0x13, 0, 0}, 4}, /* NOT */
        {{0xff, 0x03}, 2},
        {{0x66, 0x66, 0x66, 0x66}, 4},
        {{0x04, 0x03}, 2},
        {{0x64, 0xa5}, 2}, /* MOVS from FS or GS */
        {{0x65, 0xf3, 0xa4}, 3},
        {{0xa5}, 1}, /* as a user */
        {{0}, 0},
    };
    struct vcpu *v = begin();

    for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
        assemble(bad[i].bytes, bad[i].n);
        fake.exception = -1;
        fake.state.seg[SEG_SS].attr = bad[i].bytes[0] == 0xa5 ? 0xf3 : 0x93;
        handle_mmio(v, BASE + 16, false);
        CHECK(fake.exception == VEC_UD);
    }
    CHECK(accesses == 0 && fake.skipped == 0 && fake.logged);
}

static void mmio_targets(void)
{
    struct vcpu *v = begin();

    lapic[0x20 / 4] = 0x12345678;
    assemble((const uint8_t[]){0x8b, 0x03}, 2);
    handle_mmio(v, 0xfee00020, false);
    CHECK(v->regs.rax == 0x12345678);
    assemble((const uint8_t[]){0x8a, 0x03}, 2);
    handle_mmio(v, 0xfee00022, false);
    CHECK((v->regs.rax & 0xff) == 0x34);
    v->regs.rax = 0x41;
    assemble((const uint8_t[]){0x89, 0x03}, 2);
    handle_mmio(v, 0xfee000f0, true);
    CHECK(lapic[0xf0 / 4] == 0x41);
    v->apic_base |= BIT(10); /* x2APIC: no page any more */
    assemble((const uint8_t[]){0x8b, 0x03}, 2);
    handle_mmio(v, 0xfee00020, false);
    CHECK(v->regs.rax == 0xffffffff);
    handle_mmio(v, 0xfec00010, false);
    CHECK(v->regs.rax == 0xfec00010);
    handle_mmio(v, 0x80000000, false);
    CHECK(v->regs.rax == 0xffffffff);
    v->regs.rip = 0x1000; /* mapped now: the instruction runs again */
    handle_mmio(v, 0xd0000010, false);
    CHECK(v->regs.rip == 0x1000 && v->regs.rax == 0xffffffff);
    /* The same for a guest, which has no platform. */
    v = fake_guest->vcpus[0];
    v->apic_base = 0xfee00900;
    handle_mmio(v, 0xfec00010, false);
    CHECK(v->regs.rax == 0xffffffff);
    handle_mmio(v, 0xfee00020, false);
    CHECK(v->regs.rax == 0x12345678);
    handle_mmio(v, 0xd0000010, false);
    CHECK(v->regs.rax == 0xffffffff);
}

/* Random bytes: never more than 15 of them, never outside of the buffer. */
static void mmio_noise(void)
{
    struct vcpu *v = begin();

    for (unsigned int i = 0; i < 1000000; i++) {
        uint64_t rip;

        for (unsigned int k = 0; k < 15; k++) insn[k] = fake_random() & (k ? 255 : 0xff);
        if (i & 1) insn[0] = table[i % ARRAY_SIZE(table)].code;
        insn_size = fake_random() & 15;
        set_mode(i & 2);
        v->regs.rip = rip = 0x1000;
        fault = true;
        handle_mmio(v, 0x80000000 + (i & 0xfff), i & 4);
        CHECK(v->regs.rip - rip <= 15 && v->regs.rip - rip <= insn_size);
    }
}

int main(void)
{
    code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    RUN(mmio_as_the_processor);
    RUN(mmio_moffs);
    RUN(mmio_strings);
    RUN(mmio_modes);
    RUN(mmio_refused);
    RUN(mmio_targets);
    RUN(mmio_noise);
    return CHECK_RESULT();
}
