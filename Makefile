# SPDX-License-Identifier: Apache-2.0
# make          build/insula.elf (qemu -kernel) and build/insula.gz (GRUB)
# make run      the main job: dom0 and two guests, then a shell in dom0
# make test     all tests;  make lint, make fuzz, make bench, make demo, make install, make soak
# DEBUG=y       checks the order of locks at run time

# make has a CC of its own, the system's.
ifeq ($(origin CC),default)
CC      := gcc
endif
DEBUG   ?= n
B       := build
# Of the unit tests and the fuzzers; tests/msan has another.
SANITIZE := address,undefined

all: $(B)/insula.elf $(B)/insula.gz

XEN_ABI := -D__XEN_TOOLS__ -D__XEN_INTERFACE_VERSION__=0x00041100
WARN    := -Wall -Wextra -Werror
CORE_CFLAGS := -std=gnu11 -O2 -g -ffreestanding -fno-pic -fno-pie \
	-mno-red-zone -mgeneral-regs-only -fno-stack-protector \
	-fno-asynchronous-unwind-tables -fno-strict-aliasing \
	-fcf-protection=none $(WARN) -Icore $(XEN_ABI) \
	-DLOCK_CHECK=$(if $(filter y,$(DEBUG)),1,0)

# The whole core is optimised at once where the compiler and binutils' linker work
# together: gcc.
LTO := $(if $(findstring gcc version,$(shell $(CC) -v 2>&1)),-flto=auto -fno-fat-lto-objects)
# Indirect branches as retpolines, so that no guest has a say in where they go, also
# on processors that keep no predictions apart; tables of jumps as comparisons.
BRANCHES := -fno-jump-tables $(if $(LTO),-mindirect-branch=thunk-inline \
	-mindirect-branch-register,-mretpoline)

CORE_SRC := $(sort $(wildcard core/*/*.c core/*/*.S))
CORE_OBJ := $(CORE_SRC:%=$(B)/%.o)

-include $(wildcard */build.mk tests/*/build.mk)

$(B)/core/boot/loader_image.S.o: $(B)/loader/loader.bin

# What the objects are made with; written only when it is something else.
$(B)/core/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CORE_CFLAGS) $(LTO) $(BRANCHES)' | cmp -s - $@ || \
		echo '$(CC) $(CORE_CFLAGS) $(LTO) $(BRANCHES)' > $@

$(B)/core/%.c.o: core/%.c $(B)/core/flags
	@mkdir -p $(@D)
	@echo '  CC  $<'
	@$(CC) $(CORE_CFLAGS) $(LTO) $(BRANCHES) -MMD -MP -c $< -o $@

$(B)/core/%.S.o: core/%.S $(B)/core/flags
	@mkdir -p $(@D)
	@echo '  CC  $<'
	@$(CC) $(CORE_CFLAGS) -MMD -MP -c $< -o $@

# Multiboot 1 wants an ELF32 file; all addresses are below 4 GiB.
$(B)/insula.elf64: $(CORE_OBJ) core/core.lds
	@echo '  LD  $@'
	@$(CC) $(CORE_CFLAGS) $(LTO) $(BRANCHES) -static -nostdlib -Wl,-m,elf_x86_64 \
		-Wl,-z,noexecstack -Wl,-z,max-page-size=4096 \
		-Wl,--build-id=none -Wl,-T,core/core.lds -o $@ $(CORE_OBJ)

$(B)/insula.elf: $(B)/insula.elf64
	@objcopy -O elf32-i386 --strip-debug $< $@

$(B)/insula.gz: $(B)/insula.elf
	@gzip -9nc $< > $@

FORCE:

clean:
	rm -rf $(B)/core $(B)/loader $(B)/scripts $(B)/tests $(B)/insula.*

-include $(CORE_OBJ:.o=.d)

.PHONY: all clean FORCE
.DEFAULT_GOAL := all

# --- tests: the fastest first ---

SUITES ?= lint test-unit test-fuzz test-tsan test-msan test-spin test-loader test-install \
	test-image test-guest test-bochs test-system test-streams test-two test-demo

test:
	@scripts/setup
	@tests/run $(SUITES)

.PHONY: test
