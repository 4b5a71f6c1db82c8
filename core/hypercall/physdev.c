/* SPDX-License-Identifier: Apache-2.0 */
/* The small calls of a PVH dom0: physdev_op, platform_op; and vm_assist. */
#include "hypercall/hypercall.h"
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

long hc_platform_op(struct vcpu *v, const struct hc_args *args)
{
    struct xen_platform_op op;
    struct xenpf_settime64 t;

    if (!v->domain->privileged) return -XEN_EPERM;
    if (copy_from_guest(&op, args->a[0], sizeof(op))) return -XEN_EFAULT;
    if (op.interface_version != XENPF_INTERFACE_VERSION) return -XEN_EACCES;
    switch (op.cmd) {
    case XENPF_settime32:
        t = (struct xenpf_settime64){op.u.settime32.secs, op.u.settime32.nsecs, 0,
                                     op.u.settime32.system_time};
        break;
    case XENPF_settime64: t = op.u.settime64; break;
    default: return -XEN_ENOSYS;
    }
    if (t.mbz || t.nsecs >= NS_PER_SEC) return -XEN_EINVAL;
    clock_set_wall(t.secs, t.nsecs, t.system_time);
    return 0;
}

long hc_vm_assist(struct vcpu *v, const struct hc_args *args)
{
    uint32_t cmd = args->a[0];

    if (cmd > VMASST_CMD_disable || (uint32_t)args->a[1] != VMASST_TYPE_runstate_update_flag)
        return -XEN_EINVAL;
    WRITE_ONCE(v->domain->runstate_update_flag, cmd == VMASST_CMD_enable);
    return 0;
}
