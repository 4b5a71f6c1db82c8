/* SPDX-License-Identifier: Apache-2.0 */
/* Lengths of intercepted instructions where the hardware does not tell; control registers. */
#include "check.h"
#include "svm/exit.c"
#include "lib/string.h"

bool svm_has_nrip;
static __typeof__(*vmcb_of(NULL)) b __attribute__((aligned(4096)));
static struct svm_vcpu s = {.block = &b};
static struct vcpu v = {.vendor = &s};
static uint8_t code[15];
static unsigned int readable, fetches;
static enum exit_reason reason; /* of the last exit */

unsigned int guest_fetch_insn(struct vcpu *of, uint8_t buf[15])
{
    (void)of;
    fetches++;
    memcpy(buf, code, sizeof(code)); /* stale bytes beyond */
    return readable;
}

static uint64_t policy_cr4, cr8;
static unsigned int faults;

uint64_t cpu_policy_cr4(const struct cpu_policy *p)
{
    (void)p;
    return policy_cr4;
}

bool vlapic_cr8(struct vcpu *of, uint64_t *reg, bool write)
{
    (void)of;
    if (write && *reg > 15) return false;
    *(write ? &cr8 : reg) = write ? *reg : cr8;
    return true;
}

static void note_fault(struct vcpu *of, uint8_t vector, int error)
{
    (void)of;
    CHECK(vector == VEC_GP && error == 0);
    faults++;
}
struct vendor_ops svm_ops = {.inject_exception = note_fault};

/* What is skipped for the exit in b; 0: the guest gets #UD instead. */
static unsigned int decoded(void)
{
    struct vm_exit e = {0};

    svm_decode(&v, &e);
    reason = e.reason;
    CHECK(e.len != 0 || (e.reason == EXIT_EXCEPTION && e.exception.vector == VEC_UD) ||
          e.reason == EXIT_SHUTDOWN);
    return e.len;
}

/* The length found at a new address. */
static unsigned int len(uint64_t exit, const char *bytes, unsigned int n)
{
    b.rip += 0x1001;
    b.exit_code = exit;
    memset(code, 0xcc, sizeof(code));
    memcpy(code, bytes, n);
    readable = n;
    return decoded();
}

static void lengths(void)
{
    b.efer = EFER_LMA;
    b.cs.attr = 0x200;
    CHECK(len(VMEXIT_CPUID, "\x0f\xa2", 2) == 2);
    CHECK(len(VMEXIT_CPUID, "\x66\x48\x0f\xa2", 4) == 4);
    CHECK(len(VMEXIT_CPUID, "\x0f", 1) == 0);
    CHECK(len(VMEXIT_CPUID, "\x0f\xa3", 2) == 0);
    CHECK(len(VMEXIT_CPUID, "", 0) == 0);
    readable = 1;
    b.rip += 0x1001;
    b.exit_code = VMEXIT_CPUID;
    memcpy(code, "\x0f\xa2", 2);
    CHECK(decoded() == 0); /* the rest is unreadable */
    CHECK(len(VMEXIT_HLT, "\xf4", 1) == 1);
    CHECK(len(VMEXIT_VMMCALL, "\x0f\x01\xd9", 3) == 3);
    CHECK(len(VMEXIT_XSETBV, "\x0f\x01\xd1", 3) == 3);
    CHECK(len(VMEXIT_INVD, "\x0f\x08", 2) == 2);
    CHECK(len(VMEXIT_WBINVD, "\xf3\x0f\x09", 3) == 3);
    CHECK(len(VMEXIT_HLT, "ffffffffffffff\x66", 15) == 0);
    CHECK(len(VMEXIT_RDTSC, "\x0f\x31", 2) == 2);
    CHECK(len(VMEXIT_RDTSCP, "\x0f\x01\xf9", 3) == 3);
    CHECK(len(VMEXIT_RDTSCP, "\x0f\x31", 2) == 0);
    CHECK(len(VMEXIT_RDTSC, "\x0f\x01\xd9", 3) == 0);
    CHECK(len(VMEXIT_RDTSC, "\x66\x0f\x01\xf9", 4) == 4); /* as QEMU has it */
    CHECK(reason == EXIT_RDTSCP);
    b.cs.attr = 0; /* 48 is DEC there */
    CHECK(len(VMEXIT_CPUID, "\x48\x0f\xa2", 3) == 0);
    b.exit_info1 = 0;
    CHECK(len(VMEXIT_MSR, "\x0f\x32", 2) == 2);
    CHECK(len(VMEXIT_MSR, "\x0f\x30", 2) == 0);
    b.exit_info1 = 1;
    CHECK(len(VMEXIT_MSR, "\x0f\x30", 2) == 2);
    CHECK(len(VMEXIT_SHUTDOWN, "\x0f\x30", 2) == 0);
}

static void prefixes(void)
{
    b.cs.attr = 0x200;
    CHECK(len(VMEXIT_HLT, "\xf3\xf4", 2) == 2);
    CHECK(len(VMEXIT_HLT, "\x66\xf3\xf4", 3) == 3);
    CHECK(len(VMEXIT_HLT, "\xf3\xf3\xf4", 3) == 3);
    CHECK(len(VMEXIT_HLT, "\xf3\x48\xf4", 3) == 3);
    CHECK(len(VMEXIT_HLT, "\x26\x2e\x36\x3e\x64\x65\x67\xf0\xf2\x4f\xf4", 11) == 11);
    CHECK(len(VMEXIT_HLT, "\x50\xf4", 2) == 0);
    CHECK(len(VMEXIT_HLT, "\0\xf4", 2) == 0);
}

/* A length is remembered for its place and instruction only. */
static void remembered(void)
{
    unsigned int before;

    CHECK(len(VMEXIT_CPUID, "\x0f\xa2", 2) == 2);
    before = fetches;
    CHECK(decoded() == 2 && fetches == before);
    b.cr3 = 0x5000;
    CHECK(decoded() == 2 && fetches == before + 1);
    b.exit_code = VMEXIT_HLT;
    CHECK(decoded() == 0);
    svm_has_nrip = true;
    b.next_rip = b.rip + 7;
    CHECK(decoded() == 7);
    svm_has_nrip = false;
}

/* True: the instruction is done; false: #GP. */
static bool cr(uint64_t exit, const char *bytes, unsigned int n)
{
    struct vm_exit e = {0};
    unsigned int before = faults;

    b.exit_code = exit;
    memset(code, 0xcc, sizeof(code));
    memcpy(code, bytes, n);
    readable = n;
    svm_decode(&v, &e);
    CHECK(e.reason == EXIT_SKIP && e.len == (faults == before ? n : 0));
    return faults == before;
}

#define TO_CR4   (VMEXIT_CR_WRITE + 4)
#define TO_CR8   (VMEXIT_CR_WRITE + 8)
#define FROM_CR8 8

static void control_registers(void)
{
    static struct domain d;

    v.domain = &d;
    b.efer = EFER_LMA;
    b.cs.attr = 0x200;
    b.cr4 = CR4_PAE;
    b.cr3 = 0x5000;
    policy_cr4 = CR4_PAE | CR4_PCIDE | CR4_TSD;
    s.flush = false;
    v.regs.rcx = CR4_PAE | CR4_TSD;
    CHECK(cr(TO_CR4, "\x0f\x22\xe1", 3) && b.cr4 == (CR4_PAE | CR4_TSD) && s.flush);
    v.regs.r9 = CR4_PAE | CR4_PCIDE;
    CHECK(cr(TO_CR4, "\x41\x0f\x22\xe1", 4) && b.cr4 == (CR4_PAE | CR4_PCIDE));
    v.regs.rcx = CR4_PAE | CR4_MCE;
    CHECK(!cr(TO_CR4, "\x0f\x22\xe1", 3)); /* not in the policy */
    v.regs.rcx = CR4_TSD;
    CHECK(!cr(TO_CR4, "\x0f\x22\xe1", 3)); /* no PAE */
    v.regs.rcx = CR4_PAE | BIT(63);
    CHECK(!cr(TO_CR4, "\x0f\x22\xe1", 3));
    b.cr3 = 0x5001;
    CHECK(cr(TO_CR4, "\x41\x0f\x22\xe1", 4)); /* PCIDE stays */
    b.cr4 = CR4_PAE;
    CHECK(!cr(TO_CR4, "\x41\x0f\x22\xe1", 4)); /* while a PCID is there */
    CHECK(!cr(TO_CR4, "\x0f\x20\xe1", 3) && !cr(TO_CR4, "\x0f\x22", 1) && !cr(TO_CR4, "", 0));
    CHECK(b.cr4 == CR4_PAE);

    v.regs.r12 = 5;
    CHECK(cr(TO_CR8, "\x45\x0f\x22\xc4", 4) && cr8 == 5);
    v.regs.rdi = ~0ull;
    CHECK(!cr(TO_CR8, "\x44\x0f\x22\xc7", 4) && cr8 == 5);
    CHECK(cr(FROM_CR8, "\x44\x0f\x20\xc7", 4) && v.regs.rdi == 5);

    b.efer = 0; /* in 32 bits LOCK stands for REX.R, 41 is INC, the upper halves are nobody's */
    b.cs.attr = 0;
    b.cr3 = 0;
    v.regs.rcx = CR4_TSD | BIT(40);
    CHECK(cr(TO_CR4, "\x0f\x22\xe1", 3) && b.cr4 == CR4_TSD);
    CHECK(!cr(TO_CR4, "\x41\x0f\x22\xe1", 4));
    v.regs.rcx = CR4_PCIDE;
    CHECK(!cr(TO_CR4, "\x0f\x22\xe1", 3));
    v.regs.rcx = 7 | BIT(40);
    CHECK(cr(TO_CR8, "\xf0\x0f\x22\xc1", 4) && cr8 == 7);
}

/* What nobody asked for ends the guest. */
static void unknown(void)
{
    struct svm_cpu h = {.next_asid = 5, .asids = 16};
    struct cpu c = {.vendor = &h};
    struct vm_exit e;

    s.asid_cpu = &c;
    for (uint64_t code = VMEXIT_INTR; code < 0x500; code++) {
        b.exit_code = code;
        svm_decode(&v, &e);
        if (e.reason == EXIT_INTERRUPT) CHECK(code == VMEXIT_INTR || code == VMEXIT_INIT);
    }
    b.exit_code = VMEXIT_TASK;
    svm_decode(&v, &e);
    CHECK(e.reason == EXIT_BAD && e.code == VMEXIT_TASK);
    CHECK(h.next_asid == 5 && !s.flush);
    b.exit_code = VMEXIT_RDPRU;
    svm_decode(&v, &e);
    svm_set_intercepts(&b);
    CHECK(e.reason == EXIT_FORBIDDEN && b.intercept[1] & BIT(VMEXIT_RDPRU % 32));
    b.exit_code = VMEXIT_INVALID;
    svm_decode(&v, &e);
    CHECK(e.reason == EXIT_BAD && e.code == ~0ull);
    CHECK(h.next_asid == 16 && s.flush);
}

int main(void)
{
    RUN(unknown);
    RUN(lengths);
    RUN(prefixes);
    RUN(remembered);
    RUN(control_registers);
    return CHECK_RESULT();
}
