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
    int width;
    bool zero, wide; /* padded with zeros; long */
};

static void put_text(struct out *o, const struct spec *s, const char *text, size_t len)
{
    for (int pad = s->width - (int)len; pad > 0; pad--) put(o, ' ');
    while (len--) put(o, *text++);
}

static void put_number(struct out *o, const struct spec *s, uint64_t v, unsigned int base,
                       bool negative)
{
    char text[72];
    size_t at = sizeof(text);

    do {
        text[--at] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v);
    while (s->zero && at > 1 && (int)(sizeof(text) - at) + negative < s->width) text[--at] = '0';
    if (negative) text[--at] = '-';
    put_text(o, s, text + at, sizeof(text) - at);
}

static void put_conversion(struct out *o, char c, const struct spec *s, va_list *args)
{
    const char *text;
    int64_t v;
    char one;

    switch (c) {
    case 'd':
        v = s->wide ? va_arg(*args, long) : va_arg(*args, int);
        put_number(o, s, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, v < 0);
        break;
    case 'u':
    case 'x':
        put_number(o, s, s->wide ? va_arg(*args, unsigned long) : va_arg(*args, unsigned int),
                   c == 'u' ? 10 : 16, false);
        break;
    case 's':
        text = va_arg(*args, const char *);
        put_text(o, s, text, strlen(text));
        break;
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
    va_list ap;

    va_copy(ap, args);
    for (; *fmt; fmt++) {
        struct spec s = {0};

        if (*fmt != '%') {
            put(&o, *fmt);
            continue;
        }
        s.zero = *++fmt == '0';
        for (; *fmt >= '0' && *fmt <= '9'; fmt++) s.width = s.width * 10 + (*fmt - '0');
        for (; *fmt == 'l'; fmt++) s.wide = true;
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
