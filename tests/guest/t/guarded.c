/* SPDX-License-Identifier: Apache-2.0 */
/* What is done about speculation around each exit leaves a guest's registers alone,
 * and an idle CPU wakes: with the return stack filled, and, on QEMU, an AMD processor
 * of family 19h, whose buffers are cleared. */
/* run: as=both cpu=family=25 core=spec-ctrl=rsb hv=insula */
#include "cpu.h"
#include "test.h"

#define ROUNDS 1000u

/* An exit with these in RSI, RDI and R8 to R15, and what is there after it. */
static void one_exit(const uint64_t in[10], uint64_t out[10])
{
    asm volatile("push %1; push %0\n\t"
                 ".irp n, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
                 "mov 8 * (\\n - 8)(%0), %%r\\n\n\t"
                 ".endr\n\t"
                 "mov 64(%0), %%rsi; mov 72(%0), %%rdi\n\t"
                 "mov $1, %%eax; cpuid\n\t"
                 "mov 8(%%rsp), %%rdx\n\t"
                 ".irp n, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
                 "mov %%r\\n, 8 * (\\n - 8)(%%rdx)\n\t"
                 ".endr\n\t"
                 "mov %%rsi, 64(%%rdx); mov %%rdi, 72(%%rdx)\n\t"
                 "pop %0; pop %1"
                 : "+b"(in), "+d"(out)
                 :
                 : "rax", "rcx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
                   "cc", "memory");
}

static void registers(void)
{
    uint64_t in[10], out[10], x = 88172645463325252;
    unsigned int wrong = 0;

    for (unsigned int round = 0; round < ROUNDS; round++) {
        for (unsigned int i = 0; i < 10; i++) in[i] = x = x * 6364136223846793005 + 1;
        one_exit(in, out);
        for (unsigned int i = 0; i < 10; i++) wrong += in[i] != out[i];
    }
    check_eq(wrong, 0, "registers after an exit");
}

static void idle(void)
{
    evtchn_port_t port = port_ipi(0);
    struct sched_poll p = {.nr_ports = 1};
    unsigned int wrong = 0;

    set_xen_guest_handle(p.ports, &port);
    vcpu_info()->evtchn_upcall_pending = 0;
    for (unsigned int round = 0; round < 20; round++) {
        uint64_t until = p.timeout = now() + NS_PER_MS;

        wrong += sched_op(SCHEDOP_poll, &p) != 0 || now() < until;
    }
    check_eq(wrong, 0, "sleeping and waking");
}

void test_main(void)
{
    registers();
    idle();
}
