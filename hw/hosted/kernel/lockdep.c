/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a kernel with PROVE_LOCKING asks of lockdep: which locks are held, in
 * which order classes were ever taken, and whether sleeping is allowed now. Each
 * CPU has one stack of held locks; every answer that lockdep would print is fatal.
 */
#include <linux/lockdep.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include "shim.h"
#include "schedule.h"

#ifdef CONFIG_PROVE_LOCKING

int debug_locks = 1, debug_locks_silent, oops_in_progress;
struct lockdep_map rcu_lock_map = {.name = "rcu_read_lock"};
struct lockdep_map rcu_sched_lock_map = {.name = "rcu_read_lock_sched"};
struct lockdep_map rcu_bh_lock_map = {.name = "rcu_read_lock_bh"};
struct lockdep_map rcu_callback_map = {.name = "rcu_callback"};
DEFINE_PER_CPU(int, hardirqs_enabled) = 1;
DEFINE_PER_CPU(int, hardirq_context);
DEFINE_PER_CPU(unsigned int, lockdep_recursion);

#define HELD 48
#define CLASSES 256
static HOSTED_OF_CPU struct {
  const struct lockdep_map *map;
  int shared, class;
} held[HELD];
static HOSTED_OF_CPU int depth;
static struct {
  const void *key;
  const char *name;
} classes[CLASSES];
static int class_count;
/* after[a] has bit b: b was taken while a was held. */
static unsigned long after[CLASSES][CLASSES / 64];

static int class_of(const struct lockdep_map *map, unsigned subclass) {
  const void *key = map->key ? (const char *)map->key + subclass : (const void *)map;
  int at;
  for (at = 0; at < class_count; ++at)
    if (classes[at].key == key) return at;
  if (class_count == CLASSES) return -1;
  classes[class_count].key = key;
  classes[class_count].name = map->name;
  return class_count++;
}

static int reaches(int from, int to, unsigned char *seen) {
  int next;
  if (from == to) return 1;
  seen[from] = 1;
  for (next = 0; next < class_count; ++next)
    if ((after[from][next / 64] >> (next % 64) & 1) && !seen[next] && reaches(next, to, seen))
      return 1;
  return 0;
}

void lockdep_init_map_type(struct lockdep_map *map, const char *name, struct lock_class_key *key,
                           int subclass, u8 inner, u8 outer, u8 type) {
  map->name = name;
  map->key = key;
  map->wait_type_inner = inner;
  map->wait_type_outer = outer;
  map->lock_type = type;
}

void lock_acquire(struct lockdep_map *map, unsigned int subclass, int try, int read, int check,
                  struct lockdep_map *nest, unsigned long ip) {
  int class, at;
  if (map == &rcu_lock_map) TELL(enter, NULL, "rcu");
  if (depth == HELD) hosted_fail(HOSTED_LOCKING, "more than %d locks held", HELD);
  class = check ? class_of(map, subclass) : -1;
  for (at = 0; class >= 0 && !try && !nest && at < depth; ++at) {
    unsigned char seen[CLASSES] = {0};
    int other = held[at].class;
    if (other < 0) continue;
    if (other == class) {
      if (read == 2 && held[at].shared) continue;
      hosted_fail(HOSTED_LOCKING, "%s is taken while a lock of its class is held", map->name);
    }
    if (after[other][class / 64] >> (class % 64) & 1) continue;
    if (reaches(class, other, seen))
      hosted_fail(HOSTED_LOCKING, "lock order: %s is taken while %s is held, elsewhere the other way",
                  map->name, classes[other].name);
    after[other][class / 64] |= 1ul << (class % 64);
  }
  held[depth].map = map;
  held[depth].shared = read;
  held[depth++].class = class;
  if (check) ++hosted_locks_held;
}

void lock_release(struct lockdep_map *map, unsigned long ip) {
  int at;
  if (map == &rcu_lock_map) TELL(leave, NULL, "rcu");
  for (at = depth - 1; at >= 0; --at) {
    if (held[at].map != map) continue;
    if (held[at].class >= 0) --hosted_locks_held;
    for (; at + 1 < depth; ++at) held[at] = held[at + 1];
    --depth;
    return;
  }
  hosted_fail(HOSTED_LOCKING, "release of %s, which is not held", map->name);
}

int lock_is_held_type(const struct lockdep_map *map, int read) {
  int at;
  for (at = 0; at < depth; ++at)
    if (held[at].map == map && (read < 0 || !!held[at].shared == !!read)) return 1;
  return 0;
}

/* The lock that was taken as number `at`; null behind the last. */
const char *hosted_held_lock(int at, int *shared) {
  if (at >= depth) return NULL;
  *shared = held[at].shared;
  return held[at].map->name;
}

void lockdep_rcu_suspicious(const char *file, const int line, const char *text) {
  hosted_fail(HOSTED_LOCKING, "suspicious RCU usage at %s:%d: %s", file, line, text);
}
int debug_lockdep_rcu_enabled(void) { return 1; }
int debug_locks_off(void) { return 0; }
int rcu_read_lock_held(void) { return lock_is_held_type(&rcu_lock_map, -1); }
int rcu_read_lock_bh_held(void) { return 0; }
int rcu_read_lock_any_held(void) { return rcu_read_lock_held() || preempt_count(); }
bool rcu_is_watching(void) { return true; }
int rcu_scheduler_active = 1;

/* ---- sleeping */
/* The count of preemption apart. */
static void must_not_be_atomic_otherwise(const char *what, const char *file, int line) {
  if (!*(int *)&hardirqs_enabled)
    hosted_fail(HOSTED_LOCKING, "%s with interrupts off at %s:%d", what, file, line);
  if (hosted_must_not_block)
    hosted_fail(HOSTED_LOCKING, "%s in a notifier that must not block, at %s:%d", what, file, line);
}
static void sleeping(const char *what, const char *file, int line) {
  if (preempt_count())
    hosted_fail(HOSTED_LOCKING, "%s while atomic at %s:%d (%s)", what, file, line,
                depth ? held[depth - 1].map->name : "preemption off");
  must_not_be_atomic_otherwise(what, file, line);
}
void __might_sleep(const char *file, int line) { sleeping("sleeping function", file, line); }
void __might_resched(const char *file, int line, unsigned int offsets) {
  if (preempt_count() > (int)(offsets & 0xff))
    sleeping("rescheduling function", file, line);
  must_not_be_atomic_otherwise("rescheduling function", file, line);
}
void __might_fault(const char *file, int line) { sleeping("user access that may sleep", file, line); }

/* ---- interrupts are a flag that lockdep follows */
static void interrupts(int on) { *(int *)&hardirqs_enabled = on; }
void lockdep_hardirqs_on(unsigned long ip) { interrupts(1); }
void lockdep_hardirqs_off(unsigned long ip) { interrupts(0); }
void trace_hardirqs_on(void) { interrupts(1); }
void trace_hardirqs_off(void) { interrupts(0); }
void trace_hardirqs_off_finish(void) { interrupts(0); }

/* ---- lock initialisers of debug kernels */
void __raw_spin_lock_init(raw_spinlock_t *lock, const char *name, struct lock_class_key *key,
                          short inner) {
  lock->raw_lock = (arch_spinlock_t)__ARCH_SPIN_LOCK_UNLOCKED;
  lockdep_init_map_type(&lock->dep_map, name, key, 0, (u8)inner, 0, 0);
}
void __rwlock_init(rwlock_t *lock, const char *name, struct lock_class_key *key) {
  lock->raw_lock = (arch_rwlock_t)__ARCH_RW_LOCK_UNLOCKED;
  lockdep_init_map_type(&lock->dep_map, name, key, 0, LD_WAIT_CONFIG, 0, 0);
}
#endif
