/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The boundary of images whose schedule somebody controls (the flavours
 * asan+schedule and tsan): what the kernel is about to do, told before it does
 * it, and what belongs to one CPU. Plain C, as hw/hosted/boundary.h.
 *
 * Fibers of one thread run in the image, each of them one CPU. The kernel calls
 * the process at every place where another CPU may run; when such a call comes
 * back, the process has put the state of the caller's CPU where it was.
 */
#ifndef LOCKSTEP_HW_HOSTED_BOUNDARY_SCHEDULE_H
#define LOCKSTEP_HW_HOSTED_BOUNDARY_SCHEDULE_H

#ifdef __cplusplus
extern "C" {
#endif

/* CPUs of a scheduled image. CPU 0 sets up and takes down. */
#define HOSTED_CPUS 8u

/* How a lock is taken. */
#define HOSTED_LOCK_SLEEPS 1u /* a mutex or semaphore: who waits sleeps */
#define HOSTED_LOCK_SHARED 2u

/* How memory is accessed. */
#define HOSTED_ACCESS_READ 1u
#define HOSTED_ACCESS_WRITE 2u
#define HOSTED_ACCESS_MARKED 4u /* READ_ONCE(), WRITE_ONCE(), or an atomic operation */
#define HOSTED_ACCESS_TABLE 8u  /* an entry of a page table */

struct hosted_schedule {
  void* context;
  /* Objects of the process' that the kernel may use: `bytes` from `base`; one
   * byte of `state` for each 8 of them: how many of these belong to a live
   * object, or HOSTED_STATE_FREED. */
  unsigned long long base, bytes;
  const unsigned char* state;

  /* `name` is static text, or null. Lock returns when it can be held. */
  void (*lock)(void* context, const void* lock, const char* name, unsigned how);
  void (*unlock)(void* context, const void* lock, const char* name, unsigned how);
  /* `address` is of the kernel, `ip` of its code. */
  void (*access)(void* context, const void* address, unsigned bytes, unsigned how,
                 unsigned long long ip);
  void (*allocate)(void* context, int may_sleep);
  /* A section of RCU (null domain) or SRCU begins and ends; every section that has
   * begun is waited for. */
  void (*enter)(void* context, const void* domain, const char* name);
  void (*leave)(void* context, const void* domain, const char* name);
  void (*synchronize)(void* context, const void* domain, const char* name);
  /* From `prepare` on a wake is not lost. */
  void (*prepare)(void* context, const void* event, const char* name);
  void (*wait)(void* context, const void* event, const char* name);
  void (*wake)(void* context, const void* event, const char* name);
  /* Run the function on another CPU as its interrupt, when that CPU takes it. */
  void (*interrupt)(void* context, unsigned cpu, void (*function)(void*), void* argument);
  /* This CPU takes interrupts again. Only asked for while somebody waits. */
  void (*interrupts_on)(void* context);
};

#define HOSTED_STATE_FREED 0xffu

/* What an image offers to whoever schedules it: hosted_image.scheduling. */
struct hosted_scheduling {
  /* From here on this is told; null: nobody listens. */
  void (*listen)(const struct hosted_schedule* who);
  /* Memory whose contents belong to the CPU that runs. */
  void* cpu_begin;
  void* cpu_end;
  /* Of each CPU: bytes from there to where its own memory stands now, as __per_cpu_offset
   * has them: 0 for the CPU that runs. The process writes them. Accesses to another CPU's
   * memory are not told, and a lock there has another name for its owner: no such lock is
   * in what KVM does here (posted interrupts have one). */
  unsigned long* offsets;
  /* In it: the flags register. Interrupts are taken if bit 9 is set and bit 32, which
   * CLGI sets, is clear. */
  const unsigned long* flags;
  /* Nonzero while some CPU waits for another one to take interrupts. */
  int* interrupts_awaited;
  /* What the CPU's memory says becomes that of this CPU, with a task of its own. */
  void (*become)(unsigned cpu);
  /* Run the callbacks that wait for the end of a grace period. */
  void (*grace)(void);
};

#ifdef __cplusplus
}
#endif
#endif
