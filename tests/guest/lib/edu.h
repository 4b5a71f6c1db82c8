/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's `edu` device, which copies where it is told to, by DMA (QEMU,
 * docs/specs/edu.rst), and what the hypervisor's log says of it.
 */
#ifndef EDU_H
#define EDU_H

#include "hyper.h"

#define EDU_BYTES 1024u /* copied at once */

extern volatile uint64_t *edu; /* its registers */

/* Finds it on bus 0 and lets it work: its device number there, or 0. */
uint32_t edu_open(void);
/* Copies `bytes` between its own memory and that address; it begins a tenth of
 * a second later. */
void edu_begin(uint64_t gpa, bool to_ram, uint64_t bytes);
void edu_finish(void);
/* Both: EDU_BYTES, and waits. */
void dma_read(uint64_t gpa);
void dma_write(uint64_t gpa);

/* A pattern in memory, and in the device (by a page of the caller's). */
void fill(uint64_t *page, uint64_t seed);
bool holds(const volatile uint64_t *page, uint64_t seed);
void edu_load(uint64_t *page, uint64_t seed);

/* For dom0.  One result: the log says that device `dev` of bus 0 may not
 * "read" or "write" there; where the IOMMU has no log of its own (QEMU 7.2's
 * AMD-Vi), that something was refused. */
void logged(uint32_t dev, const char *what, uint64_t gpa, const char *name);

#endif
