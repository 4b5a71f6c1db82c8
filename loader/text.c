/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the loader's text: a small formatter and the one error message.
 */
#include <stdarg.h>
#include "loader.h"

struct text {
    char *to;
    size_t room;
    size_t length;
};

static void add(struct text *t, char c)
{
    if (t->length + 1 < t->room) t->to[t->length++] = c;
}

static void add_number(struct text *t, uint64_t value, unsigned int base, unsigned int width)
{
    char digits[20];
    unsigned int n = 0;

    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    for (; width > n; width--) add(t, '0');
    while (n) add(t, digits[--n]);
}

static void add_format(struct text *t, const char *f, va_list args)
{
    for (; *f; f++) {
        unsigned int width = 0;
        bool is_long = false;

        if (*f != '%') {
            add(t, *f);
            continue;
        }
        for (f++; *f >= '0' && *f <= '9'; f++) width = width * 10 + (*f - '0');
        if (*f == 'l') {
            is_long = true;
            f++;
        }
        if (*f == 's') {
            for (const char *s = va_arg(args, const char *); *s; s++) add(t, *s);
        } else if (*f == 'c') {
            add(t, va_arg(args, int));
        } else {
            uint64_t v = is_long ? va_arg(args, unsigned long) : va_arg(args, unsigned int);

            add_number(t, v, *f == 'x' ? 16 : 10, width);
        }
    }
}

static size_t finish(char *to, size_t room, const char *format, va_list args)
{
    struct text t = {to, room, 0};

    add_format(&t, format, args);
    to[t.length] = '\0';
    return t.length;
}

size_t text_format(char *to, size_t room, const char *format, ...)
{
    va_list args;
    size_t length;

    va_start(args, format);
    length = finish(to, room, format, args);
    va_end(args);
    return length;
}

const char *error(const char *format, ...)
{
    static char message[200];
    va_list args;

    va_start(args, format);
    finish(message, sizeof(message), format, args);
    va_end(args);
    return message;
}
