/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text.  dom0 prints by console_io; a guest prints to the console ring that
 * its maker gave it, which the maker's toolstack drains.
 */
#include "print.h"
#include "hyper.h"

struct out {
    char *buf;
    size_t size, len;
};

static void put(struct out *o, char c)
{
    if (o->len + 1 < o->size) o->buf[o->len] = c;
    o->len++;
}

static void put_number(struct out *o, uint64_t v, unsigned int base, unsigned int width, char pad,
                       bool minus)
{
    char digits[24];
    unsigned int n = 0;

    do {
        digits[n++] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    if (minus) put(o, '-');
    while (width > n) {
        put(o, pad);
        width--;
    }
    while (n) put(o, digits[--n]);
}

static void put_string(struct out *o, const char *s)
{
    for (; *s; s++) put(o, *s);
}

static void put_arg(struct out *o, char kind, bool is_long, unsigned int width, char pad,
                    va_list *ap)
{
    int64_t v;

    switch (kind) {
    case 's': put_string(o, va_arg(*ap, const char *)); break;
    case 'c': put(o, (char)va_arg(*ap, int)); break;
    case 'd':
        v = is_long ? va_arg(*ap, int64_t) : va_arg(*ap, int);
        put_number(o, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, width, pad, v < 0);
        break;
    case 'u':
    case 'x':
    case 'p':
        v = is_long || kind == 'p' ? va_arg(*ap, int64_t) : (int64_t)va_arg(*ap, unsigned int);
        put_number(o, (uint64_t)v, kind == 'u' ? 10 : 16, width, pad, false);
        break;
    default: put(o, kind);
    }
}

int vformat(char *buf, size_t size, const char *fmt, va_list args)
{
    struct out o = {buf, size, 0};
    va_list ap;

    va_copy(ap, args);
    for (; *fmt; fmt++) {
        unsigned int width = 0;
        bool is_long = false;
        char pad = ' ';

        if (*fmt != '%') {
            put(&o, *fmt);
            continue;
        }
        if (*++fmt == '0') pad = '0';
        for (; *fmt >= '0' && *fmt <= '9'; fmt++) width = width * 10 + (unsigned int)(*fmt - '0');
        for (; *fmt == 'l' || *fmt == 'z'; fmt++) is_long = true;
        put_arg(&o, *fmt, is_long, width, pad, &ap);
    }
    va_end(ap);
    if (size) buf[o.len < size ? o.len : size - 1] = '\0';
    return (int)o.len;
}

int format(char *buf, size_t size, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vformat(buf, size, fmt, ap);
    va_end(ap);
    return n;
}

/* The ring is the guest's only way to speak: without one it is mute. */
static void ring_write(const char *s, size_t n)
{
    static volatile struct xencons_interface *ring;
    uint64_t gfn = 0;

    if (!ring && (hvm_get(DOMID_SELF, HVM_PARAM_CONSOLE_PFN, &gfn) || !gfn)) return;
    if (!ring) ring = (volatile struct xencons_interface *)(gfn << 12);
    while (n) {
        uint32_t prod = ring->out_prod;

        if (prod - ring->out_cons >= sizeof(ring->out)) {
            sched_op(SCHEDOP_yield, 0);
            continue;
        }
        ring->out[MASK_XENCONS_IDX(prod, ring->out)] = *s++;
        asm volatile("" ::: "memory");
        ring->out_prod = prod + 1;
        n--;
    }
}

void print(const char *fmt, ...)
{
    char line[512];
    va_list ap;
    size_t n;

    va_start(ap, fmt);
    n = (size_t)vformat(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (n >= sizeof(line)) n = sizeof(line) - 1;
    if (is_dom0)
        console_op(CONSOLEIO_write, n, line);
    else
        ring_write(line, n);
}

void *memcpy(void *to, const void *from, size_t n)
{
    void *start = to;

    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
    return start;
}

void *memset(void *to, int c, size_t n)
{
    void *start = to;

    asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
    return start;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;

    for (; n; n--, x++, y++)
        if (*x != *y) return *x - *y;
    return 0;
}

size_t strlen(const char *s)
{
    size_t n = 0;

    while (s[n]) n++;
    return n;
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (; n; n--, a++, b++)
        if (*a != *b || !*a) return *a - *b;
    return 0;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, (size_t)-1);
}

const char *find(const char *a, const char *b)
{
    for (; *a; a++)
        if (strncmp(a, b, strlen(b)) == 0) return a;
    return NULL;
}
