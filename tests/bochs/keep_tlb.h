/* SPDX-License-Identifier: Apache-2.0 */
/* Into class BX_CPU_C of Bochs: what its TLBs held when an address space was
 * left, by ASID or VPID (0: the host) and EPT pointer (0: none).  tests/bochs/keep_tlb
 * puts it there. */
  struct kept_tlb {
    Bit32u id;
    Bit64u ept, used;
    TLB<BX_DTLB_SIZE> d;
    TLB<BX_ITLB_SIZE> i;
  };
  kept_tlb *kept[32] = {}, *in_use = NULL; /* NULL: nothing of this stay is kept */
  Bit64u stays = 0;
  /* A stay begins; keep: what was kept of the last one is there again. */
  void tlb_enter(Bit32u id, Bit64u ept, bool keep);
  /* Drops what is kept for that identifier (0: any) and EPT pointer (0: any). */
  void tlb_forget(Bit32u id, Bit64u ept);
  void tlb_forget_all();
