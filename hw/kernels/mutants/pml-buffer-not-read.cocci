// SPDX-License-Identifier: GPL-2.0-or-later
// title: Pages in the processor's page-modification log never reach the dirty log
// breaks: 30
// history: none
// needs: mmu=tdp, tdp_mmu=any, vendor=intel with A/D bits and PML, dirty log, writes after the first KVM_GET_DIRTY_LOG
// reached-by: vmx_flush_pml_buffer
// file: arch/x86/kvm/vmx/vmx.c

@@
@@
 vmx_flush_pml_buffer(...)
 {
 <...
- kvm_vcpu_mark_page_dirty(...);
 ...>
 }
