# SPDX-License-Identifier: Apache-2.0
# make tools       build/tools/insula-checkpoint, and an archive of it for dom0

TOOL_CFLAGS := -std=gnu11 -O2 -g $(WARN) -D_GNU_SOURCE
CHECKPOINT := $(wildcard tools/checkpoint/*.c)

tools: $(B)/tools/dom0.cpio

$(B)/tools/insula-checkpoint: $(CHECKPOINT) tools/checkpoint/checkpoint.h
	@mkdir -p $(@D)
	@echo '  CC  $@'
	@$(CC) $(TOOL_CFLAGS) $(CHECKPOINT) -o $@ -lxenguest -lxenctrl -lxenstore -lpthread

# Put behind dom0's initrd by scripts/boot-dom0.
$(B)/tools/dom0.cpio: $(B)/tools/insula-checkpoint image/add.py image/cpio.py
	@mkdir -p $(B)/tools/root/sbin
	@strip -o $(B)/tools/root/sbin/insula-checkpoint $<
	@python3 -B image/add.py $@ $(B)/tools/root sbin/insula-checkpoint

all: tools
.PHONY: tools
