# SPDX-License-Identifier: Apache-2.0
# Memory at boot, up to 16 TiB; the test includes the files, what else they call is
# missing.  The early page tables are to be low, as in the core.
UNIT_TESTS += $(B)/tests/unit/test_memory
$(B)/tests/unit/test_memory: tests/unit/test_memory.c core/boot/main.c core/memory/*.c \
		$(wildcard tests/unit/*.h core/*/*.h)
	@mkdir -p $(@D)
	@echo '  CC  $@'
	@$(CC) $(UNIT_CFLAGS) -fno-pie -c $< -o $@.o
	@objcopy --weaken $@.o
	@$(CC) $(UNIT_CFLAGS) -no-pie -Wl,--defsym,image_start=0x200000 \
		-Wl,--defsym,image_end=0x10000000 $@.o -o $@
# How a new CPU's TSC is compared; what else the file calls is missing.
UNIT_TESTS += $(B)/tests/unit/test_smp
$(B)/tests/unit/test_smp: tests/unit/test_smp.c core/boot/smp.c \
		$(wildcard tests/unit/*.h core/*/*.h)
	@mkdir -p $(@D)
	@echo '  CC  $@'
	@$(CC) $(UNIT_CFLAGS) -fPIC -c $< -o $@.o
	@objcopy --weaken $@.o
	@$(CC) $(UNIT_CFLAGS) -pthread $@.o -o $@
