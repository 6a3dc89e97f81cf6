/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small services of the kernel that KVM needs and that keep some state. */
#include <linux/bottom_half.h>
#include <linux/err.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/workqueue.h>
#include <linux/rcuwait.h>
#include <linux/sched.h>
#include "shim.h"
#include "schedule.h"

/* Queues exist; queueing work is not provided and therefore fatal. */
static char queue_storage;
__visible struct workqueue_struct *hosted_workqueue(void) {
  if (hosted_host.should_fail(hosted_host.context, HOSTED_SLAB,
                              (unsigned long)__builtin_return_address(0)))
    return NULL;
  return (struct workqueue_struct *)&queue_storage;
}
asm(".globl alloc_workqueue, alloc_workqueue_noprof\n.set alloc_workqueue, hosted_workqueue\n"
    ".set alloc_workqueue_noprof, hosted_workqueue\n");

/* ---- work that is due later, by its function. Those of kvmclock set requests and kick; an
 * absent function is null. */
extern void kvmclock_update_fn(struct work_struct *work) __attribute__((weak));
extern void kvmclock_sync_fn(struct work_struct *work) __attribute__((weak));
#define DELAYED 32
static struct work_struct *delayed[DELAYED];
static unsigned delayed_count;
__visible unsigned long hosted_calls_queue_delayed_work_on;
__visible unsigned long hosted_count_delayed_work_run;

static int find_delayed(const struct work_struct *work) {
  unsigned at;
  for (at = 0; at < delayed_count; ++at)
    if (delayed[at] == work) return (int)at;
  return -1;
}
bool queue_delayed_work_on(int cpu, struct workqueue_struct *queue, struct delayed_work *work,
                           unsigned long delay) {
  work_func_t function = work->work.func;
  /* The round of five minutes, which no program lasts, asks for updates of every clock. */
  if (function == kvmclock_sync_fn && delay >= HZ) {
    ++hosted_calls_queue_delayed_work_on;
    return true;
  }
  if (function != kvmclock_update_fn && function != kvmclock_sync_fn) {
    hosted_host.finding(hosted_host.context, HOSTED_STUB,
                        "delayed work is queued, whose function the shim does not know:",
                        (unsigned long)function);
    __builtin_trap();
  }
  if (find_delayed(&work->work) >= 0) return false;
  if (delayed_count == DELAYED) hosted_fail(HOSTED_STUB, "more than %d delayed works", DELAYED);
  delayed[delayed_count++] = &work->work;
  return true;
}
bool cancel_delayed_work_sync(struct delayed_work *work) {
  int at = find_delayed(&work->work);
  if (at < 0) return false;
  delayed[at] = delayed[--delayed_count];
  return true;
}
/* Between two system calls any time may pass; under a schedule none does. */
void hosted_delayed_work(void) {
  while (delayed_count && !SCHEDULED) {
    struct work_struct *work = delayed[--delayed_count];
    ++hosted_count_delayed_work_run;
    work->func(work);
  }
}

static void mutex_start(struct mutex *lock, const char *name, struct lock_class_key *key) {
  atomic_long_set(&lock->owner, 0);
#ifdef CONFIG_DEBUG_LOCK_ALLOC
  lockdep_init_map_type(&lock->dep_map, name, key, 0, 0, 0, 0);
#endif
}
#ifdef HOSTED_MUTEX_INIT_GENERIC
#ifdef CONFIG_DEBUG_LOCK_ALLOC
void mutex_init_lockdep(struct mutex *lock, const char *name, struct lock_class_key *key) {
  mutex_start(lock, name, key);
}
/* Some trees spell it so. */
asm(".globl mutex_init_lockep\n.set mutex_init_lockep, mutex_init_lockdep\n");
#else
void mutex_init_generic(struct mutex *lock) { mutex_start(lock, NULL, NULL); }
#endif
#else
void __mutex_init(struct mutex *lock, const char *name, struct lock_class_key *key) {
  mutex_start(lock, name, key);
}
#endif

void clear_page_orig(void *page);
void clear_page_orig(void *page) { memset(page, 0, PAGE_SIZE); }

/* Nobody can sleep on a vCPU, so that a wait ends as it began. */
void finish_rcuwait(struct rcuwait *wait) { rcu_assign_pointer(wait->task, NULL); }

#ifdef HOSTED_SCHEDULE
int rcuwait_wake_up(struct rcuwait *wait) {
  struct task_struct *task = READ_ONCE(wait->task);
  return task ? wake_up_process(task) : 0;
}
#endif

/* guest_memfd mounts a file system of its own at insmod; files in it are not
 * provided, so that KVM_CREATE_GUEST_MEMFD is fatal. */
__visible void *hosted_mount(void) {
  if (hosted_host.should_fail(hosted_host.context, HOSTED_SLAB,
                              (unsigned long)__builtin_return_address(0)))
    return ERR_PTR(-ENOMEM);
  return &queue_storage;
}
asm(".globl kern_mount\n.set kern_mount, hosted_mount\n");

/* Softirqs never run; that they are off counts against sleeping. */
void __local_bh_enable_ip(unsigned long ip, unsigned int count) { preempt_count_sub(count); }
#ifdef CONFIG_TRACE_IRQFLAGS
void __local_bh_disable_ip(unsigned long ip, unsigned int count) { preempt_count_add(count); }
#endif
