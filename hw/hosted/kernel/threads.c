/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads of the kernel, such as the NX huge page recovery worker: each has a
 * stack of its own and runs when asked, until it waits.
 */
#include <linux/completion.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include "shim.h"
#include "schedule.h"

#define STACK_BYTES (64 << 10)
#define THREADS 16

struct thread {
  struct task_struct *task;
  void *stack, *resume; /* saved stack pointer; null while it runs */
  int (*function)(void *);
  void *argument;
  int used, parked, stop, done, result, on; /* on: some CPU runs it */
};
static struct thread threads[THREADS];
static HOSTED_OF_CPU struct thread *running;
static HOSTED_OF_CPU void *caller_stack;
extern struct task_struct *hosted_current(void);
extern void hosted_set_current(struct task_struct *task);
static HOSTED_OF_CPU struct task_struct *main_task;

/* Save callee-saved registers, store the stack pointer, load the other one. */
asm(".text\n.globl hosted_switch\nhosted_switch:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp, (%rdi)\nmov %rsi, %rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n");
extern void hosted_switch(void **save, void *load);

/* Who runs a thread sees what it did when another CPU ran it. */
static void hand_over(struct thread *thread) {
#ifdef HOSTED_RACES
  const struct hosted_schedule *who = hosted_schedule;
  if (who)
    who->access(who->context, &thread->on, sizeof(thread->on),
                HOSTED_ACCESS_READ | HOSTED_ACCESS_WRITE | HOSTED_ACCESS_MARKED, 0);
#endif
}

static void leave(void) {
  struct thread *self = running;
  hand_over(self);
  running = NULL;
  self->on = 0;
  hosted_set_current(main_task);
  hosted_switch(&self->resume, caller_stack);
}
static void enter(struct thread *thread) {
  thread->on = 1;
  hand_over(thread);
  main_task = hosted_current();
  running = thread;
  hosted_set_current(thread->task);
  hosted_system_call();
  hosted_switch(&caller_stack, thread->resume);
}
static void first_function(void) {
  struct thread *self = running;
  self->result = self->function(self->argument);
  self->done = 1;
  leave();
  __builtin_unreachable();
}

void hosted_threads_start(void) {
  memset(threads, 0, sizeof(threads));
  running = NULL;
}

struct task_struct *hosted_thread_new(int (*function)(void *), void *argument) {
  int at;
  void **top;
  for (at = 0; at < THREADS; ++at) {
    struct thread *thread = &threads[at];
    if (thread->used) continue;
    if (hosted_host.should_fail(hosted_host.context, HOSTED_VMALLOC,
                                (unsigned long)__builtin_return_address(0)))
      return ERR_PTR(-ENOMEM);
    if (!thread->stack) {
      thread->stack = hosted_host.allocate(hosted_host.context, STACK_BYTES, 4096, HOSTED_OF_SHIM);
      thread->task = hosted_host.allocate(hosted_host.context, sizeof(struct task_struct), 64, HOSTED_OF_SHIM);
    }
    memset(thread->task, 0, sizeof(*thread->task));
    refcount_set(&thread->task->usage, 1);
    thread->used = 1;
    thread->parked = thread->stop = thread->done = 0;
    thread->function = function;
    thread->argument = argument;
    top = (void **)((char *)thread->stack + STACK_BYTES - 64);
    *top = (void *)HOSTED_STACK_END;
    *--top = NULL; /* return address of first_function, keeps the alignment */
    *--top = (void *)first_function;
    top -= 6;
    memset(top, 0, 6 * sizeof(*top));
    thread->resume = top;
    thread->task->real_parent = hosted_current();
    return thread->task;
  }
  return ERR_PTR(-ENOMEM);
}
struct task_struct *kthread_create_on_node(int (*function)(void *), void *argument, int node,
                                           const char name[], ...) {
  return hosted_thread_new(function, argument);
}

static struct thread *thread_of(struct task_struct *task) {
  int at;
  for (at = 0; at < THREADS; ++at)
    if (threads[at].used && threads[at].task == task) return &threads[at];
  return NULL;
}
int wake_up_process(struct task_struct *task) {
  struct thread *thread = thread_of(task);
  if (!thread && SCHEDULED) {
    WRITE_ONCE(task->__state, TASK_RUNNING);
    TELL(wake, task, "task");
    return 1;
  }
  if (!thread || thread->on || thread->done || thread->parked) return 0;
  if (!running) enter(thread);
  return 1;
}
int kthread_park(struct task_struct *task) {
  struct thread *thread = thread_of(task);
  if (thread) thread->parked = 1;
  return 0;
}
void kthread_parkme(void) {
  while (running && running->parked) leave();
}
void kthread_unpark(struct task_struct *task) {
  struct thread *thread = thread_of(task);
  if (!thread) return;
  thread->parked = 0;
  if (!running && !thread->done) enter(thread);
}
bool kthread_should_stop(void) { return running && running->stop; }
bool kthread_should_park(void) { return running && running->parked; }
int kthread_stop(struct task_struct *task) {
  struct thread *thread = thread_of(task);
  int rounds;
  if (!thread) hosted_fail(HOSTED_BUG, "kthread_stop of a thread that does not exist");
  thread->stop = 1;
  thread->parked = 0;
  for (rounds = 0; !thread->done; ++rounds) {
    if (rounds > 1000) hosted_fail(HOSTED_STUCK, "a kernel thread does not stop");
    enter(thread);
  }
  thread->used = 0;
  return thread->result;
}
__visible unsigned long hosted_calls___put_task_struct;
/* Tasks of threads are the shim's memory; the user's outlives every VM. */
void __put_task_struct(struct task_struct *task) {
  int at;
  ++hosted_calls___put_task_struct;
  for (at = 0; at < THREADS; ++at)
    if (threads[at].task == task) return;
  hosted_fail(HOSTED_MEMORY, "the user's task lost its last reference");
}

void complete(struct completion *done) { ++done->done; }
void wait_for_completion(struct completion *done) {
  int at, rounds;
  for (rounds = 0; !done->done; ++rounds) {
    if (rounds > 1000) hosted_wait("wait_for_completion", done);
    for (at = 0; at < THREADS && !done->done; ++at)
      if (threads[at].used && !threads[at].done && &threads[at] != running) enter(&threads[at]);
  }
  --done->done;
}
/* Until somebody makes the task of this CPU run again. */
static void sleep(void) {
  struct task_struct *me = hosted_current();
  while (READ_ONCE(me->__state) != TASK_RUNNING) {
    TELL(prepare, me, "task");
    if (READ_ONCE(me->__state) == TASK_RUNNING) break;
    TELL(wait, me, "task");
  }
}
asmlinkage __visible void schedule(void) {
  if (!running && SCHEDULED) return sleep();
  if (!running) hosted_wait("schedule", NULL);
  leave();
}
signed long schedule_timeout(signed long timeout) {
  schedule();
  if (timeout > 0 && timeout < MAX_SCHEDULE_TIMEOUT) jiffies += timeout;
  return 0;
}

/* ---- tasks of the vhost kind, which carry KVM's worker since 6.14 (and in
 * stable trees before): call the function until it has nothing to do. */
struct vhost_task {
  bool (*function)(void *);
  void *argument;
  struct task_struct *task;
};
static int vhost_loop(void *argument) {
  struct vhost_task *vhost = argument;
  while (!running->stop)
    if (!vhost->function(vhost->argument)) leave();
  return 0;
}
struct vhost_task *vhost_task_create(bool (*function)(void *), void (*handle_kill)(void *),
                                     void *argument, const char *name) {
  struct vhost_task *vhost = hosted_object(sizeof(*vhost), 1, HOSTED_SLAB,
                                           (unsigned long)__builtin_return_address(0));
  if (!vhost) return ERR_PTR(-ENOMEM);
  vhost->function = function;
  vhost->argument = argument;
  vhost->task = hosted_thread_new(vhost_loop, vhost);
  if (IS_ERR(vhost->task)) {
    hosted_release(vhost);
    return ERR_PTR(-ENOMEM);
  }
  thread_of(vhost->task)->parked = 1;
  return vhost;
}
void vhost_task_start(struct vhost_task *vhost) { kthread_unpark(vhost->task); }
void vhost_task_wake(struct vhost_task *vhost) { wake_up_process(vhost->task); }
void vhost_task_stop(struct vhost_task *vhost) {
  kthread_stop(vhost->task);
  hosted_release(vhost);
}

int hosted_threads_run(void) {
  int at, ran = 0;
  for (at = 0; at < THREADS; ++at) {
    if (!threads[at].used || threads[at].done || threads[at].parked || threads[at].on)
      continue;
    enter(&threads[at]);
    ++ran;
  }
  return ran;
}
