# SPDX-License-Identifier: Apache-2.0
# make test-tsan     hypercalls by four threads under ThreadSanitizer, on the
#                    fuzzers' machine; SEED=n repeats one run

SEED ?= 1 2 3
TSAN_ROUNDS ?= 60000
TSAN_CFLAGS = $(filter-out -fsanitize=% -fno-sanitize-%,$(FUZZ_CFLAGS)) \
	-fsanitize=thread -mllvm -tsan-distinguish-volatile=1

tsan_sources = $(filter-out %.o tests/fuzz/hypercalls.c,$(fuzz_hypercalls))

$(B)/tests/tsan/stress: tests/tsan/stress.c $(wildcard tests/tsan/*/*.h \
	tests/fuzz/*.[ch] core/*/*.[ch])
	@mkdir -p $(@D)
	@echo '  CC  $@'
	@clang-14 $(patsubst -Icore,-Itests/tsan -Icore,$(TSAN_CFLAGS)) \
		-Dcore_alloc_pages=real_alloc_pages -c core/memory/frame.c -o $(@D)/frame.o
	@clang-14 $(patsubst -Icore,-Itests/tsan -Icore,$(TSAN_CFLAGS)) -pthread $< \
		$(tsan_sources) $(@D)/frame.o -o $@

test-tsan: $(B)/tests/tsan/stress
	@for s in $(SEED); do \
		TSAN_OPTIONS=halt_on_error=1 $< $$s $(TSAN_ROUNDS) || { echo "not ok tsan_stress: seed $$s"; exit 1; }; \
	done

.PHONY: test-tsan
