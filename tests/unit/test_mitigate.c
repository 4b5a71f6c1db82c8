/* SPDX-License-Identifier: Apache-2.0 */
/* What is chosen against speculation, for processors as they answer CPUID and the
 * MSRs; and what is written to each CPU, at an entry and at a switch. */
#define cpuid     hardware_cpuid
#define read_msr  hardware_read_msr
#define write_msr hardware_write_msr
#include "check.h"
#include "cpu/cpu.h"
#undef cpuid
#undef read_msr
#undef write_msr
#include "boot/boot.h"
#include "lib/print.h"
#include "vm/domain.h"
#include <asm/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct options options;
static struct cpu self = {.self = &self};
struct cpu *cpus[MAX_CPUS] = {&self};
unsigned int cpu_count = 1;

/* A processor: some CPUID registers, and MSRs that hold what is written. */
static struct machine {
    uint32_t family, model, hypervisor;
    bool intel;
    uint32_t feat_d, feat2_d;      /* 7:0 and 7:2 */
    uint32_t amd8_b, a21_a, a21_c; /* 0x80000008, 0x80000021 */
    uint64_t caps, absent;         /* an MSR that is not there */
} m;
static struct {
    uint32_t msr;
    uint64_t value;
} wrote[32];
static unsigned int writes;

static struct cpuid_regs cpuid(uint32_t leaf, uint32_t sub)
{
    struct cpuid_regs r = {0};
    uint32_t f = m.family > 15 ? 15 : m.family;

    if (leaf == 0) r.a = 13;
    if (leaf == 0x80000000) r.a = 0x80000021;
    if (leaf == 1) {
        r.a = f << 8 | (m.family - f) << 20 | (m.model & 15) << 4 | (m.model >> 4) << 16;
        r.c = (m.intel ? BIT(5) : 0) | (m.hypervisor ? BIT(31) : 0);
    }
    if (leaf == 7) {
        r.a = 2;
        r.d = sub == 0 ? m.feat_d : sub == 2 ? m.feat2_d : 0;
    }
    if (leaf == 0x80000008) r.b = m.amd8_b;
    if (leaf == 0x80000021) {
        r.a = m.a21_a;
        r.c = m.a21_c;
    }
    return r;
}

static uint64_t read_msr(uint32_t msr)
{
    if (msr == 0x10a) return m.caps;
    for (unsigned int i = writes; i-- > 0;)
        if (wrote[i].msr == msr) return wrote[i].value;
    return 0x1000; /* what firmware left is kept */
}

static void write_msr(uint32_t msr, uint64_t v)
{
    CHECK(msr != m.absent && writes < ARRAY_SIZE(wrote));
    wrote[writes].msr = msr;
    wrote[writes++].value = v;
}

bool read_msr_safe(uint32_t msr, uint64_t *v)
{
    if (msr != m.absent) *v = read_msr(msr);
    return msr != m.absent;
}

bool write_msr_safe(uint32_t msr, uint64_t v)
{
    if (msr != m.absent) write_msr(msr, v);
    return msr != m.absent;
}

static unsigned int logged; /* warnings */
void log_core(enum log_level level, maybe_unused const char *fmt, ...)
{
    logged += level == LOG_WARN;
}

static unsigned int fills; /* of the return stack */
void fill_returns(void)
{
    fills++;
}

#include "cpu/mitigate.c"

/* How often the MSR was written, and the last value. */
static unsigned int written(uint32_t msr, uint64_t *last)
{
    unsigned int n = 0;

    *last = 0;
    for (unsigned int i = 0; i < writes; i++) {
        if (wrote[i].msr != msr) continue;
        *last = wrote[i].value;
        n++;
    }
    return n;
}

static uint64_t value_of(uint32_t msr)
{
    uint64_t v;

    return written(msr, &v) ? v : 0;
}

static void start(struct machine is)
{
    m = is;
    mitigations = 0;
    spec_ctrl = 0;
    ibpb = auto_ibrs = bp_reduce = tsx_off = siblings_leak = superpage_erratum = false;
    writes = fills = logged = 0;
    self.predicted_by = 0;
    mitigate_boot();
    mitigate_init_cpu();
}

static void buffers(void)
{
    /* Intel: VERW has the effect; the processor needs it, or has more to clear. */
    start((struct machine){.intel = true, .family = 6, .feat_d = BIT(10)});
    CHECK(mitigations == ENTRY_CLEAR_BUFFERS);
    start(
        (struct machine){.intel = true, .family = 6, .feat_d = BIT(10) | BIT(29), .caps = BIT(5)});
    CHECK(mitigations == 0);
    start((struct machine){
        .intel = true, .family = 6, .feat_d = BIT(10) | BIT(29), .caps = BIT(5) | BIT(28)});
    CHECK(mitigations == ENTRY_CLEAR_BUFFERS);
    /* AMD: TSA, of family 19h or where a hypervisor below says so. */
    start((struct machine){.family = 0x19});
    CHECK(mitigations == ENTRY_CLEAR_BUFFERS);
    start((struct machine){.family = 0x19, .a21_c = BIT(1)});
    CHECK(mitigations == ENTRY_CLEAR_BUFFERS);
    start((struct machine){.family = 0x19, .a21_c = BIT(1) | BIT(2)});
    CHECK(mitigations == 0);
    start((struct machine){.family = 0x17, .a21_a = BIT(5)});
    CHECK(mitigations == ENTRY_CLEAR_BUFFERS);
    start((struct machine){.family = 0x1a});
    CHECK(mitigations == 0);
}

static void l1d(void)
{
    start((struct machine){.intel = true, .family = 6, .feat_d = BIT(28)});
    CHECK(mitigations == ENTRY_FLUSH_L1D);
    mitigate_entry();
    CHECK(value_of(MSR_FLUSH_CMD) == 1);
    start(
        (struct machine){.intel = true, .family = 6, .feat_d = BIT(28) | BIT(29), .caps = BIT(0)});
    CHECK(mitigations == 0);
    mitigate_entry();
    CHECK(value_of(MSR_FLUSH_CMD) == 0);
}

/* Intel's return stacks and predictors. */
static void intel_returns(void)
{
    uint32_t ibrs = BIT(26), stibp = BIT(27), has_caps = BIT(29);
    uint64_t last;

    start((struct machine){.intel = true, .family = 6});
    CHECK(mitigations == 0 && writes == 0); /* no microcode for it */
    /* IBRS of the old kind: on after each exit, off while a guest runs. */
    start((struct machine){.intel = true, .family = 6, .feat_d = ibrs | stibp});
    CHECK(mitigations == (EXIT_FILL_RETURNS | EXIT_IBRS));
    CHECK(value_of(MSR_SPEC_CTRL) == SPEC_STIBP);
    mitigate_exit();
    CHECK(value_of(MSR_SPEC_CTRL) == (SPEC_STIBP | SPEC_IBRS));
    mitigate_entry();
    CHECK(value_of(MSR_SPEC_CTRL) == SPEC_STIBP);
    CHECK(written(MSR_PRED_CMD, &last) == 0);
    /* It stays on: only the last entry of the stack matters, or nothing. */
    start((struct machine){
        .intel = true, .family = 6, .feat_d = ibrs | has_caps, .caps = CAPS_IBRS_ALL});
    CHECK(mitigations == EXIT_FILL_RETURNS && value_of(MSR_SPEC_CTRL) == SPEC_IBRS);
    start((struct machine){.intel = true,
                           .family = 6,
                           .feat_d = ibrs | has_caps,
                           .caps = CAPS_IBRS_ALL | CAPS_PBRSB_NO});
    CHECK(mitigations == 0 && value_of(MSR_SPEC_CTRL) == SPEC_IBRS);
}

/* Branch history: switched off for the core where it can be and matters. */
static void branch_history(void)
{
    struct machine is = {.intel = true, .family = 6, .feat_d = BIT(26) | BIT(29)};

    is.caps = CAPS_IBRS_ALL | CAPS_PBRSB_NO;
    is.feat2_d = BIT(4);
    start(is);
    CHECK(value_of(MSR_SPEC_CTRL) == (SPEC_IBRS | SPEC_BHI_DIS_S));
    is.caps |= CAPS_BHI_NO;
    start(is);
    CHECK(value_of(MSR_SPEC_CTRL) == SPEC_IBRS);
}

/* AMD's: branches of another type until family 19h, returns from there on. */
static void amd_returns(void)
{
    uint64_t last;

    start((struct machine){.family = 0x17, .hypervisor = true}); /* as in QEMU */
    CHECK(mitigations == 0 && writes == 0);
    start((struct machine){.family = 0x17, .amd8_b = AMD_IBPB | AMD_STIBP});
    CHECK(mitigations == (EXIT_FILL_RETURNS | EXIT_IBPB));
    CHECK(value_of(MSR_SPEC_CTRL) == SPEC_STIBP);
    mitigate_exit();
    CHECK(written(MSR_PRED_CMD, &last) == 1 && last == PRED_IBPB);
    start((struct machine){.family = 0x17, .amd8_b = AMD_IBPB | AMD_BTC_NO});
    CHECK(mitigations == EXIT_FILL_RETURNS);
    /* Zen 3 with microcode that takes PRED_SBPB, and without. */
    start((struct machine){.family = 0x19, .a21_c = AMD_TSA_NO, .amd8_b = AMD_IBPB});
    CHECK(mitigations == (EXIT_FILL_RETURNS | EXIT_IBPB));
    start((struct machine){
        .family = 0x19, .a21_c = AMD_TSA_NO, .amd8_b = AMD_IBPB, .absent = MSR_PRED_CMD});
    CHECK(mitigations == EXIT_FILL_RETURNS);
    /* Zen 4: automatic IBRS empties the stack. */
    start((struct machine){.family = 0x19,
                           .amd8_b = AMD_IBPB,
                           .a21_a = AMD_AUTO_IBRS | AMD_SRSO_NO,
                           .a21_c = AMD_TSA_NO});
    CHECK(mitigations == 0 && value_of(MSR_EFER) == (0x1000 | EFER_AIBRSE));
    /* Zen 5: a bit instead of IBPB. */
    start((struct machine){
        .family = 0x1a, .amd8_b = AMD_IBPB, .a21_a = AMD_AUTO_IBRS | AMD_BP_SPEC_REDUCE});
    CHECK(mitigations == 0 && value_of(MSR_BP_CFG) == (0x1000 | BP_REDUCE));
}

/* Beside IBPB the return stack is filled, once for each other domain. */
static void domain_switch(void)
{
    struct domain d = {.id = 1}, other = {.id = 2};
    uint64_t last;

    start((struct machine){.family = 0x1a, .amd8_b = AMD_IBPB, .a21_a = AMD_SRSO_NO});
    mitigate_switch(&d);
    mitigate_switch(&d);
    CHECK(written(MSR_PRED_CMD, &last) == 1 && last == PRED_IBPB && fills == 1);
    mitigate_switch(&other);
    mitigate_switch(&d);
    CHECK(written(MSR_PRED_CMD, &last) == 3 && fills == 3);
    mitigate_forget(other.id);
    mitigate_switch(&d);
    CHECK(fills == 3);
    mitigate_forget(d.id); /* it died: the next with this id is another */
    mitigate_switch(&d);
    CHECK(written(MSR_PRED_CMD, &last) == 4 && fills == 4);
    start((struct machine){.family = 0x17, .hypervisor = true});
    mitigate_switch(&d);
    CHECK(writes == 0);
}

/* spec-ctrl=rsb and spec-ctrl=no-ibpb-entry, as Xen has them. */
static void asked_for(void)
{
    options = (struct options){.fill_returns = true};
    start((struct machine){.family = 0x17, .amd8_b = AMD_IBPB});
    CHECK(mitigations == EXIT_FILL_RETURNS);
    start((struct machine){.intel = true, .family = 6});
    CHECK(mitigations == EXIT_FILL_RETURNS);
    options = (struct options){.ibpb_entry = true};
}

/* Transactions are switched off where that can be done. */
static void tsx(void)
{
    struct machine is = {.intel = true, .family = 6, .feat_d = BIT(29), .caps = CAPS_TSX_CTRL};
    uint64_t last;

    start(is);
    CHECK(written(MSR_TSX_CTRL, &last) == 1 && last == 3);
    is.caps = 0;
    start(is);
    CHECK(written(MSR_TSX_CTRL, &last) == 0);
}

/* spec-ctrl=ssbd, off unless it is asked for. */
static void ssbd(void)
{
    struct machine intel = {.intel = true, .family = 6, .feat_d = BIT(31)};
    struct machine amd = {.family = 0x19, .amd8_b = AMD_SSBD};

    start(intel);
    CHECK(value_of(MSR_SPEC_CTRL) == 0);
    options.ssbd = true;
    start(intel);
    CHECK(value_of(MSR_SPEC_CTRL) == SPEC_SSBD && logged == 0);
    start(amd);
    CHECK(value_of(MSR_SPEC_CTRL) == SPEC_SSBD && logged == 0);
    amd.amd8_b = 0;
    start(amd);
    CHECK(value_of(MSR_SPEC_CTRL) == 0 && logged == 1); /* a warning */
    options.ssbd = false;
}

/* Threads of a core are left off, unless they are asked for, on Intel's that have
 * L1TF or MDS. */
static void siblings(void)
{
    struct machine is = {.intel = true, .family = 6, .feat_d = BIT(29)};

    start(is);
    CHECK(siblings_leak);
    is.caps = CAPS_RDCL_NO;
    start(is);
    CHECK(siblings_leak);
    is.caps = CAPS_RDCL_NO | CAPS_MDS_NO;
    start(is);
    CHECK(!siblings_leak);
    /* Executable superpages, on Intel's without the bit, or ept=exec-sp. */
    CHECK(superpage_erratum);
    options.exec_superpages = true;
    start(is);
    CHECK(!superpage_erratum);
    options.exec_superpages = false;
    is.caps |= CAPS_PSCHANGE_MC_NO;
    start(is);
    CHECK(!superpage_erratum);
    start((struct machine){.family = 0x17});
    CHECK(!siblings_leak && !superpage_erratum);
}

/* The bits of errata: which, on whom, and not below a hypervisor. */
static void errata_bits(void)
{
    static const struct {
        uint32_t family, model, count, msr;
        uint64_t value;
    } rows[] = {
        {0x16, 0x00, 2, 0xc0011020, BIT(15)}, {0x16, 0x30, 1, 0xc0011029, BIT(1)},
        {0x17, 0x01, 2, 0xc0011028, BIT(9)},  {0x17, 0x50, 2, 0xc0011028, BIT(9)},
        {0x18, 0x00, 2, 0xc0011028, BIT(9)},  {0x17, 0x71, 4, 0xc001102e, BIT(33)},
        {0x17, 0xa0, 4, 0xc00110e3, BIT(1)},  {0x19, 0x01, 0, 0xc0011029, 0},
        {0x15, 0x02, 1, 0xc0011029, BIT(1)},  {0x11, 0x03, 0, 0xc0011029, 0},
        {0x10, 0x04, 1, 0xc0011029, BIT(1)},  {0x0f, 0x41, 0, 0xc0011029, 0},
    };
    struct machine zen2 = {.family = 0x17, .model = 0x31};

    for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
        struct machine is = {.family = rows[i].family, .model = rows[i].model};

        start(is);
        CHECK(writes == rows[i].count);
        if (rows[i].count) CHECK(value_of(rows[i].msr) == (0x1000 | rows[i].value));
        is.hypervisor = true;
        start(is);
        CHECK(writes == 0);
        is.hypervisor = false;
        is.absent = rows[i].msr;
        start(is);
        CHECK(writes == (rows[i].count ? rows[i].count - 1 : 0));
    }
    start((struct machine){.intel = true, .family = 0x17, .model = 1});
    CHECK(writes == 0);
    /* LFENCE waits: set beside what else is in that MSR, unless it does so always. */
    start(zen2);
    CHECK(writes == 4 && value_of(0xc0011029) == (0x1000 | BIT(9) | BIT(1)));
    zen2.a21_a = BIT(2);
    start(zen2);
    CHECK(writes == 3 && value_of(0xc0011029) == (0x1000 | BIT(9)));
}

int main(void)
{
    options.ibpb_entry = true;
    syscall(SYS_arch_prctl, ARCH_SET_GS, &self);
    RUN(buffers);
    RUN(l1d);
    RUN(intel_returns);
    RUN(branch_history);
    RUN(amd_returns);
    RUN(domain_switch);
    RUN(asked_for);
    RUN(tsx);
    RUN(ssbd);
    RUN(siblings);
    RUN(errata_bits);
    return CHECK_RESULT();
}
