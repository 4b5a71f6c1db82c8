/* SPDX-License-Identifier: Apache-2.0 */
/* The core's command line: the options of Xen's that apply. */
#include "boot/boot.h"
#include "device/console.h"
#include "lib/print.h"
#include "lib/string.h"

struct options options = {.console = "com1", .iommu = true, .ibpb_entry = true, .smt = -1};

static const struct {
    const char *name;
    char *text;
    size_t size;
} text_options[] = {
    {"console", options.console, sizeof(options.console)},
    {"com1", options.com1, sizeof(options.com1)},
    {"loglvl", options.loglvl, sizeof(options.loglvl)},
    {"guest_loglvl", options.guest_loglvl, sizeof(options.guest_loglvl)},
};

/* Of Xen's, without a meaning here: accepted in silence. */
static const char *const ignored[] = {
    "bootscrub", "dom0-iommu",   "placeholder", "ucode", "sched", "sync_console",
    "vga",       "no-real-mode", "edd",         "hap",   "pv",    "dom0",
};

/* A number with a K, M, G or T suffix (none: K, as Xen takes it). */
static uint64_t parse_size(const char **s)
{
    static const char units[] = "kmgt";
    const char *unit;
    uint64_t v = 0;

    while (**s >= '0' && **s <= '9') v = v * 10 + (*(*s)++ - '0');
    unit = **s ? strchr(units, **s | 0x20) : NULL;
    if (!unit) return v << 10;
    (*s)++;
    return v << 10 * (unit - units + 1);
}

/* dom0_mem=1024M,max:2G,min:512M */
static void parse_dom0_mem(const char *s)
{
    while (*s) {
        uint64_t *into = &options.dom0_mem;

        if (!strncmp(s, "min:", 4))
            into = &options.dom0_mem_min;
        else if (!strncmp(s, "max:", 4))
            into = &options.dom0_mem_max;
        if (into != &options.dom0_mem) s += 4;
        *into = parse_size(&s);
        if (*s && *s++ != ',') {
            log_warn("dom0_mem: cannot read '%s'", s - 1);
            return;
        }
    }
}

/* Reads `digits` hexadecimal digits. */
static bool parse_hex(const char **s, unsigned int digits, unsigned int *v)
{
    for (*v = 0; digits; digits--) {
        char c = *(*s)++ | 0x20;

        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) return false;
        *v = *v << 4 | (c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return true;
}

/* driver-domain=UUID,BUS:DEVICE.FUNCTION,... */
static bool parse_driver_domain(const char *s)
{
    xen_domain_handle_t handle;
    unsigned int v, bus, dev, fn;

    for (unsigned int i = 0; i < sizeof(handle); i++) {
        if (*s == '-') s++;
        if (!parse_hex(&s, 2, &v)) return false;
        handle[i] = v;
    }
    do {
        struct assignment *a = &options.assigned[options.assigned_count];

        if (options.assigned_count == MAX_ASSIGNED || *s++ != ',' || !parse_hex(&s, 2, &bus) ||
            *s++ != ':' || !parse_hex(&s, 2, &dev) || *s++ != '.' || !parse_hex(&s, 1, &fn))
            return false;
        memcpy(a->handle, handle, sizeof(handle));
        a->bdf = bus << 8 | (dev & 31) << 3 | (fn & 7);
        options.assigned_count++;
    } while (*s);
    return true;
}

static unsigned int parse_count(const char *s)
{
    unsigned int v = 0;

    while (*s >= '0' && *s <= '9' && v < 100000) v = v * 10 + (*s++ - '0');
    return v;
}

static bool is_true(const char *s)
{
    return strcmp(s, "0") && strcmp(s, "off") && strcmp(s, "no") && strcmp(s, "false");
}

/* spec-ctrl= and ept=[no-]NAME[=BOOL],...: of Xen's names those that change something
 * here. */
static void parse_names(char *s)
{
    static const struct {
        const char *name;
        bool *flag;
    } names[] = {
        {"rsb", &options.fill_returns},
        {"ibpb-entry", &options.ibpb_entry},
        {"ssbd", &options.ssbd},
        {"exec-sp", &options.exec_superpages},
    };

    for (char *next; s; s = next) {
        bool on = strncmp(s, "no-", 3);
        char *value;

        next = strchr(s, ',');
        if (next) *next++ = 0;
        if (!on) s += 3;
        value = strchr(s, '=');
        if (value) {
            *value++ = 0;
            on = is_true(value);
        }
        for (unsigned int i = 0; i < ARRAY_SIZE(names); i++)
            if (!strcmp(s, names[i].name)) *names[i].flag = on;
    }
}

static void parse_option(const char *name, char *value)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(text_options); i++) {
        if (!strcmp(name, text_options[i].name)) {
            copy_string(text_options[i].text, value, text_options[i].size);
            return;
        }
    }
    for (unsigned int i = 0; i < ARRAY_SIZE(ignored); i++)
        if (!strcmp(name, ignored[i])) return;
    if (!strcmp(name, "dom0_mem"))
        parse_dom0_mem(value);
    else if (!strcmp(name, "dom0_max_vcpus"))
        options.dom0_max_vcpus = parse_count(value);
    else if (!strcmp(name, "maxcpus"))
        options.maxcpus = parse_count(value);
    else if (!strcmp(name, "driver-domain")) {
        if (!parse_driver_domain(value)) log_warn("driver-domain: cannot read '%s'", value);
    } else if (!strcmp(name, "noreboot"))
        options.noreboot = is_true(value);
    else if (!strcmp(name, "iommu"))
        options.iommu = is_true(value);
    else if (!strcmp(name, "smt"))
        options.smt = is_true(value);
    else if (!strcmp(name, "spec-ctrl") || !strcmp(name, "ept"))
        parse_names(value);
    else
        log_warn("unknown option '%s' passed over", name);
}

void options_parse(void)
{
    static char copy[sizeof(cmdline)];
    char *s = copy;

    copy_string(copy, cmdline, sizeof(copy));
    while (*s) {
        char *word, *value;

        while (*s == ' ') s++;
        for (word = s; *s && *s != ' '; s++)
            ;
        if (*s) *s++ = 0;
        if (!strcmp(word, "--")) return; /* the rest is dom0's */
        value = strchr(word, '=');
        if (value) *value++ = 0;
        if (*word) parse_option(word, value ? value : "");
    }
}
