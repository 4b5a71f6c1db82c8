/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the core: formatted text to the console ring (`xl dmesg`) and,
 * by level, to the serial port.  Callable from anywhere; takes console.lock.
 */
#ifndef LIB_PRINT_H
#define LIB_PRINT_H

#include "lib/base.h"
#include <stdarg.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* %d %u %x %c %s %%, with l, ll, a width and 0; nothing else. */
int format(char *buf, size_t size, const char *fmt, ...) printf_like(3, 4);
int vformat(char *buf, size_t size, const char *fmt, va_list args);

/* A line of the core's own; a newline is not added. */
void log_core(enum log_level level, const char *fmt, ...) printf_like(2, 3);

/* What a guest did wrong: shown by guest_loglvl and limited in rate. */
void log_guest(enum log_level level, const char *fmt, ...) printf_like(2, 3);

#define log_error(...) log_core(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_core(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_core(LOG_INFO, __VA_ARGS__)

/* Says why on every console and stops the machine for good. */
_Noreturn void panic(const char *fmt, ...) printf_like(1, 2);

#endif
