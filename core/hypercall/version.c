/* SPDX-License-Identifier: Apache-2.0 */
/* xen_version: who we are and what we offer. */
#include "hypercall/control.h"
#include "hypercall/hypercall.h"
#include "lib/string.h"
#include "vm/guest.h"
#include <xen/features.h>
#include <xen/version.h>

/* Answers that are a text in a buffer of a fixed size. */
static const struct {
    uint16_t size;
    bool privileged; /* not for others' eyes */
    const char *text;
} texts[] = {
    [XENVER_extraversion] = {sizeof(xen_extraversion_t), false, ".7-insula"},
    [XENVER_capabilities] = {sizeof(xen_capabilities_info_t), false,
                             "hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 "},
    [XENVER_changeset] = {sizeof(xen_changeset_info_t), false, "insula"},
    [XENVER_commandline] = {sizeof(xen_commandline_t), true, cmdline},
};

static long get_text(struct vcpu *v, uint32_t cmd, uint64_t va)
{
    char buf[sizeof(xen_capabilities_info_t)] = {0};

    if (cmd >= ARRAY_SIZE(texts)) return -XEN_ENOSYS;
    cmd = index_nospec(cmd, ARRAY_SIZE(texts));
    if (!texts[cmd].text) return -XEN_ENOSYS;
    copy_string(buf, texts[cmd].privileged && !v->domain->privileged ? "<denied>" : texts[cmd].text,
                texts[cmd].size);
    return copy_to_guest(va, buf, texts[cmd].size);
}

static long get_features(struct vcpu *v, uint64_t va)
{
    struct xen_feature_info op;

    if (copy_from_guest(&op, va, sizeof(op))) return -XEN_EFAULT;
    if (op.submap_idx != 0) return -XEN_EINVAL;
    op.submap = BIT(XENFEAT_writable_page_tables) | BIT(XENFEAT_auto_translated_physmap) |
                BIT(XENFEAT_hvm_callback_vector) | BIT(XENFEAT_hvm_safe_pvclock) |
                BIT(XENFEAT_memory_op_vnode_supported);
    if (v->domain->privileged)
        op.submap |= BIT(XENFEAT_dom0) | BIT(XENFEAT_direct_mapped);
    else
        op.submap |= BIT(XENFEAT_not_direct_mapped);
    return copy_to_guest(va, &op, sizeof(op));
}

static long give(struct vcpu *v, uint32_t cmd, uint64_t va)
{
    static const struct xen_platform_parameters platform = {0};
    static const struct xen_compile_info info = {.compiler = __VERSION__, .compile_by = "insula"};

    switch (cmd) {
    case XENVER_compile_info: return copy_to_guest(va, &info, sizeof(info));
    case XENVER_platform_parameters: return copy_to_guest(va, &platform, sizeof(platform));
    case XENVER_get_features: return get_features(v, va);
    case XENVER_pagesize: return va ? -XEN_EINVAL : (long)PAGE_SIZE;
    case XENVER_guest_handle:
        return copy_to_guest(va, v->domain->handle, sizeof(v->domain->handle));
    default: return get_text(v, cmd, va);
    }
}

/* Linux asks for the version when it only wants its events delivered. */
long hc_xen_version(struct vcpu *v, const struct hc_args *args)
{
    uint32_t cmd = args->a[0];

    return likely(cmd == XENVER_version) ? XEN_VERSION : give(v, cmd, args->a[1]);
}
