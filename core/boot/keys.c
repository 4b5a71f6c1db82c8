/* SPDX-License-Identifier: Apache-2.0 */
/* Debug keys (`xl debug-keys`): what the core knows, printed to its log. */
#include "cpu/cpu.h"
#include "device/hwdev.h"
#include "hypercall/control.h"
#include "lib/print.h"
#include "memory/frame.h"
#include "memory/window.h"
#include "sched/sched.h"
#include "vm/domain.h"
#include "vm/vcpu.h"

static void each_domain(void (*show)(struct domain *d))
{
    struct domain *d;
    domid_t id = 0;

    while ((d = domain_get_from(id)) != NULL) {
        show(d);
        id = d->id + 1;
        domain_put(d);
    }
}

static void show_domain(struct domain *d)
{
    static const char *const dying[] = {"", ", dying", ", dead"};
    struct vcpu *v;

    log_info("d%u: %lu of %lu pages, refs %u, pauses %d%s%s", d->id, d->tot_pages, d->max_pages,
             d->refs, d->pause_count, dying[d->dying], d->is_shut_down ? ", shut down" : "");
    for_each_vcpu (d, v)
        log_info("  v%u: holds %x, %s%u, upcall %u", v->id, v->holds,
                 v->running_on ? "on CPU" : "last ", v->sched.last_cpu->id,
                 v->info->evtchn_upcall_pending);
}

static void show_registers(struct domain *d)
{
    struct vcpu *v;

    /* Exact for those that do not run; the others say it themselves. */
    for_each_vcpu (d, v)
        if (!v->running_on || v == current_vcpu()) show_guest_registers(v);
}

static void key_domains(void)
{
    each_domain(show_domain);
}

static void key_registers(void)
{
    struct cpu *c;

    each_domain(show_registers);
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
