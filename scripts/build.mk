# SPDX-License-Identifier: Apache-2.0
# make setup     packages that everything needs (root or sudo)
# make run       the main job, on this terminal; PLATFORM=bochs: dom0 and one
#                guest on an Intel machine
# make demo      the same without a terminal; fetches both pages
# make install   the core for GRUB

setup:
	@scripts/setup

run demo:
	@echo "== the packages that are needed"
	@scripts/setup
	@echo "== the core"
	@$(MAKE) --no-print-directory all
	@echo "== the images"
	@$(MAKE) --no-print-directory images
	@echo "== the machine"
	@$(if $(filter bochs%,$(PLATFORM)),tests/bochs/run run,scripts/demo \
		$(if $(filter run,$@),--terminal))

install: $(B)/insula.gz
	@scripts/install $< "$(DESTDIR)"

.PHONY: setup run demo install

# The demo as a test: both pages come, dom0 powers off.
test-demo: all images
	@if scripts/demo; then echo "ok demo"; \
	else echo "not ok demo: see build/demo.log"; exit 1; fi

test-install: $(B)/insula.gz
	@scripts/test-install $<

.PHONY: test-demo test-install
