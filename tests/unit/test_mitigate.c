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

/* A processor: some CPUID registers, and MSRs that hold what is written. */
static struct machine {
    uint32_t family, model, hypervisor;
    bool intel;
    uint32_t feat_d;               /* 7:0 */
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

    (void)sub;
    if (leaf == 0) r.a = 13;
    if (leaf == 0x80000000) r.a = 0x80000021;
    if (leaf == 1) {
        r.a = f << 8 | (m.family - f) << 20 | (m.model & 15) << 4 | (m.model >> 4) << 16;
        r.c = (m.intel ? BIT(5) : 0) | (m.hypervisor ? BIT(31) : 0);
    }
    if (leaf == 7) r.d = m.feat_d;
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

void log_core(maybe_unused enum log_level level, maybe_unused const char *fmt, ...)
{
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
    ibpb = auto_ibrs = false;
    writes = 0;
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

int main(void)
{
    syscall(SYS_arch_prctl, ARCH_SET_GS, &self);
    RUN(buffers);
    RUN(l1d);
    return CHECK_RESULT();
}
