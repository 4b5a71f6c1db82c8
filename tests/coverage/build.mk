# SPDX-License-Identifier: Apache-2.0
# make coverage    branches of core/hypercall, core/vm and core/memory that unit
#                  tests and the fuzzers' inputs take; minutes

COV_FLAGS := -fprofile-instr-generate -fcoverage-mapping
COV_DIR := $(B)/coverage

coverage:
	@scripts/setup
	@scripts/setup tests/coverage/packages.txt
	@rm -rf $(COV_DIR) && mkdir -p $(COV_DIR)/fuzz
	@$(MAKE) -s B=$(COV_DIR)/b CC=clang-14 WARN="-w $(COV_FLAGS)" \
		$(patsubst $(B)/%,$(COV_DIR)/b/%,$(UNIT_TESTS) $(FUZZ_TARGETS:%=$(FUZZ_DIR)/%))
	@cp -r $(COV_DIR)/b/tests/unit $(COV_DIR)/unit
	@for t in $(FUZZ_TARGETS); do cp $(COV_DIR)/b/fuzz/$$t $(COV_DIR)/fuzz/$$t.cov; done
	@tests/fuzz/run replay $(COV_DIR)/b/fuzz $(FUZZ_TARGETS) > /dev/null
	@cp -r $(COV_DIR)/b/fuzz/seeds $(COV_DIR)/fuzz/seeds
	@tests/coverage/run $(COV_DIR)

.PHONY: coverage
