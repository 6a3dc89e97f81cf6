// SPDX-License-Identifier: GPL-2.0-or-later
// title: The bitmap of KVM_GET_DIRTY_LOG is copied with interrupts off
// breaks: 7
// history: none
// needs: mmu=any, tdp_mmu=any, dirty get (might_fault check)
// reached-by: kvm_get_dirty_log_protect
// flavour: lockdep
// file: virt/kvm/kvm_main.c

@@
symbol dirty_bitmap_buffer, log, dirty_bitmap, n;
@@
 kvm_get_dirty_log_protect(...)
 {
 <...
- if (copy_to_user(log->dirty_bitmap, dirty_bitmap_buffer, n))
-    return -EFAULT;
+ local_irq_disable();
+ n = copy_to_user(log->dirty_bitmap, dirty_bitmap_buffer, n);
+ local_irq_enable();
+ if (n)
+    return -EFAULT;
 ...>
 }
