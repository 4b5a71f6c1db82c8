# SPDX-License-Identifier: Apache-2.0
# Unit tests: the real files of the core, compiled for the host with ASan and
# UBSan, their neighbours replaced by small fakes.
#
# Each fragment NAME.mk adds programs to UNIT_TESTS, with their rules or, for
# the usual case, with `unit_NAME := sources` and `UNIT_SIMPLE += NAME`.  A test
# prints `ok NAME` / `not ok NAME: why` lines.

UNIT_CFLAGS = -std=gnu11 -g -O1 -fsanitize=$(SANITIZE) \
	-fno-sanitize-recover=all -fno-strict-aliasing -fno-omit-frame-pointer \
	$(WARN) -Icore -Itests/unit $(XEN_ABI) -DLOCK_CHECK=1
UNIT_TESTS :=
UNIT_SIMPLE :=
include $(filter-out %/build.mk,$(wildcard tests/unit/*.mk))

define UNIT_RULE
$(B)/tests/unit/test_$(1): $(unit_$(1)) $(wildcard tests/unit/*.h core/*/*.h)
	@mkdir -p $$(@D)
	@echo '  CC  $$@'
	@$$(CC) $$(UNIT_CFLAGS) -pthread $(unit_$(1)) -o $$@
endef
$(foreach t,$(UNIT_SIMPLE),$(eval $(call UNIT_RULE,$(t))))
UNIT_TESTS += $(UNIT_SIMPLE:%=$(B)/tests/unit/test_%)

test-unit: $(UNIT_TESTS)
	@failed=0; for t in $^; do \
		$$t || { echo "not ok $$t: ended with code $$?"; failed=1; }; \
	done; exit $$failed

.PHONY: test-unit
