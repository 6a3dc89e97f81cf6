// SPDX-License-Identifier: GPL-2.0-or-later
// title: KVM_CLEAR_DIRTY_LOG returns without a TLB flush
// breaks: 31, 41
// history: none
// needs: mmu=any, tdp_mmu=any, manual dirty log protect, write, dirty clear, write again through the TLB, dirty get
// reached-by: kvm_clear_dirty_log_protect
// file: virt/kvm/kvm_main.c

@@
symbol flush, kvm, memslot;
@@
 kvm_clear_dirty_log_protect(...)
 {
 <...
  if (flush)
(
-    kvm_arch_flush_remote_tlbs_memslot(kvm, memslot);
+    flush = false;
|
-    kvm_flush_remote_tlbs_memslot(kvm, memslot);
+    flush = false;
)
 ...>
 }
