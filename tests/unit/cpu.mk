# SPDX-License-Identifier: Apache-2.0
# What is done about speculation and errata; the test includes the file.
unit_mitigate := tests/unit/test_mitigate.c
UNIT_SIMPLE += mitigate
$(B)/tests/unit/test_mitigate: core/cpu/mitigate.c
# Requests for a flush of the core's TLBs; the test includes the file.
unit_flush := tests/unit/test_flush.c
UNIT_SIMPLE += flush
$(B)/tests/unit/test_flush: core/cpu/cpu.c
