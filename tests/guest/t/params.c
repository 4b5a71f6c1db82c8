/* SPDX-License-Identifier: Apache-2.0 */
/* HVM parameters: those that the toolstack sets and saves, and a guest's
 * own. */
#include "test.h"
#include "toolstack.h"

static long g_set(long index, long value, long c)
{
    (void)c;
    return hvm_set(DOMID_SELF, (uint32_t)index, (uint64_t)value);
}
static long g_get(long index, long b, long c)
{
    uint64_t v;
    long err = hvm_get(DOMID_SELF, (uint32_t)index, &v);

    (void)b, (void)c;
    return err ? err : (long)v;
}

void test_main(void)
{
    /* What libxenguest reads when it saves a guest. */
    static const uint8_t saved[] = {1, 5, 6, 27, 28, 29, 37, 17, 19, 9, 12, 34, 32, 33, 36, 38};
    char name[48];
    struct guest g;
    uint64_t v;

    servant_start(&g, 0);
    for (unsigned int i = 0; i < sizeof(saved); i++) {
        format(name, sizeof(name), "parameter %u can be read", saved[i]);
        check_eq(hvm_get(g.id, saved[i], &v), 0, name);
    }
    check_eq(hvm_set(g.id, HVM_PARAM_STORE_EVTCHN, 7), 0, "set by dom0");
    check_eq(guest_call(&g, g_get, HVM_PARAM_STORE_EVTCHN, 0, 0), 7, "read by the guest");
    check_eq(guest_call(&g, g_set, HVM_PARAM_CALLBACK_IRQ, 1, 0), 0, "the guest's own parameter");
    check_eq(hvm_get(g.id, HVM_PARAM_CALLBACK_IRQ, &v), 0, "read by dom0");
    check_eq(v, 1, "its value");
    check_eq(guest_call(&g, g_set, HVM_PARAM_STORE_PFN, 9, 0), -XEN_EPERM,
             "not the guest's to set");
    check_eq(guest_call(&g, g_set, HVM_PARAM_TIMER_MODE, 2, 0), -XEN_EPERM, "nor this");
    check_eq(hvm_set(g.id, HVM_PARAM_TIMER_MODE, 77), -XEN_EINVAL, "timer mode 77");
    check_eq(hvm_set(g.id, HVM_NR_PARAMS, 0), -XEN_EINVAL, "behind the last");
    check_eq(hvm_get(g.id, ~0u, &v), -XEN_EINVAL, "parameter -1");
    check(guest_destroy(&g), "destroyed");
}
