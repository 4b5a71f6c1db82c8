/* SPDX-License-Identifier: Apache-2.0 */
/* CPUs started by INIT and SIPI; IPIs, events and timers on each. */
/* run: as=both cpus=3 */
#include "test.h"

static volatile unsigned int hits[MAX_CPUS];

static void handler(struct regs *r)
{
    (void)r;
    hits[this_cpu()->index]++;
    apic_write(APIC_EOI, 0);
}

static void on_event(struct regs *r)
{
    (void)r;
    hits[this_cpu()->index]++;
    vcpu_info()->evtchn_upcall_pending = 0;
    vcpu_info()->evtchn_pending_sel = 0;
}

static void describe(void *arg)
{
    uint32_t *id = arg;

    apic_enable(true);
    id[0] = apic_id();
    id[1] = cpuid(1, 0).b >> 24;
    id[2] = cpuid(11, 0).d;
    id[3] = cpuid(xen_leaf + 4, 0).b;
    id[4] = (uint32_t)rdmsr(MSR_APIC_BASE) & 0x100;
}

/* Waits, halted, for one interrupt of any kind. */
static void wait_hit(void *arg)
{
    unsigned int me = this_cpu()->index;

    (void)arg;
    while (hits[me] == 0) cpu_halt();
}

static void identity(unsigned int i)
{
    uint32_t id[5] = {0};
    char name[48];

    format(name, sizeof(name), "CPU %u: ids", i);
    cpu_run(i, describe, id);
    check(id[0] == 2 * i && id[1] == 2 * i && id[2] == 2 * i && id[3] == i, name);
    format(name, sizeof(name), "CPU %u: is no BSP", i);
    check_eq(id[4], 0, name);
}

static void ipis(void)
{
    hits[1] = hits[2] = 0;
    cpu_run_async(1, wait_hit, NULL);
    cpu_run_async(2, wait_hit, NULL);
    apic_ipi(2, 0x4061); /* fixed, to APIC 2 */
    cpu_wait(1);
    check(hits[1] == 1 && hits[2] == 0, "IPI to one");
    apic_ipi(0, 0xc4061); /* all but self */
    cpu_wait(2);
    check(hits[2] == 1 && hits[0] == 0, "IPI to all others");
}

static void timer_here(void *arg)
{
    struct vcpu_set_singleshot_timer t = {now() + 5 * NS_PER_MS, 0};

    (void)arg;
    vcpu_op(VCPUOP_set_singleshot_timer, this_cpu()->index, &t);
    wait_hit(NULL);
}

static void events(void)
{
    struct evtchn_bind_vcpu move = {0, 2};
    long port = port_unbound(DOMID_SELF), other, ipi, timer;
    struct vcpu_set_singleshot_timer t = {now(), 0};

    events_on();
    set_irq(EVENT_VECTOR, on_event);
    hits[0] = hits[1] = hits[2] = 0;
    timer = port_virq(VIRQ_TIMER, 1);
    port_unmask((evtchn_port_t)timer);
    cpu_run(1, timer_here, NULL);
    check(hits[1] >= 1 && hits[0] == 0, "timer of CPU 1");
    check_eq(vcpu_op(VCPUOP_set_singleshot_timer, 1, &t), -XEN_EINVAL, "no timer of another CPU");
    hits[1] = 0;
    ipi = port_ipi(1);
    port_unmask((evtchn_port_t)ipi);
    cpu_run_async(1, wait_hit, NULL);
    port_send((evtchn_port_t)ipi);
    cpu_wait(1);
    check(hits[1] >= 1 && hits[2] == 0, "IPI port of CPU 1");
    other = port_bind(DOMID_SELF, (evtchn_port_t)port);
    move.port = (evtchn_port_t)port;
    check_eq(evtchn_op(EVTCHNOP_bind_vcpu, &move), 0, "port to CPU 2");
    port_take((evtchn_port_t)port);
    port_unmask((evtchn_port_t)port);
    cpu_run_async(2, wait_hit, NULL);
    port_send((evtchn_port_t)other);
    cpu_wait(2);
    check(hits[2] >= 1 && hits[0] == 0, "event on CPU 2");
}

static volatile bool stay;

static void spin(void *arg)
{
    (void)arg;
    while (stay) cpu_relax();
}

static void up_down(void)
{
    uint64_t end = now() + NS_PER_S;

    check_eq(vcpu_op(VCPUOP_is_up, 1, 0), 1, "CPU 1 is up");
    check_eq(vcpu_op(VCPUOP_is_up, 2, 0), 1, "CPU 2 is up");
    stay = true;
    cpu_run_async(2, spin, NULL);
    apic_ipi(4, 0x4600 | 8); /* a SIPI that nobody waits for */
    delay(5 * NS_PER_MS);
    stay = false;
    cpu_wait(2);
    check(true, "a second SIPI changes nothing");
    check_eq(vcpu_op(VCPUOP_down, 2, 0), 0, "CPU 2 down");
    while (vcpu_op(VCPUOP_is_up, 2, 0) && now() < end) cpu_relax();
    check_eq(vcpu_op(VCPUOP_is_up, 2, 0), 0, "CPU 2 is down");
    check_eq(vcpu_op(VCPUOP_up, 2, 0), 0, "CPU 2 up again");
    cpu_run(2, wait_hit, NULL);
    check(true, "it goes on where it was");
    check(cpu_start(2), "INIT and SIPI start it afresh");
    identity(2);
}

void test_main(void)
{
    set_irq(0x61, handler);
    apic_enable(true);
    check_eq(vcpu_op(VCPUOP_is_up, 1, 0), 0, "CPU 1 is down at first");
    if (!check(cpu_start(1), "CPU 1 starts") || !check(cpu_start(2), "CPU 2 starts")) return;
    identity(1);
    identity(2);
    ipis();
    events();
    up_down();
}
