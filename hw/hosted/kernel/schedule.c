/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accesses of kernel code, as -fsanitize=thread and the headers for the kernel's race
 * detector announce them: is the memory alive, and may another CPU run here?
 */
#include <linux/kernel.h>
#include <linux/kvm_host.h>
#include <linux/mm.h>
#include <linux/smp.h>
#include "shim.h"
#include "schedule.h"

#ifdef HOSTED_SCHEDULE

const struct hosted_schedule *hosted_schedule;
__visible int hosted_interrupts_awaited;
extern unsigned long hosted_flags;
extern char __start_hosted_percpu[], __stop_hosted_percpu[], etext[], _end[];

static void listen(const struct hosted_schedule *who) {
  unsigned cpu;
  hosted_schedule = who;
  if (!who) return;
  nr_cpu_ids = HOSTED_CPUS;
  for (cpu = 0; cpu < HOSTED_CPUS; ++cpu) {
    cpumask_set_cpu(cpu, &__cpu_possible_mask);
    cpumask_set_cpu(cpu, &__cpu_present_mask);
    cpumask_set_cpu(cpu, &__cpu_online_mask);
  }
}

const struct hosted_scheduling hosted_scheduling = {
    .listen = listen,
    .cpu_begin = __start_hosted_percpu,
    .cpu_end = __stop_hosted_percpu,
    .offsets = __per_cpu_offset,
    .flags = &hosted_flags,
    .interrupts_awaited = &hosted_interrupts_awaited,
    .become = hosted_become,
    .grace = hosted_rcu_grace,
};

/* Called between any two instructions of the kernel: every register stays. */
__visible __attribute__((no_caller_saved_registers, force_align_arg_pointer)) void
hosted_interrupts_on(void) {
  if (hosted_schedule) hosted_schedule->interrupts_on(hosted_schedule->context);
}

/* ---- accesses */
#define MARKED HOSTED_ACCESS_MARKED
#define READ HOSTED_ACCESS_READ
#define WRITE HOSTED_ACCESS_WRITE

/* Depth of data_race() and such: accesses that are meant to race. */
static HOSTED_OF_CPU int racing;

static noinline void bad(unsigned how, const char *what, unsigned long ip) {
  char text[96];
  const char *verb = how & WRITE ? "write to" : "read of";
  snprintf(text, sizeof(text), "%s %s", verb, what);
  hosted_host.finding(hosted_host.context, HOSTED_MEMORY, text, ip);
}

static noinline void in_page(unsigned long at, unsigned bytes, unsigned how, unsigned long ip) {
  unsigned long frame = (at - hosted_host.arena.base) >> PAGE_SHIFT;
  if (frame < hosted_host.arena.first_free) return;
  if (!hosted_page_may_be_used(frame)) bad(how, "a freed page", ip);
  /* Shadow pages know their descriptor by way of their table's. */
  if (page_private(virt_to_page((void *)at))) how |= HOSTED_ACCESS_TABLE;
#ifndef HOSTED_RACES
  if (!(how & (MARKED | HOSTED_ACCESS_TABLE))) return;
#endif
  hosted_schedule->access(hosted_schedule->context, (void *)at, bytes, how, ip);
}

static __always_inline int alive(const unsigned char *state, unsigned long at) {
  return state[at >> 3] <= 8 && (at & 7) < state[at >> 3];
}

static __always_inline void touch(const volatile void *address, unsigned bytes, unsigned how,
                                  unsigned long ip) {
  const struct hosted_schedule *who = hosted_schedule;
  unsigned long at = (unsigned long)address;
  if (!who) return;
  if (at - hosted_host.arena.base < hosted_host.arena.pages << PAGE_SHIFT) {
    in_page(at, bytes, how, ip);
    return;
  }
  if (at - who->base < who->bytes) {
    unsigned long first = at - who->base, last = first + bytes - 1;
    if (unlikely(!alive(who->state, first) || !alive(who->state, last)))
      bad(how, who->state[first >> 3] == HOSTED_STATE_FREED ? "a freed object"
                                                            : "memory beyond an object", ip);
    /* Descriptors of pages are read often, and nobody decides by what he reads. */
    if (at - vmemmap_base < hosted_host.arena.pages * sizeof(struct page)) return;
  } else if (at < (unsigned long)etext || at >= (unsigned long)_end ||
             at - (unsigned long)__start_hosted_percpu <
                 (unsigned long)(__stop_hosted_percpu - __start_hosted_percpu)) {
    return; /* the stack, or the CPU's own */
  } else if (!(how & WRITE)) {
    return; /* parameters, masks of CPUs, keys: written before anybody runs */
  }
#ifdef HOSTED_RACES
  if (racing && !(how & MARKED)) return;
#else
  if (!(how & MARKED)) return;
#endif
  who->access(who->context, (void *)at, bytes, how, ip);
}

#define CALLER ((unsigned long)__builtin_return_address(0))
#define ACCESS(bytes)                                                                    \
  void __tsan_read##bytes(void *at) { touch(at, bytes, READ, CALLER); }                  \
  void __tsan_write##bytes(void *at) { touch(at, bytes, WRITE, CALLER); }                \
  void __tsan_read_write##bytes(void *at) { touch(at, bytes, READ | WRITE, CALLER); }    \
  void __tsan_unaligned_read##bytes(void *at) { touch(at, bytes, READ, CALLER); }        \
  void __tsan_unaligned_write##bytes(void *at) { touch(at, bytes, WRITE, CALLER); }      \
  void __tsan_volatile_read##bytes(void *at) { touch(at, bytes, READ | MARKED, CALLER); } \
  void __tsan_volatile_write##bytes(void *at) { touch(at, bytes, WRITE | MARKED, CALLER); } \
  void __tsan_unaligned_volatile_read##bytes(void *at) {                                 \
    touch(at, bytes, READ | MARKED, CALLER);                                             \
  }                                                                                      \
  void __tsan_unaligned_volatile_write##bytes(void *at) {                                \
    touch(at, bytes, WRITE | MARKED, CALLER);                                            \
  }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)
void __tsan_read_range(void *at, unsigned long bytes) {
  if (bytes) touch(at, bytes, READ, CALLER);
}
void __tsan_write_range(void *at, unsigned long bytes) {
  if (bytes) touch(at, bytes, WRITE, CALLER);
}
void __tsan_init(void) {}
void __tsan_func_entry(void *caller) {}
void __tsan_func_exit(void) {}

/* Of atomic operations, which are assembler: bit 0 writes, bit 1 reads and writes, bit 2
 * is atomic, bit 3 only asserts. */
void __kcsan_check_access(const volatile void *at, size_t bytes, int type) {
  unsigned how = type & 2 ? READ | WRITE : type & 1 ? WRITE : READ;
  if (!bytes || (type & 8)) return;
  touch(at, bytes, type & 4 ? how | MARKED : how, CALLER);
}
void kcsan_disable_current(void) { ++racing; }
void kcsan_enable_current(void) { --racing; }
void kcsan_enable_current_nowarn(void) { --racing; }
void kcsan_nestable_atomic_begin(void) {}
void kcsan_nestable_atomic_end(void) {}
void kcsan_flat_atomic_begin(void) {}
void kcsan_flat_atomic_end(void) {}
void kcsan_atomic_next(int count) {}

#endif
