/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest toolstack: domctls, foreign maps, the console. */
#include "toolstack.h"
#include "test.h"
#include <elf.h>

#define BATCH       64u
#define INFO_GPA    0x10000ull /* start info, memory map, command line */
#define CONSOLE_GFN 0xfefffull
#define STORE_GFN   gfn_of(MAILBOX)

static long create(domid_t *id, unsigned int vcpus, const xen_domain_handle_t *handle)
{
    struct xen_domctl op = {0};
    long err;

    op.u.createdomain = (struct xen_domctl_createdomain){
        .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
        .max_vcpus = vcpus,
        .max_evtchn_port = 1023,
        .max_grant_frames = -1,
        .max_maptrack_frames = -1,
        .grant_opts = XEN_DOMCTL_GRANT_version(1),
        .arch = {.emulation_flags = XEN_X86_EMU_LAPIC},
    };
    if (handle) memcpy(op.u.createdomain.handle, *handle, sizeof(*handle));
    err = domctl(&op, XEN_DOMCTL_createdomain, 0);
    *id = op.domain;
    return err;
}

long domain_create(domid_t *id, unsigned int vcpus)
{
    return create(id, vcpus, NULL);
}

long domain_destroy(domid_t id)
{
    struct xen_domctl op = {0};

    return domctl(&op, XEN_DOMCTL_destroydomain, id);
}

long domain_pause(domid_t id)
{
    struct xen_domctl op = {0};

    return domctl(&op, XEN_DOMCTL_pausedomain, id);
}

long domain_unpause(domid_t id)
{
    struct xen_domctl op = {0};

    return domctl(&op, XEN_DOMCTL_unpausedomain, id);
}

long vcpu_pin(domid_t id, unsigned int vcpu, uint8_t mask)
{
    struct xen_domctl op = {0};

    op.u.vcpuaffinity.vcpu = vcpu;
    op.u.vcpuaffinity.flags = XEN_VCPUAFFINITY_HARD;
    op.u.vcpuaffinity.cpumap_hard.nr_bits = 8;
    set_xen_guest_handle(op.u.vcpuaffinity.cpumap_hard.bitmap, &mask);
    return domctl(&op, XEN_DOMCTL_setvcpuaffinity, id);
}

bool domain_info(domid_t id, struct xen_domctl_getdomaininfo *info)
{
    struct xen_domctl op = {0};
    long err = domctl(&op, XEN_DOMCTL_getdomaininfo, id);

    *info = op.u.getdomaininfo;
    return err == 0 && info->domain == id;
}

uint64_t free_pages(void)
{
    struct xen_sysctl op = {0};

    if (sysctl(&op, XEN_SYSCTL_physinfo)) fatal("no physinfo");
    return op.u.physinfo.free_pages;
}

uint64_t free_pages_settled(void)
{
    uint64_t last, next = free_pages();

    do {
        last = next;
        nap(50 * NS_PER_MS);
        next = free_pages();
    } while (next != last);
    return last;
}

bool free_pages_return(uint64_t want)
{
    uint64_t end = now() + 2 * NS_PER_S;

    while (free_pages() != want && now() < end) nap(NS_PER_MS);
    return free_pages() == want;
}

long foreign_map(void *at, domid_t d, uint64_t gfn, unsigned int n)
{
    xen_ulong_t idx[BATCH];
    xen_pfn_t gpfn[BATCH];
    int errs[BATCH] = {0};
    struct xen_add_to_physmap_batch op = {
        .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign, .size = (uint16_t)n};
    long err;

    for (unsigned int i = 0; i < n; i++) {
        idx[i] = gfn + i;
        gpfn[i] = gfn_of(at) + i;
    }
    op.u.foreign_domid = d;
    set_xen_guest_handle(op.idxs, idx);
    set_xen_guest_handle(op.gpfns, gpfn);
    set_xen_guest_handle(op.errs, errs);
    err = memory_op(XENMEM_add_to_physmap_batch, &op);
    for (unsigned int i = 0; i < n && !err; i++) err = errs[i];
    return err;
}

void foreign_unmap(void *at, unsigned int n)
{
    for (unsigned int i = 0; i < n; i++)
        if (remove_from_physmap(DOMID_SELF, gfn_of(at) + i))
            fatal("foreign unmap of %p", (char *)at + i * PAGE_SIZE);
}

/* One access through the window, page by page in batches. */
static void guest_copy(domid_t d, uint64_t gpa, void *buf, size_t n, bool write)
{
    while (n) {
        uint64_t offset = gpa & 4095;
        size_t part = BATCH * PAGE_SIZE - offset;
        unsigned int pages;

        if (part > n) part = n;
        pages = (unsigned int)((offset + part + 4095) / PAGE_SIZE);
        if (foreign_map((void *)WINDOW, d, gpa >> 12, pages))
            fatal("foreign map of domain %u, address %lx", d, gpa);
        if (write)
            memcpy((void *)(WINDOW + offset), buf, part);
        else
            memcpy(buf, (void *)(WINDOW + offset), part);
        foreign_unmap((void *)WINDOW, pages);
        buf = (char *)buf + part;
        gpa += part;
        n -= part;
    }
}

void guest_write(domid_t d, uint64_t gpa, const void *from, size_t n)
{
    guest_copy(d, gpa, (void *)(uintptr_t)from, n, true);
}

void guest_read(domid_t d, uint64_t gpa, void *to, size_t n)
{
    guest_copy(d, gpa, to, n, false);
}

static void give_memory(domid_t d, unsigned int mib, unsigned int vcpus)
{
    struct xen_domctl op = {0};
    uint64_t gfn[BATCH], special[2] = {CONSOLE_GFN, STORE_GFN};

    op.u.max_mem.max_memkb = mib * 1024ull + 1024;
    if (domctl(&op, XEN_DOMCTL_max_mem, d)) fatal("max_mem");
    op.u.paging_mempool.size = (1 + mib / 128 + vcpus) << 20;
    if (domctl(&op, XEN_DOMCTL_set_paging_mempool_size, d)) fatal("paging_mempool_size");
    for (unsigned int i = 0; i < mib / 2; i += BATCH) {
        unsigned int n = mib / 2 - i < BATCH ? mib / 2 - i : BATCH;

        for (unsigned int k = 0; k < n; k++) gfn[k] = (i + k) * 512;
        if (populate(d, 9, gfn, n) != (long)n) fatal("populate of %u MiB", mib);
    }
    if (populate(d, 0, special, 2) != 2) fatal("populate of the special pages");
}

/* The memory map that the guest may ask for: RAM from 0. */
static void set_map(domid_t d, unsigned int mib)
{
    struct {
        uint64_t addr, size;
        uint32_t type;
    } __attribute__((packed)) ram = {0, (uint64_t)mib << 20, 1};
    struct xen_foreign_memory_map op = {.domid = d, .map = {.nr_entries = 1}};

    set_xen_guest_handle(op.map.buffer, (void *)&ram);
    if (memory_op(XENMEM_set_memory_map, &op)) fatal("set_memory_map");
}

/* Copies the segments of our own image; the PVH entry is ELF's entry. */
static uint32_t load_image(domid_t d)
{
    const struct hvm_modlist_entry *m = (const void *)start_info->modlist_paddr;
    const char *image = (const char *)m->paddr;
    const Elf64_Ehdr *e = (const void *)image;
    const Elf64_Phdr *p = (const void *)(image + e->e_phoff);

    if (start_info->nr_modules == 0 || memcmp(e->e_ident, ELFMAG, SELFMAG))
        fatal("module 0 is not a test kernel");
    for (unsigned int i = 0; i < e->e_phnum; i++)
        if (p[i].p_type == PT_LOAD)
            guest_write(d, p[i].p_paddr, image + p[i].p_offset, p[i].p_filesz);
    return (uint32_t)e->e_entry;
}

static void write_start_info(domid_t d, const char *line, unsigned int mib)
{
    struct {
        struct hvm_start_info info;
        struct hvm_memmap_table_entry map[2];
        char cmdline[256];
    } s = {0};

    s.info.magic = XEN_HVM_START_MAGIC_VALUE;
    s.info.version = 1;
    s.info.memmap_paddr = INFO_GPA + offsetof(typeof(s), map);
    s.info.memmap_entries = 2;
    s.info.cmdline_paddr = INFO_GPA + offsetof(typeof(s), cmdline);
    s.map[0].size = (uint64_t)mib << 20;
    s.map[0].type = XEN_HVM_MEMMAP_TYPE_RAM;
    s.map[1].addr = STORE_GFN << 12;
    s.map[1].size = 2 * PAGE_SIZE;
    s.map[1].type = XEN_HVM_MEMMAP_TYPE_RESERVED;
    format(s.cmdline, sizeof(s.cmdline), "%s", line ? line : "");
    guest_write(d, INFO_GPA, &s, sizeof(s));
}

/* One record of the HVM context: HEADER (echoed), CPU, END. */
static void set_cpu(domid_t d, uint32_t entry)
{
    static uint8_t old[16384];
    struct {
        struct hvm_save_descriptor header_desc;
        struct hvm_save_header header;
        struct hvm_save_descriptor cpu_desc;
        struct hvm_hw_cpu cpu;
        struct hvm_save_descriptor end_desc;
    } __attribute__((packed)) c = {
        .header_desc = {HVM_SAVE_CODE(HEADER), 0, HVM_SAVE_LENGTH(HEADER)},
        .cpu_desc = {HVM_SAVE_CODE(CPU), 0, HVM_SAVE_LENGTH(CPU)},
        .end_desc = {0, 0, 0},
    };
    struct xen_domctl op = {0};

    op.u.hvmcontext.size = sizeof(old);
    set_xen_guest_handle(op.u.hvmcontext.buffer, old);
    if (domctl(&op, XEN_DOMCTL_gethvmcontext, d)) fatal("gethvmcontext");
    memcpy(&c.header, old + sizeof(struct hvm_save_descriptor), sizeof(c.header));
    c.cpu.rbx = INFO_GPA;
    c.cpu.rip = entry;
    c.cpu.rflags = 2;
    c.cpu.cr0 = 0x11; /* PE ET */
    c.cpu.cs_limit = c.cpu.ds_limit = c.cpu.es_limit = c.cpu.ss_limit = ~0u;
    c.cpu.cs_arbytes = 0xc9b;
    c.cpu.ds_arbytes = c.cpu.es_arbytes = c.cpu.ss_arbytes = 0xc93;
    c.cpu.tr_limit = 0x67;
    c.cpu.tr_arbytes = 0x8b;
    c.cpu.dr6 = 0xffff0ff0;
    c.cpu.dr7 = 0x400;
    memset(&op, 0, sizeof(op));
    op.u.hvmcontext.size = sizeof(c);
    set_xen_guest_handle(op.u.hvmcontext.buffer, (uint8_t *)&c);
    if (domctl(&op, XEN_DOMCTL_sethvmcontext, d)) fatal("sethvmcontext");
}

static void set_params(domid_t d)
{
    if (hvm_set(d, HVM_PARAM_TIMER_MODE, 1) || hvm_set(d, HVM_PARAM_ALTP2M, 0) ||
        hvm_set(d, HVM_PARAM_CONSOLE_PFN, CONSOLE_GFN) ||
        hvm_set(d, HVM_PARAM_STORE_PFN, STORE_GFN))
        fatal("set_param");
}

void guest_create(struct guest *g, const struct guest_config *config)
{
    unsigned int mib = config->mib ? config->mib : 32;
    unsigned int vcpus = config->vcpus ? config->vcpus : 1;
    struct xen_domctl op = {0};
    long err = create(&g->id, vcpus, config->handle);

    if (err) fatal("createdomain: %ld", err);
    g->slot = config->slot;
    g->length = g->oks = g->bad = 0;
    g->said[0] = '\0';
    op.u.max_vcpus.max = vcpus;
    if (domctl(&op, XEN_DOMCTL_max_vcpus, g->id)) fatal("max_vcpus");
    give_memory(g->id, mib, vcpus);
    set_map(g->id, mib);
    memset(&op, 0, sizeof(op));
    if (domctl(&op, XEN_DOMCTL_settscinfo, g->id)) fatal("settscinfo");
    set_params(g->id);
    g->ring = WINDOW_PAGE(g->slot);
    if (foreign_map((void *)(uintptr_t)g->ring, g->id, CONSOLE_GFN, 1)) fatal("map of the console");
    g->box = WINDOW_PAGE(32 + g->slot);
    if (foreign_map((void *)(uintptr_t)g->box, g->id, STORE_GFN, 1)) fatal("map of the mailbox");
    if (config->empty) return;
    write_start_info(g->id, config->cmdline, mib);
    set_cpu(g->id, load_image(g->id));
}

void guest_unpause(struct guest *g)
{
    long err = domain_unpause(g->id);

    if (err) fatal("unpause: %ld", err);
}

static void take_line(struct guest *g)
{
    g->line[g->length] = '\0';
    g->length = 0;
    if (strncmp(g->line, "ok ", 3) == 0)
        g->oks++;
    else if (strncmp(g->line, "not ok ", 7) == 0)
        g->bad++;
    else
        format(g->said, sizeof(g->said), "%s", g->line);
    print("%s\n", g->line);
}

void guest_drain(struct guest *g)
{
    /* At most a ring's worth: a guest may write without end. */
    for (unsigned int n = 0; n < sizeof(g->ring->out); n++) {
        uint32_t cons = g->ring->out_cons;
        char c = g->ring->out[MASK_XENCONS_IDX(cons, g->ring->out)];

        if (cons == g->ring->out_prod) break;
        g->ring->out_cons = cons + 1;
        if (c == '\n')
            take_line(g);
        else if (g->length + 1 < sizeof(g->line))
            g->line[g->length++] = c;
    }
}

long guest_wait(struct guest *g, uint64_t ns)
{
    struct xen_domctl_getdomaininfo info;
    uint64_t end = now() + ns;

    while (domain_info(g->id, &info) && now() < end) {
        guest_drain(g);
        if (info.flags & XEN_DOMINF_shutdown) {
            guest_drain(g);
            return info.flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask;
        }
        nap(NS_PER_MS);
    }
    return -1;
}

bool guest_wait_said(struct guest *g, const char *line, uint64_t ns)
{
    uint64_t end = now() + ns;

    while (now() < end) {
        guest_drain(g);
        if (strcmp(g->said, line) == 0) return true;
        nap(NS_PER_MS);
    }
    return false;
}

bool guest_destroy(struct guest *g)
{
    struct xen_domctl_getdomaininfo info;
    uint64_t end = now() + 2 * NS_PER_S;
    long err;

    guest_drain(g);
    foreign_unmap((void *)(uintptr_t)g->ring, 1);
    foreign_unmap((void *)(uintptr_t)g->box, 1);
    err = domain_destroy(g->id);
    if (err) fatal("destroydomain: %ld", err);
    while (domain_info(g->id, &info) && now() < end) nap(NS_PER_MS);
    return !domain_info(g->id, &info);
}

/* Words of the mailbox. */
enum { BOX_FN, BOX_A, BOX_B, BOX_C, BOX_RESULT };

void guest_call_async(struct guest *g, remote_fn *fn, long a, long b, long c)
{
    g->box[BOX_A] = (uint64_t)a;
    g->box[BOX_B] = (uint64_t)b;
    g->box[BOX_C] = (uint64_t)c;
    __atomic_store_n(&g->box[BOX_FN], (uint64_t)fn, __ATOMIC_RELEASE);
}

bool guest_called(struct guest *g, long *result)
{
    guest_drain(g);
    if (__atomic_load_n(&g->box[BOX_FN], __ATOMIC_ACQUIRE)) return false;
    *result = (long)g->box[BOX_RESULT];
    return true;
}

long guest_call(struct guest *g, remote_fn *fn, long a, long b, long c)
{
    uint64_t end = now() + 60 * NS_PER_S;
    long result;

    guest_call_async(g, fn, a, b, c);
    while (!guest_called(g, &result)) {
        if (now() > end) fatal("domain %u does not answer", g->id);
        nap(NS_PER_MS / 10);
    }
    return result;
}

void serve(void)
{
    volatile uint64_t *box = MAILBOX;

    for (;;) {
        uint64_t fn = __atomic_load_n(&box[BOX_FN], __ATOMIC_ACQUIRE);

        if (!fn) {
            nap(NS_PER_MS / 10);
            continue;
        }
        box[BOX_RESULT] =
            (uint64_t)((remote_fn *)fn)((long)box[BOX_A], (long)box[BOX_B], (long)box[BOX_C]);
        __atomic_store_n(&box[BOX_FN], 0, __ATOMIC_RELEASE);
    }
}

void servant_start(struct guest *g, unsigned int slot)
{
    guest_create(g, &(struct guest_config){.cmdline = SERVANT, .slot = slot});
    guest_unpause(g);
}
