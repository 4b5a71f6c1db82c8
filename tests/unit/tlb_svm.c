/* SPDX-License-Identifier: Apache-2.0 */
/* SVM's part of the model: ASIDs tag everything (APM vol. 2, 15.16). */
#include "tlb_model.h"
#include "../../core/svm/svm.c"
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
    static char vmcb[8][PAGE_SIZE];
    struct svm_vcpu *s = v->vendor = &vcpu[v->id];

    *s = (struct svm_vcpu){.vmcb = memset(vmcb[v->id], 0, PAGE_SIZE)};
    s->vmcb->nested_cr3 = core_to_phys(v->domain->p2m->root);
}

struct tags model_enter(struct vcpu *v, struct cpu *c)
{
    struct svm_vcpu *s = v->vendor;

    check_asid(v, s, c);
    if (s->vmcb->tlb_control == 1) model_drop_all(c);
    return (struct tags){s->vmcb->asid, s->vmcb->asid};
}

void model_ask_flush(struct vcpu *v)
{
    ((struct svm_vcpu *)v->vendor)->flush = true;
}
