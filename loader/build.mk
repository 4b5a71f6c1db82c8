# SPDX-License-Identifier: Apache-2.0
# The loader: a flat program that unpacks dom0's kernel inside dom0.
#   make loader          builds build/loader/loader.bin

loader_dir  := loader
loader_out  := build/loader
loader_objs := $(addprefix $(loader_out)/, entry.o main.o acpi.o clock.o load.o \
                 image.o memory.o unpack.o text.o hyper.o libc.o)
loader_libs := lzma zstd lz4 z
loader_ar   = $(foreach l,$(loader_libs),$(shell $(CC) -print-file-name=lib$(l).a))
loader_flags := -std=gnu11 -O2 -g -Wall -Wextra -Werror -ffreestanding -fpie \
    -fvisibility=hidden -fno-stack-protector -fno-asynchronous-unwind-tables \
    -fcf-protection=none -fno-delete-null-pointer-checks -MMD -MP \
    -D__XEN_INTERFACE_VERSION__=__XEN_LATEST_INTERFACE_VERSION__

.PHONY: loader
$(loader_objs): $(loader_dir)/build.mk
loader: $(loader_out)/loader.bin

$(loader_out)/%.o: $(loader_dir)/%.c
	@mkdir -p $(@D)
	@echo '  CC  $<'
	@$(CC) $(loader_flags) -c -o $@ $<

$(loader_out)/%.o: $(loader_dir)/%.S
	@mkdir -p $(@D)
	@echo '  CC  $<'
	@$(CC) $(loader_flags) -c -o $@ $<

# Position-independent without a dynamic linker: entry.S knows one kind of
# relocation, so there must be no other.
$(loader_out)/loader.elf: $(loader_objs) $(loader_dir)/loader.lds
	@echo '  LD  $@'
	@$(LD) -pie --no-dynamic-linker -z text -z noexecstack -z norelro \
	    --build-id=none --no-warn-rwx-segments -T $(loader_dir)/loader.lds \
	    -o $@ $(loader_objs) $(loader_ar)
	@if readelf -rW $@ | grep R_X86_64_ | grep -v RELATIVE; then \
	    echo "loader: relocations of another kind"; rm $@; exit 1; fi

$(loader_out)/loader.bin: $(loader_out)/loader.elf
	@objcopy -O binary $< $@

-include $(loader_objs:.o=.d)

include tests/unit/loader/build.mk
