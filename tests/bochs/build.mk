# SPDX-License-Identifier: Apache-2.0
# make test-bochs [PARTS="vmx svm cost dom0"]    tests in Bochs (tests/bochs/run)

test-bochs: all guest-tests images
	@tests/bochs/run $(PARTS)

.PHONY: test-bochs
