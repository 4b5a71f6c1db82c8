/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of MSRs, the host's and the guests', by the names of SDM vol. 4, 2.1
 * and APM vol. 2, appendix A.  Also for assembler files.
 */
#ifndef CPU_MSR_H
#define CPU_MSR_H

#define MSR_TSC             0x00000010
#define MSR_PLATFORM_ID     0x00000017
#define MSR_APIC_BASE       0x0000001b
#define MSR_FEATURE_CONTROL 0x0000003a
#define MSR_TSC_ADJUST      0x0000003b
#define MSR_SPEC_CTRL       0x00000048
#define MSR_PRED_CMD        0x00000049
#define MSR_PATCH_LEVEL     0x0000008b
#define MSR_PLATFORM_INFO   0x000000ce
#define MSR_MTRR_CAP        0x000000fe
#define MSR_ARCH_CAPS       0x0000010a
#define MSR_FLUSH_CMD       0x0000010b
#define MSR_TSX_CTRL        0x00000122
#define MSR_MISC_FEATURES   0x00000140
#define MSR_SYSENTER_CS     0x00000174
#define MSR_SYSENTER_ESP    0x00000175
#define MSR_SYSENTER_EIP    0x00000176
#define MSR_MCG_CAP         0x00000179
#define MSR_MCG_STATUS      0x0000017a
#define MSR_MISC_ENABLE     0x000001a0
#define MSR_DEBUGCTL        0x000001d9
#define MSR_MTRR_BASE0      0x00000200 /* and mask, of each range in turn */
#define MSR_MTRR_FIX64K     0x00000250
#define MSR_MTRR_FIX16K     0x00000258 /* two */
#define MSR_MTRR_FIX4K      0x00000268 /* eight */
#define MSR_PAT             0x00000277
#define MSR_MTRR_DEF_TYPE   0x000002ff
#define MSR_MC0_CTL         0x00000400
#define MSR_VMX_BASIC       0x00000480
#define MSR_VMX_PIN         0x00000481
#define MSR_VMX_PRIMARY     0x00000482
#define MSR_VMX_EXIT        0x00000483
#define MSR_VMX_ENTRY       0x00000484
#define MSR_VMX_CR0_FIXED0  0x00000486 /* and FIXED1, CR4's two */
#define MSR_VMX_SECONDARY   0x0000048b
#define MSR_VMX_EPT_VPID    0x0000048c
#define MSR_TSC_DEADLINE    0x000006e0
#define MSR_X2APIC          0x00000800 /* + register / 16 */
#define MSR_X2APIC_END      0x000008ff
#define MSR_HYPERCALL       0x40000000 /* Xen's */
#define MSR_EFER            0xc0000080
#define MSR_STAR            0xc0000081
#define MSR_LSTAR           0xc0000082
#define MSR_CSTAR           0xc0000083
#define MSR_SFMASK          0xc0000084
#define MSR_FS_BASE         0xc0000100
#define MSR_GS_BASE         0xc0000101
#define MSR_KERNEL_GS_BASE  0xc0000102
#define MSR_TSC_AUX         0xc0000103
#define MSR_TSC_RATIO       0xc0000104
#define MSR_SYSCFG          0xc0010010
#define MSR_HWCR            0xc0010015
#define MSR_TOP_MEM         0xc001001a
#define MSR_TOP_MEM2        0xc001001d
#define MSR_NB_CFG          0xc001001f
#define MSR_VM_CR           0xc0010114
#define MSR_VM_HSAVE_PA     0xc0010117
#define MSR_LS_CFG          0xc0011020
#define MSR_FP_CFG          0xc0011028
#define MSR_DE_CFG          0xc0011029
#define MSR_BP_CFG          0xc001102e
#define MSR_DE_CFG2         0xc00110e3

/* MSR_APIC_BASE: bits, and where the registers are at first; messages go there, too. */
#define APIC_BASE_BSP     BIT(8)
#define APIC_BASE_EXTD    BIT(10)
#define APIC_BASE_EN      BIT(11)
#define APIC_BASE_DEFAULT 0xfee00000u

#endif
