/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptor tables and traps of the host's CPUs. */
#ifndef CPU_ARCH_H
#define CPU_ARCH_H

#include "lib/base.h"

#define SEL_CODE64 0x08
#define SEL_DATA   0x10
#define SEL_TSS    0x20

/* APM vol. 2, 12.2.5. */
struct tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3, io_map;
} packed;

#define IST_NMI    1
#define IST_DF     2
#define IST_MC     3
#define STACK_SIZE 16384u
#define IST_SIZE   4096u

struct cpu_arch { /* of each CPU */
    uint64_t gdt[8];
    struct tss tss;
    uint8_t ist_stack[3][IST_SIZE] __attribute__((aligned(16)));
};

struct trap_frame {
    uint64_t rax, rcx, rdx, rbx, rbp, rsi, rdi;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

struct cpu;
void idt_init(void);                  /* once                       */
void descriptors_init(struct cpu *c); /* on that CPU                */

/* cpu/fpu.c: extended state.  Sizes and masks are the host's. */
extern uint64_t fpu_host_xcr0;
extern uint32_t fpu_area_size;
void fpu_boot(void);
void fpu_init_cpu(void);
struct vcpu;
void fpu_reset(struct vcpu *v); /* to the state after reset   */
void fpu_save(struct vcpu *v);
void fpu_restore(struct vcpu *v);
bool xcr0_valid(uint64_t v);        /* as XSETBV checks it        */
void fpu_set_xcr0(uint64_t v);      /* of this CPU, if not so already */
void fpu_read_xcr0(struct vcpu *v); /* v is current: refreshes v->xcr0 */

/* cpu/mitigate.c: against speculation that leaks */
#define ENTRY_FLUSH_L1D     1u
#define ENTRY_CLEAR_BUFFERS 2u
#define EXIT_FILL_RETURNS   4u
#define EXIT_IBPB           8u
#define EXIT_IBRS           16u
/* Not 0: mitigate_entry just before an entry, after the exit mitigate_exit and
 * fill_returns; on AMD in this order, before any other return (IBPB leaves the return
 * stack as it is), on Intel the stack first. */
extern unsigned int mitigations;
extern bool siblings_leak;     /* what a thread works on, to its sibling */
extern bool superpage_erratum; /* executing from one can end in a machine check */
void mitigate_boot(void);
void mitigate_init_cpu(void); /* on each CPU */
void mitigate_entry(void);
void mitigate_exit(void);
void mitigate_idle(void); /* mitigations: before and after HLT */
void fill_returns(void);  /* cpu/stubs.S */
struct domain;
void mitigate_switch(const struct domain *d); /* d runs next on this CPU */
void mitigate_forget(uint16_t id);            /* that domain's id may be another's from now on */

/* cpu/time.c */
void time_boot(void);
void timers_init(struct cpu *c);
void timer_interrupt(void);
void timers_run(struct cpu *c); /* WORK_TIMER, from the run loop */

/* vm/run.c */
_Noreturn void run_loop(void);

extern struct cpu cpu0;

#endif
