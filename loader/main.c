/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the loader's beginning in C and what the user reads of it: one line.
 */
#include "layout.h"
#include "loader.h"

/* Called by entry.S; returns the kernel's PVH entry. */
uint32_t loader_main(struct hvm_start_info *info, uint64_t base, uint32_t size);

/* A fault here is a bug of a decompressor or ours: say so instead of dying. */
_Noreturn void loader_fault(unsigned long vector, unsigned long rip);

/* The decompressors are compiled with stack protection. */
_Noreturn void __stack_chk_fail(void);

/* The decompressors' constructors: liblzma chooses its CRC64 in one. */
extern void (*const init_start[])(void), (*const init_end[])(void);

static _Noreturn void die(const char *why)
{
    static char line[256];

    console_write(line, text_format(line, sizeof(line), "loader: %s\n", why));
    crash();
}

void loader_fault(unsigned long vector, unsigned long rip)
{
    die(error("fault %lu at 0x%lx while unpacking dom0's kernel", vector, rip));
}

void __stack_chk_fail(void)
{
    die("stack overrun while unpacking dom0's kernel");
}

uint32_t loader_main(struct hvm_start_info *info, uint64_t base, uint32_t size)
{
    struct range self = {base, base + size};
    struct loaded loaded;
    const char *why;
    char line[160];
    size_t length;
    uint64_t tenths;

    for (void (*const *init)(void) = init_start; init < init_end; init++) (*init)();
    hyper_init();
    if (info->magic != XEN_HVM_START_MAGIC_VALUE || !info->version)
        die("the start info is not of version 1");
    if ((uintptr_t)info + BLOCK_LOADER == base + BLOCK_START_INFO) {
        why = acpi_build((struct range){base - BLOCK_LOADER, base - BLOCK_LOADER + BLOCK_ACPI_SIZE},
                         vcpu_count());
        if (why) die(why);
        set_wallclock(clock_seconds());
    }
    why = load_kernel(info, self, &loaded);
    if (why) die(why);
    tenths = loaded.size * 10 / 0x100000;
    length = text_format(
        line, sizeof(line), "loader: dom0 kernel: %s, %lu.%lu MiB unpacked, entry 0x%x\n",
        loaded.packed ? loaded.packed : "not packed", tenths / 10, tenths % 10, loaded.entry);
    console_write(line, length);
    return loaded.entry;
}
