/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RCU and SRCU. Callbacks wait as long as they may, until somebody waits for a grace
 * period or the process says that one has passed: who used freed memory in a section
 * that he did not enter is found so. Or they run as early as they may: so is who uses
 * it after the section.
 */
#include <linux/rcupdate.h>
#include <linux/srcu.h>
#include <asm/processor-flags.h>
#include "shim.h"
#include "schedule.h"

unsigned long long hosted_rcu_pending;
int hosted_srcu_nesting;
__visible unsigned long hosted_count_callbacks_of_RCU_run_early;
__visible unsigned long hosted_count_callbacks_of_RCU_run_late;
static int early, running;
extern unsigned long hosted_flags;

struct queue {
  struct rcu_head *first, **last;
};
static struct queue callbacks = {NULL, &callbacks.first};     /* of RCU */
static struct queue frees = {NULL, &frees.first};             /* func is what to free */

/* SRCU: readers of each structure by index, and what waits for them. */
#define DOMAINS 64
static struct {
  const struct srcu_struct *domain;
  int readers[2];
  int index;
  struct queue callbacks;
} domains[DOMAINS];

static void append(struct queue *queue, struct rcu_head *head, void *function) {
  head->func = function;
  head->next = NULL;
  *queue->last = head;
  queue->last = &head->next;
  ++hosted_rcu_pending;
}
static struct rcu_head *take(struct queue *queue) {
  struct rcu_head *head = queue->first;
  if (!head) return NULL;
  queue->first = head->next;
  if (!queue->first) queue->last = &queue->first;
  --hosted_rcu_pending;
  return head;
}

static int domain(const struct srcu_struct *wanted) {
  int at;
  for (at = 0; at < DOMAINS; ++at)
    if (domains[at].domain == wanted) return at;
  hosted_fail(HOSTED_BUG, "SRCU structure %px was never initialised", wanted);
}

/* As a softirq and SRCU's work do: what runs must not sleep. */
static void run(struct queue *queue, unsigned long *count) {
  struct rcu_head *head;
  preempt_disable();
  while ((head = take(queue))) {
    ++*count;
    if (queue == &frees)
      hosted_kvfree((void *)head->func);
    else
      head->func(head);
  }
  preempt_enable_no_resched();
}
static void run_srcu(int at, unsigned long *count) {
  if (!domains[at].domain || !domains[at].callbacks.first) return;
  if (!domains[at].readers[0] && !domains[at].readers[1]) run(&domains[at].callbacks, count);
}
static void run_rcu(unsigned long *count) {
  if (!hosted_rcu_pending || running) return;
  running = 1;
  run(&callbacks, count);
  run(&frees, count);
  running = 0;
}
static void run_all(unsigned long *count) {
  int at;
  if (!hosted_rcu_pending || running) return;
  run_rcu(count);
  running = 1;
  for (at = 0; at < DOMAINS; ++at) run_srcu(at, count);
  running = 0;
}
void hosted_rcu_run(void) { run_all(&hosted_count_callbacks_of_RCU_run_late); }
void hosted_rcu_hurry(int on) { early = on; }

/* `own`: of the count of preemption, what the caller gives back at once. A spin lock
 * counts too: its holder is a reader. */
static void quiet(int own) {
  if (likely(!hosted_rcu_pending) || !early || SCHEDULED) return;
  if (preempt_count() != own || !(hosted_flags & X86_EFLAGS_IF)) return;
  run_all(&hosted_count_callbacks_of_RCU_run_early);
}
void hosted_rcu_quiet(void) { quiet(0); }
/* RCU_STRICT_GRACE_PERIOD calls it at the end of each section. */
void rcu_read_unlock_strict(void) { quiet(1); }

void call_rcu(struct rcu_head *head, rcu_callback_t function) {
  append(&callbacks, head, function);
  quiet(0);
}
#ifdef HOSTED_KVFREE_POINTER
void kvfree_call_rcu(struct rcu_head *head, void *object) {
  append(&frees, head, object);
  quiet(0);
}
#else
/* The function is the offset of the head in the object. */
void kvfree_call_rcu(struct rcu_head *head, rcu_callback_t function) {
  append(&frees, head, (char *)head - (unsigned long)function);
  quiet(0);
}
#endif
void call_srcu(struct srcu_struct *srcu, struct rcu_head *head, rcu_callback_t function) {
  append(&domains[domain(srcu)].callbacks, head, function);
  quiet(0);
}
#ifdef HOSTED_SCHEDULE
/* Wait for a grace period, then run what waits for it since before. */
void hosted_rcu_grace(void) {
  struct rcu_head *head, *next;
  struct rcu_head *called = callbacks.first, *freed = frees.first;
  callbacks.first = frees.first = NULL;
  callbacks.last = &callbacks.first;
  frees.last = &frees.first;
  TELL(synchronize, NULL, "rcu");
  for (head = called; head; head = next) {
    next = head->next;
    --hosted_rcu_pending;
    head->func(head);
  }
  for (head = freed; head; head = next) {
    next = head->next;
    --hosted_rcu_pending;
    hosted_kvfree((void *)head->func);
  }
}
#endif
void srcu_barrier(struct srcu_struct *srcu) {
  int at = domain(srcu);
  run_srcu(at, &hosted_count_callbacks_of_RCU_run_late);
  if (domains[at].callbacks.first) hosted_wait("srcu_barrier", srcu);
}

void synchronize_rcu(void) {
  hosted_may_sleep("synchronize_rcu");
#ifdef HOSTED_SCHEDULE
  if (SCHEDULED) {
    hosted_rcu_grace();
    return;
  }
#endif
  /* Nothing of SRCU: who needs that waits for it. */
  run_rcu(&hosted_count_callbacks_of_RCU_run_late);
}
void rcu_barrier(void) { synchronize_rcu(); }

static int open_domain(struct srcu_struct *srcu) {
  int at;
  /* The kernel's allocates per-CPU memory. */
  if (hosted_host.should_fail(hosted_host.context, HOSTED_SLAB,
                              (unsigned long)__builtin_return_address(0)))
    return -ENOMEM;
  for (at = 0; at < DOMAINS; ++at) {
    if (domains[at].domain) continue;
    domains[at].domain = srcu;
    domains[at].readers[0] = domains[at].readers[1] = domains[at].index = 0;
    domains[at].callbacks.first = NULL;
    domains[at].callbacks.last = &domains[at].callbacks.first;
    return 0;
  }
  return -ENOMEM;
}

#ifdef CONFIG_DEBUG_LOCK_ALLOC
int __init_srcu_struct(struct srcu_struct *srcu, const char *name, struct lock_class_key *key) {
  srcu->dep_map.name = name;
  return open_domain(srcu);
}
#else
int init_srcu_struct(struct srcu_struct *srcu) { return open_domain(srcu); }
#endif

void cleanup_srcu_struct(struct srcu_struct *srcu) {
  int at = domain(srcu);
  if (domains[at].readers[0] || domains[at].readers[1])
    hosted_fail(HOSTED_LOCKING, "SRCU structure cleaned up with readers inside");
  if (domains[at].callbacks.first)
    hosted_fail(HOSTED_LOCKING, "SRCU structure cleaned up with callbacks that nobody waits for");
  domains[at].domain = NULL;
}

int __srcu_read_lock(struct srcu_struct *srcu) {
  int at = domain(srcu), index;
  TELL(enter, srcu, "srcu");
  index = domains[at].index;
  ++domains[at].readers[index];
  ++hosted_srcu_nesting;
  return index;
}

void __srcu_read_unlock(struct srcu_struct *srcu, int index) {
  int at = domain(srcu);
  if (index < 0 || index > 1 || !domains[at].readers[index])
    hosted_fail(HOSTED_LOCKING, "srcu_read_unlock without srcu_read_lock");
  TELL(leave, srcu, "srcu");
  --domains[at].readers[index];
  --hosted_srcu_nesting;
  quiet(0);
}

void synchronize_srcu(struct srcu_struct *srcu) {
  int at = domain(srcu), index = domains[at].index;
  hosted_may_sleep("synchronize_srcu");
  if (SCHEDULED) {
    TELL(synchronize, srcu, "srcu");
    return;
  }
  domains[at].index = !index;
  while (domains[at].readers[index]) hosted_wait("synchronize_srcu", srcu);
}
void synchronize_srcu_expedited(struct srcu_struct *srcu) { synchronize_srcu(srcu); }
