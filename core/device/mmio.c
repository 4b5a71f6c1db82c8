/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accesses to guest-physical addresses where there is no RAM: which device
 * they meet, and the small decoder of the instructions that make them (moves,
 * and the few read-modify-writes that compilers make of volatile accesses).
 */
#include "cpu/cpu.h"
#include "device/hwdev.h"
#include "device/vlapic.h"
#include "lib/print.h"
#include "lib/string.h"
#include "vm/domain.h"
#include "vm/vcpu.h"
#include "vm/guest.h"

#define FLAGS_LOGIC (BIT(0) | BIT(2) | BIT(6) | BIT(7) | BIT(11))

enum op { OP_LOAD, OP_STORE, OP_ALU, OP_XCHG, OP_STOS, OP_MOVS };

struct insn {
    const uint8_t *p, *end; /* what is yet to be decoded                    */
    bool bad;
    enum op op;
    uint8_t size;     /* bytes of the operand                         */
    uint8_t dst_size; /* of the register, for MOVZX and MOVSX         */
    bool sign;        /* MOVSX                                        */
    uint8_t rex;      /* 0: none, then 4-7 name AH, CH, DH, BH        */
    bool immediate;   /* the other operand is imm, else reg           */
    bool to_memory;   /* ALU: the result goes to memory               */
    bool discard;     /* ALU: it goes nowhere (CMP, TEST)             */
    uint8_t reg, alu; /* alu: 0 ADD 1 OR 4 AND 5 SUB 6 XOR 7 CMP      */
    uint64_t imm;
    bool rep;
    uint8_t address_size;
};

static uint64_t fetch(struct insn *i, unsigned int n)
{
    uint64_t v = 0;

    if (i->end - i->p < (long)n) {
        i->bad = true;
        return 0;
    }
    memcpy(&v, i->p, n);
    i->p += n;
    return v;
}

static uint64_t sign_extend(uint64_t v, unsigned int size)
{
    unsigned int shift = 64 - 8 * size;

    return (uint64_t)((int64_t)(v << shift) >> shift);
}

/* Steps over ModRM, SIB and displacement (APM vol. 3, 1.4); returns the middle
 * field, an operation or a register. */
static uint8_t modrm(struct insn *i)
{
    uint8_t m = fetch(i, 1), mod = m >> 6, rm = m & 7, reg = m >> 3 & 7;

    i->bad |= mod == 3;
    if (i->address_size == 2) {
        fetch(i, mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0);
        return reg;
    }
    if (rm == 4 && (fetch(i, 1) & 7) == 5 && mod == 0) fetch(i, 4);
    fetch(i, mod == 1 ? 1 : mod == 2 || (mod == 0 && rm == 5) ? 4 : 0);
    return reg;
}

/* Sets what the opcode tells; false when ModRM does not follow. */
static bool decode_opcode(struct insn *i, uint8_t code)
{
    if (!(code & 1)) i->size = 1;
    switch (code) {
    case 0x88 ... 0x8b: i->op = code & 2 ? OP_LOAD : OP_STORE; return true;
    case 0x86 ... 0x87: i->op = OP_XCHG; return true;
    case 0xa0 ... 0xa3:
        i->op = code & 2 ? OP_STORE : OP_LOAD;
        fetch(i, i->address_size);
        return false;
    case 0xa4 ... 0xa5: i->op = OP_MOVS; return false;
    case 0xaa ... 0xab: i->op = OP_STOS; return false;
    case 0x0f: /* MOVZX, MOVSX */
        code = fetch(i, 1);
        i->bad |= (code & 0xf6) != 0xb6;
        i->op = OP_LOAD;
        i->dst_size = i->size;
        i->size = code & 1 ? 2 : 1;
        i->sign = code & 8;
        return true;
    case 0xc6 ... 0xc7:
        i->op = OP_STORE;
        i->immediate = true;
        return true;
    case 0x84 ... 0x85:
    case 0xf6 ... 0xf7: /* TEST */
        i->alu = 4;
        i->discard = true;
        i->immediate = code >= 0xf6;
        break;
    case 0x80 ... 0x81:
    case 0x83: i->immediate = i->to_memory = true; break;
    default: /* the ALU's: 00-3b, in four forms each */
        i->alu = code >> 3;
        i->to_memory = !(code & 2);
        i->bad |= code > 0x3b || code & 4;
        break;
    }
    i->op = OP_ALU;
    return true;
}

static bool decode(struct vcpu *v, struct insn *i, uint8_t bytes[15])
{
    struct segment cs;
    bool long_mode, big, op16 = false, addr = false, based = false;
    uint8_t code, reg, imm_size;

    vendor->get_segment(v, SEG_CS, &cs);
    long_mode = vendor->get_efer(v) & EFER_LMA && cs.attr & SEG_LONG;
    big = long_mode || cs.attr & SEG_BIG;
    *i = (struct insn){.p = bytes, .end = bytes + guest_fetch_insn(v, bytes)};
    for (code = fetch(i, 1); insn_prefix(code, long_mode); code = fetch(i, 1)) {
        op16 |= code == 0x66;
        addr |= code == 0x67;
        based |= code == 0x64 || code == 0x65; /* FS, GS */
        i->rep |= (code & 0xfe) == 0xf2;
        i->rex = (code & 0xf0) == 0x40 ? code : 0; /* counts only right before the opcode */
    }
    i->size = i->rex & 8 ? 8 : op16 == big ? 2 : 4;
    i->address_size = long_mode ? (addr ? 4 : 8) : addr == big ? 2 : 4;
    if (decode_opcode(i, code)) {
        reg = modrm(i);
        if (code == 0x80 || code == 0x81 || code == 0x83) i->alu = reg;
        i->bad |= code >= 0xf6 && reg > 1;
        i->reg = reg | (i->rex & 4) << 1;
        imm_size = code == 0x83 ? 1 : MIN(i->size, 4);
        if (i->immediate) i->imm = sign_extend(fetch(i, imm_size), imm_size);
    }
    i->discard |= i->alu == 7;
    /* Its other operand is reached as the kernel's own, without a segment's base. */
    i->bad |= i->op == OP_MOVS && (based || vendor->get_cpl(v) == 3);
    return !i->bad && (i->op != OP_ALU || (i->alu != 2 && i->alu != 3));
}

/* --- registers --- */

static uint64_t size_mask(unsigned int size)
{
    return size == 8 ? ~0ull : (1ull << size * 8) - 1;
}

static uint64_t get_reg(struct vcpu *v, const struct insn *i)
{
    if (i->size == 1 && !i->rex && i->reg >= 4) return v->regs.gpr[i->reg - 4] >> 8 & 0xff;
    return v->regs.gpr[i->reg] & size_mask(i->size);
}

static void set_reg(struct vcpu *v, const struct insn *i, unsigned int size, uint64_t value)
{
    uint64_t *r = &v->regs.gpr[i->reg];

    if (size == 1 && !i->rex && i->reg >= 4) {
        r = &v->regs.gpr[i->reg - 4];
        *r = (*r & ~0xff00ull) | (value & 0xff) << 8;
    } else if (size >= 4) {
        *r = value & size_mask(size);
    } else {
        *r = (*r & ~size_mask(size)) | (value & size_mask(size));
    }
}

static uint64_t alu(struct vcpu *v, const struct insn *i, uint64_t a, uint64_t b)
{
    uint64_t mask = size_mask(i->size), top = (mask >> 1) + 1, r, f = 0;

    a &= mask;
    b &= mask;
    switch (i->alu) {
    case 0:
        r = (a + b) & mask;
        f = (r < a) | ((a ^ r) & (b ^ r) & top ? BIT(11) : 0);
        break;
    case 1: r = a | b; break;
    case 4: r = a & b; break;
    case 6: r = a ^ b; break;
    default: /* SUB, CMP */
        r = (a - b) & mask;
        f = (a < b) | ((a ^ b) & (a ^ r) & top ? BIT(11) : 0);
        break;
    }
    f |= r ? 0 : BIT(6);
    f |= r & top ? BIT(7) : 0;
    f |= __builtin_parity(r & 0xff) ? 0 : BIT(2);
    v->regs.rflags = (v->regs.rflags & ~FLAGS_LOGIC) | f;
    return r;
}

/* --- devices --- */

static uint64_t access(struct vcpu *v, uint64_t gpa, unsigned int size, bool write, uint64_t value)
{
    struct domain *d = v->domain;

    if ((gpa & PAGE_MASK) == APIC_BASE_DEFAULT &&
        (v->apic_base & (APIC_BASE_EN | APIC_BASE_EXTD)) == APIC_BASE_EN)
        return vlapic_access(v, gpa & 0xfff, size, write, value);
    if (d->privileged && vioapic_access(gpa, write, &value)) return value;
    if (d->pci && vpci_access(d, gpa, size, write, &value)) return value;
    log_guest(LOG_DEBUG, "d%uv%u: %s of nothing at %lx, rip %lx", d->id, v->id,
              write ? "write" : "read", gpa, v->regs.rip);
    return ~0ull;
}

/* One element of STOS or MOVS; REP runs it again until RCX is 0. */
static bool string_op(struct vcpu *v, const struct insn *i, uint64_t gpa, bool write)
{
    struct regs *r = &v->regs;
    uint64_t mask = size_mask(i->address_size), value = r->rax;
    uint64_t step = r->rflags & BIT(10) ? -(uint64_t)i->size : i->size;

    if (i->op == OP_MOVS && write) {
        if (copy_from_guest(&value, r->rsi & mask, i->size)) return false;
    } else if (i->op == OP_MOVS) {
        value = access(v, gpa, i->size, false, 0);
        if (copy_to_guest(r->rdi & mask, &value, i->size)) return false;
    }
    if (write) access(v, gpa, i->size, true, value & size_mask(i->size));
    r->rdi = (r->rdi + step) & mask;
    if (i->op == OP_MOVS) r->rsi = (r->rsi + step) & mask;
    if (i->rep) {
        r->rcx = (r->rcx - 1) & mask;
        return r->rcx != 0; /* stay on the instruction */
    }
    return false;
}

static void carry_out(struct vcpu *v, const struct insn *i, uint64_t gpa)
{
    uint64_t other = i->immediate ? i->imm : get_reg(v, i), mem = 0;

    if (i->op != OP_STORE) mem = access(v, gpa, i->size, false, 0) & size_mask(i->size);
    switch (i->op) {
    case OP_LOAD:
        if (i->sign) mem = sign_extend(mem, i->size);
        set_reg(v, i, i->dst_size ? i->dst_size : i->size, mem);
        break;
    case OP_STORE: access(v, gpa, i->size, true, other & size_mask(i->size)); break;
    case OP_XCHG:
        access(v, gpa, i->size, true, other);
        set_reg(v, i, i->size, mem);
        break;
    default:
        other = i->to_memory ? alu(v, i, mem, other) : alu(v, i, other, mem);
        if (i->discard) break;
        if (i->to_memory)
            access(v, gpa, i->size, true, other);
        else
            set_reg(v, i, i->size, other);
        break;
    }
}

void handle_mmio(struct vcpu *v, uint64_t gpa, bool write)
{
    uint8_t bytes[15];
    struct insn i;
    bool again = false;

    if (v->domain->pci && vpci_map(v->domain, gpa)) return;
    if (!decode(v, &i, bytes)) {
        log_guest(LOG_INFO, "d%uv%u: cannot decode the access to %lx, rip %lx", v->domain->id,
                  v->id, gpa, v->regs.rip);
        vendor->inject_exception(v, VEC_UD, NO_ERROR_CODE);
        return;
    }
    if (i.op == OP_STOS || i.op == OP_MOVS)
        again = string_op(v, &i, gpa, write);
    else
        carry_out(v, &i, gpa);
    if (!again) vendor->skip_insn(v, i.p - bytes);
}
