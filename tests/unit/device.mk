# SPDX-License-Identifier: Apache-2.0
# dom0's platform, the local APIC, the console, ACPI.  Each test includes the
# file that it tests, with the host's I/O ports replaced.
unit_device_fakes := tests/unit/fake_device.c tests/unit/fake_iommu.c core/cpu/lock.c core/cpu/scale.c \
	core/lib/print.c core/vm/tsc.c
define UNIT_DEVICE
unit_$(1) := tests/unit/test_$(1).c $(unit_device_fakes)
endef
unit_device_names := vlapic mmio vpci vioapic console acpi
$(foreach t,$(unit_device_names),$(eval $(call UNIT_DEVICE,$(t))))
UNIT_SIMPLE += $(unit_device_names)
$(unit_device_names:%=$(B)/tests/unit/test_%): $(wildcard core/device/*.c \
	core/boot/acpi.c core/cpu/irq.c)

# The IOMMUs' tables.
unit_dmar := tests/unit/test_dmar.c $(filter-out %/fake_iommu.c,$(unit_device_fakes))
unit_ivrs := tests/unit/test_ivrs.c $(filter-out %/fake_iommu.c,$(unit_device_fakes))
UNIT_SIMPLE += dmar ivrs
$(B)/tests/unit/test_dmar: core/iommu/vtd.c
$(B)/tests/unit/test_ivrs: core/iommu/amd.c
