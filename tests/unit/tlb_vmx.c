/* SPDX-License-Identifier: Apache-2.0 */
/* VMX's part of the model: the EPT pointer tags nested translations, VPID and
 * EPT pointer the linear ones (SDM vol. 3, 28.3). */
#include "tlb_model.h"
#include "cpu/arch.h"
#include "vmx/vmx.h"
#include <string.h>

unsigned int mitigations;
static uint64_t *entered; /* of the vCPU that enters */
static struct cpu *at;

static void drop_nested(uint64_t eptp)
{
    model_drop_nested(at, eptp);
}

static void drop_linear(void)
{
    model_drop_linear(at);
}

#define vmread(field)         entered[field]
#define vmwrite(field, value) (entered[field] = (value))
#define invept(eptp)          drop_nested(eptp)
#define invvpid_all()         drop_linear()
#define read_cr0()            0
#define read_cr4()            0
#define read_msr(msr)         0
#include "../../core/vmx/vmx.c"

const char *const model_name = "vmx";

void model_cpu(struct cpu *c)
{
    static struct vmx_cpu cpu[8];

    cpu[c->id] = (struct vmx_cpu){.next_vpid = 1};
    c->vendor = &cpu[c->id];
}

void model_skip(struct cpu *c, unsigned int left)
{
    ((struct vmx_cpu *)c->vendor)->next_vpid = LAST_VPID + 1 - left;
}

void model_vcpu(struct vcpu *v)
{
    static uint64_t fields[8][0x7000];
    static struct vmx_vcpu vcpu[8];

    vcpu[v->id] = (struct vmx_vcpu){.region = memset(fields[v->id], 0, sizeof(fields[0]))};
    v->vendor = &vcpu[v->id];
}

struct tags model_enter(struct vcpu *v, struct cpu *c)
{
    uint64_t eptp = core_to_phys(v->domain->p2m->root) | EPTP_BITS;
    struct vmx_vcpu *x = v->vendor;

    at = c;
    entered = x->region;
    entered[EPT_POINTER] = eptp;
    check_translations(v, x, c);
    return (struct tags){eptp << 16 | entered[VPID], eptp};
}

void model_fail(struct vcpu *v, struct cpu *c)
{
    (void)model_enter(v, c); /* its flushes are instructions, done before */
}

void model_ask_flush(struct vcpu *v)
{
    ((struct vmx_vcpu *)v->vendor)->flush = true;
}
