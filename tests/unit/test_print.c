/* SPDX-License-Identifier: Apache-2.0 */
/* Formatting, lists and bitmaps: core/lib. */
#include "check.h"
#include "lib/bitops.h"
#include "lib/list.h"
#include "lib/print.h"
#include "lib/string.h"

static bool gives(const char *want, const char *fmt, ...)
{
    char buf[64];
    va_list args;
    int len;

    va_start(args, fmt);
    len = vformat(buf, sizeof(buf), fmt, args);
    va_end(args);
    return strcmp(buf, want) == 0 && len == (int)strlen(want);
}

static void format_numbers(void)
{
    CHECK(gives("-5 7 0", "%d %u %d", -5, 7u, 0));
    CHECK(gives("0000beef beef", "%08x %x", 0xbeefu, 0xbeefu));
    CHECK(gives("18446744073709551615", "%lu", ~0ul));
    CHECK(gives("-9223372036854775808", "%ld", (long)(1ul << 63)));
    CHECK(gives("   42|", "%5d|", 42));
    CHECK(gives("-0042", "%05d", -42));
    CHECK(gives("    1234567890abcdef 12345678", "%20lx %2u", 0x1234567890abcdeful, 12345678u));
}

static void format_text(void)
{
    CHECK(gives("a b%", "%s %c%%", "a", 'b'));
    CHECK(gives("  ab|abcdef|  c", "%4s|%4s|%3c", "ab", "abcdef", 'c'));
    CHECK(gives("", "%"));
}

static void format_stops_at_the_end(void)
{
    char buf[8] = "xxxxxxx";

    CHECK(format(buf, 4, "%s", "abcdef") == 6);
    CHECK(strcmp(buf, "abc") == 0);
    CHECK(buf[4] == 'x');
    CHECK(format(buf, 0, "%s", "abc") == 3);
}

static void bitmap_search(void)
{
    unsigned long map[4] = {0};

    CHECK(find_bit(map, 256, 0) == 256);
    __set_bit(0, map);
    __set_bit(63, map);
    __set_bit(200, map);
    CHECK(find_bit(map, 256, 0) == 0);
    CHECK(find_bit(map, 256, 1) == 63);
    CHECK(find_bit(map, 256, 64) == 200);
    CHECK(find_bit(map, 200, 64) == 200);
    CHECK(find_bit(map, 256, 201) == 256);
    CHECK(count_bits(map, 256) == 3);
    CHECK(test_and_clear_bit(63, map) && !test_bit(63, map));
    CHECK(!test_and_set_bit(64, map) && test_bit(64, map));
}

static void list_order(void)
{
    struct list head, a, b, c, *p;
    struct list *want[] = {&b, &a, &c};
    unsigned int i = 0;

    list_init(&head);
    CHECK(list_empty(&head));
    list_add(&head, &a);
    list_add(&head, &b);
    list_add_tail(&head, &c);
    list_for_each (p, &head) {
        CHECK(i < 3 && p == want[i]);
        i++;
    }
    CHECK(i == 3);
    list_del(&a);
    list_del(&a);
    CHECK(head.next == &b && b.next == &c && list_empty(&a));
}

static void index_is_clamped(void)
{
    CHECK(index_nospec(3, 4) == 3);
    CHECK(index_nospec(4, 4) == 0);
    CHECK(index_nospec(~0ul, 4) == 0);
}

int main(void)
{
    RUN(format_numbers);
    RUN(format_text);
    RUN(format_stops_at_the_end);
    RUN(bitmap_search);
    RUN(list_order);
    RUN(index_is_clamped);
    return CHECK_RESULT();
}
