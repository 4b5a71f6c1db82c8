/* SPDX-License-Identifier: Apache-2.0 */
/* SVM's exit codes, decoded into struct vm_exit. */
#include "svm/vmcb.h"
#include "vm/domain.h"
#include "vm/guest.h"
#include "vm/vendor.h"

/*
 * Length of the intercepted instruction where the hardware does not tell (no
 * nRIP save): fetch it, step over prefixes, compare the opcode.
 */
struct opcode {
    uint16_t code;
    uint8_t len, bytes[3];
};

static const struct opcode opcodes[] = {
    {VMEXIT_CPUID, 2, {0x0f, 0xa2}},
    {VMEXIT_HLT, 1, {0xf4}},
    {VMEXIT_VMMCALL, 3, {0x0f, 0x01, 0xd9}},
    {VMEXIT_XSETBV, 3, {0x0f, 0x01, 0xd1}},
    {VMEXIT_INVD, 2, {0x0f, 0x08}},
    {VMEXIT_WBINVD, 2, {0x0f, 0x09}},
    {VMEXIT_PAUSE, 1, {0x90}}, /* F3 is stepped over as a prefix */
    {VMEXIT_RDTSC, 2, {0x0f, 0x31}},
    {VMEXIT_RDTSCP, 3, {0x0f, 0x01, 0xf9}},
};

static bool is_prefix(uint8_t b, bool long_mode)
{
    switch (b) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
    case 0x66:
    case 0x67:
    case 0xf0:
    case 0xf2:
    case 0xf3: return true;
    default: return long_mode && (b & 0xf0) == 0x40;
    }
}

static unsigned int decode_len(struct vcpu *v, const struct opcode *o)
{
    uint8_t insn[15];
    unsigned int n = guest_fetch_insn(v, insn), at = 0;
    struct vmcb *b = ((struct svm_vcpu *)v->vendor)->vmcb;
    bool long_mode = b->efer & EFER_LMA && b->cs.attr & 0x200;

    while (at < n && insn[at] != o->bytes[0] && is_prefix(insn[at], long_mode)) at++;
    for (unsigned int i = 0; i < o->len; i++)
        if (at + i >= n || insn[at + i] != o->bytes[i]) return 0;
    return at + o->len;
}

static const struct opcode *find_opcode(struct vmcb *b)
{
    static const struct opcode rdmsr = {VMEXIT_MSR, 2, {0x0f, 0x32}},
                               wrmsr = {VMEXIT_MSR, 2, {0x0f, 0x30}};

    if (b->exit_code == VMEXIT_MSR) return b->exit_info1 & 1 ? &wrmsr : &rdmsr;
    for (unsigned int i = 0; i < ARRAY_SIZE(opcodes); i++)
        if (opcodes[i].code == b->exit_code) return &opcodes[i];
    return NULL;
}

/*
 * 0: the bytes are not that instruction.  What was decoded at an address is
 * remembered; should the guest change its code there, only it is misled.
 */
unsigned int svm_insn_len(struct vcpu *v, uint64_t code)
{
    struct svm_vcpu *s = v->vendor;
    struct vmcb *b = s->vmcb;
    const struct opcode *o;
    unsigned int i, len;

    if (svm_has_nrip && b->next_rip) return (b->next_rip - b->rip) & 15;
    code |= code == VMEXIT_MSR ? b->exit_info1 << 32 : 0;
    i = (b->rip ^ b->rip >> 4 ^ b->rip >> 12) % ARRAY_SIZE(s->known);
    if (s->known[i].rip == b->rip && s->known[i].cr3 == b->cr3 && s->known[i].code == code)
        return s->known[i].len;
    o = find_opcode(b);
    len = o ? decode_len(v, o) : 0;
    if (len) {
        s->known[i].rip = b->rip;
        s->known[i].cr3 = b->cr3;
        s->known[i].code = code;
        s->known[i].len = len;
    }
    return len;
}

/* An instruction that is skipped after it was carried out. */
static void with_len(struct vcpu *v, struct vm_exit *e, enum exit_reason r)
{
    e->len = svm_insn_len(v, ((struct svm_vcpu *)v->vendor)->vmcb->exit_code);
    e->reason = r;
    if (!e->len) { /* changed under our feet */
        e->reason = EXIT_EXCEPTION;
        e->exception.vector = VEC_UD;
    }
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

/* VMCALL, the other vendor's hypercall, arrives here as #UD. */
static void decode_exception(struct vcpu *v, struct vmcb *b, struct vm_exit *e)
{
    uint8_t vector = b->exit_code - VMEXIT_EXCEPTION, insn[15];

    e->reason = EXIT_EXCEPTION;
    e->exception.vector = vector;
    if (vector != VEC_UD || b->cpl != 0 || guest_fetch_insn(v, insn) < 3) return;
    if (insn[0] == 0x0f && insn[1] == 0x01 && insn[2] == 0xc1) {
        e->reason = EXIT_HYPERCALL;
        e->len = 3;
    }
}

void svm_decode(struct vcpu *v, struct vm_exit *e)
{
    struct vmcb *b = ((struct svm_vcpu *)v->vendor)->vmcb;
    uint64_t code = b->exit_code;

    e->len = 0;
    switch (code) {
    case VMEXIT_INTR: e->reason = EXIT_INTERRUPT; break;
    case VMEXIT_NMI: e->reason = EXIT_NMI; break;
    case VMEXIT_VINTR: e->reason = EXIT_WINDOW; break;
    case VMEXIT_VMMCALL: with_len(v, e, EXIT_HYPERCALL); break;
    case VMEXIT_CPUID: with_len(v, e, EXIT_CPUID); break;
    case VMEXIT_HLT: with_len(v, e, EXIT_HLT); break;
    case VMEXIT_MSR:
        with_len(v, e, EXIT_MSR);
        if (e->reason != EXIT_MSR) break;
        e->msr.index = v->regs.rcx;
        e->msr.write = b->exit_info1 & 1;
        break;
    case VMEXIT_IO: decode_io(b, e); break;
    case VMEXIT_NPF: decode_npf(b, e); break;
    case VMEXIT_XSETBV: with_len(v, e, EXIT_XSETBV); break;
    case VMEXIT_PAUSE: with_len(v, e, EXIT_PAUSE); break;
    case VMEXIT_INVD:
    case VMEXIT_WBINVD: with_len(v, e, EXIT_SKIP); break;
    case VMEXIT_SHUTDOWN: e->reason = EXIT_SHUTDOWN; break;
    case VMEXIT_RDPMC:
    case VMEXIT_INVLPGA:
    case VMEXIT_VMRUN:
    case VMEXIT_VMMCALL + 1 ... VMEXIT_SKINIT:
    case VMEXIT_MONITOR ... VMEXIT_MWAIT: e->reason = EXIT_FORBIDDEN; break;
    case VMEXIT_EXCEPTION ... VMEXIT_EXCEPTION + 31: decode_exception(v, b, e); break;
    case VMEXIT_INIT:
    case VMEXIT_SMI: e->reason = EXIT_INTERRUPT; break;
    default:
        e->reason = EXIT_BAD;
        e->code = code;
        break;
    }
}
