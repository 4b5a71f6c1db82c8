/* SPDX-License-Identifier: Apache-2.0 */
/* SVM's part of the model: ASIDs tag everything (APM vol. 2, 15.16). */
#include "tlb_model.h"
#include "../../core/svm/svm.c"
#include "../../core/svm/exit.c"
#include <string.h>

const char *const model_name = "svm";

void model_cpu(struct cpu *c)
{
    static struct svm_cpu cpu[8];

    cpu[c->id] = (struct svm_cpu){.asids = 64, .next_asid = 1, .epoch = 1};
    c->vendor = &cpu[c->id];
}

void model_skip(struct cpu *c, unsigned int left)
{
    struct svm_cpu *h = c->vendor;

    h->next_asid = h->asids - left;
}

void model_vcpu(struct vcpu *v)
{
    static struct svm_vcpu vcpu[8];
    static char blocks[8][PAGE_SIZE];

    vcpu[v->id] = (struct svm_vcpu){.block = memset(blocks[v->id], 0, PAGE_SIZE)};
    v->vendor = &vcpu[v->id];
    vmcb_of(v)->nested_cr3 = core_to_phys(v->domain->p2m->root);
}

struct tags model_enter(struct vcpu *v, struct cpu *c)
{
    check_asid(v, v->vendor, c);
    if (vmcb_of(v)->tlb_control == 1) model_drop_all(c);
    return (struct tags){vmcb_of(v)->asid, vmcb_of(v)->asid};
}

void model_fail(struct vcpu *v, struct cpu *c)
{
    struct vm_exit e;

    check_asid(v, v->vendor, c);
    vmcb_of(v)->exit_code = VMEXIT_INVALID;
    svm_decode(v, &e);
}

void model_ask_flush(struct vcpu *v)
{
    ((struct svm_vcpu *)v->vendor)->flush = true;
}
