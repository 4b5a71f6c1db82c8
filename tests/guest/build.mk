# SPDX-License-Identifier: Apache-2.0
# Guest tests: one ELF64 PVH kernel for each tests/guest/t/NAME.c.
#   make guest-tests          builds them
#   make test-guest [HV=xen]  builds and runs them (see tests/guest/run)

guest_dir  := tests/guest
guest_out  := $(B)/tests/guest
guest_lib  := $(patsubst $(guest_dir)/lib/%,$(guest_out)/lib/%.o, \
                $(wildcard $(guest_dir)/lib/*.c $(guest_dir)/lib/*.S))
guest_elfs := $(patsubst $(guest_dir)/t/%.c,$(guest_out)/%.elf, \
                $(wildcard $(guest_dir)/t/*.c))
guest_flags := -std=gnu11 -O2 -g -Wall -Wextra -Werror -ffreestanding \
    -fno-pic -fno-pie -fno-stack-protector -fno-asynchronous-unwind-tables \
    -fcf-protection=none -mno-red-zone -mgeneral-regs-only -MMD -MP \
    -I$(guest_dir)/lib

.PHONY: guest-tests test-guest
guest-tests: $(guest_elfs)

test-guest: guest-tests
	$(guest_dir)/run $(T)

$(guest_out)/lib/%.o: $(guest_dir)/lib/%
	@mkdir -p $(@D)
	$(CC) $(guest_flags) -c -o $@ $<

$(guest_out)/%.c.o: $(guest_dir)/t/%.c
	@mkdir -p $(@D)
	$(CC) $(guest_flags) -c -o $@ $<

$(guest_out)/%.elf: $(guest_out)/%.c.o $(guest_lib) $(guest_dir)/lib/guest.lds
	$(CC) -nostdlib -static -Wl,--build-id=none -Wl,-z,noexecstack \
	    -Wl,--no-warn-rwx-segments -T $(guest_dir)/lib/guest.lds -o $@ \
	    $(filter %.o,$^)

.SECONDARY: $(guest_lib) $(guest_elfs:.elf=.c.o)
-include $(guest_lib:.o=.d) $(guest_elfs:.elf=.c.d)
