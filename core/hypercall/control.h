/* SPDX-License-Identifier: Apache-2.0 */
/* What domctl, sysctl and memory_op share with the rest of the core. */
#ifndef HYPERCALL_CONTROL_H
#define HYPERCALL_CONTROL_H

#include "lib/base.h"

struct domain;
struct vcpu;

/* vm/context.c: the HVM context stream (public hvm/save.h).  `save` with a
 * NULL buffer returns the size.  Domain paused by the caller. */
long context_save(struct domain *d, uint8_t *buf, size_t size);
int context_load(struct domain *d, const uint8_t *buf, size_t size) must_use;

/* The memory map that XENMEM_memory_map returns; entries are e820's. */
#define E820_MAX 128
struct e820_entry {
    uint64_t addr, size;
    uint32_t type;
} packed;
#define E820_RAM      1
#define E820_ACPI     3
#define E820_UNUSABLE 5
struct e820_map {
    uint32_t count;
    struct e820_entry entry[E820_MAX];
};

extern char cmdline[1024]; /* the core's command line          */

/* core/boot/keys.c: the debug keys ('h' lists them). */
void debug_key(char key);

#endif
