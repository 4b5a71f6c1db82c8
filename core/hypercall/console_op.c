/* SPDX-License-Identifier: Apache-2.0 */
/* console_io: dom0's text on the core's console, and its input. */
#include "device/console.h"
#include "hypercall/hypercall.h"
#include "vm/guest.h"

#define CHUNK 16u /* what the port takes at once: a millisecond at 115200 baud */

long hc_console_io(struct vcpu *v, const struct hc_args *args)
{
    uint32_t count = args->a[1], n = MIN(count, CHUNK);
    uint64_t va = args->a[2];
    char text[CHUNK];

    if (!v->domain->privileged) return -XEN_EPERM;
    if ((int32_t)count < 0) return -XEN_EINVAL;
    switch ((uint32_t)args->a[0]) {
    case CONSOLEIO_write:
        if (copy_from_guest(text, va, n)) return -XEN_EFAULT;
        console_write(text, n);
        hc_set_arg(v, 1, count - n);
        hc_set_arg(v, 2, va + n);
        return count > n ? HC_CONTINUE : 0;
    case CONSOLEIO_read:
        n = console_read(text, n);
        return copy_to_guest(va, text, n) ? -XEN_EFAULT : (long)n;
    default: return -XEN_ENOSYS;
    }
}
