# SPDX-License-Identifier: Apache-2.0
# make test-mutations    faults made by hand, each noticed by its test; minutes,
#                        so it is no part of make test

test-mutations:
	@PYTHONDONTWRITEBYTECODE=1 tests/mutations/run $(B)/mutations

.PHONY: test-mutations
