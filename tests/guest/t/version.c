/* SPDX-License-Identifier: Apache-2.0 */
/* xen_version: the version, the features a PVH kernel needs, the texts. */
/* run: as=both */
#include "test.h"

static char text[1025];

static bool feature(unsigned int bit)
{
    struct xen_feature_info f = {0};

    return version_op(XENVER_get_features, &f) == 0 && (f.submap >> bit & 1);
}

static void features(void)
{
    struct xen_feature_info f = {.submap_idx = 7};

    check(feature(XENFEAT_auto_translated_physmap), "translated");
    check(feature(XENFEAT_hvm_callback_vector), "callback vector");
    check(feature(XENFEAT_hvm_safe_pvclock), "safe pvclock");
    check(feature(XENFEAT_memory_op_vnode_supported), "vnode");
    check(!feature(XENFEAT_hvm_pirqs), "no PIRQs");
    check_eq(feature(XENFEAT_dom0), is_dom0, "dom0 feature");
    check_eq(version_op(XENVER_get_features, &f), -XEN_EINVAL, "submap 7");
}

static void texts(void)
{
    memset(text, 0, sizeof(text));
    check(version_op(XENVER_capabilities, text) >= 0, "capabilities");
    check(find(text, "hvm-3.0-x86_32") && find(text, "x86_64"), "capabilities name HVM");
    memset(text, 0, sizeof(text));
    check(version_op(XENVER_extraversion, text) >= 0 && strlen(text) < 16, "extraversion");
    memset(text, 0, sizeof(text));
    check(version_op(XENVER_commandline, text) >= 0, "command line");
    if (is_dom0) check(find(text, "dom0_mem=") != NULL, "command line has dom0_mem");
}

void test_main(void)
{
    check_eq(version_op(XENVER_version, NULL), 0x40011, "version 4.17");
    check_eq(version_op(XENVER_pagesize, NULL), 4096, "page size");
    check_eq(version_op(99, NULL), -XEN_ENOSYS, "unknown operation");
    check_eq(version_op(XENVER_get_features, 0x7f0000000000), -XEN_EFAULT, "features to nowhere");
    features();
    texts();
}
