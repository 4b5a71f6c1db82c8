# SPDX-License-Identifier: Apache-2.0
# The guest-physical map, over the fake machine of the hypercalls.
unit_p2m = tests/unit/test_p2m.c $(unit_guest_calls)
UNIT_SIMPLE += p2m
# Access to guest memory; the test includes the file.
unit_guest := tests/unit/test_guest.c
UNIT_SIMPLE += guest
$(B)/tests/unit/test_guest: core/vm/guest.c
# SVM's exits; the test includes the file.
unit_svm := tests/unit/test_svm.c
UNIT_SIMPLE += svm
$(B)/tests/unit/test_svm: core/svm/exit.c
# The scheduler, simulated; the test includes the file.
unit_sched := tests/unit/test_sched.c core/cpu/lock.c
UNIT_SIMPLE += sched
$(B)/tests/unit/test_sched: core/sched/sched.c
# A model of the TLBs, with each vendor's choice of tags; what else those files
# call may be missing.
unit_tlb := tests/unit/test_tlb.c core/hypercall/memory_op.c $(unit_guest_calls)
UNIT_TESTS += $(B)/tests/unit/test_tlb_svm $(B)/tests/unit/test_tlb_vmx
$(B)/tests/unit/test_tlb_%: tests/unit/tlb_%.c core/%/*.c $(unit_tlb) \
		$(wildcard tests/unit/*.h core/*/*.h)
	@mkdir -p $(@D)
	@echo '  CC  $@'
	@$(CC) $(UNIT_CFLAGS) -fPIC -c $< -o $@.o
	@objcopy --weaken $@.o
	@$(CC) $(UNIT_CFLAGS) -pthread $@.o $(unit_tlb) -o $@
