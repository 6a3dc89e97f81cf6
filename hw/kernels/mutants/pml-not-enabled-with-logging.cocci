// SPDX-License-Identifier: GPL-2.0-or-later
// title: The processor is not told to log pages when a slot begins to be logged
// breaks: 30, 31
// history: none
// needs: mmu=tdp, tdp_mmu=any, vendor=intel with A/D bits and PML, dirty log that begins after the vCPU's creation
// reached-by: vmx_update_cpu_dirty_logging
// file: arch/x86/kvm/vmx/vmx.c

@@
@@
 vmx_update_cpu_dirty_logging(...)
 {
 <...
- secondary_exec_controls_setbit(...);
+ ;
 ...>
 }
