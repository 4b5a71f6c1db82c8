# SPDX-License-Identifier: Apache-2.0
# make test-system     Debian's dom0 and guests under xl; bad boots
# make test-streams    saved guests between stock Xen and Insula
# make test-two        live migration between two machines, and one that lacks a feature
# make soak            what takes hours: shares of CPU time, ten minutes of load, 200
#                      guests, driver domains, 10,000 mutated streams, 1,000
#                      checkpoints, migrations, 1 GiB each way through raw disks; each
#                      flush left out; all guest tests in Bochs
#                      SOAK="soak-two soak-leak": only these

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

# Each a suite, so that the others go on when one fails.
SOAKS := soak-flushes soak-flushes-bochs soak-interrupts soak-bochs soak-guests soak-drivers \
	soak-commands soak-checkpoints soak-two soak-streams soak-leak soak-hardware
SOAK ?= $(SOAKS)

soak:
	@scripts/setup
	@scripts/setup tests/bochs/packages.txt
	@tests/run $(SOAK)

$(SOAKS): all images guest-tests $(SYSTEM_PROGRAMS)

soak-flushes:
	@tests/unit/tlb_trial

soak-flushes-bochs:
	@tests/bochs/keep_tlb build/tests/bochs/keep_tlb
	@tests/bochs/tlb_trial build/tests/bochs/keep_tlb/bochs

soak-interrupts:
	@ARGS=changes=10000 tests/guest/run interrupt_moves

soak-bochs:
	@tests/bochs/run vmx-all svm-all cost-all

soak-guests:
	@tests/system/run shares migrate load

soak-drivers:
	@tests/system/run net_driver storage_driver

soak-commands:
	@tests/system/run commands accel=tcg

soak-checkpoints:
	@tests/system/run checkpoint rounds=1000 time=3600

soak-two:
	@a=0; tests/system/two trips=4,1,2,4 insula-insula || a=1; \
		tests/system/two insula-xen || a=1; exit $$a

soak-streams:
	@tests/system/run streams_mutated rounds=10000 time=3600

soak-leak:
	@tests/system/run leak rounds=200 time=3600

soak-hardware:
	@tests/system/run hardware mib=1024 disk=1100M pings=20000 time=1500

.PHONY: test-system test-streams test-two soak $(SOAKS)
