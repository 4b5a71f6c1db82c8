/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checked access to guest memory.  Nothing else in the core reads or writes
 * it, apart from pages that are registered (vm/domain.h) and grant copies.
 */
#ifndef VM_GUEST_H
#define VM_GUEST_H

#include "lib/base.h"
#include "lib/string.h"

struct domain;
struct vcpu;

/*
 * Copies between the core and the current vCPU's virtual memory, through its
 * page tables, with the rights of its kernel.  0 or -EFAULT (part of the data
 * may then have been written).
 */
int copy_from_guest(void *dst, uint64_t va, size_t len) must_use;
int copy_to_guest(uint64_t va, const void *src, size_t len) must_use;

/* Translates an address of v (current, or not running): the gpa, or ~0. */
uint64_t guest_va_to_gpa(struct vcpu *v, uint64_t va, bool write);

/* Physical memory of any domain that the caller may reach; RAM only.
 * -EFAULT where there is none. */
int copy_from_gpa(struct domain *d, void *dst, uint64_t gpa, size_t len) must_use;
int copy_to_gpa(struct domain *d, uint64_t gpa, const void *src, size_t len) must_use;

/* Handles in public structures: their address. */
#define HANDLE(h)      ((uint64_t)(uintptr_t)(h).p)
#define HANDLE_NULL(h) (HANDLE(h) == 0)
/* Element i of an array in guest memory. */
#define guest_read(dst, h, i) \
    copy_from_guest(dst, HANDLE(h) + (uint64_t)(i) * sizeof(*(dst)), sizeof(*(dst)))
#define guest_write(h, i, src) \
    copy_to_guest(HANDLE(h) + (uint64_t)(i) * sizeof(*(src)), src, sizeof(*(src)))

/* Forgets cached translations (each exit begins with it). */
void guest_access_reset(struct vcpu *v);

/* The bytes of the instruction at CS:RIP; returns how many could be read. */
unsigned int guest_fetch_insn(struct vcpu *v, uint8_t buf[15]);
/* A legacy prefix, or REX. */
static inline bool insn_prefix(uint8_t b, bool long_mode)
{
    return (b && strchr("\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3", b)) ||
           (long_mode && (b & 0xf0) == 0x40);
}

#endif
