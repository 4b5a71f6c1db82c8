/* SPDX-License-Identifier: Apache-2.0 */
/* A dead domain is freed by a CPU that runs a guest while another CPU waits for that
 * very guest to pause: neither waits for the other for ever. */
/* run: cpus=2 time=60 */
#include "test.h"
#include "toolstack.h"

void guest_main(const char *role)
{
    (void)role;
    for (;;) cpu_relax();
}

void test_main(void)
{
    struct guest g;
    domid_t id;

    guest_create(&g, &(struct guest_config){.cmdline = "role=busy"});
    check_eq(vcpu_pin(0, 0, 2), 0, "dom0 on CPU 1");
    check_eq(vcpu_pin(g.id, 0, 1), 0, "a busy guest on CPU 0, which frees the dead");
    guest_unpause(&g);
    nap(100 * NS_PER_MS);
    for (unsigned int i = 0; i < 500; i++) {
        if (domain_create(&id, 1)) fatal("create");
        domain_destroy(id);
        delay(i % 64 * 2000); /* CPU 0 is some way into it */
        domain_pause(g.id);
        domain_unpause(g.id);
    }
    check(guest_destroy(&g), "500 times");
}
