/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the pretended machine of the loader's host tests and the test cases.
 * Prints "ok NAME" or "not ok NAME: why" for each; exits 1 if one failed.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "test.h"

/* The machine: RAM in two adjoining entries, and modules elsewhere. */
#define RAM_START   0x1000000
#define RAM_SPLIT   0x1208000
#define RAM_END     0x3000000
#define SELF        0x2000000
#define SELF_END    0x2080000
#define DATA        0x2100000 /* start info, modlist, map, command line */
#define MODLIST     (DATA + 0x1000)
#define MEMMAP      (DATA + 0x2000)
#define CMDLINE     (DATA + 0x3000)
#define RSDP        (DATA + 0x4000)
#define INITRD      0x2200000
#define INITRD_SIZE 70000
#define MODULES     0x6000000
#define MODULES_END 0x7000000 /* behind it, an access faults */
#define FUZZ_RUNS   6000

static struct hvm_start_info *const info = (void *)DATA;
static struct hvm_modlist_entry *const modlist = (void *)MODLIST;
static struct hvm_memmap_table_entry *const map = (void *)MEMMAP;
static struct loaded loaded;
static int failures;

/* The decompressors get the loader's own allocator. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void __wrap_free(void *block);

static bool in_loader;

void *__wrap_malloc(size_t size)
{
    return in_loader ? arena_malloc(size) : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return in_loader ? arena_calloc(count, size) : __real_calloc(count, size);
}

void __wrap_free(void *block)
{
    in_loader ? arena_free(block) : __real_free(block);
}

void result(const char *name, const char *why, ...)
{
    va_list args;

    if (!why) {
        printf("ok loader_%s\n", name);
        return;
    }
    printf("not ok loader_%s: ", name);
    va_start(args, why);
    vprintf(why, args);
    va_end(args);
    printf("\n");
    failures++;
}

static void map_memory(uint64_t start, uint64_t end)
{
    void *want = phys(start);

    if (mmap(want, end - start, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != want) {
        perror("mmap");
        exit(2);
    }
}

/* A byte that things which must survive hold at an address. */
static uint8_t mark(uint64_t address)
{
    return address * 7 + (address >> 8);
}

static void fill_marks(uint64_t start, uint64_t size)
{
    for (uint64_t a = start; a < start + size; a++) *(uint8_t *)phys(a) = mark(a);
}

static bool marks_hold(uint64_t start, uint64_t size)
{
    for (uint64_t a = start; a < start + size; a++)
        if (*(uint8_t *)phys(a) != mark(a)) return false;
    return true;
}

static void set_module(struct image kernel)
{
    modlist[0].size = kernel.size;
    modlist[0].paddr = MODULES_END - kernel.size;
    memcpy(phys(modlist[0].paddr), kernel.data, kernel.size);
}

/* The machine as the core hands it over, with this kernel. */
static void set_machine(struct image kernel)
{
    memset(phys(DATA), 0, 0x8000);
    fill_marks(SELF, SELF_END - SELF);
    fill_marks(INITRD, INITRD_SIZE);
    strcpy(phys(CMDLINE), "root=/dev/xvda console=hvc0");
    *info = (struct hvm_start_info){
        XEN_HVM_START_MAGIC_VALUE, 1, 3, 2, MODLIST, CMDLINE, RSDP, MEMMAP, 5, 0};
    map[0] = (struct hvm_memmap_table_entry){RAM_SPLIT, RAM_END - RAM_SPLIT, 1, 0};
    map[1] = (struct hvm_memmap_table_entry){RAM_START, RAM_SPLIT - RAM_START, 1, 0};
    map[2] = (struct hvm_memmap_table_entry){0, 0x9f000, 1, 0};
    map[3] = (struct hvm_memmap_table_entry){MODULES, 0x1000000, 2, 0};
    map[4] = (struct hvm_memmap_table_entry){LIMIT_4G, LIMIT_4G, 1, 0};
    modlist[1] = (struct hvm_modlist_entry){INITRD, INITRD_SIZE, 0, 0};
    set_module(kernel);
}

static const char *run(void)
{
    struct range self = {SELF, SELF_END};
    const char *why;

    in_loader = true;
    why = load_kernel(info, self, &loaded);
    in_loader = false;
    return why;
}

/* What must hold after every run; before is the data page as it was. */
static const char *survivors(const char *error, const uint8_t *before)
{
    struct hvm_start_info want;

    memcpy(&want, before, sizeof(want));
    if (!error) {
        want.nr_modules--;
        want.modlist_paddr += 32;
    }
    if (memcmp(info, &want, sizeof(want))) return "the start info is wrong";
    if (memcmp((uint8_t *)info + sizeof(want), before + sizeof(want), 0x8000 - sizeof(want)))
        return "boot data were overwritten";
    if (!marks_hold(SELF, SELF_END - SELF)) return "the loader was overwritten";
    if (!marks_hold(INITRD, INITRD_SIZE)) return "the initrd was overwritten";
    if (error && (strchr(error, '\n') || strlen(error) > 190)) return "the error is not one line";
    return NULL;
}

/* Runs and checks what must always hold; *error is the loader's. */
static const char *run_checked(const char **error)
{
    static uint8_t before[0x8000];

    memcpy(before, info, sizeof(before));
    *error = run();
    return survivors(*error, before);
}

/* Is the kernel where and what it should be? */
static const char *placed(const struct elf_spec *spec)
{
    for (unsigned int n = 0; n < spec->nr_loads; n++) {
        const struct load *l = &spec->load[n];
        const uint8_t *at = phys(l->to);

        for (uint64_t i = 0; i < l->memory_size; i++)
            if (at[i] != (i < l->file_size ? load_byte(n, i) : 0))
                return "a segment has the wrong content";
    }
    return loaded.entry == spec->entry ? NULL : "the entry is wrong";
}

static void dirty_targets(const struct elf_spec *spec)
{
    for (unsigned int n = 0; n < spec->nr_loads; n++)
        memset(phys(spec->load[n].to), 0xcc, spec->load[n].memory_size);
}

static void expect_good(const char *name, const struct elf_spec *spec)
{
    const char *error, *why;

    dirty_targets(spec);
    why = run_checked(&error);
    if (error)
        result(name, "refused: %s", error);
    else
        result(name, why ? why : placed(spec));
}

static void expect_error(const char *name, const char *want)
{
    const char *error, *why = run_checked(&error);

    if (!error)
        result(name, "was accepted");
    else if (!strstr(error, want))
        result(name, "says '%s', not '%s'", error, want);
    else
        result(name, why);
}

static void good_images(void)
{
    for (int is64 = 0; is64 < 2; is64++) {
        struct elf_spec spec = elf_spec(is64);
        struct image elf = make_elf(&spec), gz = make_packed(GZIP, elf);
        char name[40];

        for (enum packer p = PLAIN; p < PACKERS; p++) {
            struct image packed = make_packed(p, elf);
            struct image bz = make_bzimage(packed);

            snprintf(name, sizeof(name), "bzimage_%s_elf%d", packer_name(p), is64 ? 64 : 32);
            set_machine(bz);
            expect_good(name, &spec);
            free(packed.data);
            free(bz.data);
        }
        set_machine(elf);
        expect_good(is64 ? "elf64" : "elf32", &spec);
        set_machine(gz);
        expect_good(is64 ? "gzip_elf64" : "gzip_elf32", &spec);
        free(elf.data);
        free(gz.data);
    }
}

/* Kernels that lie in the way of themselves. */
static void overlapping_images(void)
{
    struct elf_spec spec = elf_spec(true);
    struct image elf = make_elf(&spec);

    /* The module itself at the kernel's place, a bit above and below. */
    for (int i = 0; i < 3; i++) {
        set_machine(elf);
        modlist[0].paddr = 0x1000000 + i * 0x1233;
        dirty_targets(&spec);
        memcpy(phys(modlist[0].paddr), elf.data, elf.size);
        const char *error, *why = run_checked(&error);
        char name[40];

        snprintf(name, sizeof(name), "elf_over_itself_%d", i);
        result(name, error ? error : why ? why : placed(&spec));
    }
    free(elf.data);

    /* The highest room, where the unpacked file goes first, is a target. */
    spec.load[2] = (struct load){RAM_END - 0x80000, 0, 0x80000};
    elf = make_elf(&spec);
    struct image gz = make_packed(GZIP, elf);
    set_machine(gz);
    expect_good("target_over_unpacked", &spec);

    /* The same without a second room. */
    set_machine(gz);
    map[1].type = 2;
    map[0].addr = INITRD;
    map[0].size = RAM_END - INITRD;
    spec.load[0].to = spec.load[1].to = INITRD + 0x20000;
    spec.load[1].to += 0x80000;
    spec.load[2].to = INITRD + 0xc0000;
    spec.load[2].memory_size = RAM_END - spec.load[2].to;
    spec.entry = spec.load[0].to;
    free(elf.data);
    free(gz.data);
    elf = make_elf(&spec);
    gz = make_packed(GZIP, elf);
    set_module(gz);
    expect_error("no_second_room", "no room beside the kernel's place");
    free(elf.data);
    free(gz.data);
}

static void refuse_spec(const char *name, const struct elf_spec *spec, const char *want)
{
    struct image elf = make_elf(spec);

    set_machine(elf);
    expect_error(name, want);
    free(elf.data);
}

static void notes(void)
{
    const struct elf_spec good = elf_spec(true);
    struct elf_spec s = good;
    struct image elf;

    s.note_type = 17;
    refuse_spec("note_of_other_type", &s, "has no PVH entry (Xen note 18)");
    s = good;
    s.owner = "Xem";
    refuse_spec("note_of_other_owner", &s, "has no PVH entry (Xen note 18)");
    s = good;
    s.value_size = 6;
    refuse_spec("note_of_odd_size", &s, "has no PVH entry (Xen note 18)");
    s = good;
    s.note_cut = 1;
    refuse_spec("note_cut", &s, "has no PVH entry (Xen note 18)");
    s = good;
    s.entry = 0x1000000 + 300000;
    refuse_spec("entry_behind_segment", &s, "is outside the kernel");
    s.entry = 0xffffff;
    refuse_spec("entry_before_segment", &s, "is outside the kernel");
    s.entry = 0x100001000850;
    refuse_spec("entry_above_4g", &s, "is outside the kernel");
    s.entry = 0x1300000;
    refuse_spec("entry_in_bss", &s, "is outside the kernel");

    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"note_with_4_bytes", "note_aligned_to_8",
                                            "last_note_counts"};

        s = good;
        s.value_size = i == 0 ? 4 : 8;
        s.align = i == 1 ? 8 : 4;
        s.older_entry = i == 2 ? 0x666 : 0;
        elf = make_elf(&s);
        set_machine(elf);
        expect_good(names[i], &s);
        free(elf.data);
    }
}

static void targets(void)
{
    static const struct {
        const char *name, *want;
        uint64_t to, size;
    } bad[] = {
        {"target_on_loader", "holds the loader", SELF_END - 1, 4096},
        {"target_around_loader", "holds the loader", SELF - 1, 0x90000},
        {"target_on_initrd", "holds the initrd", INITRD + INITRD_SIZE - 1, 1},
        {"target_on_start_info", "holds the start info", DATA + 55, 1},
        {"target_on_modlist", "holds the list of modules", MODLIST + 63, 1},
        {"target_on_memmap", "holds the memory map", MEMMAP + 119, 1},
        {"target_on_cmdline", "holds the command line", CMDLINE + 27, 1},
        {"target_on_rsdp", "holds the ACPI root pointer", RSDP + 35, 1},
        {"target_before_ram", "is not RAM", RAM_START - 1, 1},
        {"target_behind_ram", "is not RAM", RAM_END - 1, 2},
        {"target_not_ram", "is not RAM", MODULES, 4096},
        {"target_at_4g", "does not fit below 4 GiB", LIMIT_4G, 1},
        {"target_across_4g", "does not fit below 4 GiB", LIMIT_4G - 1, 2},
        {"target_wraps", "does not fit below 4 GiB", RAM_START, -RAM_START},
        {"target_huge", "does not fit below 4 GiB", RAM_START, INT64_MAX},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct elf_spec s = elf_spec(true);

        s.load[2] = (struct load){bad[i].to, 0, bad[i].size};
        refuse_spec(bad[i].name, &s, bad[i].want);
    }
    struct elf_spec s = elf_spec(true);
    s.load[1].memory_size = s.load[1].file_size - 1;
    refuse_spec("segment_larger_in_file", &s, "does not fit");

    /* Right beside what must survive is fine. */
    s = elf_spec(true);
    s.load[1].to = SELF_END;
    s.load[2] = (struct load){INITRD - 5000, 0, 5000};
    struct image elf = make_elf(&s);
    set_machine(elf);
    expect_good("targets_beside_kept", &s);
    free(elf.data);
}

static void small_memory(void)
{
    struct elf_spec spec = elf_spec(true);
    struct image elf = make_elf(&spec);
    static const char *const want[] = {[GZIP] = "too little memory to unpack gzip",
                                       [XZ] = "too little memory to unpack xz",
                                       [ZSTD] = "too little memory to unpack zstd"};

    for (enum packer p = GZIP; p <= ZSTD; p++) {
        struct image packed = make_packed(p, elf), bz = make_bzimage(packed);
        char name[40];

        /* RAM holds the unpacked file, and not a page beyond. */
        if (want[p]) {
            set_machine(bz);
            map[1].type = 2;
            map[0].addr = RAM_END - ((elf.size + 4095) & -4096);
            map[0].size = RAM_END - map[0].addr;
            snprintf(name, sizeof(name), "no_arena_%s", packer_name(p));
            expect_error(name, want[p]);
        }
        set_machine(bz);
        map[1].type = 2;
        map[0].addr = RAM_END - (elf.size & -4096);
        map[0].size = RAM_END - map[0].addr;
        snprintf(name, sizeof(name), "no_room_%s", packer_name(p));
        expect_error(name, "no room for 1 MiB of unpacked kernel");
        free(packed.data);
        free(bz.data);
    }
    free(elf.data);
}

/* Every length, near the ends and in steps between, is too short. */
static void truncation(void)
{
    struct elf_spec spec = elf_spec(true);
    struct image elf = make_elf(&spec);

    spec.nr_loads = 2; /* what the file's last byte belongs to */
    for (enum packer p = PLAIN; p <= PACKERS; p++) {
        struct image packed = make_packed(p == PACKERS ? GZIP : p, elf);
        struct image whole = p == PACKERS ? packed : make_bzimage(packed);
        size_t end = p == PACKERS ? whole.size : whole.size - 300;
        const char *why = NULL, *error;
        char name[40];

        set_machine(whole);
        for (size_t n = 0; n < end && !why; n += n < 700 || n + 40 > end ? 1 : 977) {
            set_module((struct image){whole.data, n});
            why = run_checked(&error);
            if (!error) why = "an image that was cut off was accepted";
        }
        snprintf(name, sizeof(name), "cut_%s", p == PACKERS ? "gzip_elf" : packer_name(p));
        result(name, why);
        if (whole.data != packed.data) free(whole.data);
        free(packed.data);
    }
    free(elf.data);
}

/* A payload that is too short, with a header that says so too. */
static const char *short_payloads(struct image packed)
{
    const char *why = NULL, *error;

    for (size_t n = 0; n < packed.size && !why; n += n < 40 || n + 10 > packed.size ? 1 : 1801) {
        struct image bz = make_bzimage((struct image){packed.data, n});

        bz.size -= 300; /* what follows is not to be touched */
        set_module(bz);
        why = run_checked(&error);
        if (!error) why = "a payload that was cut off was accepted";
        free(bz.data);
    }
    return why;
}

/* The size behind the payload says one byte too much or too little. */
static const char *wrong_sizes(struct image packed)
{
    const char *why = NULL, *error;

    for (int by = -1; by <= 1 && !why; by += 2) {
        struct image bz = make_bzimage(packed);
        uint32_t size;

        bz.size -= 300;
        memcpy(&size, bz.data + bz.size - 4, 4);
        size += by;
        memcpy(bz.data + bz.size - 4, &size, 4);
        set_module(bz);
        why = run_checked(&error);
        if (!error || !strstr(error, "data is corrupt")) why = "a wrong size was not found";
        free(bz.data);
    }
    return why;
}

/* Four bytes too many between the packed data and the size. */
static const char *extra_bytes(struct image packed)
{
    struct image longer = {malloc(packed.size + 4), packed.size + 4}, bz;
    const char *why, *error;

    memcpy(longer.data, packed.data, packed.size);
    memcpy(longer.data + packed.size, packed.data + packed.size - 4, 4);
    bz = make_bzimage(longer);
    set_module(bz);
    why = run_checked(&error);
    if (!error) why = "extra bytes were not found";
    free(longer.data);
    free(bz.data);
    return why;
}

static void payloads(void)
{
    struct elf_spec spec = elf_spec(true);
    struct image elf = make_elf(&spec);

    set_machine(elf);
    for (enum packer p = GZIP; p < PACKERS; p++) {
        struct image packed = make_packed(p, elf);
        char name[40];

        snprintf(name, sizeof(name), "payload_short_%s", packer_name(p));
        result(name, short_payloads(packed));
        snprintf(name, sizeof(name), "payload_size_%s", packer_name(p));
        result(name, wrong_sizes(packed));
        snprintf(name, sizeof(name), "payload_extra_%s", packer_name(p));
        result(name, extra_bytes(packed));
        free(packed.data);
    }
    free(elf.data);
}

/* One wrong bit: found, or without effect. LZ4's frame has no checksum. */
static void bit_flips(void)
{
    struct elf_spec spec = elf_spec(true);
    struct image elf = make_elf(&spec);

    for (enum packer p = GZIP; p < PACKERS; p++) {
        struct image packed = make_packed(p, elf);
        struct image bz = make_bzimage(packed);
        const char *why = NULL, *error;
        unsigned int refused = 0, runs = 0;
        char name[40];

        set_machine(bz);
        for (size_t n = 0; n < packed.size * 8 && !why; n += n < 800 ? 1 : packed.size / 40 + 1) {
            uint8_t *at = phys(modlist[0].paddr + 5 * 512 + 100 + n / 8);

            *at ^= 1 << n % 8;
            why = run_checked(&error);
            *at ^= 1 << n % 8;
            *info = (struct hvm_start_info){
                XEN_HVM_START_MAGIC_VALUE, 1, 3, 2, MODLIST, CMDLINE, RSDP, MEMMAP, 5, 0};
            runs++;
            refused += error != NULL;
            if (!why && !error && (p == GZIP || p == XZ || p == XZ_CRC64)) why = placed(&spec);
        }
        if (!why && refused < runs / 2) why = "too few were refused";
        snprintf(name, sizeof(name), "flip_%s", packer_name(p));
        result(name, why);
        free(packed.data);
        free(bz.data);
    }
    free(elf.data);
}

static void odd_modules(void)
{
    struct elf_spec spec = elf_spec(true);
    struct image elf = make_elf(&spec), none = {elf.data, 0};
    struct image bz = make_bzimage((struct image){(uint8_t *)"BZh91AY", 7});

    set_machine(elf);
    info->nr_modules = 0;
    expect_error("no_module", "is missing");
    set_machine(elf);
    info->nr_modules = 17;
    expect_error("many_modules", "too many modules");
    set_machine(none);
    expect_error("empty_module", "is neither a bzImage nor ELF");
    set_machine(elf);
    memset(phys(modlist[0].paddr), 'x', elf.size);
    expect_error("garbage", "is neither a bzImage nor ELF");
    set_machine(elf);
    modlist[0].paddr = LIMIT_4G - 1;
    expect_error("module_above_4g", "kernel module is not below 4 GiB");
    set_machine(elf);
    modlist[1].paddr = UINT64_MAX;
    expect_error("initrd_above_4g", "initrd is not below 4 GiB");
    set_machine(bz);
    expect_error("bzip2", "unknown compression (magic 42 5a 68 39)");
    bz.data[0x206] = 7;
    set_machine(bz);
    expect_error("old_protocol", "boot protocol 2.07 is too old");
    bz.data[0x206] = 8;
    memset(bz.data + 0x248, 0xff, 8);
    set_machine(bz);
    expect_error("payload_outside", "the image is cut off");
    set_machine(elf);
    ((uint8_t *)phys(modlist[0].paddr))[18] = 40;
    expect_error("other_processor", "for another processor (40)");
    set_machine(elf);
    info->nr_modules = 1;
    expect_good("no_initrd", &spec);
    free(elf.data);
    free(bz.data);
}

/* Wild changes, most of them in the headers; nothing else may break. */
static void fuzz(void)
{
    const char *why = NULL, *error;
    unsigned int accepted = 0;

    for (unsigned int i = 0; i < FUZZ_RUNS && !why; i++) {
        struct elf_spec spec = elf_spec(random32() % 2);
        enum packer p = random32() % (PACKERS + 3);
        struct image elf, packed, file;

        spec.load[0].file_size = 3000 + random32() % 20000;
        elf = make_elf(&spec);
        for (unsigned int n = random32() % 6; n; n--)
            elf.data[random32() % (random32() % 4 ? 300 : 2200)] = random32();
        packed = make_packed(p < PACKERS ? p : PLAIN, elf);
        file = p <= PACKERS ? make_bzimage(packed) : packed;
        for (unsigned int n = random32() % 3; n; n--)
            file.data[random32() % (random32() % 2 ? file.size : 700)] = random32();
        set_machine((struct image){file.data, random32() % 8 ? file.size : random32() % file.size});
        why = run_checked(&error);
        accepted += !error;
        if (file.data != packed.data) free(file.data);
        free(packed.data);
        free(elf.data);
    }
    if (!why && (accepted < FUZZ_RUNS / 50 || accepted > FUZZ_RUNS / 5 * 4))
        result("fuzz", "%u of %u accepted", accepted, FUZZ_RUNS);
    else
        result("fuzz", why);
}

int main(void)
{
    setbuf(stdout, NULL);
    map_memory(RAM_START, RAM_END);
    map_memory(MODULES, MODULES_END);
    test_pieces();
    test_tables();
    good_images();
    overlapping_images();
    notes();
    targets();
    small_memory();
    odd_modules();
    truncation();
    payloads();
    bit_flips();
    fuzz();
    return failures != 0;
}
