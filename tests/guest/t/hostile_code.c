/* SPDX-License-Identifier: Apache-2.0 */
/* Guests that break themselves: triple fault, garbage, holes, bad state.
 * At worst they end; two neighbours answer, and memory comes back. */
/* Bochs' SVM does not end a guest that shuts down: it stops itself. */
/* run: bochs=bochs-vmx */
#include "test.h"
#include "toolstack.h"

static void no_idt(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) none = {0, 0};

    asm volatile("lidt %0; ud2" ::"m"(none));
}

static void garbage(uint64_t seed)
{
    static uint8_t code[4096];
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) none = {0, 0};

    for (unsigned int i = 0; i < sizeof(code); i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        code[i] = (uint8_t)(seed >> 33);
    }
    asm volatile("lidt %0; call *%1" ::"m"(none), "r"(code));
}

static void set_cr0(uint64_t v)
{
    asm volatile("mov %0, %%cr0" ::"r"(v) : "memory");
}

void guest_main(const char *role)
{
    static uint64_t tables[512] __attribute__((aligned(4096)));

    if (strncmp(role, "triple", 6) == 0) no_idt();
    if (strncmp(role, "garbage", 7) == 0) garbage(argument("seed=", 1));
    if (strncmp(role, "hole", 4) == 0) ((void (*)(void))0x70000000)(); /* executes all ones */
    if (strncmp(role, "device", 6) == 0)
        ((void (*)(void))0xfee00000)();  /* executes the local APIC */
    if (strncmp(role, "tables", 6) == 0) /* page tables in a hole */
        asm volatile("mov %0, %%cr3" ::"r"(0x70000000ull) : "memory");
    if (strncmp(role, "far", 3) == 0) { /* page tables beyond all memory */
        tables[0] = 0xffffffffff007;
        asm volatile("mov %0, %%cr3" ::"r"(tables) : "memory");
    }
    if (strncmp(role, "paging", 6) == 0)
        set_cr0(0x11); /* long mode without paging: #GP, then what it likes */
    if (strncmp(role, "cr4", 3) == 0) asm volatile("mov %0, %%cr4" ::"r"(1ull << 50 | 0x620));
    if (strncmp(role, "vmrun", 5) == 0) asm volatile("vmrun" ::"a"(tables));
    if (strncmp(role, "halt", 4) == 0)
        for (;;) asm volatile("cli; hlt");
    for (;;) cpu_relax();
}

static long answer(long a, long b, long c)
{
    (void)b, (void)c;
    return a * 2;
}

/* Runs one beside two neighbours; its reason, or -1 if it did not end within ns. */
static long run(const char *role, uint64_t ns, struct guest friend[2])
{
    struct xen_domctl_getdomaininfo info;
    struct guest g;
    char name[64];
    long reason;

    format(name, sizeof(name), "role=%s", role);
    guest_create(&g, &(struct guest_config){.cmdline = name, .slot = 2});
    guest_unpause(&g);
    reason = guest_wait(&g, ns);
    print("%s: %ld\n", role, reason);
    for (unsigned int i = 0; i < 2; i++) {
        format(name, sizeof(name), "%s: neighbour %u answers", role, i);
        check_eq(guest_call(&friend[i], answer, 21, 0, 0), 42, name);
    }
    format(name, sizeof(name), "%s: seen and destroyed", role);
    check(domain_info(g.id, &info) && guest_destroy(&g), name);
    return reason;
}

void test_main(void)
{
    static const char *const roles[] = {"hole", "device", "tables", "far", "vmrun"};
    struct guest friend[2];
    uint64_t before;
    char role[32];

    for (unsigned int i = 0; i < 2; i++) servant_start(&friend[i], i);
    check_eq(run("triple", 5 * NS_PER_S, friend), SHUTDOWN_reboot, "a triple fault is a reboot");
    before = free_pages_settled();
    for (unsigned int i = 0; i < sizeof(roles) / sizeof(*roles); i++)
        check(run(roles[i], 3 * NS_PER_S, friend) > 0, "it ended");
    check(run("halt", NS_PER_S / 2, friend) <= SHUTDOWN_poweroff, "halted for ever, or off");
    /* Where the processor does not refuse it (QEMU's), it is the guest's
     * loss: it ends, or goes wrong by itself. */
    run("paging", NS_PER_S, friend);
    run("cr4", NS_PER_S, friend);
    for (unsigned int i = 1; i <= 5; i++) {
        format(role, sizeof(role), "garbage seed=%u", i);
        run(role, NS_PER_S, friend);
    }
    check(free_pages_return(before), "all memory comes back");
    for (unsigned int i = 0; i < 2; i++) check(guest_destroy(&friend[i]), "destroyed");
}
