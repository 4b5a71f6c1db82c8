/* SPDX-License-Identifier: Apache-2.0 */
/* The table of all hypercalls, and the way to them. */
#include "hypercall/hypercall.h"
#include "lib/print.h"
#include "vm/guest.h"
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
    [__HYPERVISOR_multicall] = hc_multicall,
};

/* The registers carry the arguments. */
static long call(struct vcpu *v, uint32_t n)
{
    const struct regs *r = &v->regs;
    struct hc_args args = {{r->rdi, r->rsi, r->rdx, r->r10, r->r8}};
    hypercall_fn *fn;

    if (unlikely(n >= ARRAY_SIZE(table))) return -XEN_ENOSYS;
    fn = table[index_nospec(n, ARRAY_SIZE(table))];
    return likely(fn != NULL) ? fn(v, &args) : -XEN_ENOSYS;
}

static void set_args(struct regs *r, const uint64_t *a)
{
    r->rdi = a[0];
    r->rsi = a[1];
    r->rdx = a[2];
    r->r10 = a[3];
    r->r8 = a[4];
}

/*
 * multicall(list, n): libxc makes its memory_ops this way, to get results
 * wider than an int.  Each call finds its arguments in the registers, as if
 * the guest had made it; where one has to continue, what it left there goes
 * back into the list.
 */
long hc_multicall(struct vcpu *v, const struct hc_args *args)
{
    uint64_t at = args->a[0], n = args->a[1];
    struct regs *r = &v->regs;
    struct multicall_entry e;
    long rc = 0;

    for (; n && !rc; at += sizeof(e), n--) {
        if (hypercall_preempt())
            rc = HC_CONTINUE;
        else if (copy_from_guest(&e, at, sizeof(e)))
            rc = -XEN_EFAULT;
        if (rc) break;
        set_args(r, e.args);
        e.result = e.op == __HYPERVISOR_multicall ? -XEN_EINVAL : call(v, e.op);
        if ((long)e.result == HC_CONTINUE) {
            const uint64_t left[] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8};

            rc = copy_to_guest(at + offsetof(struct multicall_entry, args), left, sizeof(left))
                     ? -XEN_EFAULT
                     : HC_CONTINUE;
            break;
        }
        if (copy_to_guest(at + offsetof(struct multicall_entry, result), &e.result,
                          sizeof(e.result)))
            rc = -XEN_EFAULT;
    }
    set_args(r, (uint64_t[]){at, n, args->a[2], args->a[3], args->a[4]});
    return rc;
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
        log_guest(LOG_DEBUG, "d%uv%u: hypercall %u(%lx) refused: %ld", v->domain->id, v->id, n, op,
                  rc);
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
