# SPDX-License-Identifier: Apache-2.0
# make test-system     Debian's dom0 and guests under xl; bad boots
# make test-streams    saved guests between stock Xen and Insula; not yet part of
#                      `make test`: a guest of stock Xen restores, but then oopses
# make soak            shares of CPU time, ten minutes of load, 200 guests

test-system: all images
	@a=0; tests/system/boots || a=1; tests/system/run || a=1; exit $$a

test-streams: all images
	@tests/system/streams

soak: all images
	@tests/system/run shares migrate load
	@tests/system/run leak rounds=200 time=3600

.PHONY: test-system test-streams soak
