# SPDX-License-Identifier: Apache-2.0
# The hypercalls that guests make, with the real locks and p2m.
unit_guest_calls := tests/unit/fake_vm.c $(addprefix core/hypercall/,table.c \
	evtchn.c evtchn_fifo.c grant.c sched_op.c vcpu_op.c hvm_op.c \
	console_op.c version.c physdev.c) core/cpu/lock.c \
	tests/unit/fake_iommu.c core/vm/p2m.c core/vm/logdirty.c
unit_evtchn := tests/unit/test_evtchn.c $(unit_guest_calls)
unit_grant := tests/unit/test_grant.c $(unit_guest_calls)
unit_vcpu := tests/unit/test_vcpu.c $(unit_guest_calls)
UNIT_SIMPLE += evtchn grant vcpu
