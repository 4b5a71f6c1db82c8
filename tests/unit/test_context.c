/* SPDX-License-Identifier: Apache-2.0 */
/* Context records: out, in again, and everything that must not come in. */
#define GROUP "context"
#include "cpu/arch.h"
#include "fake_control.h"
#include "hypercall/control.h"
#include "memory/heap.h"
#include "vm/cpu_policy.h"
#include <stdlib.h>
#include <string.h>
#include <xen/hvm/save.h>

#define CR4_PGE  BIT(7)
#define CR4_LA57 BIT(12)

static struct domain *d0, *d1;
static uint8_t buf[65536] __attribute__((aligned(16)));
static long size;

static void boot_state(struct arch_state *s)
{
    *s = (struct arch_state){.cr0 = CR0_PE | CR0_ET, .dr6 = 0xffff0ff0, .dr7 = 0x400};
    for (unsigned int i = 0; i < SEG_COUNT; i++)
        s->seg[i] = (struct segment){.attr = 0xc93, .limit = ~0u};
    s->seg[SEG_CS].attr = 0xc9b;
    s->seg[SEG_TR] = (struct segment){.attr = 0x8b, .limit = 0x67};
    s->seg[SEG_LDTR] = (struct segment){.attr = 0x82};
}

static void long_mode(struct arch_state *s)
{
    boot_state(s);
    s->cr0 |= CR0_PG | CR0_WP;
    s->cr3 = 0x1000;
    s->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR;
    s->efer = EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE;
    s->seg[SEG_CS].attr = 0xa9b;
    s->seg[SEG_GS].base = 0xffff888000000000;
    s->lstar = 0xffffffff81000000;
    s->star = 0x23001000000000;
    s->kernel_gs_base = 0x7f0000000000;
}

static void setup(void)
{
    memset(&fake, 0, sizeof(fake));
    memset(&control, 0, sizeof(control));
    fake_init();
    d0 = fake_domain(0, true, 1);
    d1 = fake_domain(1, false, 2);
    fake_control_init(d1);
    fake_run(d0->vcpus[0]);
    d1->vcpus[0]->holds = 0;
    boot_state(&control.state[1]);
    long_mode(&control.state[0]);
    for (int i = 0; i < 16; i++) d1->vcpus[0]->regs.gpr[i] = 100 + i;
    d1->vcpus[0]->regs.rip = 0xffffffff81234567;
    d1->vcpus[0]->regs.rflags = 0x246;
    d1->vcpus[0]->tsc_aux = 77;
    ((uint8_t *)d1->vcpus[0]->fpu)[32] = 0x5a;
    control.lapic[1][17] = 3;
    size = context_save(d1, buf, sizeof(buf));
}

static void teardown(void)
{
    struct vcpu *v;

    for_each_vcpu (d1, v) core_free_pages(v->fpu, 1);
    core_free(d1->policy);
    fake_domain_free(d1);
    fake_domain_free(d0);
    CHECK_EQ(fake_heap_used(), 0);
}

/* The body of a record in buf. */
static void *find(unsigned int type, unsigned int instance)
{
    for (long at = 0; at < size;) {
        struct hvm_save_descriptor *h = (void *)(buf + at);

        if (h->typecode == type && h->instance == instance) return h + 1;
        at += sizeof(*h) + h->length;
    }
    return NULL;
}

static struct hvm_save_descriptor *descriptor(unsigned int type)
{
    void *body = find(type, 0);

    return body ? (struct hvm_save_descriptor *)body - 1 : NULL;
}

static void test_save(void)
{
    struct hvm_hw_cpu *c;
    unsigned int last = 0;

    setup();
    CHECK_EQ(context_save(d1, NULL, 0), size);
    CHECK_EQ(context_save(d1, buf, size), size);
    CHECK_EQ(context_save(d1, buf, size - 1), -XEN_ENOSPC);
    for (long at = 0; at < size;) {
        struct hvm_save_descriptor *h = (void *)(buf + at);

        at += sizeof(*h) + h->length;
        CHECK(h->typecode >= last || (h->typecode == 0 && at == size));
        last = h->typecode;
    }
    c = find(HVM_SAVE_CODE(CPU), 0);
    CHECK(c && c->rax == 100 && c->rbx == 103 && c->rsp == 104 && c->rdi == 107 && c->r15 == 115);
    CHECK(c && c->cs_arbytes == 0xa9b && c->tr_limit == 0x67);
    CHECK(c && c->msr_lstar == 0xffffffff81000000 && c->fpu_regs[32] == 0x5a);
    CHECK(!find(HVM_SAVE_CODE(CPU), 1)); /* down */
    CHECK(find(HVM_SAVE_CODE(MTRR), 1));
    CHECK(find(HVM_SAVE_CODE(LAPIC_REGS), 1));
    teardown();
}

static void test_round_trip(void)
{
    struct arch_state before;
    struct vcpu *v;
    uint64_t offset;

    setup();
    v = d1->vcpus[0];
    before = control.state[0];
    offset = v->tsc_offset;
    memset(&control, 0, sizeof(control));
    memset(v->fpu, 0, 1024);
    memset(&v->regs, 0, sizeof(v->regs));
    v->tsc_aux = v->mtrr[MTRR_DEF_TYPE] = v->pat = 0;
    d1->vcpus[1]->holds = 0;
    CHECK_EQ(context_load(d1, buf, size), 0);
    CHECK(!memcmp(&before, &control.state[0], sizeof(before)));
    for (int i = 0; i < 16; i++) CHECK_EQ(v->regs.gpr[i], 100 + i);
    CHECK_EQ(v->regs.rip, 0xffffffff81234567);
    CHECK_EQ(v->regs.rflags, 0x246);
    CHECK_EQ(v->tsc_aux, 77);
    CHECK_EQ(v->mtrr[MTRR_DEF_TYPE], 0xc06);
    CHECK_EQ(v->pat, 0x0007040600070406);
    CHECK_EQ(((uint8_t *)v->fpu)[32], 0x5a);
    CHECK_EQ(control.lapic[1][17], 3);
    CHECK(v->initialised && !v->holds);
    CHECK_EQ(d1->shared_info->evtchn_mask[63], ~0ull); /* a restore */
    CHECK(d1->vcpus[1]->holds & HOLD_DOWN);            /* it has no CPU record */
    /* The guest's TSC stood still meanwhile. */
    CHECK(v->tsc_offset < offset && offset - v->tsc_offset < 1ull << 34);
    teardown();
}

/* A change to the CPU record, then loading: must be refused. */
#define REFUSE(change)                                      \
    do {                                                    \
        struct hvm_hw_cpu *c, keep;                         \
        c = find(HVM_SAVE_CODE(CPU), 0);                    \
        keep = *c;                                          \
        change;                                             \
        CHECK_EQ(context_load(d1, buf, size), -XEN_EINVAL); \
        *c = keep;                                          \
    } while (0)

static void test_refused_state(void)
{
    setup();
    REFUSE(c->cr0 &= ~CR0_ET);
    REFUSE(c->cr0 &= ~CR0_PE);
    REFUSE(c->cr0 |= CR0_NW);
    REFUSE(c->cr0 |= 1ull << 32);
    REFUSE(c->cr3 |= 1ull << 60);
    REFUSE(c->cr4 &= ~CR4_PAE);
    REFUSE(c->cr4 |= BIT(13)); /* VMXE */
    REFUSE(c->cr4 |= CR4_LA57);
    REFUSE(c->cr4 |= 1ull << 40);
    REFUSE(c->msr_efer |= EFER_SVME);
    REFUSE(c->msr_efer &= ~EFER_LMA);
    REFUSE(c->msr_efer &= ~EFER_LME);
    REFUSE(c->cs_arbytes |= 0x400);
    REFUSE(c->ss_arbytes |= 0x10000);
    REFUSE(c->ds_arbytes |= 0x1000);
    REFUSE(c->gs_base = 1ull << 50);
    REFUSE(c->shadow_gs = 1ull << 63);
    REFUSE(c->msr_lstar = 1ull << 47);
    REFUSE(c->sysenter_eip = 1ull << 47);
    REFUSE(c->idtr_limit = 0x10000);
    REFUSE(c->gdtr_base = 1ull << 48);
    REFUSE(c->msr_tsc_aux = 1ull << 32);
    REFUSE(c->flags |= 2);
    REFUSE(c->fpu_regs[27] = 0x80);                  /* MXCSR */
    REFUSE(c->pending_event = BIT(31) | 1 << 8);     /* no such type */
    REFUSE(c->pending_event = BIT(31) | 2 << 8 | 3); /* an NMI is 2 */
    REFUSE(c->pending_event = BIT(31) | 3 << 8 | 32);
    REFUSE(c->pending_event = BIT(31) | 3 << 8 | 2);
    REFUSE(c->pending_event = BIT(31) | 1 << 12);
    CHECK_EQ(context_load(d1, buf, size), 0);
    teardown();
}

static void test_refused_stream(void)
{
    struct hvm_save_header *header;
    struct hvm_save_descriptor *h;

    setup();
    for (long n = 0; n < size; n++) CHECK(context_load(d1, buf, n) < 0);
    header = find(HVM_SAVE_CODE(HEADER), 0);
    header->magic++;
    CHECK_EQ(context_load(d1, buf, size), -XEN_EINVAL);
    header->magic--;
    header->version = 2;
    CHECK_EQ(context_load(d1, buf, size), -XEN_EINVAL);
    header->version = 1;
    h = descriptor(HVM_SAVE_CODE(MTRR));
    h->instance = 2; /* no such vCPU */
    CHECK_EQ(context_load(d1, buf, size), -XEN_EINVAL);
    h->instance = 0xffff;
    CHECK_EQ(context_load(d1, buf, size), -XEN_EINVAL);
    h->instance = 0;
    h->typecode = 15; /* viridian */
    CHECK_EQ(context_load(d1, buf, size), -XEN_EINVAL);
    h->typecode = HVM_SAVE_CODE(MTRR);
    h->length = 0xfffffff8;
    CHECK(context_load(d1, buf, size) < 0);
    h->length = sizeof(struct hvm_hw_mtrr);
    CHECK_EQ(context_load(d1, buf, size), 0);
    teardown();
}

static void test_mtrr(void)
{
    struct hvm_hw_mtrr *m;

    setup();
    m = find(HVM_SAVE_CODE(MTRR), 0);
    m->msr_pat_cr = 2;
    CHECK_EQ(context_load(d1, buf, size), -XEN_EINVAL);
    m->msr_pat_cr = 0x0606060606060606;
    m->msr_mtrr_fixed[10] = 3;
    CHECK_EQ(context_load(d1, buf, size), -XEN_EINVAL);
    m->msr_mtrr_fixed[10] = 0x0606060606060606;
    m->msr_mtrr_var[15] = 1; /* a mask with reserved bits */
    CHECK_EQ(context_load(d1, buf, size), -XEN_EINVAL);
    m->msr_mtrr_var[15] = 0x800;
    CHECK_EQ(context_load(d1, buf, size), 0);
    CHECK_EQ(d1->vcpus[0]->mtrr[MTRR_FIXED + 10], 0x0606060606060606);
    CHECK_EQ(d1->vcpus[0]->mtrr[15], 0x800);
    CHECK_EQ(d1->vcpus[0]->pat, 0x0606060606060606);
    CHECK_EQ(control.pat, d1->vcpus[1]->pat); /* the vendor knows */
    teardown();
}

static void test_xsave(void)
{
    struct hvm_hw_cpu_xsave *x;
    struct hvm_save_descriptor *h;
    uint64_t accum;

    setup();
    x = find(CPU_XSAVE_CODE, 0);
    if (x) {
        h = descriptor(CPU_XSAVE_CODE);
        accum = x->xcr0_accum;
        x->xcr0 = 0;
        CHECK_EQ(context_load(d1, buf, size), -XEN_EINVAL);
        x->xcr0 = 1ull << 40 | 1;
        CHECK_EQ(context_load(d1, buf, size), -XEN_EINVAL);
        x->xcr0 = 1;
        x->xcr0_accum |= 8;
        CHECK_EQ(context_load(d1, buf, size), -XEN_EINVAL);
        x->xcr0_accum = accum;
        x->save_area.xsave_hdr.xcomp_bv = 1ull << 63;
        CHECK_EQ(context_load(d1, buf, size), -XEN_EINVAL);
        x->save_area.xsave_hdr.xcomp_bv = 0;
        x->save_area.xsave_hdr.reserved[5] = 1;
        CHECK_EQ(context_load(d1, buf, size), -XEN_EINVAL);
        x->save_area.xsave_hdr.reserved[5] = 0;
        x->save_area.xsave_hdr.xstate_bv |= 1ull << 62;
        CHECK_EQ(context_load(d1, buf, size), -XEN_EINVAL);
        x->save_area.xsave_hdr.xstate_bv = 3;
        x->save_area.fpu_sse.x[27] = (char)0x80;
        CHECK_EQ(context_load(d1, buf, size), -XEN_EINVAL);
        x->save_area.fpu_sse.x[27] = 0;
        /* Less state than the record holds: fine while the rest is 0. */
        if (accum & 4 && accum < 8) {
            x->xcr0_accum = 3;
            CHECK_EQ(context_load(d1, buf, size), 0);
            ((char *)x)[h->length - 1] = 1;
            CHECK_EQ(context_load(d1, buf, size), -XEN_EOPNOTSUPP);
            x->xcr0_accum = accum;
        }
        CHECK_EQ(context_load(d1, buf, size), 0);
        CHECK_EQ(d1->vcpus[0]->xcr0, 1);
    }
    teardown();
}

/* The CPU record without tsc_aux and flags, as old tools write it. */
static void test_compat(void)
{
    struct hvm_hw_cpu_compat *c;
    struct {
        struct hvm_save_descriptor h1;
        struct hvm_save_header header;
        struct hvm_save_descriptor h2;
        struct hvm_hw_cpu_compat c;
        struct hvm_save_descriptor end;
    } s = {.h1 = {1, 0, 24},
           .header = {.magic = HVM_FILE_MAGIC, .version = 1},
           .h2 = {2, 0, sizeof(*c)}};
    struct hvm_hw_cpu *full;

    setup();
    full = find(HVM_SAVE_CODE(CPU), 0);
    memcpy(&s.c, full, sizeof(s.c));
    s.c.tsc = full->tsc;
    s.c.pending_event = 0;
    s.c.error_code = 0;
    CHECK_EQ(context_load(d1, (uint8_t *)&s, sizeof(s)), 0);
    CHECK_EQ(d1->vcpus[0]->tsc_aux, 0);
    s.h2.length -= 8;
    CHECK_EQ(context_load(d1, (uint8_t *)&s, sizeof(s)), -XEN_EINVAL);
    teardown();
}

/* Whatever the bytes, no access goes astray and what is loaded is valid. */
static void test_noise(void)
{
    static uint8_t good[sizeof(buf)];
    unsigned int loaded = 0;

    setup();
    memcpy(good, buf, size);
    srand(4711);
    for (int i = 0; i < 200000; i++) {
        for (int k = rand() % 3; k >= 0; k--) buf[rand() % size] = rand();
        if (!context_load(d1, buf, size)) {
            const struct arch_state *s = &control.state[0];

            loaded++;
            CHECK(s->cr0 & CR0_ET && !(s->efer & EFER_SVME));
            CHECK(!(s->efer & EFER_LMA) == !(s->cr0 & CR0_PG && s->efer & EFER_LME));
        }
        memcpy(buf, good, size);
    }
    CHECK(loaded > 1000);
    teardown();
}

int main(void)
{
    RUN(save);
    RUN(round_trip);
    RUN(refused_state);
    RUN(refused_stream);
    RUN(mtrr);
    RUN(xsave);
    RUN(compat);
    RUN(noise);
    return test_failed != 0;
}
