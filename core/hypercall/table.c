/* SPDX-License-Identifier: Apache-2.0 */
/* The table of all hypercalls, and the way to them. */
#include "hypercall/access.h"
#include "hypercall/hypercall.h"
#include "lib/print.h"
#include "vm/guest.h"
#include "vm/vendor.h"

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

/* The registers that carry the arguments, by their number in struct regs. */
static const uint8_t arg_regs[] = {7, 6, 2, 10, 8};

static long call(struct vcpu *v, uint64_t n)
{
    const struct regs *r = &v->regs;
    hypercall_fn *fn;

    if (unlikely(n >= ARRAY_SIZE(table))) return -XEN_ENOSYS;
    fn = table[index_nospec(n, ARRAY_SIZE(table))];
    if (unlikely(!fn)) return -XEN_ENOSYS;
    return fn(v, &(struct hc_args){{r->rdi, r->rsi, r->rdx, r->r10, r->r8}});
}

/* Also its continuations, as long as nobody waits. */
static inline long call_on(struct vcpu *v, uint64_t n)
{
    long rc;

    do {
        rc = call(v, n);
    } while (unlikely(rc == HC_CONTINUE) && !hypercall_preempt());
    return rc;
}

void hc_set_arg(struct vcpu *v, unsigned int n, uint64_t value)
{
    v->regs.gpr[arg_regs[n]] = value;
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
    struct multicall_entry e;
    bool done;

    if (!n) return 0;
    if (copy_from_guest(&e, at, sizeof(e))) return -XEN_EFAULT;
    for (unsigned int i = 0; i < ARRAY_SIZE(arg_regs); i++) hc_set_arg(v, i, e.args[i]);
    e.result = e.op == __HYPERVISOR_multicall ? -XEN_EINVAL : call_on(v, e.op);
    done = (long)e.result != HC_CONTINUE;
    for (unsigned int i = 0; i < ARRAY_SIZE(arg_regs); i++) {
        if (!done) e.args[i] = v->regs.gpr[arg_regs[i]];
        hc_set_arg(v, i, args->a[i]);
    }
    if (copy_to_guest(at, &e, sizeof(e))) return -XEN_EFAULT;
    hc_set_arg(v, 0, at + done * sizeof(e));
    hc_set_arg(v, 1, n - done);
    return n > done ? HC_CONTINUE : 0;
}

int domain_get_locked(domid_t id, struct domain **out)
{
    struct domain *d;
    int rc = domain_get_controlled(id, &d);

    if (rc) return rc;
    *out = d;
    if (d == current_domain()) return 0;
    spin_lock(&d->lock);
    if (READ_ONCE(d->dying) == ALIVE) return 0;
    domain_put_locked(d);
    return -XEN_ESRCH;
}

void domain_put_locked(struct domain *d)
{
    if (d != current_domain()) spin_unlock(&d->lock);
    domain_put(d);
}

long subop_call(const struct subop *ops, unsigned int n, uint32_t cmd, uint64_t va)
{
    struct domain *d = current_domain();
    uint64_t arg[SUBOP_MAX / sizeof(uint64_t)];
    const struct subop *s;
    long rc = 0;

    if (unlikely(cmd >= n)) return -XEN_ENOSYS;
    s = &ops[index_nospec(cmd, n)];
    if (unlikely(!s->fn)) return -XEN_ENOSYS;
    if (s->flags & SUBOP_DOM0 && !d->privileged) return -XEN_EPERM;
    if (copy_from_guest(arg, va, s->size)) return -XEN_EFAULT;
    if (s->flags & SUBOP_LOCKED)
        rc = domain_get_locked(*(domid_t *)arg, &d);
    else if (s->flags & SUBOP_DOMAIN)
        rc = domain_get_controlled(*(domid_t *)arg, &d);
    if (rc) return rc;
    rc = s->fn(d, arg);
    if (s->flags & SUBOP_LOCKED)
        domain_put_locked(d);
    else if (s->flags & SUBOP_DOMAIN)
        domain_put(d);
    return rc || !(s->flags & SUBOP_OUT) ? rc : copy_to_guest(va, arg, s->size);
}

bool do_hypercall(struct vcpu *v, const struct vm_exit *e)
{
    uint32_t n = v->regs.rax;
    long rc;

    if (unlikely(e->call.cpl != 0))
        rc = -XEN_EPERM;
    else if (unlikely(!e->call.long_mode)) /* only 64-bit code is spoken to */
        rc = -XEN_ENOSYS;
    else
        rc = call_on(v, n);

    if (unlikely(rc == HC_CONTINUE)) return false; /* the guest makes it again */
    if (unlikely(rc < 0))
        log_guest(LOG_DEBUG, "d%uv%u: hypercall %u(%lx) refused: %ld", v->domain->id, v->id, n,
                  v->regs.rdi, rc);
    v->regs.rax = rc;
    return true;
}
