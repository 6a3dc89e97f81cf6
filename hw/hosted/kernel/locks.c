/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks. One thread runs in an image at a time: a lock that is not free never
 * will be, unless another thread of the kernel can run. Where somebody controls the
 * schedule, he has waited until it is free.
 */
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <asm/processor-flags.h>
#include "shim.h"
#include "schedule.h"

int hosted_locks_held;
extern unsigned long hosted_flags;

void hosted_wait(const char *what, const void *lock) {
  hosted_fail(HOSTED_STUCK, "%s of %px waits for what nobody can give", what, lock);
}

/* Sleeping is an error while preemption or interrupts are off, under an RCU reader and in
 * a notifier that must not block. */
void hosted_may_sleep(const char *what) {
#ifdef CONFIG_PREEMPT_COUNT
  if (preempt_count())
    hosted_fail(HOSTED_LOCKING, "%s that may sleep while atomic (preempt_count %x)", what,
                preempt_count());
#endif
  if (!(hosted_flags & X86_EFLAGS_IF))
    hosted_fail(HOSTED_LOCKING, "%s that may sleep with interrupts off", what);
  if (hosted_must_not_block)
    hosted_fail(HOSTED_LOCKING, "%s that may sleep in a notifier that must not block", what);
  hosted_rcu_quiet();
}

#ifdef CONFIG_DEBUG_LOCK_ALLOC
#define TAKEN(lock, shared) lock_acquire(&(lock)->dep_map, 0, 0, shared, 1, NULL, _RET_IP_)
#define GIVEN(lock) lock_release(&(lock)->dep_map, _RET_IP_)
#else
#define TAKEN(lock, shared) ((void)(++hosted_locks_held))
#define GIVEN(lock) ((void)(--hosted_locks_held))
#endif

/* Before a lock is held a grace period may end: what was read under no reader is gone. */
static __always_inline void before_spinning(void) {
  if (unlikely(hosted_rcu_pending)) hosted_rcu_quiet();
  preempt_disable();
}

static void spin_take(raw_spinlock_t *lock) {
  before_spinning();
  TELL(lock, lock, HOSTED_NAME(lock), 0);
  while (!arch_spin_trylock(&lock->raw_lock)) hosted_wait("spin_lock", lock);
}
static void read_take(rwlock_t *lock) {
  before_spinning();
  TELL(lock, lock, HOSTED_NAME(lock), HOSTED_LOCK_SHARED);
  while (!arch_read_trylock(&lock->raw_lock)) hosted_wait("read_lock", lock);
}
static void write_take(rwlock_t *lock) {
  before_spinning();
  TELL(lock, lock, HOSTED_NAME(lock), 0);
  while (!arch_write_trylock(&lock->raw_lock)) hosted_wait("write_lock", lock);
}

#ifdef CONFIG_DEBUG_LOCK_ALLOC
#define SPIN_TAKE(lock) do { spin_take(lock); TAKEN(lock, 0); } while (0)
#define READ_TAKE(lock) do { read_take(lock); TAKEN(lock, 2); } while (0)
#define WRITE_TAKE(lock) do { write_take(lock); TAKEN(lock, 0); } while (0)
#else
#define SPIN_TAKE(lock) spin_take(lock)
#define READ_TAKE(lock) read_take(lock)
#define WRITE_TAKE(lock) write_take(lock)
#endif

void _raw_spin_lock(raw_spinlock_t *lock) { SPIN_TAKE(lock); }
void _raw_spin_lock_irq(raw_spinlock_t *lock) { SPIN_TAKE(lock); }
void _raw_spin_lock_bh(raw_spinlock_t *lock) { SPIN_TAKE(lock); }
unsigned long _raw_spin_lock_irqsave(raw_spinlock_t *lock) { SPIN_TAKE(lock); return 0; }
void _raw_read_lock(rwlock_t *lock) {
  hosted_before_mapping();
  READ_TAKE(lock);
}
void _raw_read_lock_irq(rwlock_t *lock) { READ_TAKE(lock); }
unsigned long _raw_read_lock_irqsave(rwlock_t *lock) { READ_TAKE(lock); return 0; }
void _raw_write_lock(rwlock_t *lock) {
  hosted_before_mapping();
  WRITE_TAKE(lock);
}
void _raw_write_lock_irq(rwlock_t *lock) { WRITE_TAKE(lock); }

#ifdef CONFIG_DEBUG_LOCK_ALLOC
#define RELEASED(lock) GIVEN(lock)
#else
#define RELEASED(lock) ((void)0)
#endif
static void spin_give(raw_spinlock_t *lock) {
  if (!arch_spin_is_locked(&lock->raw_lock))
    hosted_fail(HOSTED_LOCKING, "spin_unlock of a lock that is free");
  RELEASED(lock);
  TELL(unlock, lock, HOSTED_NAME(lock), 0);
  arch_spin_unlock(&lock->raw_lock);
  preempt_enable_no_resched();
}
static void read_give(rwlock_t *lock) {
  RELEASED(lock);
  TELL(unlock, lock, HOSTED_NAME(lock), HOSTED_LOCK_SHARED);
  arch_read_unlock(&lock->raw_lock);
  preempt_enable_no_resched();
}
static void write_give(rwlock_t *lock) {
  RELEASED(lock);
  TELL(unlock, lock, HOSTED_NAME(lock), 0);
  arch_write_unlock(&lock->raw_lock);
  preempt_enable_no_resched();
}
void _raw_spin_unlock_irqrestore(raw_spinlock_t *lock, unsigned long flags) { spin_give(lock); }
void _raw_spin_unlock_bh(raw_spinlock_t *lock) { spin_give(lock); }
void _raw_read_unlock_irqrestore(rwlock_t *lock, unsigned long flags) { read_give(lock); }
#ifndef _raw_spin_unlock
void _raw_spin_unlock(raw_spinlock_t *lock) { spin_give(lock); }
#endif
#ifndef _raw_spin_unlock_irq
void _raw_spin_unlock_irq(raw_spinlock_t *lock) { spin_give(lock); }
#endif
#ifndef _raw_read_unlock
void _raw_read_unlock(rwlock_t *lock) { read_give(lock); }
#endif
#ifndef _raw_write_unlock
void _raw_write_unlock(rwlock_t *lock) { write_give(lock); }
#endif
#ifndef _raw_write_unlock_irq
void _raw_write_unlock_irq(rwlock_t *lock) { write_give(lock); }
#endif
void queued_spin_lock_slowpath(struct qspinlock *lock, u32 value) { hosted_wait("spin_lock", lock); }
void queued_read_lock_slowpath(struct qrwlock *lock) { hosted_wait("read_lock", lock); }
void queued_write_lock_slowpath(struct qrwlock *lock) { hosted_wait("write_lock", lock); }

/* Where others do run, need_resched() is answered by that. */
#ifdef HOSTED_SCHEDULE
extern struct task_struct *hosted_current(void);
#define HOSTED_RESCHEDULED() clear_tsk_need_resched(hosted_current())
#else
#define HOSTED_RESCHEDULED() ((void)0)
#endif
/* A contended lock is dropped and taken again: another thread may have run. */
int __cond_resched(void) {
  hosted_rcu_quiet();
  return 0;
}
int __cond_resched_rwlock_read(rwlock_t *lock) {
  HOSTED_RESCHEDULED();
  read_unlock(lock);
  hosted_rcu_quiet();
  read_lock(lock);
  return 1;
}
int __cond_resched_rwlock_write(rwlock_t *lock) {
  HOSTED_RESCHEDULED();
  write_unlock(lock);
  hosted_rcu_quiet();
  write_lock(lock);
  return 1;
}

static void mutex_take(struct mutex *lock) {
  hosted_may_sleep("mutex_lock");
  TELL(lock, lock, HOSTED_NAME(lock), HOSTED_LOCK_SLEEPS);
  while (atomic_long_cmpxchg(&lock->owner, 0, 1)) hosted_wait("mutex_lock", lock);
  TAKEN(lock, 0);
}
#undef mutex_lock
#undef mutex_lock_killable
#ifdef CONFIG_DEBUG_LOCK_ALLOC
void mutex_lock_nested(struct mutex *lock, unsigned subclass) { mutex_take(lock); }
#ifdef mutex_lock_killable_nested
int _mutex_lock_killable(struct mutex *lock, unsigned subclass, struct lockdep_map *nest) {
#else
int mutex_lock_killable_nested(struct mutex *lock, unsigned subclass) {
#endif
  mutex_take(lock);
  return 0;
}
#else
void mutex_lock(struct mutex *lock) { mutex_take(lock); }
int mutex_lock_killable(struct mutex *lock) {
  mutex_take(lock);
  return 0;
}
#endif
void mutex_unlock(struct mutex *lock) {
  if (!atomic_long_read(&lock->owner))
    hosted_fail(HOSTED_LOCKING, "mutex_unlock of a mutex that is free");
  GIVEN(lock);
  TELL(unlock, lock, HOSTED_NAME(lock), HOSTED_LOCK_SLEEPS);
  atomic_long_set(&lock->owner, 0);
  hosted_rcu_quiet();
}
bool mutex_is_locked(struct mutex *lock) { return atomic_long_read(&lock->owner) != 0; }

static void semaphore_init(struct rw_semaphore *lock) { atomic_long_set(&lock->count, 0); }
void __init_rwsem(struct rw_semaphore *lock, const char *name, struct lock_class_key *key) {
  semaphore_init(lock);
#ifdef CONFIG_DEBUG_LOCK_ALLOC
  lockdep_init_map_type(&lock->dep_map, name, key, 0, 0, 0, 0);
#endif
}
/* Readers count up by one; a writer is -1. */
void down_read(struct rw_semaphore *lock) {
  hosted_may_sleep("down_read");
  TELL(lock, lock, HOSTED_NAME(lock), HOSTED_LOCK_SLEEPS | HOSTED_LOCK_SHARED);
  while (atomic_long_read(&lock->count) < 0) hosted_wait("down_read", lock);
  atomic_long_inc(&lock->count);
  TAKEN(lock, 1);
}
void down_write(struct rw_semaphore *lock) {
  hosted_may_sleep("down_write");
  TELL(lock, lock, HOSTED_NAME(lock), HOSTED_LOCK_SLEEPS);
  while (atomic_long_read(&lock->count)) hosted_wait("down_write", lock);
  atomic_long_set(&lock->count, -1);
  TAKEN(lock, 0);
}
void up_read(struct rw_semaphore *lock) {
  if (atomic_long_read(&lock->count) <= 0)
    hosted_fail(HOSTED_LOCKING, "up_read of a semaphore without readers");
  GIVEN(lock);
  TELL(unlock, lock, HOSTED_NAME(lock), HOSTED_LOCK_SLEEPS | HOSTED_LOCK_SHARED);
  atomic_long_dec(&lock->count);
}
void up_write(struct rw_semaphore *lock) {
  if (atomic_long_read(&lock->count) != -1)
    hosted_fail(HOSTED_LOCKING, "up_write of a semaphore without a writer");
  GIVEN(lock);
  TELL(unlock, lock, HOSTED_NAME(lock), HOSTED_LOCK_SLEEPS);
  atomic_long_set(&lock->count, 0);
}
