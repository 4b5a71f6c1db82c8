/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel VMX with EPT: set-up, which VMCS is current, translations and running
 * (SDM vol. 3, chapters 23 to 28).
 *
 * A VMCS is cleared whenever its vCPU leaves a CPU, so that any CPU can load
 * it for an access.
 */
#include "cpu/arch.h"
#include "cpu/cpu.h"
#include "device/hwdev.h"
#include "device/vlapic.h"
#include "hypercall/hypercall.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/frame.h"
#include "memory/heap.h"
#include "memory/map.h"
#include "vm/cpu_policy.h"
#include "vm/domain.h"
#include "vm/p2m.h"
#include "vm/vendor.h"
#include "vmx/vmx.h"

#define FEATURE_LOCKED BIT(0)
#define FEATURE_VMX    BIT(2)
#define LAST_VPID      0xffff
#define EPTP_BITS      (6 | 3 << 3) /* write-back, four levels */
#define EPT_X          BIT(2)
#define EPT_2M         BIT(16)
#define EPT_1G         BIT(17)

static uint8_t *msr_bitmap, *x2apic_bitmap; /* the second: where the processor serves it */

/* --- set-up --- */

#define FOR_READING 0
#define FOR_WRITING 2048

/* Opens an MSR (24.6.9). */
static void allow_msr(uint8_t *map, unsigned int way, uint32_t msr)
{
    map[way + (msr >> 31 ? 1024 : 0) + (msr & 0x1fff) / 8] &= ~(1 << msr % 8);
}

/*
 * Registers that the processor reads in the page, and writes by itself: TPR and EOI
 * (29.5).  The rest exits: the timer's count runs, ICR has its halves elsewhere.
 */
static void make_x2apic_map(void)
{
    memcpy(x2apic_bitmap, msr_bitmap, PAGE_SIZE);
    for (unsigned int n = 0; n < 64; n++)
        if (X2APIC_READ >> n & 1 && n != X2APIC(APIC_ICR) && n != X2APIC(APIC_TMCCT))
            allow_msr(x2apic_bitmap, FOR_READING, MSR_X2APIC + n);
    allow_msr(x2apic_bitmap, FOR_WRITING, MSR_X2APIC + X2APIC(APIC_TPR));
    allow_msr(x2apic_bitmap, FOR_WRITING, MSR_X2APIC + X2APIC(APIC_EOI));
}

/* open_msrs are switched by the VMCS or with the vCPU. */
static int make_maps(void)
{
    msr_bitmap = core_alloc_pages(1);
    x2apic_bitmap = core_alloc_pages(1);
    if (!msr_bitmap || !x2apic_bitmap) return -XEN_ENOMEM;
    memset(msr_bitmap, 0xff, PAGE_SIZE);
    for (unsigned int i = 0; i < OPEN_MSRS; i++) {
        allow_msr(msr_bitmap, FOR_READING, open_msrs[i]);
        allow_msr(msr_bitmap, FOR_WRITING, open_msrs[i]);
    }
    make_x2apic_map();
    return 0;
}

/* The firmware decides whether VMX may be used (23.7). */
static bool switched_on(void)
{
    uint64_t control = read_msr(MSR_FEATURE_CONTROL);

    if (!(control & FEATURE_LOCKED)) {
        control |= FEATURE_LOCKED | FEATURE_VMX;
        write_msr(MSR_FEATURE_CONTROL, control);
    }
    if (control & FEATURE_VMX) return true;
    log_error("VMX is switched off by the firmware; turn it on there.");
    return false;
}

/* Bits that VMX operation wants in CR0 and CR4 (23.8), then VMXON. */
static bool enter_vmx(uint64_t region)
{
    uint64_t cr0 = (read_cr0() | read_msr(MSR_VMX_CR0_FIXED0)) & read_msr(MSR_VMX_CR0_FIXED0 + 1);
    uint64_t cr4 = read_cr4() | CR4_VMXE | read_msr(MSR_VMX_CR0_FIXED0 + 2);
    bool failed;

    if (cr4 & ~read_msr(MSR_VMX_CR0_FIXED0 + 3)) return false;
    __asm__ volatile("mov %0, %%cr0; mov %1, %%cr4" : : "r"(cr0), "r"(cr4));
    __asm__ volatile("vmxon %1; setna %0" : "=qm"(failed) : "m"(region) : "cc", "memory");
    return !failed;
}

static void set_numbers(void);

static int vmx_cpu_init(struct cpu *c)
{
    struct vmx_cpu *h;

    if (!(cpuid(1, 0).c & BIT(5)) || !switched_on()) return -XEN_ENODEV;
    if (!msr_bitmap) {
        int rc = vmx_read_caps();

        if (!rc) rc = make_maps();
        if (rc) return rc;
        set_numbers();
        vmx_print_caps();
    }
    h = core_alloc(sizeof(*h));
    if (!h || !(h->vmxon = core_alloc_pages(1))) return -XEN_ENOMEM;
    *(uint32_t *)h->vmxon = vmx_caps.revision;
    h->epoch = 1;
    h->next_vpid = 1;
    c->vendor = h;
    if (enter_vmx(core_to_phys(h->vmxon))) return 0;
    log_error("CPU%u: VMXON fails", c->id);
    return -XEN_ENODEV;
}

/* --- the current VMCS --- */

static void load(struct vmx_cpu *h, struct vmx_vcpu *x)
{
    __asm__ volatile("vmptrld %0; ja 1f; ud2; 1:" : : "m"(x->phys) : "cc", "memory");
    h->loaded = x;
}

static void clear(struct vmx_cpu *h, struct vmx_vcpu *x)
{
    __asm__ volatile("vmclear %0; ja 1f; ud2; 1:" : : "m"(x->phys) : "cc", "memory");
    x->launched = false;
    h->loaded = NULL;
}

struct vmx_vcpu *vmx_get(struct vcpu *v)
{
    struct vmx_cpu *h = this_cpu()->vendor;
    struct vmx_vcpu *before = h->loaded;

    if (before != v->vendor) load(h, v->vendor);
    return before;
}

void vmx_put(struct vmx_vcpu *before)
{
    struct vmx_cpu *h = this_cpu()->vendor;

    if (likely(h->loaded == before)) return;
    clear(h, h->loaded);
    if (before) load(h, before);
}

/* --- vCPUs --- */

static void set_masks(struct vcpu *v)
{
    /* What the guest may not set, it reads as 0, and #GP meets an attempt. */
    vmwrite(CR4_MASK, ~cpu_policy_cr4(v->domain->policy) | CR4_MCE);
}

static void write_tsc(struct vcpu *v, struct vmx_vcpu *x)
{
    const struct guest_tsc *t = &v->domain->tsc;

    vmwrite(TSC_OFFSET, v->tsc_offset);
    if (vmx_ops.tsc_scaling) vmwrite(TSC_MULTIPLIER, t->ratio);
    vmx_set_primary(x, t->exits ? x->primary | CPU_RDTSC : x->primary & ~CPU_RDTSC);
}

static void set_controls(struct vcpu *v)
{
    static const uint16_t zero[] = {
        PAGE_FAULT_MASK, PAGE_FAULT_MATCH, CR3_TARGETS,       EXIT_STORE_MSRS,
        EXIT_LOAD_MSRS,  ENTRY_LOAD_MSRS,  ENTRY_EVENT,       GUEST_DEBUGCTL,
        GUEST_ACTIVITY,  GUEST_BLOCKING,   CR4_SHADOW,        GUEST_PENDING_DB,
        HOST_FS_BASE,    HOST_SYSENTER_CS, HOST_SYSENTER_ESP, HOST_SYSENTER_EIP,
    };
    uint64_t io = core_to_phys(port_bitmap(v->domain));
    struct vmx_vcpu *x = v->vendor;

    for (unsigned int i = 0; i < ARRAY_SIZE(zero); i++) vmwrite(zero[i], 0);
    x->primary = vmx_caps.primary;
    vmwrite(PIN_CONTROLS, vmx_caps.pin);
    vmwrite(PRIMARY_CONTROLS, x->primary);
    vmwrite(SECONDARY_CONTROLS, vmx_caps.secondary);
    vmwrite(EXIT_CONTROLS, vmx_caps.exit);
    vmwrite(ENTRY_CONTROLS, vmx_caps.entry);
    vmwrite(EXCEPTION_BITMAP, BIT(VEC_UD) | BIT(VEC_AC) | BIT(VEC_MC) | BIT(VEC_DB));
    vmwrite(IO_BITMAP_A, io);
    vmwrite(IO_BITMAP_B, io + PAGE_SIZE);
    vmwrite(MSR_BITMAP, core_to_phys(msr_bitmap));
    vmwrite(EPT_POINTER, core_to_phys(v->domain->p2m->root) | EPTP_BITS);
    vmwrite(LINK_POINTER, ~0ull);
    vmwrite(CR0_MASK, CR0_OWNED);
    set_masks(v);
    write_tsc(v, x);
}

/*
 * The page that stands for the xAPIC's registers in the p2m; nothing is in it.  Each
 * domain has its own, so that nobody else reads what is written there while the APIC
 * is off.  Without memory for it accesses are nested faults, and the core does them.
 */
static void map_apic_page(struct domain *d)
{
    void *page = d->apic_page ? NULL : core_alloc_pages(1);

    if (!page) return;
    if (!p2m_add(d, APIC_BASE_DEFAULT >> PAGE_SHIFT, core_to_phys(page) >> PAGE_SHIFT, ORDER_4K,
                 P2M_SHARED))
        d->apic_page = page;
    else
        core_free_pages(page, 1);
}

static bool vmx_virtual_apic(struct vcpu *v, const uint32_t *page, uint8_t in_service)
{
    struct vmx_vcpu *x = v->vendor, *before = vmx_get(v);
    bool x2apic = v->apic_base & APIC_BASE_EXTD;
    uint32_t second = x2apic ? CPU2_X2APIC : CPU2_XAPIC;

    if (!x2apic && !v->domain->apic_page) page = NULL;
    vmx_set_primary(x, page ? x->primary | CPU_TPR_SHADOW : x->primary & ~CPU_TPR_SHADOW);
    vmwrite(SECONDARY_CONTROLS, vmx_caps.secondary | (page ? second : 0));
    vmwrite(MSR_BITMAP, core_to_phys(page && x2apic ? x2apic_bitmap : msr_bitmap));
    if (page) {
        vmwrite(VIRTUAL_APIC, core_to_phys(page));
        vmwrite(TPR_THRESHOLD, 0);
        vmwrite(INTERRUPT_STATUS, in_service << 8);
        vmx_level_vectors(page + APIC_TMR / sizeof(*page));
        if (!x2apic) vmwrite(APIC_PAGE, core_to_phys(v->domain->apic_page));
    }
    x->flush = true; /* what was cached of the page (29.4.5) */
    x->generation = ~0ull;
    vmx_put(before);
    return page != NULL;
}

static int vmx_vcpu_init(struct vcpu *v)
{
    struct vmx_vcpu *x = core_alloc(sizeof(*x)), *before;

    if (!x) return -XEN_ENOMEM;
    x->region = core_alloc_pages(1);
    v->vendor = x;
    if (!x->region) return -XEN_ENOMEM; /* the caller frees x */
    map_apic_page(v->domain);
    x->phys = core_to_phys(x->region);
    *(uint32_t *)x->region = vmx_caps.revision;
    before = ((struct vmx_cpu *)this_cpu()->vendor)->loaded;
    clear(this_cpu()->vendor, x);
    load(this_cpu()->vendor, x);
    set_controls(v);
    vmwrite(GUEST_RIP, 0);
    vmwrite(GUEST_RSP, 0);
    vmwrite(GUEST_RFLAGS, 2);
    x->flags = 2;
    vmx_put(before);
    return 0;
}

static void vmx_vcpu_free(struct vcpu *v)
{
    struct vmx_vcpu *x = v->vendor;

    if (x) core_free_pages(x->region, 1);
    core_free(x);
}

static void vmx_switch_in(struct vcpu *v)
{
    struct vmx_vcpu *x = v->vendor;

    load(this_cpu()->vendor, x);
    vmx_load_live(x);
    x->live = true;
    if (vmx_caps.secondary & CPU2_RDTSCP) write_msr(MSR_TSC_AUX, v->tsc_aux);
}

static void vmx_switch_out(struct vcpu *v)
{
    struct vmx_vcpu *x = v->vendor;

    vmx_save_live(x);
    x->live = false;
    clear(this_cpu()->vendor, x);
}

static void vmx_tsc_changed(struct vcpu *v)
{
    struct vmx_vcpu *x = v->vendor, *before = vmx_get(v);

    write_tsc(v, x);
    vmx_put(before);
}

static void vmx_policy_changed(struct vcpu *v)
{
    struct vmx_vcpu *before = vmx_get(v);

    set_masks(v);
    vmx_put(before);
}

/* --- running --- */

/* What the processor loads at an exit; some of it differs between CPUs. */
static void set_host(struct cpu *c)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } packed idtr;

    __asm__ volatile("sidt %0" : "=m"(idtr));
    for (unsigned int n = 0; n <= SEG_GS; n++)
        vmwrite(HOST_SELECTOR + 2 * n, n == SEG_CS ? SEL_CODE64 : n >= SEG_FS ? 0 : SEL_DATA);
    vmwrite(HOST_TR_SELECTOR, SEL_TSS);
    vmwrite(HOST_CR0, read_cr0());
    vmwrite(HOST_CR3, (uintptr_t)core_l4);
    vmwrite(HOST_CR4, read_cr4());
    vmwrite(HOST_EFER, read_msr(MSR_EFER));
    vmwrite(HOST_PAT, read_msr(MSR_PAT));
    vmwrite(HOST_GS_BASE, (uintptr_t)c);
    vmwrite(HOST_TR_BASE, (uintptr_t)&c->arch.tss);
    vmwrite(HOST_GDT_BASE, (uintptr_t)c->arch.gdt);
    vmwrite(HOST_IDT_BASE, idtr.base);
    vmwrite(HOST_RIP, (uintptr_t)(mitigations ? vmx_exit_filling : vmx_exit_point));
}

/*
 * Guest-physical translations are tagged by the EPT pointer: they are dropped
 * when a vCPU comes to a CPU that may have old ones of its domain (or of a
 * domain that had the same tables), and after a change of the p2m.  Linear
 * ones are tagged by VPID too: a vCPU takes a fresh one on another CPU, where
 * it may have been before, and on request; when all are used up, the CPU drops
 * everything and starts again (28.3.3.3).
 */
static void renew_translations(struct vmx_vcpu *x, struct cpu *c, uint64_t generation)
{
    struct vmx_cpu *h = c->vendor;

    if (x->cpu != c || x->generation != generation) invept(vmread(EPT_POINTER));
    x->generation = generation;
    if (x->cpu != c || x->flush || x->epoch != h->epoch) {
        if (h->next_vpid > LAST_VPID) {
            h->next_vpid = 1;
            h->epoch++;
            invvpid_all();
        }
        vmwrite(VPID, h->next_vpid++);
        x->epoch = h->epoch;
        x->flush = false;
    }
    if (x->cpu != c) set_host(c);
    x->cpu = c;
}

static inline void check_translations(struct vcpu *v, struct vmx_vcpu *x, struct cpu *c)
{
    uint64_t gen = __atomic_load_n(&v->domain->p2m->generation, __ATOMIC_SEQ_CST);

    if (likely(x->cpu == c && x->generation == gen && !x->flush &&
               x->epoch == ((struct vmx_cpu *)c->vendor)->epoch))
        return;
    renew_translations(x, c, gen);
}

static inline void update(enum vmcs_field f, uint64_t *held, uint64_t value)
{
    if (*held == value) return;
    *held = value;
    vmwrite(f, value);
}

/* vmx_enter where something is to be done about speculation. */
static __attribute__((noinline)) uint64_t guarded_enter(struct regs *r, bool launched)
{
    uint64_t failed;

    mitigate_entry();
    failed = vmx_enter(r, launched);
    mitigate_exit();
    return failed;
}

bool vmx_run(struct vcpu *v, struct vm_exit *exit)
{
    struct vmx_vcpu *x = v->vendor;

    check_translations(v, x, this_cpu());
    update(GUEST_RIP, &x->rip, v->regs.rip);
    update(GUEST_RSP, &x->rsp, v->regs.rsp);
    update(GUEST_RFLAGS, &x->flags, v->regs.rflags);
    if (x->event & EVENT_VALID) {
        vmwrite(ENTRY_EVENT, x->event);
        vmwrite(ENTRY_ERROR, x->error);
    }
    if (unlikely(likely(!mitigations) ? vmx_enter(&v->regs, x->launched)
                                      : guarded_enter(&v->regs, x->launched))) {
        exit->reason = EXIT_BAD;
        exit->code = vmread(INSTRUCTION_ERROR);
        return true;
    }
    x->launched = true;
    v->regs.rip = x->rip = vmread(GUEST_RIP);
    v->regs.rsp = x->rsp = vmread(GUEST_RSP);
    v->regs.rflags = x->flags = vmread(GUEST_RFLAGS);
    vmx_keep_event(x);
    vmx_decode(v, exit);
    return true; /* one that was not is kept */
}

static uint64_t vmx_leaf_bits(enum p2m_type type)
{
    const uint64_t write_back = 6 << 3, r = BIT(0) | write_back, rw = r | BIT(1);
    const uint64_t bits[] = {
        [P2M_RAM] = rw | EPT_X, [P2M_RAM_RO] = r | EPT_X,     [P2M_SHARED] = rw,
        [P2M_RESOURCE] = rw,    [P2M_GRANT_RW] = rw,          [P2M_GRANT_RO] = r,
        [P2M_FOREIGN] = rw,     [P2M_MMIO] = BIT(0) | BIT(1), /* uncached */
    };

    return bits[type];
}

struct vendor_ops vmx_ops = {
    .name = "Intel VMX",
    .hypercall_insn = {0x0f, 0x01, 0xc1},
    .cpu_init = vmx_cpu_init,
    .vcpu_init = vmx_vcpu_init,
    .vcpu_free = vmx_vcpu_free,
    .get_state = vmx_get_state,
    .set_state = vmx_set_state,
    .get_cr = vmx_get_cr,
    .get_efer = vmx_get_efer,
    .get_cpl = vmx_get_cpl,
    .get_segment = vmx_get_segment,
    .can_inject = vmx_can_inject,
    .inject_interrupt = vmx_inject_interrupt,
    .inject_nmi = vmx_inject_nmi,
    .inject_exception = vmx_inject_exception,
    .want_window = vmx_want_window,
    .skip_insn = vmx_skip_insn,
    .tsc_changed = vmx_tsc_changed,
    .policy_changed = vmx_policy_changed,
    .switch_in = vmx_switch_in,
    .switch_out = vmx_switch_out,
    .set_efer = vmx_set_efer,
    .set_pat = vmx_set_pat,
    .leaf_bits = vmx_leaf_bits,
};

static void set_numbers(void)
{
    vmx_ops.tsc_scaling = vmx_caps.secondary & CPU2_TSC_SCALING ? TSC_FRACTION : 0;
    vmx_ops.small_bits = superpage_erratum ? EPT_X : 0;
    if (vmx_caps.virtual_apic) vmx_ops.virtual_apic = vmx_virtual_apic;
    vmx_ops.max_level = vmx_caps.ept & EPT_1G ? 3 : vmx_caps.ept & EPT_2M ? 2 : 1;
}
