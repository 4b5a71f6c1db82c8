/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into QEMU by scripts/qemu.  Whenever any CPU loads its FPU's state, QEMU
 * 7.2 clears a bit of CPU 0's flags word that here is never set (only a write to port
 * F0h sets it), and without a lock: what CPU 0 changes in that word at the same time,
 * GIF or nested paging, is lost (docs/testing.md).  The function that does it returns
 * at once here.  A QEMU that has no such function stays as it is.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define RET 0xc3

__attribute__((constructor)) static void mend(void)
{
    uint8_t *clear = dlsym(RTLD_DEFAULT, "cpu_clear_ignne");
    uintptr_t size = (uintptr_t)sysconf(_SC_PAGESIZE);
    void *page = (void *)((uintptr_t)clear & -size);

    if (!clear || mprotect(page, size, PROT_READ | PROT_WRITE | PROT_EXEC)) return;
    *clear = RET;
    mprotect(page, size, PROT_READ | PROT_EXEC);
}
