# SPDX-License-Identifier: Apache-2.0
# make bench     Insula beside Debian's Xen 4.17: see bench/run
# make charts    draws what that measured: docs/bench-*.svg

$(B)/bench/count.so: bench/count.c
	@mkdir -p $(@D)
	@echo '  CC  $<'
	@$(CC) -std=gnu11 -O2 -fPIC -shared -fvisibility=hidden -pthread $(WARN) \
		-o $@ $<

bench:
	@scripts/setup
	@$(MAKE) --no-print-directory $(B)/bench/count.so $(B)/insula.elf images guest-tests
	@bench/run

charts:
	@scripts/setup bench/packages.txt
	@bench/charts

.PHONY: bench charts
