// SPDX-License-Identifier: GPL-2.0-or-later
// title: The bitmap of KVM_CLEAR_DIRTY_LOG is copied under mmu_lock
// breaks: 7
// history: none
// needs: mmu=any, tdp_mmu=any, manual dirty log protect, dirty clear (might_fault check)
// reached-by: kvm_clear_dirty_log_protect
// flavour: lockdep
// file: virt/kvm/kvm_main.c

@@
symbol kvm, dirty_bitmap_buffer, log, dirty_bitmap, n;
@@
 kvm_clear_dirty_log_protect(...)
 {
 <...
- if (copy_from_user(dirty_bitmap_buffer, log->dirty_bitmap, n))
-    return -EFAULT;
- KVM_MMU_LOCK(kvm);
+ KVM_MMU_LOCK(kvm);
+ if (copy_from_user(dirty_bitmap_buffer, log->dirty_bitmap, n)) {
+    KVM_MMU_UNLOCK(kvm);
+    return -EFAULT;
+ }
 ...>
 }
