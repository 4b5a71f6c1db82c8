/* SPDX-License-Identifier: Apache-2.0 */
/* GDT, IDT, TSS and what a trap in the core means. */
#include "cpu/arch.h"
#include "cpu/cpu.h"
#include "cpu/irq.h"
#include "device/console.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/map.h"
#include "vm/domain.h"

/* APM vol. 2, 4.8.3. */
struct gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_mid;
    uint32_t offset_high, reserved;
};

static struct gate idt[256];
extern char trap_stubs[];
extern const uint64_t boot_gdt[3];

/* Instructions that may fault, and where to go on then. */
struct extable_entry {
    uint64_t fault, fixup;
};
extern const struct extable_entry extable_start[], extable_end[];

void idt_init(void)
{
    for (unsigned int i = 0; i < 256; i++) {
        uintptr_t stub = (uintptr_t)trap_stubs + i * 16ul;

        idt[i] = (struct gate){
            .offset_low = stub,
            .selector = SEL_CODE64,
            .ist = i == VEC_NMI  ? IST_NMI
                   : i == VEC_DF ? IST_DF
                   : i == VEC_MC ? IST_MC
                                 : 0,
            .type = 0x8e,
            .offset_mid = stub >> 16,
            .offset_high = stub >> 32,
        };
    }
}

void descriptors_init(struct cpu *c)
{
    struct cpu_arch *a = &c->arch;
    uint64_t base = (uintptr_t)&a->tss;
    struct {
        uint16_t limit;
        uint64_t base;
    } packed gdtr = {sizeof(a->gdt) - 1, (uintptr_t)a->gdt},
             idtr = {sizeof(idt) - 1, (uintptr_t)idt};

    memcpy(a->gdt, boot_gdt, sizeof(boot_gdt));
    a->gdt[4] = (sizeof(struct tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 |
                (base >> 24 & 0xff) << 56;
    a->gdt[5] = base >> 32;
    a->tss.rsp[0] = (uintptr_t)c->stack_top;
    a->tss.io_map = sizeof(struct tss);
    for (unsigned int i = 0; i < 3; i++) a->tss.ist[i] = (uintptr_t)a->ist_stack[i] + IST_SIZE;
    __asm__ volatile("lgdt %0; lidt %1; ltr %w2" : : "m"(gdtr), "m"(idtr), "r"(SEL_TSS));
    write_msr(MSR_GS_BASE, (uintptr_t)c);
    if (!(cpuid(1, 0).d & BIT(7))) return;
    write_msr_safe(MSR_MCG_STATUS, 0); /* with MCIP left there the first would be the second */
    __asm__ volatile("mov %%cr4, %0; or %1, %0; mov %0, %%cr4" : "=&r"(base) : "i"(CR4_MCE));
}

/* Who stops the machine; another CPU stops when an NMI comes. */
static struct cpu *stopper;

void cpu_stop(void)
{
    for (;;) __asm__ volatile("cli; hlt");
}

bool stop_others(void)
{
    struct cpu *me = this_cpu(), *first = __sync_val_compare_and_swap(&stopper, NULL, me), *c;

    if (first && first != me) cpu_stop();
    if (first) return false;
    for_each_cpu (c)
        if (c != me) apic_send(c->apic_id, ICR_NMI);
    console_force();
    return true;
}

static bool fix_up(struct trap_frame *f)
{
    for (const struct extable_entry *e = extable_start; e < extable_end; e++) {
        if (e->fault == f->rip) {
            f->rip = e->fixup;
            return true;
        }
    }
    return false;
}

static void show_stack(const struct trap_frame *f)
{
    const uint64_t *sp = (const uint64_t *)(f->rsp & ~7ull);
    const uint64_t *top = this_cpu()->stack_top;
    unsigned int shown = 0;

    for (; sp < top && top - sp < (long)(STACK_SIZE / 8) && shown < 16; sp++) {
        if (*sp >= (uintptr_t)image_start && *sp < (uintptr_t)text_end) {
            log_error("  [%016lx]", *sp);
            shown++;
        }
    }
}

static _Noreturn void fatal(struct trap_frame *f)
{
    uint64_t cr2, guard = (uintptr_t)this_cpu()->stack_top - STACK_SIZE - PAGE_SIZE;

    if (!stop_others()) cpu_stop(); /* a trap while it stops */
    __asm__("mov %%cr2, %0" : "=r"(cr2));
    log_error("CPU%u: trap %lu, error %lx, at %lx, address %lx", this_cpu()->id, f->vector,
              f->error, f->rip, cr2);
    log_error("rax %016lx rbx %016lx rcx %016lx rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
    log_error("rsi %016lx rdi %016lx rbp %016lx rsp %016lx", f->rsi, f->rdi, f->rbp, f->rsp);
    log_error("r8  %016lx r9  %016lx r10 %016lx r11 %016lx", f->r8, f->r9, f->r10, f->r11);
    log_error("r12 %016lx r13 %016lx r14 %016lx r15 %016lx", f->r12, f->r13, f->r14, f->r15);
    show_stack(f);
    if (f->vector == VEC_DF && (cr2 & PAGE_MASK) == guard) panic("stack overflow");
    panic(f->vector == VEC_MC ? "machine check" : "trap in the core");
}

void trap_entry(struct trap_frame *f)
{
    if (f->vector == VEC_NMI && READ_ONCE(stopper) && stopper != this_cpu()) cpu_stop();
    if (f->vector >= 32)
        irq_dispatch(f->vector);
    else if (f->vector == VEC_NMI)
        set_bit(WORK_NMI, &this_cpu()->pending);
    else if (!fix_up(f))
        fatal(f);
}

/* The fix-up sets eax to the exception's answer; 1 stands for "worked". */
#define WITH_FIXUP(insn)               \
    "1: " insn "; mov $1, %[ok]; 2:\n" \
    ".pushsection .extable, \"a\"; .quad 1b, 2b; .popsection"

bool read_msr_safe(uint32_t msr, uint64_t *v)
{
    uint32_t lo = 0, hi = 0, ok = 0;

    __asm__ volatile(WITH_FIXUP("rdmsr") : "+a"(lo), "+d"(hi), [ok] "+r"(ok) : "c"(msr));
    *v = (uint64_t)hi << 32 | lo;
    return ok;
}

bool write_msr_safe(uint32_t msr, uint64_t v)
{
    uint32_t ok = 0;

    __asm__ volatile(WITH_FIXUP("wrmsr")
                     : [ok] "+r"(ok)
                     : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32))
                     : "memory");
    return ok;
}

void panic(const char *fmt, ...)
{
    char text[256];
    va_list args;

    stop_others();
    va_start(args, fmt);
    vformat(text, sizeof(text), fmt, args);
    va_end(args);
    log_error("PANIC: %s", text);
    log_error("The machine is stopped; reset it by hand.");
    cpu_stop();
}

void assert_failed(const char *expr, const char *file, int line)
{
    uint64_t sp;
    struct trap_frame f = {0};

    __asm__("mov %%rsp, %0" : "=r"(sp));
    f.rsp = sp;
    if (!stop_others()) cpu_stop();
    show_stack(&f);
    panic("%s:%d: %s", file, line, expr);
}
