# SPDX-License-Identifier: Apache-2.0
# make test-spin     the model of how events are sent, and its mutations

test-spin:
	@tests/spin/run $(B)/spin

.PHONY: test-spin
