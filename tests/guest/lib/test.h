/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test: it defines test_main and calls check.  Its result lines are
 *     ok NAME          or          not ok NAME: why
 * and the library ends the run with the line `done`.
 *
 * The same kernel is also the guest when the test makes one (toolstack.h):
 * then guest_main runs, with the role that the test gave.  A guest's lines
 * reach the serial port through the test that made it.
 */
#ifndef TEST_H
#define TEST_H

#include "hyper.h"
#include "print.h"

void test_main(void);
void guest_main(const char *role);

/* One result.  Returns whether it was good. */
bool check(bool good, const char *name);
/* One result of a comparison; a failure shows both numbers. */
bool check_eq_at(long got, long want, const char *name);
#define check_eq(got, want, name) check_eq_at((long)(got), (long)(want), name)
/* low <= got <= high */
bool check_in(long got, long low, long high, const char *name);
/* Something that this place does not have (no second CPU...). */
void skip(const char *name, const char *why);
/* Ends the test (or guest) at once, as failed. */
void fatal(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* Ends this kernel with a SHUTDOWN_* code. */
void shutdown(unsigned int reason) __attribute__((noreturn));

/* The number behind `key=` on the command line, or `otherwise`. */
uint64_t argument(const char *key, uint64_t otherwise);

#endif
