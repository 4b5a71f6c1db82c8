# SPDX-License-Identifier: Apache-2.0
# Fuzzing: real files of the core over machine.c, or over the fakes of the unit
# tests, with libFuzzer, ASan and UBSan.
#
# make fuzz T=600    every target for its share of T seconds; what it finds goes
#                    to build/fuzz/found
# make test-fuzz     the committed inputs (corpus/), once each

FUZZ_DIR := $(B)/fuzz
FUZZ_CFLAGS = -std=gnu11 -g -O2 -fsanitize=fuzzer,$(SANITIZE) \
	-fno-sanitize-recover=all -fno-strict-aliasing -fno-omit-frame-pointer \
	$(WARN) -Wno-unknown-warning-option $(SANITIZE_MAP) -Icore -Itests/fuzz -Itests/unit \
	$(XEN_ABI) -DLOCK_CHECK=1
FUZZ_TARGETS := hypercalls context policy acpi multiboot mmio loader

# Frames and the core's pages are real; its small objects are the host's.
$(FUZZ_DIR)/frame.o: core/memory/frame.c
	@mkdir -p $(@D)
	@clang-14 $(filter-out -fsanitize=%,$(FUZZ_CFLAGS)) -fsanitize=fuzzer-no-link,$(SANITIZE) \
		-Dcore_alloc_pages=real_alloc_pages -c $< -o $@

fuzz_hypercalls = tests/fuzz/hypercalls.c $(addprefix tests/fuzz/,machine.c \
	check.c check_evtchn.c check_grant.c) \
	$(addprefix core/hypercall/,table.c sched_op.c vcpu_op.c hvm_op.c \
	console_op.c version.c physdev.c memory_op.c domctl.c sysctl.c) \
	$(addprefix core/vm/,domain.c vcpu.c p2m.c logdirty.c guest.c clock.c \
	cpu_policy.c msr.c context.c tsc.c) core/cpu/lock.c core/cpu/scale.c \
	core/lib/print.c $(FUZZ_DIR)/frame.o

# Each includes the unit test whose fakes it takes.
fuzz_context = tests/fuzz/context.c $(unit_control_calls)
fuzz_policy = tests/fuzz/policy.c $(unit_control_calls)
fuzz_acpi = tests/fuzz/acpi.c $(unit_device_fakes)
fuzz_mmio = tests/fuzz/mmio.c $(unit_device_fakes)
fuzz_multiboot = tests/fuzz/multiboot.c
fuzz_loader = tests/fuzz/loader.c loader/image.c loader/unpack.c loader/text.c \
	-llzma -lzstd -llz4 -lz

# (unit_* are known only when the recipe is run.)
define FUZZ_RULE
$(FUZZ_DIR)/$(1): $(FUZZ_DIR)/frame.o $(wildcard tests/fuzz/*.[ch] tests/unit/*.[ch] \
	core/*/*.[ch] loader/*.[ch])
	@mkdir -p $$(@D)
	@echo '  CC  $$@'
	@clang-14 $$(FUZZ_CFLAGS) $$(fuzz_$(1)) -o $$@
endef
$(foreach t,$(FUZZ_TARGETS),$(eval $(call FUZZ_RULE,$(t))))

# A corpus is one file: 16 bits of length before each input.
fuzz-build: $(FUZZ_TARGETS:%=$(FUZZ_DIR)/%)

test-fuzz: fuzz-build
	@tests/fuzz/run replay $(FUZZ_DIR) $(FUZZ_TARGETS)

fuzz: fuzz-build
	@tests/fuzz/run fuzz $(FUZZ_DIR) $(or $(T),600) $(FUZZ_TARGETS)

.PHONY: fuzz fuzz-build test-fuzz
