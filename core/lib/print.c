/* SPDX-License-Identifier: Apache-2.0 */
/* Formatting of text. */
#include "lib/print.h"
#include "lib/string.h"

struct out {
    char *buf;
    size_t size, len; /* len counts what would have been written */
};

static void put(struct out *o, char c)
{
    if (o->len + 1 < o->size) o->buf[o->len] = c;
    o->len++;
}

struct spec {
    bool left, zero;
    int width, precision;
    int longs;
};

static void put_text(struct out *o, const struct spec *s, const char *text, size_t len)
{
    int pad = s->width - (int)len;

    for (; !s->left && pad > 0; pad--) put(o, ' ');
    for (size_t i = 0; i < len; i++) put(o, text[i]);
    for (; pad > 0; pad--) put(o, ' ');
}

static void put_number(struct out *o, const struct spec *s, uint64_t v, unsigned int base,
                       bool upper, const char *prefix)
{
    const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char text[72];
    size_t at = sizeof(text);
    size_t signs = strlen(prefix);

    do {
        text[--at] = digits[v % base];
        v /= base;
    } while (v);
    while (s->zero && !s->left && at > signs + 1 && (int)(sizeof(text) - at + signs) < s->width)
        text[--at] = '0';
    while (signs) text[--at] = prefix[--signs];
    put_text(o, s, text + at, sizeof(text) - at);
}

static const char *parse_spec(const char *f, struct spec *s, va_list *args)
{
    *s = (struct spec){.precision = -1};
    for (; *f == '-' || *f == '0'; f++) {
        s->left |= *f == '-';
        s->zero |= *f == '0';
    }
    if (*f == '*') {
        s->width = va_arg(*args, int);
        f++;
    }
    for (; *f >= '0' && *f <= '9'; f++) s->width = s->width * 10 + (*f - '0');
    if (*f == '.') {
        s->precision = 0;
        if (*++f == '*') {
            s->precision = va_arg(*args, int);
            f++;
        }
        for (; *f >= '0' && *f <= '9'; f++) s->precision = s->precision * 10 + (*f - '0');
    }
    for (; *f == 'l' || *f == 'z'; f++) s->longs++;
    return f;
}

static void put_signed(struct out *o, const struct spec *s, va_list *args)
{
    int64_t v = s->longs ? va_arg(*args, long) : va_arg(*args, int);

    put_number(o, s, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, false, v < 0 ? "-" : "");
}

static void put_string(struct out *o, const struct spec *s, const char *text)
{
    size_t len = 0;

    while (len < (size_t)s->precision && text[len]) len++;
    put_text(o, s, text, len);
}

static void put_conversion(struct out *o, char c, const struct spec *s, va_list *args)
{
    char one;

    switch (c) {
    case 'd':
    case 'i': put_signed(o, s, args); break;
    case 'u':
    case 'x':
    case 'X':
        put_number(o, s, s->longs ? va_arg(*args, unsigned long) : va_arg(*args, unsigned int),
                   c == 'u' ? 10 : 16, c == 'X', "");
        break;
    case 'p': put_number(o, s, (uintptr_t)va_arg(*args, void *), 16, false, "0x"); break;
    case 's': put_string(o, s, va_arg(*args, const char *)); break;
    case 'c':
        one = va_arg(*args, int);
        put_text(o, s, &one, 1);
        break;
    default: put(o, c); break;
    }
}

int vformat(char *buf, size_t size, const char *fmt, va_list args)
{
    struct out o = {buf, size, 0};
    struct spec s;
    va_list ap;

    va_copy(ap, args);
    for (; *fmt; fmt++) {
        if (*fmt != '%') {
            put(&o, *fmt);
            continue;
        }
        fmt = parse_spec(fmt + 1, &s, &ap);
        if (!*fmt) break;
        put_conversion(&o, *fmt, &s, &ap);
    }
    va_end(ap);
    if (size) buf[MIN(o.len, size - 1)] = 0;
    return o.len;
}

int format(char *buf, size_t size, const char *fmt, ...)
{
    va_list args;
    int len;

    va_start(args, fmt);
    len = vformat(buf, size, fmt, args);
    va_end(args);
    return len;
}
