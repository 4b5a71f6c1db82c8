# SPDX-License-Identifier: Apache-2.0
# make test-system     Debian's dom0 and guests under xl; bad boots
# make test-streams    saved guests between stock Xen and Insula
# make soak            shares of CPU time, ten minutes of load, 200 guests,
#                      1 GiB each way through raw disks; each flush left out;
#                      all guest tests in Bochs

test-system: all images
	@a=0; tests/system/boots || a=1; tests/system/run || a=1; exit $$a

test-streams: all images
	@tests/system/streams

soak: all images guest-tests
	@tests/unit/tlb_trial
	@tests/guest/run interrupt_moves
	@tests/bochs/run vmx-all svm-all
	@tests/system/run shares migrate checkpoint load
	@tests/system/run leak rounds=200 time=3600
	@tests/system/run hardware mib=1024 disk=1100M pings=20000 time=1500

.PHONY: test-system test-streams soak
