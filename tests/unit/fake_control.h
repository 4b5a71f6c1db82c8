/* SPDX-License-Identifier: Apache-2.0 */
/* What domctl, sysctl and context records ask of the rest of the core: a
 * vendor that keeps its state in memory, and counters. */
#ifndef FAKE_CONTROL_H
#define FAKE_CONTROL_H

#include "fake_vm.h"
#include "vm/vendor.h"

struct control {
    unsigned int pauses;     /* domain_pause_sync less domain_unpause */
    unsigned int killed;     /* calls of domain_kill                  */
    unsigned int kill_after; /* this many answer "call again"         */
    unsigned int wall_writes;
    char keys[64];              /* debug keys                            */
    struct arch_state state[4]; /* by vCPU                             */
    uint64_t pat;               /* written last to the vendor            */
    uint8_t lapic[4][1024];
};

extern struct control control;

/* Gives d a policy and its vCPUs the vendor above. */
void fake_control_init(struct domain *d);

#endif
