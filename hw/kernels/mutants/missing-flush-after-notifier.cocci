// SPDX-License-Identifier: GPL-2.0-or-later
// title: The host unmaps pages and the TLB keeps them
// breaks: 41, 42
// history: none
// needs: mmu=any, tdp_mmu=any, guest access, unmap by the host, guest access
// reached-by: __kvm_handle_hva_range|kvm_handle_hva_range
// file: virt/kvm/kvm_main.c

@@
symbol range, kvm;
expression changed;
@@
 __kvm_handle_hva_range(...)
 {
 <...
- if (range->flush_on_ret && changed)
-    kvm_flush_remote_tlbs(kvm);
 ...>
 }

@@
symbol range, kvm;
expression changed;
@@
 kvm_handle_hva_range(...)
 {
 <...
- if (range->flush_on_ret && changed)
-    kvm_flush_remote_tlbs(kvm);
 ...>
 }
