/* SPDX-License-Identifier: Apache-2.0 */
/* Events for a guest: injection, what an exit interrupted (SDM vol. 3, 24.8.3
 * and 27.2.4), and what the processor delivers by itself (29.2). */
#include "vm/domain.h"
#include "vm/vendor.h"
#include "vmx/vmx.h"

#define EVENT_FIELDS (EVENT_VALID | EVENT_ERROR | 0x7ff)

void vmx_set_primary(struct vmx_vcpu *x, uint32_t primary)
{
    if (x->primary == primary) return;
    x->primary = primary;
    vmwrite(PRIMARY_CONTROLS, primary);
}

/* An event whose delivery the exit interrupted is delivered again; INT n and
 * the like are executed again instead. */
void vmx_keep_event(struct vmx_vcpu *x)
{
    uint32_t e = vmread(VECTORING_EVENT);

    x->event = 0;
    if (likely(!(e & EVENT_VALID)) || EVENT_TYPE(e) >= EVENT_SOFT) return;
    x->event = e & EVENT_FIELDS;
    if (e & EVENT_ERROR) x->error = vmread(VECTORING_ERROR);
    if (EVENT_TYPE(e) == EVENT_NMI) vmwrite(GUEST_BLOCKING, vmread(GUEST_BLOCKING) & ~BLOCKING_NMI);
}

/* For an NMI that must wait, the guest is ended when it can be taken. */
bool vmx_can_inject(struct vcpu *v, bool nmi)
{
    struct vmx_vcpu *x = vmx_of(v);
    uint64_t block = BLOCKING_STI | BLOCKING_MOV_SS | (nmi ? BLOCKING_NMI : 0);

    if ((nmi || v->regs.rflags & RFLAGS_IF) && !(x->event & EVENT_VALID) &&
        !(vmread(GUEST_BLOCKING) & block))
        return true;
    if (nmi) vmx_set_primary(x, x->primary | CPU_NMI_WINDOW);
    return false;
}

void vmx_inject_interrupt(struct vcpu *v, uint8_t vector)
{
    vmx_of(v)->event = vector | EVENT_INTR | EVENT_VALID;
}

void vmx_inject_nmi(struct vcpu *v)
{
    vmx_of(v)->event = VEC_NMI | EVENT_NMI | EVENT_VALID;
}

void vmx_inject_exception(struct vcpu *v, uint8_t vector, int error)
{
    struct vmx_vcpu *x = vmx_of(v);
    uint32_t old = x->event, type = EVENT_EXCEPTION;

    if (old & EVENT_VALID && EVENT_TYPE(old) == EVENT_EXCEPTION &&
        !merge_exception(v, old, &vector, &error))
        return;
    if (vector == VEC_DB && x->int1) type = EVENT_INT1;
    x->int1 = false;
    x->event = vector | type | EVENT_VALID;
    /* There are no error codes in real mode (24.8.3). */
    if (error != NO_ERROR_CODE && vmread(GUEST_CR0) & CR0_PE) {
        x->event |= EVENT_ERROR;
        x->error = error;
    }
}

void vmx_want_window(struct vcpu *v, bool on)
{
    struct vmx_vcpu *x = vmx_of(v);

    vmx_set_primary(x, on ? x->primary | CPU_WINDOW : x->primary & ~CPU_WINDOW);
}

/* The low byte of the status is what waits, the high one what is in service. */
void vmx_request_interrupt(uint8_t vector)
{
    uint64_t status = vmread(INTERRUPT_STATUS);

    if ((uint8_t)status != vector) vmwrite(INTERRUPT_STATUS, (status & 0xff00) | vector);
}

void vmx_level_vectors(const uint32_t *set)
{
    for (size_t i = 0; i < 4; i++)
        vmwrite(EOI_EXITS + 2 * i, set[8 * i] | (uint64_t)set[8 * i + 4] << 32);
}
