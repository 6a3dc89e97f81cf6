/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The user's side of memory: its mm, copies, get_user_pages over the process'
 * own page tables, and the MMU notifier that KVM registers.
 */
#include <linux/hugetlb.h>
#include <linux/kvm_host.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/pgtable.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include "shim.h"
#include "schedule.h"

static struct mm_struct user_mm;
static struct vm_area_struct special_area;
#define NOTIFIERS 8
static struct mmu_notifier *notifiers[NOTIFIERS];
extern struct task_struct *hosted_current(void);

/* ---- copies. A bad address goes on at the fixup with the rest in rcx. */
asm(".text\n.globl hosted_copy\nhosted_copy:\n"
    "mov %rdx, %rcx\n"
    "hosted_copy_at: .byte 0xf3, 0xa4\n" /* rep movsb; as text prelude.h replaces it */
    "hosted_copy_on: mov %rcx, %rax\nret\n"
    ".globl __get_user_8, __get_user_nocheck_8, __get_user_4, __get_user_nocheck_4\n"
    "__get_user_8: __get_user_nocheck_8:\n"
    "call hosted_mark\n"
    "hosted_get8: mov (%rax), %rdx\nxor %eax, %eax\nret\n"
    "__get_user_4: __get_user_nocheck_4:\n"
    "call hosted_mark\n"
    "hosted_get4: mov (%rax), %edx\nxor %eax, %eax\nret\n"
    "hosted_get_bad: mov $-14, %rax\nxor %edx, %edx\nret\n"
    /* value in rax, address in rcx, error in ecx */
    ".globl __put_user_8, __put_user_nocheck_8, __put_user_4, __put_user_nocheck_4\n"
    "__put_user_8: __put_user_nocheck_8:\n"
    "push %rax\nmov %rcx, %rax\ncall hosted_mark\npop %rax\n"
    "hosted_put8: mov %rax, (%rcx)\nxor %ecx, %ecx\nret\n"
    "__put_user_4: __put_user_nocheck_4:\n"
    "push %rax\nmov %rcx, %rax\ncall hosted_mark\npop %rax\n"
    "hosted_put4: mov %eax, (%rcx)\nxor %ecx, %ecx\nret\n"
    "hosted_put_bad: mov $-14, %ecx\nret\n"
    /* Tell the process that the page at rax may change; keeps every register. */
    "hosted_mark:\n"
    "push %rbp\nmov %rsp, %rbp\n"
    "push %rax\npush %rcx\npush %rdx\npush %rsi\npush %rdi\npush %r8\npush %r9\npush %r10\n"
    "push %r11\nmov %rax, %rdi\nand $-16, %rsp\ncall hosted_touch\nlea -72(%rbp), %rsp\n"
    "pop %r11\npop %r10\npop %r9\npop %r8\npop %rdi\npop %rsi\npop %rdx\npop %rcx\npop %rax\n"
    "pop %rbp\nret\n"
    /* rdi to, rsi from, edx bytes; rest in eax */
    ".globl copy_user_generic_unrolled, copy_user_generic_string, copy_user_enhanced_fast_string\n"
    "copy_user_generic_unrolled: copy_user_generic_string: copy_user_enhanced_fast_string:\n"
    "mov %edx, %ecx\nmov %rdi, %rax\ncall hosted_mark\n"
    "hosted_generic_at: .byte 0xf3, 0xa4\n"
    "hosted_generic_on: mov %ecx, %eax\nret\n"
    /* 6.4 and later: rdi to, rsi from, rcx bytes; rest in rcx. Inlined "rep movsb" comes here
     * too: the emulator's stores to guest memory must be told like any other. */
    ".globl rep_movs_alternative\nrep_movs_alternative:\n"
    "push %rax\nmov %rdi, %rax\ncall hosted_mark\npop %rax\n"
    "hosted_movs_at: .byte 0xf3, 0xa4\nhosted_movs_on: ret\n"
    ".section .rodata\n.balign 8\n.globl hosted_fixups, hosted_fixups_end\nhosted_fixups:\n"
    ".quad hosted_copy_at, hosted_copy_on\n"
    ".quad hosted_get8, hosted_get_bad\n.quad hosted_get4, hosted_get_bad\n"
    ".quad hosted_put8, hosted_put_bad\n.quad hosted_put4, hosted_put_bad\n"
    ".quad hosted_generic_at, hosted_generic_on\n"
    ".quad hosted_movs_at, hosted_movs_on\n"
    "hosted_fixups_end:\n.text\n");
extern unsigned long hosted_copy(void *to, const void *from, unsigned long bytes);

__visible void hosted_touch(unsigned long address) {
  hosted_host.touched(hosted_host.context, address, 8);
}

/* A page of the user may have to be brought in, unless its caller said that it does without. */
static void may_fault(const char *what) {
  if (!pagefault_disabled()) hosted_may_sleep(what);
}
static unsigned long copy_out(void __user *to, const void *from, unsigned long bytes) {
  hosted_host.touched(hosted_host.context, (unsigned long)to, bytes);
  return hosted_copy((__force void *)to, from, bytes);
}
unsigned long _copy_from_user(void *to, const void __user *from, unsigned long bytes) {
  unsigned long left;
  may_fault("copy_from_user");
  left = hosted_copy(to, (__force const void *)from, bytes);
  if (left) memset((char *)to + bytes - left, 0, left);
  return left;
}
unsigned long _copy_to_user(void __user *to, const void *from, unsigned long bytes) {
  may_fault("copy_to_user");
  return copy_out(to, from, bytes);
}
long copy_to_user_nofault(void __user *to, const void *from, size_t bytes) {
  return copy_out(to, from, bytes) ? -EFAULT : 0;
}
static void *duplicate(const void __user *from, size_t bytes, unsigned kind,
                       unsigned long owner) {
  void *copy;
  hosted_may_sleep("memdup_user");
  copy = hosted_object_of(owner, bytes, 0, kind, (unsigned long)__builtin_return_address(0));
  if (!copy) return ERR_PTR(-ENOMEM);
  if (_copy_from_user(copy, from, bytes)) {
    hosted_give_back(copy);
    return ERR_PTR(-EFAULT);
  }
  return copy;
}
void *memdup_user(const void __user *from, size_t bytes) {
  return duplicate(from, bytes, HOSTED_SLAB, HOSTED_OF_KMALLOC);
}
void *vmemdup_user(const void __user *from, size_t bytes) {
  return duplicate(from, bytes, HOSTED_VMALLOC, HOSTED_OF_KVMALLOC);
}
void __copy_overflow(int size, unsigned long count) {
  hosted_fail(HOSTED_BUG, "copy of %lu bytes past an object of %d", count, size);
}

/* ---- pages of the user */
/* Frames that were handed out since nobody held them: the only ones that can
 * have references. */
static unsigned int *pinned;
static unsigned char *is_pinned;
static unsigned long pinned_count;
static void remember_pinned(unsigned long frame) {
  if (is_pinned[frame]) return;
  is_pinned[frame] = 1;
  pinned[pinned_count++] = (unsigned)frame;
}

/* The page that the kernel has looked up and not used yet; 0 if none. */
static HOSTED_OF_CPU unsigned long in_hand;

/* Another CPU may change a page between its lookup and its use: KVM's last chance to see
 * that is under mmu_lock, so do it where that lock is about to be taken. Not while some CPU
 * holds it: its notifier would wait. */
void hosted_before_mapping(void) {
  unsigned long address = in_hand;
  int at;
  if (!address) return;
  in_hand = 0;
  for (at = 0; at < NOTIFIERS; ++at) {
    rwlock_t *lock;
    if (!notifiers[at]) continue;
    lock = &container_of(notifiers[at], struct kvm, mmu_notifier)->mmu_lock;
    if (!arch_write_trylock(&lock->raw_lock)) return;
    arch_write_unlock(&lock->raw_lock);
  }
  hosted_host.looked_up(hosted_host.context, address);
}

static int pin(unsigned long address, unsigned flags, struct page **page,
               struct hosted_host_page *found) {
  if (hosted_host.should_fail(hosted_host.context, HOSTED_USER_PAGE,
                              (unsigned long)__builtin_return_address(0)))
    return -ENOMEM;
  hosted_host.look_up(hosted_host.context, address & PAGE_MASK, found);
  if (!found->present || found->special) return -EFAULT;
  if ((flags & FOLL_WRITE) && !found->writable) return -EFAULT;
  if (flags & FOLL_WRITE) hosted_host.touched(hosted_host.context, address & PAGE_MASK, PAGE_SIZE);
  if (page && (flags & FOLL_GET)) {
    *page = pfn_to_page(found->frame);
    get_page(*page);
    remember_pinned(found->frame);
    in_hand = address & PAGE_MASK;
  }
  return 0;
}
static long pin_many(unsigned long start, unsigned long count, unsigned flags,
                     struct page **pages) {
  struct hosted_host_page found;
  unsigned long at;
  int error;
  for (at = 0; at < count; ++at) {
    error = pin(start + at * PAGE_SIZE, flags, pages ? pages + at : NULL, &found);
    if (error) return at ? (long)at : error;
  }
  return (long)count;
}
int get_user_pages_fast_only(unsigned long start, int count, unsigned flags, struct page **pages) {
  long got = pin_many(start, count, flags | FOLL_GET, pages);
  return got < 0 ? 0 : (int)got;
}
long get_user_pages_unlocked(unsigned long start, unsigned long count, struct page **pages,
                             unsigned flags) {
  hosted_may_sleep("get_user_pages");
  return pin_many(start, count, flags | FOLL_GET, pages);
}

int fixup_user_fault(struct mm_struct *mm, unsigned long address, unsigned flags, bool *unlocked) {
  struct hosted_host_page found;
  hosted_host.look_up(hosted_host.context, address & PAGE_MASK, &found);
  if (!found.present || ((flags & FAULT_FLAG_WRITE) && !found.writable)) return -EFAULT;
  return 0;
}
/* Areas exist only for special (PFNMAP) mappings: KVM asks for no other. */
static struct vm_area_struct *area_at(unsigned long address) {
  struct hosted_host_page found;
  hosted_host.look_up(hosted_host.context, address & PAGE_MASK, &found);
  if (!found.present || !found.special) return NULL;
  special_area.vm_start = address & PAGE_MASK;
  special_area.vm_end = special_area.vm_start + PAGE_SIZE;
  *(unsigned long *)&special_area.vm_flags = VM_IO | VM_PFNMAP | VM_READ | VM_WRITE;
  special_area.vm_mm = &user_mm;
  return &special_area;
}
void *mtree_load(struct maple_tree *tree, unsigned long address) { return area_at(address); }
struct vm_area_struct *find_vma(struct mm_struct *mm, unsigned long address) {
  return area_at(address);
}
/* The frame behind a special mapping, as the host's page table entry says. */
#ifdef HOSTED_FOLLOW_PFNMAP
int follow_pfnmap_start(struct follow_pfnmap_args *args) {
  struct hosted_host_page found;
  hosted_host.look_up(hosted_host.context, args->address & PAGE_MASK, &found);
  if (!found.present || !found.special) return -EINVAL;
  args->pfn = found.frame;
  args->writable = found.writable;
  args->special = true;
  return 0;
}
#elif defined(HOSTED_FOLLOW_PTE)
static pte_t followed;
static spinlock_t followed_lock;
int follow_pte(struct mm_struct *mm, unsigned long address, pte_t **entry, spinlock_t **lock) {
  struct hosted_host_page found;
  hosted_host.look_up(hosted_host.context, address & PAGE_MASK, &found);
  if (!found.present || !found.special) return -EINVAL;
  followed = __pte((found.frame << PAGE_SHIFT) | _PAGE_PRESENT | _PAGE_SPECIAL |
                   (found.writable ? _PAGE_RW : 0));
  spin_lock(&followed_lock);
  *entry = &followed;
  *lock = &followed_lock;
  return 0;
}
#endif

/* ---- the host's page tables, as far as KVM reads them: huge or not. With
 * five levels one more table stands above, whose entries all lead to the same. */
static unsigned long *top_table, *fifth_table;
static void *table_of(unsigned long entry) { return __va(entry & PTE_PFN_MASK); }
static unsigned long new_table(void) {
  return __pa(hosted_page_of_host(0, 1)) | _KERNPG_TABLE;
}
int hosted_host_level(hosted_u64 address, unsigned level) {
  unsigned long *table = top_table, *entry = NULL;
  struct hosted_host_page found;
  int at;
  for (at = 4; at > 1; --at) {
    entry = table + ((address >> (12 + 9 * (at - 1))) & 511);
    if (at == (int)level) break;
    if (*entry & _PAGE_PSE) *entry = 0;
    if (!(*entry & _PAGE_PRESENT)) *entry = new_table();
    table = table_of(*entry);
  }
  if (level > 1) {
    unsigned long size = 1ul << (12 + 9 * (level - 1));
    hosted_host.look_up(hosted_host.context, address & ~(size - 1), &found);
    if ((*entry & _PAGE_PRESENT) && !(*entry & _PAGE_PSE))
      hosted_page_release((unsigned long)table_of(*entry), 0);
    *entry = (found.frame << PAGE_SHIFT) | _PAGE_PRESENT | _PAGE_PSE | _PAGE_RW;
  }
  return 0;
}

/* ---- mm and its notifiers */
struct mm_struct *hosted_user_mm(void) { return &user_mm; }
void mmput(struct mm_struct *mm) {
  if (atomic_dec_and_test(&mm->mm_users))
    hosted_fail(HOSTED_MEMORY, "the user's mm lost its last user");
}
void __mmdrop(struct mm_struct *mm) {
  hosted_fail(HOSTED_MEMORY, "the user's mm lost its last reference");
}
int mmu_notifier_register(struct mmu_notifier *notifier, struct mm_struct *mm) {
  int at;
  if (hosted_host.should_fail(hosted_host.context, HOSTED_SLAB,
                              (unsigned long)__builtin_return_address(0)))
    return -ENOMEM;
  for (at = 0; at < NOTIFIERS; ++at) {
    if (notifiers[at]) continue;
    notifiers[at] = notifier;
    notifier->mm = mm;
    mmgrab(mm);
    return 0;
  }
  return -ENOMEM;
}
void mmu_notifier_unregister(struct mmu_notifier *notifier, struct mm_struct *mm) {
  int at;
  for (at = 0; at < NOTIFIERS; ++at) {
    if (notifiers[at] != notifier) continue;
    notifiers[at] = NULL;
    if (notifier->ops->release) notifier->ops->release(notifier, mm);
    mmdrop(mm);
    return;
  }
  hosted_fail(HOSTED_BUG, "mmu_notifier_unregister of a notifier that is not registered");
}
int hosted_notifiers(void) {
  int at, count = 0;
  for (at = 0; at < NOTIFIERS; ++at) count += notifiers[at] != NULL;
  return count;
}
unsigned long long hosted_mm_references(void) {
  return atomic_read(&user_mm.mm_count) + atomic_read(&user_mm.mm_users);
}

HOSTED_OF_CPU int hosted_must_not_block;
#ifdef HOSTED_CHANGE_PTE
static int change_pte(struct mmu_notifier *notifier, hosted_u64 address) {
  struct hosted_host_page found;
  unsigned long flags = _PAGE_PRESENT | _PAGE_USER;
  if (!notifier->ops->change_pte) return 0;
  hosted_host.look_up(hosted_host.context, address, &found);
  if (!found.present) return 0;
  if (found.writable) flags |= _PAGE_RW;
  notifier->ops->change_pte(notifier, &user_mm, address, __pte((found.frame << PAGE_SHIFT) | flags));
  return 1;
}
#endif
/* Callers in mm/ hold the page table's spin lock here: nobody may sleep, and no grace
 * period ends. */
static int notify_under_page_table_lock(struct mmu_notifier *notifier, unsigned kind,
                                        unsigned long start, unsigned long end) {
  int result = -EINVAL;
  preempt_disable();
  switch (kind) {
    case HOSTED_NOTIFY_AGE:
      result = notifier->ops->clear_flush_young(notifier, &user_mm, start, end);
      break;
    case HOSTED_NOTIFY_CLEAR_YOUNG:
      result = notifier->ops->clear_young(notifier, &user_mm, start, end);
      break;
    case HOSTED_NOTIFY_TEST_YOUNG:
      result = notifier->ops->test_young(notifier, &user_mm, start);
      break;
    case HOSTED_NOTIFY_CHANGE:
#ifdef HOSTED_CHANGE_PTE
      result = change_pte(notifier, start);
#else
      result = 0;
#endif
      break;
  }
  preempt_enable_no_resched();
  return result;
}
int hosted_notify(unsigned kind, hosted_u64 start, hosted_u64 end) {
  const int at_once = kind == HOSTED_NOTIFY_START_AT_ONCE;
  struct mmu_notifier_range range = {.mm = &user_mm,
                                     .start = start,
                                     .end = end,
                                     .flags = at_once ? 0 : MMU_NOTIFIER_RANGE_BLOCKABLE};
  int at, result = 0;
  hosted_system_call();
  in_hand = 0;
  hosted_must_not_block = at_once;
  for (at = 0; at < NOTIFIERS; ++at) {
    struct mmu_notifier *notifier = notifiers[at];
    if (!notifier) continue;
    switch (kind) {
      case HOSTED_NOTIFY_START:
      case HOSTED_NOTIFY_START_AT_ONCE:
        result |= notifier->ops->invalidate_range_start(notifier, &range);
        break;
      case HOSTED_NOTIFY_END:
        notifier->ops->invalidate_range_end(notifier, &range);
        break;
      default:
        result |= notify_under_page_table_lock(notifier, kind, start, end);
        break;
    }
  }
  hosted_must_not_block = 0;
  return result;
}
int hosted_references(hosted_u64 frame) { return page_count(pfn_to_page(frame)); }
unsigned long long hosted_extra_references(void) {
  unsigned long long extra = 0;
  unsigned long at, kept = 0;
  for (at = 0; at < pinned_count; ++at) {
    int references = page_count(pfn_to_page(pinned[at])) - 1;
    if (references) {
      extra += references;
      pinned[kept++] = pinned[at];
    } else {
      is_pinned[pinned[at]] = 0;
    }
  }
  pinned_count = kept;
  return extra;
}

void hosted_user_levels(void) {
  if (top_table) user_mm.pgd = (pgd_t *)(pgtable_l5_enabled() ? fifth_table : top_table);
}

void hosted_user_start(void) {
  int at;
  memset(&user_mm, 0, sizeof(user_mm));
  atomic_set(&user_mm.mm_users, 1);
  atomic_set(&user_mm.mm_count, 1);
  user_mm.task_size = TASK_SIZE_MAX;
  __init_rwsem(&user_mm.mmap_lock, "mmap_lock", NULL);
  top_table = (unsigned long *)hosted_page_of_host(0, 1);
  fifth_table = (unsigned long *)hosted_page_of_host(0, 1);
  for (at = 0; at < 512; ++at) fifth_table[at] = __pa(top_table) | _KERNPG_TABLE;
  hosted_user_levels();
  memset(notifiers, 0, sizeof(notifiers));
  pinned = hosted_host.allocate(hosted_host.context,
                                hosted_host.arena.first_free * sizeof(*pinned), 8, HOSTED_OF_SHIM);
  is_pinned = hosted_host.allocate(hosted_host.context, hosted_host.arena.first_free, 8, HOSTED_OF_SHIM);
  memset(is_pinned, 0, hosted_host.arena.first_free);
  pinned_count = 0;
}
