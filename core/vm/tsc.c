/* SPDX-License-Identifier: Apache-2.0 */
/* See vm/tsc.h. */
#include "vm/tsc.h"
#include "cpu/cpu.h"
#include "lib/print.h"
#include "vm/domain.h"
#include "vm/vendor.h"
#include <xen/errno.h>

/* XEN_DOMCTL_settscinfo's; its header gives them no names. */
enum tsc_mode { TSC_DEFAULT, TSC_ALWAYS_EMULATE, TSC_NEVER_EMULATE };

/* Frequencies are measured: those as near as this are the same. */
#define SAME_PPM  200
#define LEAST_KHZ 1000

uint64_t guest_tsc(const struct vcpu *v, uint64_t host)
{
    return (uint64_t)((unsigned __int128)host * v->domain->tsc.ratio >> TSC_FRACTION) +
           v->tsc_offset;
}

void tsc_init(struct domain *d, uint64_t epoch)
{
    d->tsc = (struct guest_tsc){
        .khz = tsc_khz, .scale = tsc_scale, .ratio = TSC_RATIO_1, .epoch = epoch};
}

static bool same_rate(uint32_t khz)
{
    uint64_t differ = khz > tsc_khz ? khz - tsc_khz : tsc_khz - khz;

    return differ * 1000000 <= (uint64_t)tsc_khz * SAME_PPM;
}

/*
 * The ratio at which `scale` of a guest's ticks is the ns that the host's
 * scale makes of its own, so that both count the same time; 0 when it is too
 * large.
 */
static uint64_t ratio_for(const struct tsc_scale *scale)
{
    uint64_t whole = ((uint64_t)tsc_scale.mul << 32) / scale->mul;
    uint64_t rest = ((uint64_t)tsc_scale.mul << 32) % scale->mul;
    uint64_t ratio = whole << (TSC_FRACTION - 32) | (rest << (TSC_FRACTION - 32)) / scale->mul;
    int shift = tsc_scale.shift - scale->shift;

    if (shift < 0) return ratio >> -shift;
    return ratio >> (TSC_WHOLE + TSC_FRACTION - shift) ? 0 : ratio << shift;
}

int tsc_set(struct domain *d, uint32_t mode, uint32_t khz)
{
    unsigned int drop = vendor->tsc_scaling ? TSC_FRACTION - vendor->tsc_scaling : 0;
    struct guest_tsc t = d->tsc;
    uint64_t at = read_tsc();
    bool other = khz && mode != TSC_NEVER_EMULATE && !same_rate(khz);
    struct vcpu *v;

    if (mode > TSC_NEVER_EMULATE) return -XEN_EOPNOTSUPP;
    t.mode = mode;
    t.khz = other ? khz : tsc_khz;
    t.scale = tsc_scale;
    t.ratio = TSC_RATIO_1;
    if (other) {
        if (khz < LEAST_KHZ) return -XEN_EINVAL;
        tsc_scale_set(&t.scale, khz);
        t.ratio = ratio_for(&t.scale) >> drop << drop;
        if (!t.ratio) return -XEN_EINVAL;
    }
    t.exits = mode == TSC_ALWAYS_EMULATE || (other && !vendor->tsc_scaling);
    if (khz && !same_rate(khz))
        log_guest(LOG_WARN, "d%u: its TSC of %u kHz is %s, this machine's has %u", d->id, khz,
                  !other    ? "not kept"
                  : t.exits ? "emulated"
                            : "scaled",
                  tsc_khz);
    for_each_vcpu (d, v) v->tsc_offset = guest_tsc(v, at);
    d->tsc = t;
    for_each_vcpu (d, v) {
        v->tsc_offset -= guest_tsc(v, at) - v->tsc_offset;
        vendor->tsc_changed(v);
        clock_update_vcpu(v);
    }
    return 0;
}
