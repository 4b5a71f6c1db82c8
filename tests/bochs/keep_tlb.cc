/* SPDX-License-Identifier: Apache-2.0 */
/* At the end of Bochs' cpu/paging.cc: see keep_tlb.h. */

void BX_CPU_C::tlb_enter(Bit32u id, Bit64u ept, bool keep)
{
  kept_tlb **oldest = &kept[0], *found = NULL;

  if (in_use) {
    in_use->d = DTLB;
    in_use->i = ITLB;
  }
  in_use = NULL;
  TLB_flush();
  if (!keep) return;
  for (kept_tlb *&k : kept) {
    if (!k) k = new kept_tlb{}; /* one that was never used */
    if (k->used && k->id == id && k->ept == ept) found = k;
    if (k->used < (*oldest)->used) oldest = &k;
  }
  if (!found) {
    found = *oldest;
    found->id = id;
    found->ept = ept;
    found->d.flush();
    found->i.flush();
  }
  found->used = ++stays;
  in_use = found;
  DTLB = found->d;
  ITLB = found->i;
}

void BX_CPU_C::tlb_forget(Bit32u id, Bit64u ept)
{
  for (kept_tlb *k : kept) {
    if (!k || (!k->id && !k->ept)) continue; /* the host's stay */
    if ((id && k->id != id) || (ept && k->ept != ept)) continue;
    k->d.flush();
    k->i.flush();
    if (k == in_use) TLB_flush();
  }
}

void BX_CPU_C::tlb_forget_all()
{
  for (kept_tlb *k : kept) {
    if (!k) continue;
    k->d.flush();
    k->i.flush();
  }
  TLB_flush();
}
