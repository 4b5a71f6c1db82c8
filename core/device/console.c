/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core's console: a ring of the last 32 KiB of its messages, and a 16550
 * serial port, written by polling and read at its interrupt.  dom0's text only
 * goes to the port: `xl dmesg` on that very console would never come to an end.
 */
#include "device/console.h"
#include "boot/acpi.h"
#include "cpu/cpu.h"
#include "cpu/irq.h"
#include "cpu/lock.h"
#include "cpu/time.h"
#include "hypercall/evtchn.h"
#include "lib/print.h"
#include "lib/string.h"

#define RING_SIZE  32768u /* a power of two */
#define INPUT_SIZE 128u
#define POLL_NS    NS_PER_SEC /* where the port's interrupt does not come */
#define BURST      50u        /* guests' messages a second */

#define COM1      0x3f8
#define UART_DATA 0
#define UART_IER  1
#define UART_FCR  2 /* and IIR, when it is read */
#define UART_LCR  3
#define UART_MCR  4
#define UART_LSR  5
#define IER_READY BIT(0)
#define MCR_SETUP (BIT(0) | BIT(1) | BIT(3)) /* DTR, RTS; OUT2 lets interrupts out */
#define IIR_FIFO  (BIT(6) | BIT(7))
#define LSR_READY BIT(0)
#define LSR_EMPTY BIT(5)
#define NO_UART   0xff /* what an absent one's registers read */

/* Guards: ring, input and the port. */
static struct spinlock console_lock = SPINLOCK(RANK_CONSOLE);
static char ring[RING_SIZE], input[INPUT_SIZE];
static uint32_t ring_end, ring_start; /* positions since boot */
static unsigned int input_head, input_tail;
static uint16_t port;
static bool forced;
static int level = LOG_INFO, guest_level = LOG_WARN;
static struct timer input_timer;
static unsigned int room, fifo_size; /* characters that the port takes at once */
static uint64_t budget_second;
static unsigned int budget_used;

static void serial_put(char c)
{
    unsigned int spins = 100000 * fifo_size;

    if (!port) return;
    if (!room) {
        while (!(inb(port + UART_LSR) & LSR_EMPTY) && --spins) cpu_relax();
        room = fifo_size;
    }
    outb(port + UART_DATA, c);
    room--;
}

static void put_serial(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n') serial_put('\r');
        serial_put(text[i]);
    }
}

static void put_ring(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) ring[ring_end++ % RING_SIZE] = text[i];
    if (ring_end - ring_start > RING_SIZE) ring_start = ring_end - RING_SIZE;
}

static void lock(void)
{
    if (!forced) spin_lock(&console_lock);
}

static void unlock(void)
{
    if (!forced) spin_unlock(&console_lock);
}

void console_write(const char *text, size_t len)
{
    lock();
    put_serial(text, len);
    unlock();
}

void console_force(void)
{
    forced = true;
}

uint16_t console_port(void)
{
    return port;
}

static void log_line(enum log_level l, int limit, const char *fmt, va_list args)
{
    char text[320];
    uint64_t ns = tsc_khz ? now() : 0;
    int len =
        format(text, sizeof(text), "(core) [%5lu.%06lu] ", ns / NS_PER_SEC, ns % NS_PER_SEC / 1000);

    len += vformat(text + len, sizeof(text) - len - 1, fmt, args);
    len = MIN(len, (int)sizeof(text) - 2);
    text[len++] = '\n';
    lock();
    put_ring(text, len);
    if ((int)l <= limit) put_serial(text, len);
    unlock();
}

void log_core(enum log_level l, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    log_line(l, level, fmt, args);
    va_end(args);
}

/* At most BURST lines a second, unless everything is wanted. */
static bool in_budget(void)
{
    uint64_t second = now() / NS_PER_SEC;

    if (second != READ_ONCE(budget_second)) {
        WRITE_ONCE(budget_second, second);
        WRITE_ONCE(budget_used, 0);
    }
    return __atomic_fetch_add(&budget_used, 1, __ATOMIC_RELAXED) < BURST;
}

void log_guest(enum log_level l, const char *fmt, ...)
{
    va_list args;

    if ((int)l > guest_level || (guest_level < LOG_DEBUG && !in_budget())) return;
    va_start(args, fmt);
    log_line(l, guest_level, fmt, args);
    va_end(args);
}

/* "info" or "warning/all": the first is what is shown. */
static int parse_level(const char *s, int otherwise)
{
    static const struct {
        const char *name;
        int level;
    } names[] = {{"none", -1},       {"error", LOG_ERROR}, {"warning", LOG_WARN},
                 {"info", LOG_INFO}, {"debug", LOG_DEBUG}, {"all", LOG_DEBUG}};

    for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
        if (!strncmp(s, names[i].name, strlen(names[i].name))) return names[i].level;
    return otherwise;
}

void console_set_levels(const char *loglvl, const char *guest_loglvl)
{
    level = parse_level(loglvl, LOG_INFO);
    guest_level = parse_level(guest_loglvl, LOG_WARN);
}

static unsigned int parse_baud(const char *s)
{
    unsigned int v = 0;

    while (*s >= '0' && *s <= '9' && v < 1000000) v = v * 10 + (*s++ - '0');
    return v && v <= 115200 ? v : 115200;
}

void console_init(const char *console, const char *com1)
{
    unsigned int divisor = 115200 / parse_baud(com1);

    port = 0;
    /* A list, such as "vga,com1". */
    while (strncmp(console, "com1", 4)) {
        console = strchr(console, ',');
        if (!console) return;
        console++;
    }
    if (inb(COM1 + UART_LSR) == NO_UART) return;
    port = COM1;
    outb(port + UART_IER, 0);
    outb(port + UART_LCR, 0x80);
    outb(port + UART_DATA, divisor);
    outb(port + UART_IER, divisor >> 8);
    outb(port + UART_LCR, 3); /* 8n1 */
    outb(port + UART_FCR, 7);
    fifo_size = (inb(port + UART_FCR) & IIR_FIFO) == IIR_FIFO ? 16 : 1;
    room = 0;
    outb(port + UART_MCR, MCR_SETUP);
}

size_t console_ring_read(char *buf, size_t size, uint32_t *pos, bool clear)
{
    size_t n = 0;

    lock();
    if (*pos - ring_start > ring_end - ring_start) *pos = ring_start;
    while (n < size && *pos != ring_end) buf[n++] = ring[(*pos)++ % RING_SIZE];
    if (clear) ring_start = ring_end;
    unlock();
    return n;
}

size_t console_read(char *buf, size_t size)
{
    size_t n = 0;

    lock();
    while (n < size && input_tail != input_head) buf[n++] = input[input_tail++ % INPUT_SIZE];
    unlock();
    return n;
}

/* The interrupt's, and a timer's: fetches what has come. */
static void fetch(void *data)
{
    bool got = false;

    (void)data;
    lock();
    while (inb(port + UART_LSR) & LSR_READY) {
        char c = inb(port + UART_DATA);

        if (input_head - input_tail < INPUT_SIZE) input[input_head++ % INPUT_SIZE] = c;
        got = true;
    }
    unlock();
    if (got) virq_raise_dom0(VIRQ_CONSOLE);
    timer_set(&input_timer, now() + POLL_NS);
}

void console_start_input(void)
{
    int vector;

    if (!port) return;
    timer_init(&input_timer, fetch, NULL);
    vector = irq_alloc_vector(fetch, NULL);
    if (vector >= 0 &&
        !ioapic_route(acpi.com1_gsi, vector, cpus[0]->apic_id, acpi.com1_level, acpi.com1_low)) {
        ioapic_mask(acpi.com1_gsi, false);
        outb(port + UART_IER, IER_READY);
    }
    fetch(NULL);
}

bool console_has_gsi(uint32_t gsi)
{
    return port && gsi == acpi.com1_gsi;
}
