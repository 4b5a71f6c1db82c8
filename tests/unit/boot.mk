# SPDX-License-Identifier: Apache-2.0
# The boot loader's information and the command line; the test includes both.
unit_boot := tests/unit/test_boot.c
UNIT_SIMPLE += boot
$(B)/tests/unit/test_boot: core/boot/multiboot.c core/boot/options.c
