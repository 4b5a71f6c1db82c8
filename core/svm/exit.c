/* SPDX-License-Identifier: Apache-2.0 */
/* SVM's exit codes, decoded into struct vm_exit. */
#include "cpu/cpu.h"
#include "device/vlapic.h"
#include "lib/string.h"
#include "svm/vmcb.h"
#include "vm/cpu_policy.h"
#include "vm/domain.h"
#include "vm/guest.h"
#include "vm/vendor.h"

#define FIRST VMEXIT_INTR

/*
 * What needs no more than its code, from FIRST on; where an instruction is
 * skipped after it was carried out, also its opcode.  What stands here is
 * intercepted (RDTSC and IRET while it is asked for), all others are EXIT_BAD.
 */
static const struct kind {
    uint8_t reason, len, opcode[6]; /* eight bytes in all */
} kinds[] = {
    [VMEXIT_INTR - FIRST] = {EXIT_INTERRUPT, 0, {0}},
    [VMEXIT_NMI - FIRST] = {EXIT_NMI, 0, {0}},
    [VMEXIT_INIT - FIRST] = {EXIT_INTERRUPT, 0, {0}},
    [VMEXIT_VINTR - FIRST] = {EXIT_WINDOW, 0, {0}},
    [VMEXIT_RDTSC - FIRST] = {EXIT_RDTSC, 2, {0x0f, 0x31}},
    [VMEXIT_RDPMC - FIRST] = {EXIT_FORBIDDEN, 0, {0}},
    [VMEXIT_CPUID - FIRST] = {EXIT_CPUID, 2, {0x0f, 0xa2}},
    [VMEXIT_IRET - FIRST] = {EXIT_WINDOW, 0, {0}}, /* ends the blocking of NMIs */
    [VMEXIT_INVD - FIRST] = {EXIT_SKIP, 2, {0x0f, 0x08}},
    [VMEXIT_HLT - FIRST] = {EXIT_HLT, 1, {0xf4}},
    [VMEXIT_INVLPGA - FIRST] = {EXIT_FORBIDDEN, 0, {0}},
    [VMEXIT_IO - FIRST] = {EXIT_IO, 0, {0}},
    [VMEXIT_MSR - FIRST] = {EXIT_MSR, 0, {0}},
    [VMEXIT_SHUTDOWN - FIRST] = {EXIT_SHUTDOWN, 0, {0}},
    [VMEXIT_VMRUN - FIRST] = {EXIT_FORBIDDEN, 0, {0}},
    [VMEXIT_VMMCALL - FIRST] = {EXIT_HYPERCALL, 3, {0x0f, 0x01, 0xd9}},
    [VMEXIT_VMMCALL + 1 - FIRST... VMEXIT_SKINIT - FIRST] = {EXIT_FORBIDDEN, 0, {0}},
    [VMEXIT_RDTSCP - FIRST] = {EXIT_RDTSCP, 3, {0x0f, 0x01, 0xf9}},
    [VMEXIT_WBINVD - FIRST] = {EXIT_SKIP, 2, {0x0f, 0x09}},
    [VMEXIT_MONITOR - FIRST... VMEXIT_MWAIT - FIRST] = {EXIT_FORBIDDEN, 0, {0}},
    [VMEXIT_XSETBV - FIRST] = {EXIT_XSETBV, 3, {0x0f, 0x01, 0xd1}},
    [VMEXIT_RDPRU - FIRST] = {EXIT_FORBIDDEN, 0, {0}},
};
static const struct kind rdmsr = {EXIT_MSR, 2, {0x0f, 0x32}}, wrmsr = {EXIT_MSR, 2, {0x0f, 0x30}};

void svm_set_intercepts(struct vmcb *b)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++)
        if (kinds[i].reason != EXIT_BAD) b->intercept[i / 32] |= BIT(i % 32);
}

void svm_intercept(struct vmcb *b, uint32_t code, bool on)
{
    uint32_t *word = &b->intercept[(code - FIRST) / 32], bit = BIT((code - FIRST) % 32);

    *word = on ? *word | bit : *word & ~bit;
}

/* Where the hardware does not tell (no nRIP save): fetches the instruction,
 * steps over prefixes, compares the opcode.  0: it is another. */
static unsigned int fetch_len(struct vcpu *v, const struct kind *k, uint8_t *insn)
{
    unsigned int n = guest_fetch_insn(v, insn), at = 0;
    struct vmcb *b = vmcb_of(v);
    bool long_mode = b->efer & EFER_LMA && b->cs.attr & SEG_LONG;

    while (at < n && insn_prefix(insn[at], long_mode)) at++;
    return at + k->len <= n && !memcmp(insn + at, k->opcode, k->len) ? at + k->len : 0;
}

/*
 * What was fetched at an address is remembered; should the guest change its
 * code there, only it is misled.
 */
static unsigned int known_len(struct vcpu *v, const struct kind *k)
{
    struct svm_vcpu *s = v->vendor;
    struct vmcb *b = s->block;
    struct known_insn *known = &s->known[(b->rip ^ b->rip >> 4 ^ b->rip >> 12) % KNOWN_INSNS];
    unsigned int len;
    uint8_t insn[15];

    if (known->rip == b->rip && known->cr3 == b->cr3 && known->kind == k) return known->len;
    len = fetch_len(v, k, insn);
    if (len) *known = (struct known_insn){b->rip, b->cr3, k, len};
    return len;
}

static inline unsigned int insn_len(struct vcpu *v, const struct vmcb *b, const struct kind *k)
{
    return svm_has_nrip && b->next_rip ? (b->next_rip - b->rip) & 15 : known_len(v, k);
}

static inline void decode_call(const struct vmcb *b, struct vm_exit *e)
{
    e->call.cpl = b->cpl;
    e->call.long_mode = b->cs.attr & SEG_LONG;
}

/* A kind of exit that the table tells. */
static inline void decode_kind(struct vcpu *v, const struct vmcb *b, const struct kind *k,
                               struct vm_exit *e)
{
    e->reason = k->reason;
    if (k->reason == EXIT_HYPERCALL) decode_call(b, e);
    if (!k->len) return;
    e->len = insn_len(v, b, k);
    if (likely(e->len)) return;
    /* QEMU 7.2 says RDTSC of RDTSCP, too. */
    if (k->reason == EXIT_RDTSC) {
        e->reason = EXIT_RDTSCP;
        e->len = insn_len(v, b, &kinds[VMEXIT_RDTSCP - FIRST]);
        if (e->len) return;
    }
    e->reason = EXIT_EXCEPTION; /* changed under our feet */
    e->exception.vector = VEC_UD;
}

static void decode_msr(struct vcpu *v, struct vmcb *b, struct vm_exit *e)
{
    bool write = b->exit_info1 & 1;

    decode_kind(v, b, write ? &wrmsr : &rdmsr, e);
    if (e->reason != EXIT_MSR) return;
    e->msr.index = v->regs.rcx;
    e->msr.write = write;
}

static void decode_io(struct vmcb *b, struct vm_exit *e)
{
    uint64_t info = b->exit_info1; /* 15.10.2 */

    e->reason = EXIT_IO;
    e->io.port = info >> 16;
    e->io.in = info & BIT(0);
    e->io.string = info & BIT(2);
    e->io.rep = info & BIT(3);
    e->io.size = info >> 4 & 7;
    e->len = (b->exit_info2 - b->rip) & 15;
}

static void decode_npf(struct vmcb *b, struct vm_exit *e)
{
    e->reason = EXIT_NESTED_FAULT; /* 15.25.6 */
    e->fault.gpa = b->exit_info2;
    e->fault.write = b->exit_info1 & BIT(1);
    e->fault.fetch = b->exit_info1 & BIT(4);
    e->fault.walk = b->exit_info1 & BIT(33);
}

/* CR4's rules (APM vol. 2, 3.1.3) and the policy's. */
static bool write_cr4(struct vcpu *v, struct vmcb *b, uint64_t value)
{
    bool lma = b->efer & EFER_LMA;

    if (value & ~cpu_policy_cr4(v->domain->policy) || (lma && !(value & CR4_PAE)) ||
        (value & ~b->cr4 & CR4_PCIDE && (!lma || b->cr3 & 0xfff)))
        return false;
    b->cr4 = value;
    ((struct svm_vcpu *)v->vendor)->flush = true;
    return true;
}

/* MOV to CR4, or from or to CR8. */
static void decode_cr(struct vcpu *v, struct vmcb *b, struct vm_exit *e)
{
    bool write = b->exit_code >= VMEXIT_CR_WRITE;
    struct kind mov = {EXIT_SKIP, 2, {0x0f, write ? 0x22 : 0x20}};
    uint8_t insn[16] = {0};
    unsigned int at = fetch_len(v, &mov, insn); /* of ModRM; a REX is right before the opcode */
    uint64_t *reg = &v->regs.gpr[(insn[at] & 7) | (at > 2 && (insn[at - 3] & 0xf1) == 0x41) << 3];

    if (!(b->efer & EFER_LMA && b->cs.attr & SEG_LONG)) *reg = (uint32_t)*reg;
    e->reason = EXIT_SKIP;
    if (at &&
        (b->exit_code == VMEXIT_CR_WRITE + 4 ? write_cr4(v, b, *reg) : vlapic_cr8(v, reg, write)))
        e->len = at + 1;
    else
        svm_ops.inject_exception(v, VEC_GP, 0);
}

/* VMCALL, the other vendor's hypercall, arrives here as #UD. */
static void decode_exception(struct vcpu *v, struct vmcb *b, struct vm_exit *e)
{
    uint8_t vector = b->exit_code - VMEXIT_EXCEPTION, insn[15];

    e->reason = EXIT_EXCEPTION;
    e->exception.vector = vector;
    if (vector != VEC_UD || b->cpl != 0 || guest_fetch_insn(v, insn) < 3) return;
    if (!memcmp(insn, "\x0f\x01\xc1", 3)) {
        e->reason = EXIT_HYPERCALL;
        e->len = 3;
        decode_call(b, e);
    }
}

/*
 * QEMU 7.2's VMRUN does not restore the interrupt shadow.  After STI an event
 * would be taken before HLT instead of ending it, and be slept over: HLT is
 * carried out here, the host's interrupt stays pending.
 */
static bool hlt_in_shadow(struct vcpu *v, struct vm_exit *e)
{
    if (svm_has_nrip || !(vmcb_of(v)->interrupt_shadow & 1)) return false;
    e->reason = EXIT_HLT;
    e->len = insn_len(v, vmcb_of(v), &kinds[VMEXIT_HLT - FIRST]);
    return e->len != 0;
}

/* A VMRUN that failed may not have flushed as it was asked to: who takes an ASID next
 * asks again; the others' are of an epoch before. */
static void owe_flush(struct svm_vcpu *s)
{
    struct svm_cpu *h = s->asid_cpu->vendor;

    h->next_asid = h->asids;
    s->flush = true;
}

static void decode_rest(struct vcpu *v, struct vmcb *b, struct vm_exit *e)
{
    uint64_t code = b->exit_code;

    if (code == VMEXIT_INTR && hlt_in_shadow(v, e)) return;
    if (code == VMEXIT_IRET) svm_block_nmis(b, false);
    if (code == VMEXIT_MSR)
        decode_msr(v, b, e);
    else if (code == VMEXIT_IO)
        decode_io(b, e);
    else if (code == VMEXIT_NPF)
        decode_npf(b, e);
    else if (code - VMEXIT_EXCEPTION < 32)
        decode_exception(v, b, e);
    else if (code - FIRST < ARRAY_SIZE(kinds))
        decode_kind(v, b, &kinds[code - FIRST], e);
    else if (code == VMEXIT_CR_WRITE + 4 || (code & ~VMEXIT_CR_WRITE) == 8)
        decode_cr(v, b, e);
    else
        e->reason = EXIT_BAD;
    if (e->reason == EXIT_BAD) e->code = code;
    if (code == VMEXIT_INVALID) owe_flush(v->vendor);
}

void svm_decode(struct vcpu *v, struct vm_exit *e)
{
    struct vmcb *b = vmcb_of(v);
    uint64_t n = b->exit_code - FIRST;

    e->len = 0;
    if (n < ARRAY_SIZE(kinds) && kinds[n].len)
        decode_kind(v, b, &kinds[n], e);
    else
        decode_rest(v, b, e);
}
