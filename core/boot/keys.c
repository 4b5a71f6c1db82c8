/* SPDX-License-Identifier: Apache-2.0 */
/* Debug keys (`xl debug-keys`): what the core knows, printed to its log. */
#include "cpu/cpu.h"
#include "cpu/irq.h"
#include "hypercall/control.h"
#include "lib/print.h"
#include "memory/frame.h"
#include "memory/window.h"
#include "sched/sched.h"
#include "vm/domain.h"
#include "vm/vcpu.h"

static void key_domains(void)
{
    static const char *const dying[] = {"", ", dying", ", dead"};
    struct domain *d;
    struct vcpu *v;

    for_each_domain (d) {
        log_info("d%u: %lu of %lu pages, refs %u, pauses %d%s%s", d->id, d->tot_pages, d->max_pages,
                 d->refs, d->pause_count, dying[d->dying], d->is_shut_down ? ", shut down" : "");
        for_each_vcpu (d, v)
            log_info("  v%u: holds %x, %s%u, upcall %u", v->id, v->holds,
                     v->running_on ? "on CPU" : "last ", v->sched.last_cpu->id,
                     READ_ONCE(v->info)->evtchn_upcall_pending);
    }
}

/* One that runs has its registers in its CPU; one that does not is not let. */
static void show_held(struct vcpu *v)
{
    __atomic_fetch_or(&v->holds, HOLD_SHOWN, __ATOMIC_SEQ_CST);
    sched_stop(v);
    if (!READ_ONCE(v->running_on) || v == current_vcpu()) show_guest_registers(v);
    __atomic_fetch_and(&v->holds, ~HOLD_SHOWN, __ATOMIC_SEQ_CST);
    sched_wake(v);
}

static void key_registers(void)
{
    struct domain *d;
    struct vcpu *v;
    struct cpu *c;

    /* Exact for those that do not run; the others say it themselves. */
    for_each_domain (d)
        for_each_vcpu (d, v)
            if (!READ_ONCE(v->running_on) || v == current_vcpu()) show_held(v);
    for_each_cpu (c)
        if (c != this_cpu()) cpu_ask(c, WORK_DUMP);
}

static void key_help(void);

static const struct {
    char key;
    void (*show)(void);
    const char *what;
} keys[] = {
    {'h', key_help, "this list"},
    {'q', key_domains, "domains and vCPUs"},
    {'m', frames_dump, "frames by owner"},
    {'d', key_registers, "registers of vCPUs"},
    {'r', sched_dump, "run queues"},
    {'i', irqs_dump, "interrupts"},
    {'v', vmap_dump, "the core's own mappings"},
};

static void key_help(void)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++)
        log_info("'%c': %s", keys[i].key, keys[i].what);
}

void debug_key(char key)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++) {
        if (keys[i].key == key) {
            log_info("debug key '%c': %s", key, keys[i].what);
            keys[i].show();
            return;
        }
    }
    log_info("debug key '%c' has no meaning; 'h' lists them", key);
}
