# SPDX-License-Identifier: Apache-2.0
# What dom0's tools drive: memory, domains, the machine, policies, contexts.
unit_control_calls = tests/unit/fake_control.c $(unit_guest_calls) \
	$(addprefix core/hypercall/,memory_op.c domctl.c sysctl.c) \
	$(addprefix core/vm/,cpu_policy.c msr.c context.c tsc.c) core/cpu/scale.c
unit_policy = tests/unit/test_policy.c $(unit_control_calls)
unit_context = tests/unit/test_context.c $(unit_control_calls)
unit_control = tests/unit/test_control.c $(unit_control_calls)
UNIT_SIMPLE += policy context control
