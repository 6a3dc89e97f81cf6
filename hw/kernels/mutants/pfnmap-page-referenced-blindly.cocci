// SPDX-License-Identifier: GPL-2.0-or-later
// title: A page without references is taken from a PFNMAP mapping
// breaks: 42, words: no use after free
// history: row 53, f8be156be163, CVE-2021-22543
// needs: mmu=any, tdp_mmu=any, slot over a PFNMAP mapping of pages with reference count 0, guest access
// reached-by: kvm_try_get_pfn
// undetected: every page of the hosted arena has a reference; of pages without one KVM refuses to map any, which no engine offers
// file: virt/kvm/kvm_main.c

@@
identifier page;
@@
 kvm_try_get_pfn(...)
 {
 <...
- return get_page_unless_zero(page);
+ get_page(page);
+ return 1;
 ...>
 }
