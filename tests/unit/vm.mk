# SPDX-License-Identifier: Apache-2.0
# The guest-physical map, over the fake machine of the hypercalls.
unit_p2m = tests/unit/test_p2m.c $(unit_guest_calls)
UNIT_SIMPLE += p2m
