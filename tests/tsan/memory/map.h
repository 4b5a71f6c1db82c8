/* SPDX-License-Identifier: Apache-2.0 */
/* The core's map where ThreadSanitizer and MemorySanitizer have room for a
 * program's memory. */
#include_next "memory/map.h"
#ifndef TSAN_MEMORY_MAP_H
#define TSAN_MEMORY_MAP_H

#undef HEAP_BASE
#undef FRAMES_BASE
#undef CHUNKS_BASE
#define HEAP_BASE   0x1000000000ull
#define FRAMES_BASE 0x2000000000ull
#define CHUNKS_BASE 0x2800000000ull

#endif
