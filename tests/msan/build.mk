# SPDX-License-Identifier: Apache-2.0
# make test-msan    what the core decides by and what it hands to guests was set:
#                   the fuzzers' inputs and the unit tests with MemorySanitizer
#
# tests/unit/msan.h says where memory goes to a guest and comes from one.  Not
# here: the loader, whose decompressors are not built with the sanitizer, and
# which is a guest itself; test_memory, which puts the tables for 16 TiB at the
# core's own addresses, where the sanitizer has its shadows.

MSAN_DIR := $(B)/msan
MSAN_FUZZ := $(filter-out loader,$(FUZZ_TARGETS))
MSAN = B=$(MSAN_DIR) CC=clang-14 SANITIZE="memory -fsanitize-memory-track-origins=2" \
	SANITIZE_MAP=-Itests/tsan
msan_units = $(filter-out %/test_memory,$(UNIT_TESTS:$(B)/%=$(MSAN_DIR)/%))

test-msan:
	@$(MAKE) -s -j2 $(MSAN) $(MSAN_FUZZ:%=$(MSAN_DIR)/fuzz/%) $(msan_units)
	@tests/fuzz/run replay $(MSAN_DIR)/fuzz $(MSAN_FUZZ)
	@failed=0; for t in $(msan_units); do \
		$$t > $$t.log 2>&1 && echo "ok msan_$${t##*/test_}: $$(grep -c ^ok $$t.log) cases" || { \
			echo "not ok msan_$${t##*/test_}:" $$(grep '^not ok\|created by\|^SUMMARY' $$t.log); \
			failed=1; }; \
	done; exit $$failed

# One program of them.
$(MSAN_DIR)/%: FORCE
	@$(MAKE) -s $(MSAN) $@

.PHONY: test-msan
