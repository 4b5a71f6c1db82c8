/* SPDX-License-Identifier: Apache-2.0 */
/* Lengths of intercepted instructions where the hardware does not tell. */
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
    return CHECK_RESULT();
}
