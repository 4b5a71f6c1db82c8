/* SPDX-License-Identifier: Apache-2.0 */
/* dom0's platform: putting it together, and I/O ports. */
#include "device/hwdev.h"
#include "boot/acpi.h"
#include "cpu/cpu.h"
#include "device/console.h"
#include "device/hwdev_parts.h"
#include "lib/print.h"
#include "vm/domain.h"
#include "vm/vcpu.h"

static struct hwdev hwdev;

int hwdev_init(struct domain *d)
{
    int rc = vioapic_init();

    if (!rc) rc = vpci_init(d);
    d->hwdev = &hwdev;
    return rc;
}

/*
 * dom0 drives the machine: it has all ports but these, which belong to the
 * core or have no counterpart in a PVH guest (abi.md 1.7).
 */
bool port_allowed(struct domain *d, uint16_t port, unsigned int size)
{
    static const struct {
        uint16_t first, last;
    } denied[] = {
        {0x20, 0x21},   {0xa0, 0xa1}, /* PIC            */
        {0x40, 0x43},   {0x61, 0x61}, /* PIT            */
        {0xe9, 0xe9},                 /* debug console  */
        {0xcf8, 0xcff},               /* PCI, mediated  */
    };
    uint32_t end = port + size - 1;

    if (!d->hwdev || end > 0xffff) return false;
    for (unsigned int i = 0; i < ARRAY_SIZE(denied); i++)
        if (port <= denied[i].last && end >= denied[i].first) return false;
    if (console_port() && port < console_port() + 8 && end >= console_port()) return false;
    return !acpi.pm_timer || port >= acpi.pm_timer + 4 || end < acpi.pm_timer;
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
    uint32_t mask = e->io.size == 4 ? ~0u : (1u << e->io.size * 8) - 1;
    uint32_t value = ~0u;

    if (e->io.string) {
        log_guest(LOG_INFO, "d%uv%u: string I/O to port %x, rip %lx", v->domain->id, v->id,
                  e->io.port, r->rip);
        vendor->inject_exception(v, VEC_UD, NO_ERROR_CODE);
        return;
    }
    if (v->domain->hwdev && (e->io.port & ~7) == 0xcf8)
        value = vpci_port_access(v, e->io.port, e->io.size, e->io.in, r->rax);
    else if (v->domain->hwdev && port_allowed(v->domain, e->io.port, e->io.size))
        value = e->io.in ? port_in(e->io.port, e->io.size)
                         : (port_out(e->io.port, e->io.size, r->rax), 0);
    else
        value = refuse_port(v, e->io.port);
    if (e->io.in) r->rax = e->io.size == 4 ? value : (r->rax & ~(uint64_t)mask) | (value & mask);
    vendor->skip_insn(v, e->len);
}
