/* SPDX-License-Identifier: Apache-2.0 */
/* dom0's platform: putting it together, and I/O ports. */
#include "device/hwdev.h"
#include "boot/acpi.h"
#include "cpu/cpu.h"
#include "device/console.h"
#include "lib/print.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "vm/domain.h"
#include "vm/vcpu.h"
#include <xen/errno.h>

/* By port, a bit that is set when it is denied: of guests, of dom0. */
static uint8_t *denied_ports[2];

int hwdev_init(struct domain *d)
{
    for (unsigned int i = 0; i < 2; i++) {
        denied_ports[i] = core_alloc_pages(PORT_BITMAP_PAGES);
        if (!denied_ports[i]) return -XEN_ENOMEM;
        memset(denied_ports[i], 0xff, PORT_BITMAP_PAGES * PAGE_SIZE);
    }
    for (unsigned int port = 0; port < 65536; port++)
        if (port_allowed(d, port, 1)) denied_ports[1][port / 8] &= ~(1 << port % 8);
    return vioapic_init();
}

const void *port_bitmap(const struct domain *d)
{
    return denied_ports[d->privileged];
}

/*
 * dom0 drives the machine: it has all ports but these, which belong to the
 * core or have no counterpart in a PVH guest.
 */
bool port_allowed(const struct domain *d, uint16_t port, unsigned int size)
{
    const struct {
        uint16_t first, count;
    } denied[] = {
        {0x20, 2},
        {0xa0, 2}, /* PIC            */
        {0x40, 4},
        {0x61, 1},  /* PIT            */
        {0xe9, 1},  /* debug console  */
        {0xcf8, 8}, /* PCI, mediated  */
        {console_port(), console_port() ? 8 : 0},
        {acpi.pm_timer, acpi.pm_timer ? 4 : 0},
    };

    if (!d->privileged || port + size > 0x10000) return false;
    for (unsigned int i = 0; i < ARRAY_SIZE(denied); i++)
        if (port < denied[i].first + denied[i].count && port + size > denied[i].first) return false;
    return true;
}

/*
 * A port that is not the guest's reads all ones, but for the PIT's channel 2,
 * a counter that stands at 0: at ~0 Linux reads it 100,000 times to see it
 * move before it finds that it does not (quick_pit_calibrate).
 */
static uint32_t refuse_port(struct vcpu *v, uint16_t port)
{
    log_guest(LOG_DEBUG, "d%uv%u: port %x refused, rip %lx", v->domain->id, v->id, port,
              v->regs.rip);
    return port == 0x42 ? 0 : ~0u;
}

void handle_io(struct vcpu *v, const struct vm_exit *e)
{
    struct regs *r = &v->regs;
    uint64_t mask = MASK(e->io.size * 8 - 1, 0);
    uint32_t value;

    if (e->io.string) {
        log_guest(LOG_INFO, "d%uv%u: string I/O to port %x, rip %lx", v->domain->id, v->id,
                  e->io.port, r->rip);
        vendor->inject_exception(v, VEC_UD, NO_ERROR_CODE);
        return;
    }
    if (v->domain->pci && (e->io.port & ~7) == 0xcf8)
        value = vpci_port_access(v->domain, e->io.port, e->io.size, e->io.in, r->rax);
    else if (!port_allowed(v->domain, e->io.port, e->io.size))
        value = refuse_port(v, e->io.port);
    else
        value = e->io.in ? port_in(e->io.port, e->io.size)
                         : (port_out(e->io.port, e->io.size, r->rax), 0);
    if (e->io.in) r->rax = e->io.size == 4 ? value : (r->rax & ~mask) | (value & mask);
    vendor->skip_insn(v, e->len);
}
