/* SPDX-License-Identifier: Apache-2.0 */
/* What a unit test needs: CHECK, and a main that runs named cases. */
#ifndef TESTS_UNIT_CHECK_H
#define TESTS_UNIT_CHECK_H

int printf(const char *fmt, ...);
void exit(int code) __attribute__((noreturn));

static const char *check_case;
static int check_failed, check_failures;

#define CHECK(e)                                                                  \
    do {                                                                          \
        if (!(e) && !check_failed++)                                              \
            printf("not ok %s: %s:%d: %s\n", check_case, __FILE__, __LINE__, #e); \
    } while (0)

#define RUN(name)                          \
    do {                                   \
        check_case = #name;                \
        check_failed = 0;                  \
        name();                            \
        if (check_failed)                  \
            check_failures++;              \
        else                               \
            printf("ok %s\n", check_case); \
    } while (0)

#define CHECK_RESULT() (check_failures != 0)

#endif
