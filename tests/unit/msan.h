/* SPDX-License-Identifier: Apache-2.0 */
/* What MemorySanitizer has to be told; nothing in other builds. */
#ifndef TESTS_UNIT_MSAN_H
#define TESTS_UNIT_MSAN_H

/* Goes to a guest: ends the program if a byte of it was never set. */
#define TO_GUEST(p, len) ((void)(p), (void)(len))
/* Comes from a guest: it may be anything, but no byte is left from the test. */
#define FROM_GUEST(p, len) ((void)(p), (void)(len))
/* RAM after power-on. */
#define NEVER_SET(p, len) ((void)(p), (void)(len))

#ifdef __has_feature
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#undef TO_GUEST
#undef FROM_GUEST
#undef NEVER_SET
#define TO_GUEST(p, len)   __msan_check_mem_is_initialized(p, len)
#define FROM_GUEST(p, len) __msan_unpoison(p, len)
#define NEVER_SET(p, len)  __msan_poison(p, len)
#endif
#endif

#endif
