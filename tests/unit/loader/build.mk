# SPDX-License-Identifier: Apache-2.0
# Tests of the loader; loader/build.mk includes this.
#   make test-loader        the loader's code on the host, with sanitizers
#   make test-loader-boot   Linux booted through it under QEMU, as it was
#                           packed by Debian and in all other packings
#     KERNEL=vmlinuz        another kernel than the one it downloads
#     XEN=xen.elf           as stock Xen's dom0 too

tloader_dir  := tests/unit/loader
tloader_out  := build/tests/unit/loader
tloader_host := acpi clock load image memory unpack text
tloader_objs := $(tloader_host:%=$(tloader_out)/%.o) \
    $(addprefix $(tloader_out)/, libc.o test.o pieces.o tables.o make.o)
tloader_flags := -std=gnu11 -O1 -g -Wall -Wextra -Werror -MMD -MP \
    -fno-omit-frame-pointer -fsanitize=address,undefined \
    -fno-sanitize-recover=all
# The decompressors, linked statically, get the loader's own malloc().
tloader_link := $(foreach f,malloc calloc free,-Wl,--wrap=$(f)) \
    $(foreach l,$(loader_libs),-l:lib$(l).a)
# libc.c under other names, beside the host's C library.
tloader_rename := -ffreestanding \
    $(foreach f,malloc calloc free,-D$(f)=arena_$(f)) \
    $(foreach f,memcpy memmove memset memcmp strnlen,-D$(f)=loader_$(f))
tloader_wrap_flags := -m32 -std=gnu11 -O2 -Wall -Wextra -Werror \
    -ffreestanding -fno-pic -fno-pie -fno-stack-protector \
    -fno-asynchronous-unwind-tables -fcf-protection=none -mgeneral-regs-only \
    -nostdlib -static -Wl,--build-id=none -Wl,--no-warn-rwx-segments
KERNEL ?= $(tloader_out)/vmlinuz

.PHONY: test-loader test-loader-boot
test-loader: $(tloader_out)/test
	@$<

test-loader-boot: $(tloader_out)/wrapper.elf $(tloader_out)/state.elf $(KERNEL)
	@python3 $(tloader_dir)/images.py repack $(KERNEL) $(tloader_out)/images
	@cp $(tloader_out)/state.elf $(tloader_out)/images/state
	@python3 $(tloader_dir)/boot.py $(tloader_out)/wrapper.elf \
	    $(tloader_out)/images $(tloader_out)/log $(XEN)

$(tloader_objs): $(tloader_dir)/build.mk

$(tloader_out)/test: $(tloader_objs)
	@$(CC) $(tloader_flags) -o $@ $^ $(tloader_link)

$(tloader_out)/libc.o: loader/libc.c
	@mkdir -p $(@D)
	@$(CC) $(tloader_flags) $(tloader_rename) -c -o $@ $<

$(tloader_host:%=$(tloader_out)/%.o): $(tloader_out)/%.o: loader/%.c
	@mkdir -p $(@D)
	@$(CC) $(tloader_flags) -c -o $@ $<

$(tloader_out)/%.o: $(tloader_dir)/%.c
	@mkdir -p $(@D)
	@$(CC) $(tloader_flags) -c -o $@ $<

$(tloader_out)/wrapper.elf: $(tloader_dir)/wrapper.S $(tloader_dir)/wrapper.c \
    $(tloader_dir)/wrapper.lds $(loader_out)/loader.bin loader/layout.h
	@mkdir -p $(@D)
	@$(CC) $(tloader_wrap_flags) -T $(tloader_dir)/wrapper.lds \
	    -DLOADER_BIN='"$(loader_out)/loader.bin"' -o $@ $(filter %.S %.c,$^)

$(tloader_out)/state.elf: $(tloader_dir)/state.S $(tloader_dir)/wrapper.lds
	@mkdir -p $(@D)
	@$(CC) $(tloader_wrap_flags) -T $(tloader_dir)/wrapper.lds \
	    -Wl,--defsym=place=0x1000000 -o $@ $<

# Debian's kernel, as its package has it.
$(tloader_out)/vmlinuz:
	@mkdir -p $(tloader_out)/deb
	cd $(tloader_out)/deb && rm -f *.deb && apt-get download -q \
	    $$(apt-cache depends linux-image-amd64 | awk '/Depends:/{print $$2}') \
	    && dpkg-deb -x *.deb . && cp boot/vmlinuz-* ../vmlinuz

-include $(tloader_objs:.o=.d)
