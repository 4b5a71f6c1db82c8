/* SPDX-License-Identifier: Apache-2.0 */
/* The small calls of a PVH dom0: physdev_op, platform_op; and vm_assist. */
#include "hypercall/hypercall.h"
#include "lib/print.h"
#include "vm/guest.h"
#include <xen/physdev.h>
#include <xen/platform.h>

/* dom0 tells what it finds on the PCI bus; the core looks at the
 * configuration space itself when it is accessed, so there is nothing to do. */
long hc_physdev_op(struct vcpu *v, const struct hc_args *args)
{
    if (!v->domain->privileged) return -XEN_ENOSYS;
    switch ((uint32_t)args->a[0]) {
    case PHYSDEVOP_pci_device_add:
    case PHYSDEVOP_pci_device_remove:
    case PHYSDEVOP_pci_mmcfg_reserved: return 0;
    default: return -XEN_ENOSYS;
    }
}

static long set_time(uint64_t sec, uint32_t nsec, uint64_t at)
{
    if (nsec >= NS_PER_SEC) return -XEN_EINVAL;
    clock_set_wall(sec, nsec, at);
    return 0;
}

long hc_platform_op(struct vcpu *v, const struct hc_args *args)
{
    struct xen_platform_op op;

    if (!v->domain->privileged) return -XEN_EPERM;
    if (copy_from_guest(&op, args->a[0], sizeof(op))) return -XEN_EFAULT;
    if (op.interface_version != XENPF_INTERFACE_VERSION) return -XEN_EACCES;
    switch (op.cmd) {
    case XENPF_settime32:
        return set_time(op.u.settime32.secs, op.u.settime32.nsecs, op.u.settime32.system_time);
    case XENPF_settime64:
        if (op.u.settime64.mbz) return -XEN_EINVAL;
        return set_time(op.u.settime64.secs, op.u.settime64.nsecs, op.u.settime64.system_time);
    default:
        log_guest(LOG_DEBUG, "d%uv%u: platform_op %u is not offered", v->domain->id, v->id, op.cmd);
        return -XEN_ENOSYS;
    }
}

long hc_vm_assist(struct vcpu *v, const struct hc_args *args)
{
    uint32_t cmd = args->a[0];

    if (cmd > VMASST_CMD_disable || (uint32_t)args->a[1] != VMASST_TYPE_runstate_update_flag)
        return -XEN_EINVAL;
    v->domain->runstate_update_flag = cmd == VMASST_CMD_enable;
    return 0;
}
