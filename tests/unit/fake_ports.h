/* SPDX-License-Identifier: Apache-2.0 */
/* The host's I/O ports, replaced by two functions of the test.  Comes before
 * every other header of the core. */
#ifndef FAKE_PORTS_H
#define FAKE_PORTS_H

#define inb      host_inb
#define inw      host_inw
#define inl      host_inl
#define outb     host_outb
#define outw     host_outw
#define outl     host_outl
#define port_in  host_port_in
#define port_out host_port_out
#include "cpu/cpu.h"
#undef inb
#undef inw
#undef inl
#undef outb
#undef outw
#undef outl
#undef port_in
#undef port_out

static uint32_t port_in(uint16_t port, unsigned int size);
static void port_out(uint16_t port, unsigned int size, uint32_t v);

#define inb(port)     ((uint8_t)port_in(port, 1))
#define inw(port)     ((uint16_t)port_in(port, 2))
#define inl(port)     port_in(port, 4)
#define outb(port, v) port_out(port, 1, v)
#define outw(port, v) port_out(port, 2, v)
#define outl(port, v) port_out(port, 4, v)

#endif
