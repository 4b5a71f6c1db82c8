/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of a VMCS (SDM vol. 3, appendix B), its control bits (24.6 to
 * 24.8), and what VMX keeps for a vCPU and for a CPU.
 */
#ifndef VMX_VMX_H
#define VMX_VMX_H

#include "lib/base.h"
#include "vm/domain.h"
#include "vm/regs.h"

/* Segments are numbered as in enum segment_name. */
_Static_assert(SEG_LDTR == 6 && SEG_TR == 7, "order of segments");

enum vmcs_field {
    /* 16 bits */
    VPID = 0x0000,
    GUEST_SELECTOR = 0x0800, /* + 2 * segment */
    INTERRUPT_STATUS = 0x0810,
    HOST_SELECTOR = 0x0c00, /* + 2 * segment, no LDTR */
    HOST_TR_SELECTOR = 0x0c0c,
    /* 64 bits */
    IO_BITMAP_A = 0x2000,
    IO_BITMAP_B = 0x2002,
    MSR_BITMAP = 0x2004,
    TSC_OFFSET = 0x2010,
    VIRTUAL_APIC = 0x2012,
    APIC_PAGE = 0x2014,
    EPT_POINTER = 0x201a,
    EOI_EXITS = 0x201c, /* + 2 * number, of four */
    TSC_MULTIPLIER = 0x2032,
    GUEST_PHYSICAL = 0x2400,
    LINK_POINTER = 0x2800,
    GUEST_DEBUGCTL = 0x2802,
    GUEST_PAT = 0x2804,
    GUEST_EFER = 0x2806,
    GUEST_PDPTE0 = 0x280a, /* + 2 * number */
    HOST_PAT = 0x2c00,
    HOST_EFER = 0x2c02,
    /* 32 bits */
    PIN_CONTROLS = 0x4000,
    PRIMARY_CONTROLS = 0x4002,
    EXCEPTION_BITMAP = 0x4004,
    PAGE_FAULT_MASK = 0x4006,
    PAGE_FAULT_MATCH = 0x4008,
    CR3_TARGETS = 0x400a,
    EXIT_CONTROLS = 0x400c,
    EXIT_STORE_MSRS = 0x400e,
    EXIT_LOAD_MSRS = 0x4010,
    ENTRY_CONTROLS = 0x4012,
    ENTRY_LOAD_MSRS = 0x4014,
    ENTRY_EVENT = 0x4016,
    ENTRY_ERROR = 0x4018,
    ENTRY_LENGTH = 0x401a,
    TPR_THRESHOLD = 0x401c,
    SECONDARY_CONTROLS = 0x401e,
    INSTRUCTION_ERROR = 0x4400,
    EXIT_REASON = 0x4402,
    EXIT_EVENT = 0x4404,
    VECTORING_EVENT = 0x4408,
    VECTORING_ERROR = 0x440a,
    EXIT_LENGTH = 0x440c,
    GUEST_LIMIT = 0x4800, /* + 2 * segment */
    GUEST_GDT_LIMIT = 0x4810,
    GUEST_IDT_LIMIT = 0x4812,
    GUEST_ATTR = 0x4814, /* + 2 * segment */
    GUEST_BLOCKING = 0x4824,
    GUEST_ACTIVITY = 0x4826,
    GUEST_SYSENTER_CS = 0x482a,
    HOST_SYSENTER_CS = 0x4c00,
    /* as wide as a register */
    CR0_MASK = 0x6000,
    CR4_MASK = 0x6002,
    CR0_SHADOW = 0x6004,
    CR4_SHADOW = 0x6006,
    QUALIFICATION = 0x6400,
    GUEST_CR0 = 0x6800,
    GUEST_CR3 = 0x6802,
    GUEST_CR4 = 0x6804,
    GUEST_BASE = 0x6806, /* + 2 * segment */
    GUEST_GDT_BASE = 0x6816,
    GUEST_IDT_BASE = 0x6818,
    GUEST_DR7 = 0x681a,
    GUEST_RSP = 0x681c,
    GUEST_RIP = 0x681e,
    GUEST_RFLAGS = 0x6820,
    GUEST_PENDING_DB = 0x6822,
    GUEST_SYSENTER_ESP = 0x6824,
    GUEST_SYSENTER_EIP = 0x6826,
    HOST_CR0 = 0x6c00,
    HOST_CR3 = 0x6c02,
    HOST_CR4 = 0x6c04,
    HOST_FS_BASE = 0x6c06,
    HOST_GS_BASE = 0x6c08,
    HOST_TR_BASE = 0x6c0a,
    HOST_GDT_BASE = 0x6c0c,
    HOST_IDT_BASE = 0x6c0e,
    HOST_SYSENTER_ESP = 0x6c10,
    HOST_SYSENTER_EIP = 0x6c12,
    HOST_RSP = 0x6c14,
    HOST_RIP = 0x6c16,
};

#define PIN_INTERRUPT    BIT(0)
#define PIN_NMI          BIT(3)
#define PIN_VIRTUAL_NMI  BIT(5)
#define CPU_WINDOW       BIT(2)
#define CPU_TSC_OFFSET   BIT(3)
#define CPU_HLT          BIT(7)
#define CPU_INVLPG       BIT(9)
#define CPU_MWAIT        BIT(10)
#define CPU_RDPMC        BIT(11)
#define CPU_RDTSC        BIT(12)
#define CPU_CR3          (BIT(15) | BIT(16))
#define CPU_CR8          (BIT(19) | BIT(20))
#define CPU_TPR_SHADOW   BIT(21)
#define CPU_NMI_WINDOW   BIT(22)
#define CPU_IO_BITMAPS   BIT(25)
#define CPU_MSR_BITMAPS  BIT(28)
#define CPU_MONITOR      BIT(29)
#define CPU_SECONDARY    BIT(31)
#define CPU2_EPT         BIT(1)
#define CPU2_RDTSCP      BIT(3)
#define CPU2_VPID        BIT(5)
#define CPU2_WBINVD      BIT(6)
#define CPU2_REAL_MODE   BIT(7) /* "unrestricted guest" */
#define CPU2_INVPCID     BIT(12)
#define CPU2_XAPIC       (BIT(0) | BIT(8) | BIT(9)) /* its page, reads, interrupt delivery */
#define CPU2_X2APIC      (BIT(4) | BIT(8) | BIT(9))
#define CPU2_TSC_SCALING BIT(25)
#define EXIT_SAVE_DEBUG  BIT(2)
#define EXIT_64          BIT(9)
#define EXIT_LOAD_PAT    BIT(19)
#define EXIT_SAVE_EFER   BIT(20)
#define EXIT_LOAD_EFER   BIT(21)
#define ENTRY_LOAD_DEBUG BIT(2)
#define ENTRY_64         BIT(9)
#define ENTRY_LOAD_PAT   BIT(14)
#define ENTRY_LOAD_EFER  BIT(15)

#define BLOCKING_STI    BIT(0)
#define BLOCKING_MOV_SS BIT(1)
#define BLOCKING_NMI    BIT(3)

#define EVENT_VALID     BIT(31)
#define EVENT_ERROR     BIT(11)
#define EVENT_UNBLOCK   BIT(12) /* of an exit: IRET had ended the blocking of NMIs */
#define EVENT_INTR      (0u << 8)
#define EVENT_NMI       (2u << 8)
#define EVENT_EXCEPTION (3u << 8)
#define EVENT_SOFT      (4u << 8) /* and above: INT n, INT1, INT3, INTO */
#define EVENT_INT1      (5u << 8)
#define EVENT_TYPE(e)   ((e)&0x700)

#define ATTR_LONG     BIT(13) /* SEG_LONG of struct segment */
#define ATTR_UNUSABLE BIT(16)
#define CR4_VMXE      BIT(13)
/* Not in the guest's hands: NE must be set; CD and NW would be the host's. */
#define CR0_OWNED (CR0_NE | CR0_CD | CR0_NW)
/* Set whatever the guest says: without MCE a machine check stops the processor mute. */
#define CR4_SET (CR4_VMXE | CR4_MCE)

struct vm_exit;

/* What VMX keeps for a vCPU. */
struct vmx_vcpu {
    void *region;
    uint64_t phys;
    bool launched;            /* since the VMCS was last cleared           */
    bool live;                /* cr2, dr, dr6 and msr are in the processor */
    bool flush;               /* take a new VPID                           */
    struct cpu *cpu;          /* where it ran last                         */
    uint64_t generation;      /* of the p2m at the last INVEPT             */
    uint64_t epoch;           /* of the CPU when the VPID was taken        */
    uint64_t rip, rsp, flags; /* what the VMCS holds                      */
    uint32_t primary;         /* the same, of the primary controls         */
    uint32_t event, error;    /* to be delivered at the next entry         */
    bool int1;                /* the #DB that ended the guest was INT1's   */
    uint64_t cr2, dr[4], dr6; /* no VMCS field switches them               */
    uint64_t msr[5];          /* nor kernel GS, LSTAR, STAR, CSTAR, SFMASK */
};

/* ... for a CPU */
struct vmx_cpu {
    void *vmxon;
    struct vmx_vcpu *loaded; /* whose VMCS is current */
    uint64_t epoch;
    uint32_t next_vpid;
};

/* What the processor can do, from its capability MSRs. */
struct vmx_caps {
    uint32_t pin, primary, secondary, exit, entry; /* that we set      */
    bool virtual_apic;                             /* CPU2_XAPIC and CPU2_X2APIC can be had */
    uint64_t ept;                                  /* IA32_VMX_EPT_VPID_CAP */
    uint32_t revision;
};

extern struct vmx_caps vmx_caps;

static inline uint64_t read_cr0(void)
{
    uint64_t v;

    __asm__ volatile("mov %%cr0, %0" : "=r"(v));
    return v;
}

static inline uint64_t read_cr4(void)
{
    uint64_t v;

    __asm__ volatile("mov %%cr4, %0" : "=r"(v));
    return v;
}

static inline uint64_t vmread(enum vmcs_field f)
{
    uint64_t v;

    __asm__ volatile("vmread %1, %0" : "=r"(v) : "r"((uint64_t)f) : "cc");
    return v;
}

/* A field that the processor refuses is a bug of the core's. */
static inline void vmwrite(enum vmcs_field f, uint64_t v)
{
    __asm__ volatile("vmwrite %0, %1; ja 1f; ud2; 1:" : : "r"(v), "r"((uint64_t)f) : "cc");
}

/* Drops this CPU's translations by the tables of eptp (SDM vol. 3, 30.3). */
static inline void invept(uint64_t eptp)
{
    const uint64_t one = 1, what[2] = {eptp, 0};

    __asm__ volatile("invept %0, %1; ja 1f; ud2; 1:" : : "m"(what), "r"(one) : "cc", "memory");
}

/* Drops this CPU's translations of linear addresses, whatever their VPID. */
static inline void invvpid_all(void)
{
    const uint64_t all = 2, what[2] = {0, 0};

    __asm__ volatile("invvpid %0, %1; ja 1f; ud2; 1:" : : "m"(what), "r"(all) : "cc", "memory");
}

static inline struct vmx_vcpu *vmx_of(const struct vcpu *v)
{
    return v->vendor;
}

/* vmx/vmx.c */
/* Makes v's VMCS the current one of this CPU for an access to v, which runs
 * here or nowhere; hand what it returns to vmx_put. */
struct vmx_vcpu *vmx_get(struct vcpu *v);
void vmx_put(struct vmx_vcpu *before);
/* vmx/caps.c: 0, or -ENODEV with a message. */
int vmx_read_caps(void);
void vmx_print_caps(void);
/* vmx/exit.c */
void vmx_decode(struct vcpu *v, struct vm_exit *e);
/* vmx/event.c */
void vmx_keep_event(struct vmx_vcpu *x);
bool vmx_can_inject(struct vcpu *v, bool nmi);
void vmx_inject_interrupt(struct vcpu *v, uint8_t vector);
void vmx_inject_nmi(struct vcpu *v);
void vmx_inject_exception(struct vcpu *v, uint8_t vector, int error);
void vmx_want_window(struct vcpu *v, bool on);
void vmx_set_primary(struct vmx_vcpu *x, uint32_t primary);
/* vmx/state.c: what no VMCS field switches, into the processor and out. */
void vmx_load_live(struct vmx_vcpu *x);
void vmx_save_live(struct vmx_vcpu *x);
void vmx_get_state(struct vcpu *v, struct arch_state *s);
void vmx_set_state(struct vcpu *v, const struct arch_state *s);
void vmx_get_segment(struct vcpu *v, enum segment_name n, struct segment *s);
uint64_t vmx_get_cr(struct vcpu *v, unsigned int n);
uint64_t vmx_get_efer(struct vcpu *v);
unsigned int vmx_get_cpl(struct vcpu *v);
void vmx_set_efer(struct vcpu *v, uint64_t value);
void vmx_set_pat(struct vcpu *v, uint64_t value);
/* vmx/entry.S: 0, or 1 when VMLAUNCH or VMRESUME fails. */
uint64_t vmx_enter(struct regs *r, bool launched);
extern char vmx_exit_filling[], vmx_exit_point[];

#endif
