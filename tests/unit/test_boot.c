/* SPDX-License-Identifier: Apache-2.0 */
/* What boot loaders hand over, right and broken, and the command line. */
#define _GNU_SOURCE
#include "check.h"
#include "boot/multiboot.c"
#include "boot/options.c"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static jmp_buf panicked;
static unsigned int logged;
static char said[200]; /* by panic */
static char *low;      /* below 4 GiB, with a page that faults behind it */

#define LOW_SIZE  0x10000ul
#define ADDR(p)   ((uint32_t)(uintptr_t)(p))
#define PANICS(e) (setjmp(panicked) ? true : ((e), false))

_Noreturn void panic(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(said, sizeof(said), fmt, args);
    va_end(args);
    longjmp(panicked, 1);
}

void log_core(enum log_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
    logged++;
}

void copy_string(char *dst, const char *src, size_t size)
{
    size_t n = strnlen(src, size - 1);

    memcpy(dst, src, n);
    dst[n] = 0;
}

/* Does it say what is wrong? */
static bool refused(uint32_t magic, const void *info, const char *what)
{
    said[0] = 0;
    return PANICS(boot_parse(magic, ADDR(info))) && strstr(said, what);
}

static struct options defaults; /* as the core starts */

static void fresh(void)
{
    memset(&boot, 0, sizeof(boot));
    memset(cmdline, 0, sizeof(cmdline));
    options = defaults;
    memset(low, 0, LOW_SIZE);
    logged = 0;
}

/* --- Multiboot 2: tags one after the other --- */

static char *tag_end;

static struct mb2_tag *tag(uint32_t type, const void *body, uint32_t len)
{
    struct mb2_tag *t = (void *)tag_end;

    *t = (struct mb2_tag){type, sizeof(*t) + len};
    memcpy(t + 1, body, len);
    tag_end += ROUND_UP(t->size, 8ul);
    *(uint32_t *)low = tag_end - low;
    return t;
}

static void module_tag(uint32_t start, uint32_t end, const char *line)
{
    char body[256];

    memcpy(body, &start, 4);
    memcpy(body + 4, &end, 4);
    copy_string(body + 8, line, sizeof(body) - 8);
    tag(3, body, 8 + strlen(line) + 1);
}

static void mmap_tag(const struct e820_entry *e, unsigned int n)
{
    char body[1024] = {0};
    uint32_t size = 24;

    memcpy(body, &size, 4);
    for (unsigned int i = 0; i < n; i++) memcpy(body + 8 + i * size, &e[i], sizeof(*e));
    tag(6, body, 8 + n * size);
}

static const struct e820_entry map[] = {
    {0x100000, 0x7ff00000, 1},
    {0, 0x9fc00, 1},
    {0xf0000, 0x10000, 2},
};

static void mb2(void)
{
    fresh();
    tag_end = low + 8;
    tag(1, "console=com1 noreboot", 22);
    module_tag(0x1000000, 0x1800000, "root=/dev/x ro");
    mmap_tag(map, 3);
    tag(14, "RSD PTR 0123456789abcdef", 20);
    tag(2, "GRUB 2.06", 10);
    tag(0, "", 0);
    boot_parse(MB2_MAGIC, ADDR(low));
    CHECK(!strcmp(cmdline, "console=com1 noreboot"));
    CHECK(!strcmp(boot.loader, "GRUB 2.06"));
    CHECK(boot.modules == 1 && boot.module[0].start == 0x1000000 &&
          boot.module[0].size == 0x800000);
    CHECK(!strcmp(boot.module[0].args, "root=/dev/x ro"));
    CHECK(boot.map.count == 3);
    CHECK(boot.map.entry[0].addr == 0 && boot.map.entry[1].addr == 0xf0000 &&
          boot.map.entry[2].addr == 0x100000);
    CHECK(boot.map.entry[1].type == 2 && boot.map.entry[2].size == 0x7ff00000);
    CHECK(!memcmp(&boot.rsdp, "RSD PTR 0123", 12));
}

/* A loader that is not GRUB 2 puts the file's name first. */
static void mb2_names(void)
{
    fresh();
    tag_end = low + 8;
    tag(1, "  /boot/insula   a=b c", 23);
    module_tag(0, 0, "vmlinuz");
    mmap_tag(map, 1);
    tag(0, "", 0);
    boot_parse(MB2_MAGIC, ADDR(low));
    CHECK(!strcmp(cmdline, "a=b c"));
    CHECK(!strcmp(boot.module[0].args, ""));
}

static void mb2_broken(void)
{
    struct mb2_tag *t;

    fresh();
    tag_end = low + 8;
    CHECK(refused(MB2_MAGIC, low, "cut off")); /* nothing at all */
    CHECK(PANICS(boot_parse(0, ADDR(low))));
    tag(0, "", 0);
    CHECK(refused(MB2_MAGIC, low, "no memory map"));
    /* Entries of size 0. */
    fresh();
    tag_end = low + 8;
    mmap_tag(map, 2);
    *(uint32_t *)(low + 16) = 0;
    tag(0, "", 0);
    CHECK(refused(MB2_MAGIC, low, "memory map is cut off"));
    /* A last entry that is cut off. */
    fresh();
    tag_end = low + 8;
    t = (void *)tag_end;
    mmap_tag(map, 3);
    t->size -= 8;
    tag_end -= 8;
    tag(0, "", 0);
    CHECK(refused(MB2_MAGIC, low, "memory map is cut off"));
    /* Tags that are too short for what they are. */
    for (unsigned int type = 3; type < 16; type++) {
        if (type > 3 && type != 6 && type < 14) continue;
        fresh();
        tag_end = low + 8;
        mmap_tag(map, 2);
        tag(type, "1234567", 7);
        tag(0, "", 0);
        CHECK(refused(MB2_MAGIC, low, "broken tag"));
    }
    /* A module that ends before it starts. */
    fresh();
    tag_end = low + 8;
    mmap_tag(map, 2);
    module_tag(0x2000, 0x1fff, "m");
    tag(0, "", 0);
    CHECK(refused(MB2_MAGIC, low, "broken module 0"));
}

/* No length that a list gives leads out of it: it ends where memory does. */
static void mb2_lengths(void)
{
    static const uint32_t sizes[] = {0, 1, 7, 57, 1000, 0x10000, 0x7fffffff, ~0u - 7, ~0u};
    char *at, line[48];

    memset(line, 'x', sizeof(line)); /* and no end */
    for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
        for (uint32_t type = 1; type < 16; type++) {
            fresh();
            at = low + LOW_SIZE - 136;
            *(uint32_t *)at = 136;
            tag_end = at + 8;
            *(struct mb2_tag *)tag_end = (struct mb2_tag){6, 64};
            memcpy(tag_end + 8, (uint32_t[]){24, 0}, 8);
            for (unsigned int n = 0; n < 2; n++)
                memcpy(tag_end + 16 + 24 * n, &map[n], sizeof(*map));
            tag_end += 64;
            *(struct mb2_tag *)tag_end = (struct mb2_tag){type, sizes[i]};
            memcpy(tag_end + 8, line, sizeof(line));
            CHECK(refused(MB2_MAGIC, at, "list of tags is cut off"));
            ((struct mb2_tag *)tag_end)->size = 56; /* all but the end */
            CHECK(refused(MB2_MAGIC, at, "list of tags is cut off"));
        }
    }
    /* Lines without an end stop at their tag's. */
    fresh();
    tag_end = low + 8;
    tag(2, line, 5);
    tag(1, "x aaaaaaaa", 10);
    module_tag(0x1000, 0x2000, "m bbb");
    ((struct mb2_tag *)(tag_end - 24))->size = 16 + 4;
    mmap_tag(map, 1);
    tag(0, "", 0);
    memset(low + 16 + 5, 'y', 3);
    memset(low + 24 + 8 + 10, 'z', 6);
    boot_parse(MB2_MAGIC, ADDR(low));
    CHECK(!strcmp(boot.loader, "xxxxx") && !strcmp(cmdline, "aaaaaaaa"));
    CHECK(boot.modules == 1 && !strcmp(boot.module[0].args, "bb"));
}

static void mb2_many(void)
{
    char line[200];

    fresh();
    tag_end = low + 8;
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = 0;
    tag(2, line, sizeof(line)); /* longer than boot.loader */
    for (unsigned int i = 0; i < MAX_MODULES + 3; i++) module_tag(i, i + 1, "m a");
    for (unsigned int i = 0; i < E820_MAX / 3; i++) mmap_tag(map, 3);
    tag(0, "", 0);
    boot_parse(MB2_MAGIC, ADDR(low));
    CHECK(boot.modules == MAX_MODULES && logged == 3);
    CHECK(boot.module[MAX_MODULES - 1].start == MAX_MODULES - 1);
    CHECK(strlen(boot.loader) == sizeof(boot.loader) - 1);
    CHECK(boot.map.count == E820_MAX / 3 * 3);
    for (unsigned int i = 1; i < boot.map.count; i++)
        CHECK(boot.map.entry[i - 1].addr <= boot.map.entry[i].addr);
    CHECK(PANICS(boot_parse(MB2_MAGIC, ADDR(low)))); /* too many now */
}

/* --- Multiboot 1 --- */

struct mb1_mmap {
    uint32_t size; /* of the rest */
    uint64_t addr, length;
    uint32_t type;
} packed;

static void mb1(void)
{
    struct mb1_info *m = (void *)low;
    struct mb1_mmap *e = (void *)(low + 0x100);
    struct mb1_module *mod = (void *)(low + 0x200);
    char *text = low + 0x1000;

    fresh();
    m->flags = BIT(3);
    CHECK(PANICS(boot_parse(MB1_MAGIC, ADDR(low))));
    m->flags |= BIT(6);
    CHECK(PANICS(boot_parse(MB1_MAGIC, ADDR(low)))); /* of no entry */
    fresh();
    memcpy(text, "insula.elf dom0_mem=1G", 23);
    memset(text + 0x100, 'y', 3000);
    text[0x102] = ' ';
    m->flags = BIT(2) | BIT(3) | BIT(6);
    m->cmdline = ADDR(text);
    m->mmap_addr = ADDR(e);
    m->mmap_length = 2 * sizeof(*e);
    e[0] = (struct mb1_mmap){20, 0x100000, 0x1000, 1};
    e[1] = (struct mb1_mmap){20, 0, 0x2000, 1};
    m->mods_addr = ADDR(mod);
    m->mods_count = 0x7fffffff & 6;
    for (unsigned int i = 0; i < 6; i++)
        mod[i] = (struct mb1_module){i << 12, (i + 1) << 12, ADDR(text + 0x100), 0};
    boot_parse(MB1_MAGIC, ADDR(low));
    CHECK(!strcmp(cmdline, "dom0_mem=1G"));
    CHECK(boot.map.count == 2 && boot.map.entry[0].size == 0x2000);
    CHECK(boot.modules == MAX_MODULES);
    CHECK(boot.module[3].start == 0x3000 && boot.module[3].size == 0x1000);
    CHECK(strlen(boot.module[3].args) == sizeof(boot.module[3].args) - 1);
    /* A map that is cut off, and sizes that lead out of it. */
    m->mmap_length--;
    CHECK(refused(MB1_MAGIC, low, "map is cut off"));
    m->mmap_length++;
    for (unsigned int i = 0; i < 4; i++) {
        e[1].size = (uint32_t[]){0, 19, 21, ~0u}[i];
        boot.map.count = 0;
        CHECK(refused(MB1_MAGIC, low, "map is cut off"));
    }
}

/* --- options --- */

static void parse(const char *line)
{
    fresh();
    copy_string(cmdline, line, sizeof(cmdline));
    options_parse();
}

static void option_values(void)
{
    parse("  console=com1,vga  com1=115200,8n1 loglvl=all dom0=pvh "
          "dom0_max_vcpus=3 maxcpus=2 noreboot iommu=off sched=credit "
          "guest_loglvl=debug  ");
    CHECK(!strcmp(options.console, "com1,vga"));
    CHECK(!strcmp(options.com1, "115200,8n1"));
    CHECK(!strcmp(options.loglvl, "all"));
    CHECK(!strcmp(options.guest_loglvl, "debug"));
    CHECK(options.dom0_max_vcpus == 3 && options.maxcpus == 2);
    CHECK(options.noreboot && !options.iommu && logged == 0);
    CHECK(options.smt == -1);
    parse("smt=off");
    CHECK(options.smt == 0);
    parse("smt");
    CHECK(options.smt == 1 && !logged);
    parse("noreboot=0 iommu=yes unknown=1 other -- noreboot maxcpus=7");
    CHECK(!options.noreboot && options.iommu && options.maxcpus == 0);
    CHECK(logged == 2);
    parse("");
    CHECK(!options.noreboot && !logged);
    parse("=x = --x");
    CHECK(logged == 1);
}

static void option_speculation(void)
{
    parse("spec-ctrl=rsb");
    CHECK(options.fill_returns && !logged);
    options.ibpb_entry = true;
    copy_string(cmdline, "spec-ctrl=xen,rsb=no,no-ibpb-entry,", sizeof(cmdline));
    options_parse();
    CHECK(!options.fill_returns && !options.ibpb_entry && !logged);
    parse("spec-ctrl spec-ctrl= spec-ctrl=no");
    CHECK(!options.fill_returns && !logged);
    parse("ept=ad,exec-sp=1");
    CHECK(options.exec_superpages && !logged);
    parse("spec-ctrl=no-rsb=1,ssbd");
    CHECK(options.fill_returns && options.ssbd);
}

static void option_sizes(void)
{
    parse("dom0_mem=1024M,max:2G,min:512m");
    CHECK(options.dom0_mem == 1ull << 30);
    CHECK(options.dom0_mem_max == 2ull << 30);
    CHECK(options.dom0_mem_min == 512ull << 20 && !logged);
    parse("dom0_mem=max:1T");
    CHECK(!options.dom0_mem && options.dom0_mem_max == 1ull << 40);
    parse("dom0_mem=2048");
    CHECK(options.dom0_mem == 2048ull << 10);
    parse("dom0_mem=1Mx,max:3G");
    CHECK(options.dom0_mem == 1 << 20 && !options.dom0_mem_max && logged == 1);
    parse("driver-domain=11111111-2222-3333-4444-5555555555AB,01:02.3,ff:1f.0 "
          "driver-domain=00000000000000000000000000000007,00:03.0");
    CHECK(options.assigned_count == 3 && logged == 0);
    CHECK(options.assigned[0].bdf == 0x113 && options.assigned[1].bdf == 0xfff8);
    CHECK(options.assigned[1].handle[0] == 0x11 && options.assigned[1].handle[15] == 0xab);
    CHECK(options.assigned[2].bdf == 0x18 && options.assigned[2].handle[15] == 7);
    parse("driver-domain= driver-domain=11 driver-domain=0000000000000000000000000000000g,00:00.0 "
          "driver-domain=00000000000000000000000000000007 "
          "driver-domain=00000000000000000000000000000007,0:3.0");
    CHECK(options.assigned_count == 0 && logged == 5);
    parse("dom0_mem=,, dom0_max_vcpus=99999999999999999999");
    CHECK(options.dom0_max_vcpus >= 100000);
}

static void option_length(void)
{
    char line[sizeof(cmdline) + 100];

    parse("");
    CHECK(!strcmp(options.console, "com1") && options.iommu);

    memset(line, 'z', sizeof(line));
    memcpy(line, "console=", 8);
    line[sizeof(line) - 1] = 0;
    parse(line);
    CHECK(strlen(options.console) == sizeof(options.console) - 1);
    CHECK(!options.com1[0]);
}

int main(void)
{
    defaults = options;
    low = mmap(NULL, LOW_SIZE + PAGE_SIZE, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (low == MAP_FAILED || mprotect(low + LOW_SIZE, PAGE_SIZE, PROT_NONE)) {
        printf("not ok boot: no memory below 4 GiB\n");
        return 1;
    }
    RUN(mb2);
    RUN(mb2_names);
    RUN(mb2_broken);
    RUN(mb2_lengths);
    RUN(mb2_many);
    RUN(mb1);
    RUN(option_values);
    RUN(option_sizes);
    RUN(option_speculation);
    RUN(option_length);
    return CHECK_RESULT();
}
