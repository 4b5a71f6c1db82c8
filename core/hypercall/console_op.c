/* SPDX-License-Identifier: Apache-2.0 */
/* console_io: dom0's text on the core's console, and its input. */
#include "device/console.h"
#include "hypercall/hypercall.h"
#include "vm/guest.h"

#define CHUNK 256u

static long console_out(struct vcpu *v, uint64_t va, uint32_t left)
{
    char text[CHUNK];

    while (left) {
        uint32_t n = MIN(left, CHUNK);

        if (copy_from_guest(text, va, n)) return -XEN_EFAULT;
        console_write(text, n);
        va += n;
        left -= n;
        if (left && hypercall_preempt()) {
            hc_set_arg(v, 1, left);
            hc_set_arg(v, 2, va);
            return HC_CONTINUE;
        }
    }
    return 0;
}

static long console_in(uint64_t va, uint32_t size)
{
    char text[CHUNK];
    size_t n = console_read(text, MIN(size, CHUNK));

    return copy_to_guest(va, text, n) ? -XEN_EFAULT : (long)n;
}

long hc_console_io(struct vcpu *v, const struct hc_args *args)
{
    uint32_t count = args->a[1];

    if (!v->domain->privileged) return -XEN_EPERM;
    if ((int32_t)count < 0) return -XEN_EINVAL;
    switch ((uint32_t)args->a[0]) {
    case CONSOLEIO_write: return console_out(v, args->a[2], count);
    case CONSOLEIO_read: return console_in(args->a[2], count);
    default: return -XEN_ENOSYS;
    }
}
