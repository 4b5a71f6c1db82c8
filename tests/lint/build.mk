# SPDX-License-Identifier: Apache-2.0
# make lint: format, warnings with both compilers, static analysis, shape.

LINT_FORMATTED = $(filter %.c %.h,$(shell git ls-files core loader tools tests/unit tests/fuzz tests/tsan \
	tests/guest tests/system bench scripts))
LINT_CORE := $(CORE_SRC:%=$(B)/lint/%.o)

lint: lint-format lint-warnings lint-analysis lint-shape lint-branches lint-advisories

lint-branches: $(B)/insula.elf64
	@tests/lint/branches.sh $<

lint-advisories:
	@tests/advisories/check

lint-format:
	@clang-format --dry-run -Werror $(LINT_FORMATTED) && \
		echo "ok clang-format: $(words $(LINT_FORMATTED)) files"

# The ordinary build is gcc with -Werror; this one is clang's.
$(B)/lint/core/%.c.o: core/%.c $(B)/core/flags
	@mkdir -p $(@D)
	@clang $(CORE_CFLAGS) -MMD -MP -c $< -o $@

lint-warnings: $(filter %.c.o,$(LINT_CORE)) $(B)/insula.elf
	@echo "ok no warnings: gcc and clang"

# Static analysis: gcc's and clang's one file at a time, only what has changed.
# The loader's malloc is an arena that nothing is given back to.
LINT_SRC := $(filter core/%.c,$(CORE_SRC)) $(wildcard loader/*.c tools/*/*.c)
lint_flags = $(if $(filter core/%,$1),$(CORE_CFLAGS),$(if $(filter loader/%,$1),$(loader_flags) \
	-Wno-analyzer-malloc-leak,$(TOOL_CFLAGS)))

$(B)/lint/%.c.analysed: %.c .clang-tidy
	@mkdir -p $(@D)
	@gcc $(call lint_flags,$<) -fanalyzer -MMD -MP -MT $@ -MF $@.d -c $< -o $@.o
	@clang-tidy --quiet $< -- $(filter-out -Wno-analyzer-% -MMD -MP,$(call lint_flags,$<)) 2>$@.log \
		|| { cat $@.log; exit 1; }
	@touch $@

$(B)/lint/cppcheck: $(LINT_SRC) $(wildcard core/*/*.h loader/*.h tools/*/*.h tests/lint/cppcheck.*)
	@mkdir -p $(@D)
	@cppcheck -q --enable=warning,performance,portability --error-exitcode=1 --std=c11 \
		--platform=unix64 --library=tests/lint/cppcheck.cfg \
		--suppressions-list=tests/lint/cppcheck.txt -Icore $(XEN_ABI) -DLOCK_CHECK=1 \
		-D__x86_64__ -D__GNUC__ $(LINT_SRC)
	@touch $@

lint-analysed: $(LINT_SRC:%=$(B)/lint/%.analysed) $(B)/lint/cppcheck

lint-analysis:
	@$(MAKE) --no-print-directory -s -j2 lint-analysed
	@echo "ok static analysis: gcc -fanalyzer, clang-tidy, cppcheck: $(words $(LINT_SRC)) files"

lint-shape: $(B)/insula.elf
	@tests/lint/headers.sh $(filter-out -g,$(CORE_CFLAGS))
	@python3 tests/lint/shape.py $(B)

-include $(LINT_CORE:.o=.d) $(LINT_SRC:%=$(B)/lint/%.analysed.d)

.PHONY: lint lint-advisories lint-branches lint-analysed lint-analysis lint-format lint-warnings lint-shape
