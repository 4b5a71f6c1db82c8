# SPDX-License-Identifier: Apache-2.0
# make test-system     Debian's dom0 and guests under xl; bad boots
# make soak            ten minutes of load, two hundred guests

test-system: all images
	@a=0; tests/system/boots || a=1; tests/system/run || a=1; \
		tests/system/streams || a=1; exit $$a

soak: all images
	@tests/system/run load
	@tests/system/run leak rounds=200 time=3600

.PHONY: test-system soak
