/* SPDX-License-Identifier: Apache-2.0 */
/* The table of all hypercalls, and the way to them. */
#include "hypercall/hypercall.h"
#include "lib/print.h"
#include "vm/vendor.h"

#define CS_LONG BIT(9) /* L, in struct segment */

static hypercall_fn *const table[] = {
    [__HYPERVISOR_memory_op] = hc_memory_op,
    [__HYPERVISOR_set_timer_op] = hc_set_timer_op,
    [__HYPERVISOR_xen_version] = hc_xen_version,
    [__HYPERVISOR_console_io] = hc_console_io,
    [__HYPERVISOR_grant_table_op] = hc_grant_table_op,
    [__HYPERVISOR_vm_assist] = hc_vm_assist,
    [__HYPERVISOR_vcpu_op] = hc_vcpu_op,
    [__HYPERVISOR_sched_op] = hc_sched_op,
    [__HYPERVISOR_event_channel_op] = hc_event_channel_op,
    [__HYPERVISOR_physdev_op] = hc_physdev_op,
    [__HYPERVISOR_hvm_op] = hc_hvm_op,
    [__HYPERVISOR_sysctl] = hc_sysctl,
    [__HYPERVISOR_domctl] = hc_domctl,
    [__HYPERVISOR_platform_op] = hc_platform_op,
};

static long call(struct vcpu *v, uint32_t n)
{
    const struct regs *r = &v->regs;
    struct hc_args args = {{r->rdi, r->rsi, r->rdx, r->r10, r->r8}};
    hypercall_fn *fn;

    if (unlikely(n >= ARRAY_SIZE(table)))
        return -XEN_ENOSYS;
    fn = table[index_nospec(n, ARRAY_SIZE(table))];
    return likely(fn != NULL) ? fn(v, &args) : -XEN_ENOSYS;
}

void do_hypercall(struct vcpu *v, unsigned int insn_len)
{
    uint32_t n = v->regs.rax;
    uint64_t op = v->regs.rdi;
    struct segment cs;
    long rc;

    /* The RPL of CS is the privilege level (APM vol. 2, 4.9.1); only 64-bit
     * code is spoken to. */
    vendor->get_segment(v, SEG_CS, &cs);
    if (unlikely(cs.selector & 3))
        rc = -XEN_EPERM;
    else if (unlikely(!(cs.attr & CS_LONG)))
        rc = -XEN_ENOSYS;
    else
        rc = call(v, n);

    if (unlikely(rc == HC_CONTINUE)) {
        v->continuations++;
        return;
    }
    if (unlikely(rc < 0))
        log_guest(LOG_DEBUG, "d%uv%u: hypercall %u(%lx) refused: %ld",
                  v->domain->id, v->id, n, op, rc);
    v->regs.rax = rc;
    vendor->skip_insn(v, insn_len);
}

void hc_set_arg(struct vcpu *v, unsigned int n, uint64_t value)
{
    struct regs *r = &v->regs;
    uint64_t *arg[] = {&r->rdi, &r->rsi, &r->rdx, &r->r10, &r->r8};

    ASSERT(n < ARRAY_SIZE(arg));
    *arg[n] = value;
}
