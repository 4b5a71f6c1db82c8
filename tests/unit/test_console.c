/* SPDX-License-Identifier: Apache-2.0 */
/* The console: its ring, what goes to the serial port, input; I/O ports. */
#include "fake_ports.h"
#include "check.h"
#include "fake_device.h"
#include "device/console.c"
#include "device/hwdev.c"
#include <stdio.h>

static char serial[1 << 20];
static unsigned int serial_len, setup_writes, virqs;
static const char *typed;
static unsigned int seen_port, seen_size, seen_writes;
static uint32_t seen_value;
struct acpi_info acpi = {.com1_gsi = 20, .com1_level = true};
static bool absent, no_pin, has_fifo;
static unsigned int lsr_reads;
static irq_handler *handler;
static unsigned int routed, unmasked;

int irq_alloc_vector(irq_handler *fn, void *data)
{
    CHECK(!data);
    handler = fn;
    return 0x30;
}

int ioapic_route(uint32_t gsi, uint8_t vector, uint32_t apic_id, bool is_level, bool low)
{
    CHECK(gsi == 20 && vector == 0x30 && apic_id == cpus[0]->apic_id && is_level && !low);
    routed++;
    return no_pin ? -XEN_ENODEV : 0;
}

void ioapic_mask(uint32_t gsi, bool masked)
{
    CHECK(gsi == 20 && !masked && routed);
    unmasked++;
}

static uint32_t port_in(uint16_t p, unsigned int size)
{
    seen_port = p;
    seen_size = size;
    if (absent && (unsigned int)p - COM1 < 8) return NO_UART;
    if (p == 0x3f8 + UART_FCR) return 0x20 | (has_fifo ? IIR_FIFO : 0);
    if (p == 0x3f8 + UART_LSR && ++lsr_reads) return LSR_EMPTY | (typed && *typed ? LSR_READY : 0);
    if (p == 0x3f8 && typed && *typed) return *typed++;
    return 0x11223344;
}

static void port_out(uint16_t p, unsigned int size, uint32_t v)
{
    seen_port = p;
    seen_size = size;
    seen_value = v;
    seen_writes++;
    if (p == 0x3f8 && setup_writes >= 7)
        serial[serial_len++ % sizeof(serial)] = v;
    else
        setup_writes++;
}

void virq_raise_dom0(unsigned int virq)
{
    CHECK(virq == VIRQ_CONSOLE);
    virqs++;
}

void *core_alloc_pages(unsigned int count)
{
    static uint8_t pages[2][PORT_BITMAP_PAGES * PAGE_SIZE];
    static unsigned int n;

    CHECK(count == PORT_BITMAP_PAGES && n < 2);
    return pages[n++];
}

int vioapic_init(void)
{
    return 0;
}

uint32_t vpci_port_access(struct domain *d, uint16_t p, unsigned int size, bool in, uint32_t value)
{
    CHECK(d == dom0);
    (void)size;
    (void)value;
    CHECK(p >= 0xcf8 && p < 0xd00);
    return in ? 0xcf8cf8 : 0;
}

static void begin(const char *console)
{
    fake_init(1);
    port = 0;
    serial_len = setup_writes = virqs = seen_writes = 0;
    ring_end = ring_start = 0;
    level = LOG_INFO;
    guest_level = LOG_WARN;
    typed = NULL;
    console_init(console, "115200,8n1");
}

static bool sent(const char *text)
{
    bool yes = serial_len == strlen(text) && !memcmp(serial, text, serial_len);

    serial_len = 0;
    return yes;
}

static void console_ports(void)
{
    begin("com1");
    CHECK(console_port() == 0x3f8 && setup_writes == 7);
    begin("vga,com1");
    CHECK(console_port() == 0x3f8);
    begin("vga");
    CHECK(console_port() == 0 && setup_writes == 0);
    console_write("x", 1);
    CHECK(seen_writes == 0);
    begin("");
    CHECK(console_port() == 0);
    absent = true; /* a machine without the port: everything reads as ones */
    begin("com1");
    CHECK(console_port() == 0 && seen_writes == 0);
    console_write("x", 1);
    console_start_input();
    CHECK(seen_writes == 0 && !routed && !console_has_gsi(20));
    absent = false;
}

static void console_fifo(void)
{
    for (unsigned int i = 0; i < 2; i++) {
        has_fifo = i;
        begin("com1");
        lsr_reads = 0;
        console_write("0123456789abcdefghijklmnopqrstuv", 32);
        CHECK(sent("0123456789abcdefghijklmnopqrstuv") && lsr_reads == (has_fifo ? 2 : 32));
    }
}

static void console_ring(void)
{
    static char all[RING_SIZE + 64];
    uint32_t pos = 0;
    char line[16];

    begin("com1");
    console_write("one\ntwo\n", 8); /* dom0's: to the port only */
    CHECK(sent("one\r\ntwo\r\n") && ring_end == 0);
    put_ring("one\ntwo\n", 8);
    CHECK(sent(""));
    CHECK(console_ring_read(all, 5, &pos, false) == 5 && pos == 5);
    CHECK(console_ring_read(all + 5, 50, &pos, false) == 3);
    CHECK(!memcmp(all, "one\ntwo\n", 8));
    CHECK(console_ring_read(all, 50, &pos, false) == 0);
    for (unsigned int i = 0; i < 10000; i++) {
        snprintf(line, sizeof(line), "%05u\n", i);
        put_ring(line, 6);
    }
    pos = 0; /* long gone: what is left of the ring */
    CHECK(console_ring_read(all, sizeof(all), &pos, false) == RING_SIZE);
    CHECK(!memcmp(all + RING_SIZE - 6, "09999\n", 6));
    pos = 0xfffffff0; /* no position at all */
    CHECK(console_ring_read(all, 10, &pos, true) == 10);
    pos = 0;
    CHECK(console_ring_read(all, sizeof(all), &pos, false) == 0); /* cleared */
    put_ring("z", 1);
    CHECK(console_ring_read(all, sizeof(all), &pos, false) == 1 && all[0] == 'z');
}

static void console_levels(void)
{
    char text[600];
    uint32_t pos = 0;
    size_t n;

    begin("com1");
    fake.now = 12345678000;
    log_info("up");
    CHECK(sent("(core) [   12.345678] up\r\n"));
    log_core(LOG_DEBUG, "detail");
    CHECK(sent("")); /* to the ring only */
    n = console_ring_read(text, sizeof(text), &pos, false);
    CHECK(n == 25 + 29 && !memcmp(text + n - 7, "detail\n", 7));
    log_guest(LOG_INFO, "no");
    CHECK(sent("") && console_ring_read(text, 9, &pos, false) == 0);
    log_guest(LOG_WARN, "yes");
    CHECK(sent("(core) [   12.345678] yes\r\n"));
    console_set_levels("none", "debug/all");
    log_error("quiet");
    CHECK(sent(""));
    log_guest(LOG_DEBUG, "loud");
    CHECK(sent("(core) [   12.345678] loud\r\n"));
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    console_set_levels("all", "warning");
    log_info("%s", text); /* cut, and still a line */
    CHECK(serial_len < 330 && serial[serial_len - 1] == '\n');
}

/* Guests cannot flood the console. */
static void console_budget(void)
{
    unsigned int lines = 0;

    begin("com1");
    for (unsigned int second = 0; second < 3; second++) {
        for (unsigned int i = 0; i < 1000; i++) {
            serial_len = 0;
            log_guest(LOG_WARN, "flood");
            lines += serial_len != 0;
        }
        fake.now += NS_PER_SEC;
    }
    CHECK(lines == 3 * BURST);
}

static void console_input(void)
{
    char buf[256];

    begin("com1");
    console_start_input();
    CHECK(virqs == 0 && console_read(buf, 10) == 0);
    CHECK(unmasked == 1 && seen_port == COM1 + UART_LSR && console_has_gsi(20));
    CHECK(!console_has_gsi(4));
    typed = "x";
    handler(NULL);
    CHECK(virqs == 1 && console_read(buf, 10) == 1 && buf[0] == 'x');
    handler(NULL); /* for nothing */
    CHECK(virqs == 1);
    virqs = 0;
    typed = "xl list\r"; /* whose interrupt does not come */
    fake_run_until(fake.now + POLL_NS);
    CHECK(virqs == 1 && console_read(buf, 3) == 3);
    CHECK(console_read(buf + 3, 100) == 5 && !memcmp(buf, "xl list\r", 8));
    memset(buf, 'k', 255);
    buf[255] = 0;
    typed = buf; /* more than fits: the rest is lost */
    fake_run_until(fake.now + POLL_NS);
    CHECK(!*typed && console_read(serial, 1000) == INPUT_SIZE);
    CHECK(console_read(serial, 1000) == 0);
    no_pin = true; /* then the timer has to do */
    unmasked = 0;
    begin("com1");
    console_start_input();
    typed = "y";
    fake_run_until(fake.now + POLL_NS);
    CHECK(unmasked == 0 && virqs == 1 && console_read(buf, 10) == 1 && buf[0] == 'y');
}

static void io(struct vcpu *v, uint16_t p, unsigned int size, bool in)
{
    struct vm_exit e = {.reason = EXIT_IO, .len = 2};

    e.io.port = p;
    e.io.size = size;
    e.io.in = in;
    v->regs.rax = 0x1111222233334444;
    seen_port = ~0u;
    seen_writes = 0;
    handle_io(v, &e);
}

static bool in_bitmap(struct domain *d, unsigned int p)
{
    return ((const uint8_t *)port_bitmap(d))[p / 8] >> p % 8 & 1;
}

static void ports_of_dom0(void)
{
    static const uint16_t denied[] = {0x20,  0x21,  0xa0,  0xa1,  0x40,  0x43,  0x61, 0xe9,
                                      0x3f8, 0x3ff, 0x608, 0x60b, 0xcf8, 0xcfc, 0xcff};
    static const uint16_t open[] = {0x22,  0x60,  0x64,  0x70,  0x71,  0x3f7,
                                    0x400, 0x604, 0x60c, 0xcf7, 0xd00, 0xffff};
    struct vcpu *v;

    begin("com1");
    acpi.pm_timer = 0x608;
    CHECK(!hwdev_init(dom0));
    v = dom0->vcpus[0];
    for (unsigned int i = 0; i < ARRAY_SIZE(denied); i++) {
        CHECK(!port_allowed(dom0, denied[i], 1) && in_bitmap(dom0, denied[i]));
        if (denied[i] >= 0xcf8) continue;
        io(v, denied[i], 1, false);
        CHECK(seen_writes == 0);
        io(v, denied[i], 1, true);
        CHECK(v->regs.rax == 0x11112222333344ff && seen_port == ~0u);
    }
    for (unsigned int i = 0; i < ARRAY_SIZE(open); i++) {
        CHECK(port_allowed(dom0, open[i], 1));
        CHECK(!port_allowed(fake_guest, open[i], 1));
        CHECK(!in_bitmap(dom0, open[i]) && in_bitmap(fake_guest, open[i]));
        io(v, open[i], 1, false);
        CHECK(seen_port == open[i] && (uint8_t)seen_value == 0x44);
    }
    CHECK(!port_allowed(dom0, 0x3f7, 2) && !port_allowed(dom0, 0xffff, 2));
    CHECK(!port_allowed(dom0, 0x1f, 4) && !port_allowed(dom0, 0x605, 4));
    io(v, 0x64, 1, true);
    CHECK(v->regs.rax == 0x1111222233334444 && seen_size == 1);
    io(v, 0x64, 4, true);
    CHECK(v->regs.rax == 0x11223344); /* upper half cleared */
    io(v, 0xcfc, 2, true);
    CHECK(v->regs.rax == 0x1111222233338cf8);
    CHECK(v->regs.rip && fake.skipped == v->regs.rip);
}

static void ports_of_guests(void)
{
    struct vm_exit e = {.reason = EXIT_IO, .len = 2};
    struct vcpu *v;

    begin("com1");
    v = fake_guest->vcpus[0];
    CHECK(in_bitmap(dom0, 65536) && in_bitmap(fake_guest, 65536)); /* beyond 0xffff */
    for (unsigned int p = 0; p < 65536; p++) {
        io(v, p, 1, false);
        CHECK(seen_writes == 0);
        io(v, p, 4, true);
        CHECK(v->regs.rax == (p == 0x42 ? 0 : 0xffffffff) && seen_port == ~0u);
    }
    io(v, 0x60, 2, true);
    CHECK(v->regs.rax == 0x111122223333ffff);
    e.io.port = 0x3f8;
    e.io.size = 1;
    e.io.string = e.io.rep = true;
    handle_io(v, &e);
    CHECK(fake.exception == VEC_UD && seen_writes == 0);
}

int main(void)
{
    RUN(console_ports);
    RUN(console_fifo);
    RUN(console_ring);
    RUN(console_levels);
    RUN(console_budget);
    RUN(console_input);
    RUN(ports_of_dom0);
    RUN(ports_of_guests);
    return CHECK_RESULT();
}
