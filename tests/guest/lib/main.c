/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a test kernel: from the entry to test_main or guest_main, the
 * results, and the end.
 */
#include "test.h"
#include "toolstack.h"

void trap_init(void);
void hyper_init(void);
void ap_main(struct cpu *c);
void cpu_main(unsigned int index, const struct hvm_start_info *si);

const struct hvm_start_info *start_info;
const char *cmdline = "";
bool host_waits_for_if;
bool is_dom0;
static unsigned int failures;

__attribute__((weak)) void guest_main(const char *role)
{
    fatal("no role %s", role);
}

bool check(bool good, const char *name)
{
    if (!good) failures++;
    print(good ? "ok %s\n" : "not ok %s: condition is false\n", name);
    return good;
}

bool check_eq_at(long got, long want, const char *name)
{
    if (got == want) return check(true, name);
    failures++;
    print("not ok %s: got %ld (0x%lx), want %ld (0x%lx)\n", name, got, got, want, want);
    return false;
}

bool check_in(long got, long low, long high, const char *name)
{
    if (got >= low && got <= high) return check(true, name);
    failures++;
    print("not ok %s: got %ld, want %ld to %ld\n", name, got, low, high);
    return false;
}

void skip(const char *name, const char *why)
{
    print("skip %s: %s\n", name, why);
}

void shutdown(unsigned int reason)
{
    struct sched_shutdown s = {reason};

    for (;;) sched_op(SCHEDOP_shutdown, &s);
}

void fatal(const char *fmt, ...)
{
    static volatile bool again;
    char why[256];
    va_list ap;

    if (again) /* the way to say so is broken, too */
        shutdown(SHUTDOWN_crash);
    again = true;
    va_start(ap, fmt);
    vformat(why, sizeof(why), fmt, ap);
    va_end(ap);
    /* A guest's end is for the test that made it to judge. */
    print(is_dom0 ? "not ok fatal: %s\n" : "guest gives up: %s\n", why);
    shutdown(is_dom0 ? SHUTDOWN_reboot : SHUTDOWN_crash);
}

uint64_t argument(const char *key, uint64_t otherwise)
{
    const char *s = find(cmdline, key);
    uint64_t v = 0;

    if (!s) return otherwise;
    for (s += strlen(key); *s >= '0' && *s <= '9'; s++) v = v * 10 + (uint64_t)(*s - '0');
    return v;
}

/* The whole test once more, but as a guest of this kernel. */
static void run_as_guest(void)
{
    struct guest g;

    guest_create(&g, &(struct guest_config){
                         .cmdline = find(cmdline, "as-guest") + 8,
                         .vcpus = (unsigned int)argument("vcpus=", 1),
                     });
    guest_unpause(&g);
    check_eq(guest_wait(&g, 60 * NS_PER_S), SHUTDOWN_poweroff, "guest ends by itself");
    guest_destroy(&g);
}

void cpu_main(unsigned int index, const struct hvm_start_info *si)
{
    struct cpu *c = this_cpu();

    c->index = index;
    trap_init();
    if (index > 0) ap_main(c);
    start_info = si;
    host_waits_for_if = cpuid(0x80000002, 0).b != 0x43595045; /* QEMU's "AMD EPYC Processor" */
    if (si->cmdline_paddr) cmdline = (const char *)si->cmdline_paddr;
    is_dom0 = si->flags & 2; /* SIF_INITDOMAIN */
    hyper_init();
    if (strcmp(cmdline, SERVANT) == 0) serve();
    if (strncmp(cmdline, "role=", 5) == 0) {
        guest_main(cmdline + 5);
        shutdown(failures ? SHUTDOWN_crash : SHUTDOWN_poweroff);
    }
    if (is_dom0 && find(cmdline, "as-guest"))
        run_as_guest();
    else
        test_main();
    if (!is_dom0) shutdown(SHUTDOWN_poweroff); /* its lines tell the rest */
    print("done\n");
    shutdown(SHUTDOWN_reboot);
}
