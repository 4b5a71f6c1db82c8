/* SPDX-License-Identifier: Apache-2.0 */
/* Strings and memory, as in the C library. */
#ifndef LIB_STRING_H
#define LIB_STRING_H

#include <stddef.h>

void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
/* Reads and copies at most size - 1 bytes and always terminates. */
void copy_string(char *dst, const char *src, size_t size);

#endif
