/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small machine for tests of core/device and core/boot: two CPUs, dom0 and
 * one guest, a clock that the test moves, and records of what was asked.
 */
#ifndef FAKE_DEVICE_H
#define FAKE_DEVICE_H

#include "vm/domain.h"
#include "vm/vendor.h"

struct fake_device {
    uint64_t now;                 /* ns, also the host's TSC               */
    unsigned int notified[2][16]; /* vcpu_notify, by domain and vCPU       */
    unsigned int objects;         /* of core_alloc that were not freed     */
    unsigned int logged;          /* lines                                 */
    int exception;                /* injected last; -1: none               */
    unsigned int skipped;         /* bytes of instructions                 */
    void (*on_notify)(void);      /* once, at the next vcpu_notify         */
    struct arch_state state;      /* of every vCPU                         */
};

extern struct fake_device fake;
extern struct domain *fake_guest;

void fake_init(unsigned int vcpus); /* also makes dom0 and fake_guest */
/* Lets the clock run to `ns` and timers fire on the way; returns how many. */
unsigned int fake_run_until(uint64_t ns);
uint32_t fake_random(void);

#endif
