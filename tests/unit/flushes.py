# SPDX-License-Identifier: Apache-2.0
"""The core's flushes, for the trials that leave one out."""
P2M, LOG = "core/vm/p2m.c", "core/vm/logdirty.c"
SVM, VMX = "core/svm/svm.c", "core/vmx/vmx.c"
# What is left out, where, its text, and what stays.
TRIALS = [
    ("map: IOMMUs that keep missing entries", P2M,
     "    if (!rc) flush_empty(d);\n", ""),
    ("unmap: a batch of decrease_reservation", "core/hypercall/memory_op.c",
     "    if (i) p2m_flush(d);\n", ""),
    ("unmap: small pages of decrease_reservation", "core/hypercall/memory_op.c",
     "    if (n) p2m_flush(d);\n", ""),
    ("unmap: p2m_remove", P2M, "    if (!rc) p2m_flush(d);\n", ""),
    ("remap: p2m_replace", P2M,
     "    if (old->type != P2M_NONE)\n        p2m_flush(d);\n    else\n",
     "    if (old->type == P2M_NONE)\n"),
    ("permission: log-dirty is switched on", LOG,
     "    else\n        p2m_flush(d);\n", ""),
    ("permission: dirty pages are protected again", LOG,
     "    if (clean) p2m_flush(d);\n", ""),
    ("permission: the second to write", LOG,
     "    if (stale) p2m_flush(d);\n", "    (void)stale;\n"),
    ("tables given back", LOG, "    p2m_flush(p->domain);\n", ""),
    ("grant unmap", "core/hypercall/grant.c", "    p2m_flush(ld);\n", ""),
    ("p2m_flush: the generation", P2M,
     "    __atomic_fetch_add(&d->p2m->generation, 1, __ATOMIC_SEQ_CST);\n", ""),
    ("p2m_flush: the other CPUs", P2M, "        cpu_kick(c);\n",
     "        break;\n"),
    ("p2m_flush: the IOMMU", P2M,
     "    if (d->p2m->dma) iommu_flush(d);\n}\n\nuint64_t p2m_low", 
     "}\n\nuint64_t p2m_low"),
    ("SVM, p2m changed", SVM, "s->generation == gen && ", ""),
    ("SVM, vCPU migration", SVM, "s->asid_cpu == c && ", ""),
    ("SVM, on request", SVM, " && !s->flush", ""),
    ("SVM, an ASID of before the flush", SVM,
     " && s->asid_epoch == h->epoch", ""),
    ("SVM, ASID reuse", SVM, "tlb_control = 1;", "tlb_control = 0;"),
    ("SVM, an ASID of one's own", SVM, "h->next_asid++", "h->next_asid"),
    ("VMX, p2m changed", VMX, " || x->generation != generation) invept",
     ") invept"),
    ("VMX, vCPU migration: EPT", VMX, "x->cpu != c || x->generation",
     "x->generation"),
    ("VMX, vCPU migration: VPID", VMX, "if (x->cpu != c || x->flush",
     "if (x->flush"),
    ("VMX, on request", VMX, "|| x->flush || ", "|| "),
    ("VMX, a VPID of before the flush", VMX, " || x->epoch != h->epoch", ""),
    ("VMX, VPID reuse", VMX, "            invvpid_all();\n", ""),
    ("VMX, a VPID of one's own", VMX, "h->next_vpid++", "h->next_vpid"),
]


def trials(words):
    """Those of TRIALS whose name has one of the words, with the vendors that
    they concern."""
    for name, file, old, new in TRIALS:
        if words and not any(w in name for w in words):
            continue
        yield (name, file, old, new), {VMX: ["vmx"], SVM: ["svm"]}.get(file, ["svm", "vmx"])
