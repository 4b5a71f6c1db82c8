# SPDX-License-Identifier: Apache-2.0
# make test-system     Debian's dom0 and guests under xl
# make soak            ten minutes of load, two hundred guests

test-system: all images
	@tests/system/run

.PHONY: test-system
