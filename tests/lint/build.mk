# SPDX-License-Identifier: Apache-2.0
# make lint: format, warnings with both compilers, shape.

LINT_FORMATTED = $(filter %.c %.h,$(shell git ls-files core loader tools tests/unit tests/fuzz tests/tsan \
	tests/guest bench))
LINT_CORE := $(CORE_SRC:%=$(B)/lint/%.o)

lint: lint-format lint-warnings lint-shape lint-advisories

lint-advisories:
	@tests/advisories/check

lint-format:
	@clang-format --dry-run -Werror $(LINT_FORMATTED) && \
		echo "ok clang-format: $(words $(LINT_FORMATTED)) files"

# The ordinary build is gcc with -Werror; this one is clang's.
$(B)/lint/core/%.c.o: core/%.c
	@mkdir -p $(@D)
	@clang $(CORE_CFLAGS) -MMD -MP -c $< -o $@

lint-warnings: $(filter %.c.o,$(LINT_CORE)) $(B)/insula.elf
	@echo "ok no warnings: gcc and clang"

lint-shape: $(B)/insula.elf
	@tests/lint/headers.sh $(filter-out -g,$(CORE_CFLAGS))
	@python3 tests/lint/shape.py $(B)

-include $(LINT_CORE:.o=.d)

.PHONY: lint lint-advisories lint-format lint-warnings lint-shape
