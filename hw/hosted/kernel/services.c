/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small services of the kernel that KVM needs and that keep some state. */
#include <linux/mutex.h>
#include <linux/workqueue.h>
#include <linux/rcuwait.h>
#include "shim.h"

/* Queues exist; queueing work is not provided and therefore fatal. */
static char queue_storage;
#undef alloc_workqueue
struct workqueue_struct *alloc_workqueue(const char *format, unsigned flags, int max_active, ...) {
  if (hosted_host.should_fail(hosted_host.context, HOSTED_SLAB,
                              (unsigned long)__builtin_return_address(0)))
    return NULL;
  return (struct workqueue_struct *)&queue_storage;
}

#undef __mutex_init
void __mutex_init(struct mutex *lock, const char *name, struct lock_class_key *key) {
  atomic_long_set(&lock->owner, 0);
#ifdef CONFIG_DEBUG_LOCK_ALLOC
  lockdep_init_map_type(&lock->dep_map, name, key, 0, 0, 0, 0);
#endif
}

void clear_page_orig(void *page);
void clear_page_orig(void *page) { memset(page, 0, PAGE_SIZE); }

/* Nobody can sleep on a vCPU, so that a wait ends as it began. */
void finish_rcuwait(struct rcuwait *wait) { rcu_assign_pointer(wait->task, NULL); }
