# SPDX-License-Identifier: Apache-2.0
# make test-system     Debian's dom0 and guests under xl; bad boots
# make test-streams    saved guests between stock Xen and Insula
# make test-two        live migration between two machines, and one that lacks a feature
# make soak            shares of CPU time, ten minutes of load, 200 guests,
#                      10,000 mutated streams, 1,000 checkpoints, 1 GiB each
#                      way through raw disks; each flush left out; all guest tests in Bochs

# Programs of ours that scripts of t/ run in dom0.
SYSTEM_PROGRAMS := $(patsubst tests/system/programs/%.c,$(B)/tests/system/%,\
	$(wildcard tests/system/programs/*.c))

$(B)/tests/system/%: tests/system/programs/%.c
	@mkdir -p $(@D)
	@echo '  CC  $@'
	@$(CC) $(TOOL_CFLAGS) $< -o $@ -lxenguest -lxenctrl

test-system: all images $(SYSTEM_PROGRAMS)
	@a=0; tests/system/boots || a=1; tests/system/run || a=1; exit $$a

test-streams: all images
	@tests/system/streams

test-two: all images
	@tests/system/two tsc=other insula-insula
	@tests/system/two lacks=avx2 insula-insula

soak: all images guest-tests $(SYSTEM_PROGRAMS)
	@tests/unit/tlb_trial
	@tests/bochs/keep_tlb build/tests/bochs/keep_tlb
	@tests/bochs/tlb_trial build/tests/bochs/keep_tlb/bochs
	@ARGS=changes=10000 tests/guest/run interrupt_moves
	@tests/bochs/run vmx-all svm-all cost-all
	@tests/system/run shares migrate load
	@tests/system/run commands accel=tcg
	@tests/system/run checkpoint rounds=1000 time=3600
	@tests/system/two trips=4,1,2,4 insula-insula
	@tests/system/two insula-xen
	@tests/system/run streams_mutated rounds=10000 time=3600
	@tests/system/run leak rounds=200 time=3600
	@tests/system/run hardware mib=1024 disk=1100M pings=20000 time=1500

.PHONY: test-system test-streams test-two soak
