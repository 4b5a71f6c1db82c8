/* SPDX-License-Identifier: Apache-2.0 */
/* What device/vpci.c and device/assign.c share: PCI devices and their owners. */
#ifndef DEVICE_VPCI_H
#define DEVICE_VPCI_H

#include "cpu/lock.h"
#include "lib/base.h"

#define MAX_DEVICES    256u
#define CFG_COMMAND    0x04
#define CFG_BAR0       0x10
#define COMMAND_MEMORY BIT(1)
#define COMMAND_MASTER BIT(2)
#define BAR_MASK       (~15u)

struct domain;
struct assignment;

/* An interrupt message as its owner wrote it, and the host's vector behind it. */
struct message {
    uint32_t address, address_high, data, control; /* as an MSI-X table has it */
    uint8_t vector;                                /* 0: none                  */
    bool programmed;                               /* the hardware has the message for vector */
    struct device *device;
};

/* What decodes memory. */
struct bar {
    uint8_t reg;
    bool wide;     /* of 64 bits */
    uint32_t mask; /* of the address in its register */
    uint64_t size;
};

enum reset { RESET_NONE, RESET_BUS, RESET_WAIT };

struct device {
    uint16_t bdf;
    struct domain *owner;  /* NULL: kept for a domain that is not there */
    uint8_t msi, msix;     /* offsets of the capabilities, 0: none   */
    uint16_t msi_control;  /* as the owner sees it                   */
    bool msix_on;          /* MSI-X is enabled                       */
    struct message one;    /* MSI                                    */
    struct message *entry; /* MSI-X                                  */
    unsigned int entries;
    struct bar bar[7], *table_bar; /* the one that holds the MSI-X table */
    unsigned int bars;
    uint32_t table_offset;
    uint64_t table; /* address; 0 while memory is not decoded   */

    const struct assignment *assigned; /* NULL: dom0's, for ever                */
    uint8_t sizing;                    /* by BAR: its guest asks for the size   */
    enum reset reset;                  /* what is under way                     */
    uint64_t reset_until;              /* ns                                    */
    uint16_t bridge, express;          /* bus << 8 | devfn; DevCtl to restore   */
    uint32_t saved[6];                 /* the BARs                              */
};

/* Guards: devices and what they point to, the host's 0xcf8 and the domains'. */
extern struct spinlock pci_lock;
extern struct device *devices[MAX_DEVICES];
extern unsigned int device_count;

/* All with the lock held.  An access of the owner's to configuration space. */
uint32_t device_access(struct device *p, unsigned int reg, unsigned int size, bool write,
                       uint32_t v);
/* The word of the MSI capability that is at reg, or -1. */
int msi_word(const struct device *p, unsigned int reg);
void msi_enable(struct device *p, bool on);
void msix_control(struct device *p, uint16_t control);

/* device/assign.c.  What the command line says of a device; NULL: nothing. */
const struct assignment *find_assignment(uint16_t bdf);
/* A device that is kept for a guest was found. */
void assigned_init(struct device *p);
/* A driver domain's access to configuration space: its bus 0. */
uint32_t assigned_access(struct domain *d, uint16_t bdf, unsigned int reg, unsigned int size,
                         bool write, uint32_t v);

#endif
