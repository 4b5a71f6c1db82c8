/* SPDX-License-Identifier: Apache-2.0 */
/* A machine without an IOMMU, for tests of what would tell one. */
#include "iommu/iommu.h"

struct iommu iommu;
struct domain *iommu_attached[65536];
void (*fake_iommu_flushed)(struct domain *d);

void iommu_flush(struct domain *d)
{
    if (fake_iommu_flushed) fake_iommu_flushed(d);
}

void iommu_sync(const void *p, size_t len)
{
    (void)p, (void)len;
}

void iommu_attach(uint16_t bdf, struct domain *d)
{
    iommu_attached[bdf] = d;
}

bool iommu_covers(uint64_t at, uint64_t size)
{
    (void)at, (void)size;
    return false;
}

bool iommu_is_unit(uint16_t bdf)
{
    (void)bdf;
    return false;
}
