# SPDX-License-Identifier: Apache-2.0
# Unit tests: the real files of the core, compiled for the host with ASan and
# UBSan, their neighbours replaced by small fakes.
#
# Each test has a fragment NAME.mk that says
#   UNIT_TESTS += NAME
#   unit_NAME := tests/unit/test_NAME.c core/... (sources)
# and prints `ok NAME` / `not ok NAME: why` lines.

UNIT_TESTS :=
include $(filter-out %/build.mk,$(wildcard tests/unit/*.mk))

# No -Icore/lib before the host's own headers: core files say "lib/...".
UNIT_CFLAGS := -std=gnu11 -g -O1 $(WARN) -Icore -Itests/unit $(XEN_ABI) \
	-DLOCK_CHECK=0 -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-builtin

define UNIT_RULE
$(B)/unit/$(1): $(unit_$(1)) $(wildcard tests/unit/*.h core/*/*.h)
	@mkdir -p $(B)/unit
	@$$(CC) $(UNIT_CFLAGS) $(unit_cflags_$(1)) $(unit_$(1)) -o $$@
endef
$(foreach t,$(UNIT_TESTS),$(eval $(call UNIT_RULE,$(t))))

test-unit: $(UNIT_TESTS:%=$(B)/unit/%)
	@failed=0; for t in $^; do \
		$$t || { echo "not ok $$t: ended with code $$?"; failed=1; }; \
	done; exit $$failed

.PHONY: test-unit
