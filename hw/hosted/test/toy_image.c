/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An image that is no kernel: each ioctl does one thing that a kernel may do to
 * the process. For the tests of the loader, the host and the traps.
 */
#include "hw/hosted/boundary.h"
#include "hw/hosted/boundary_schedule.h"

struct import {
  const char *name;
  void *slot;
};

static void *(*volatile memset_slot)(void *, int, unsigned long);
static const struct import imports[] __attribute__((section("hosted_imports"), used)) = {
    {"memset", (void *)&memset_slot},
#ifdef TOY_MISSING
    {"toy_missing_one", (void *)&memset_slot},
    {"toy_missing_two", (void *)&memset_slot},
#endif
};

/* The linker makes these only if somebody asks for them. */
extern const struct import __start_hosted_imports[], __stop_hosted_imports[];
static const struct import *const table[] __attribute__((used)) = {__start_hosted_imports,
                                                                   __stop_hosted_imports};

/* What each CPU has of its own: a number, and its flags. */
static struct cpu_state {
  unsigned long number, flags;
} cpu_state = {0, 0x200};
static int awaited, shared_lock;
static volatile int shared_word;
static char said_once __attribute__((section("hosted_once")));
/* Sections of such names have these from the linker, if somebody asks. */
extern char __start_hosted_once[], __stop_hosted_once[];
static char *const once[] __attribute__((used)) = {__start_hosted_once, __stop_hosted_once};
static long interrupted = -1;
static const struct hosted_schedule *schedule;
static void listen(const struct hosted_schedule *who) { schedule = who; }
static void become(unsigned cpu) { cpu_state.number = cpu; }
static void grace(void) {}
static void handler(void *argument) {
  *(long *)argument = (long)cpu_state.number * 10 + (cpu_state.flags != 0);
}
static const struct hosted_host *host;
static void bad_handler(void *argument) {
  (void)argument;
  host->finding(host->context, HOSTED_BUG, "told in an interrupt", 0);
}
static long enter_guest(void *vm) {
  struct hosted_entry entry = {.format = HOSTED_FORMAT_NPT};
  struct hosted_exit exit = {0};
  host->run(host->context, vm, &entry, &exit);
  return exit.reason;
}
static void guest_handler(void *vm) { enter_guest(vm); }
static unsigned long offsets[HOSTED_CPUS];
static const struct hosted_scheduling scheduling = {
    .listen = listen,
    .cpu_begin = &cpu_state,
    .cpu_end = &cpu_state + 1,
    .offsets = offsets,
    .flags = &cpu_state.flags,
    .interrupts_awaited = &awaited,
    .become = become,
    .grace = grace,
};

/* Addresses where nothing is, from the linker. */
extern volatile long toy_absent_data[];
extern long toy_absent_call(void);

static long counter = 41;
static long zeroed[5000];

extern const char toy_warn_at[], toy_bug_at[], toy_get_at[], toy_get_on[];

static int start(const struct hosted_host *given) {
  host = given;
  return 0;
}
static int load(const struct hosted_parameters *parameters) { return parameters->tdp; }
static void unload(void) {}
static int open(void) { return 3; }

__attribute__((noinline)) long toy_warn(void) {
  __asm__ volatile("toy_warn_at: ud2");
  return 7;
}
__attribute__((noinline)) long toy_bug(void) {
  __asm__ volatile("toy_bug_at: ud2");
  return 0;
}
__attribute__((noinline)) long toy_get_user(unsigned long address) {
  long value = 0, error = 0;
  __asm__ volatile("toy_get_at: mov (%2), %0\ntoy_get_on:"
                   : "+r"(value), "+d"(error)
                   : "r"(address));
  return error ? error : value;
}
__attribute__((noinline)) long toy_bad_store(long *address) { return *address = 1; }
__attribute__((noinline)) long toy_bad_call(void *address) {
  memset_slot(address, 1, 8);
  return 1;
}

/* As the shim tells what it finds: with the address behind the call. */
__attribute__((noinline)) static long toy_tell(void) {
  host->finding(host->context, HOSTED_LOCKING, "told", (hosted_u64)__builtin_return_address(0));
  return 1;
}

static long ioctl(int file, unsigned command, unsigned long argument) {
  void *memory;
  switch (command) {
    case 1:
      return toy_warn();
    case 2:
      return toy_bug();
    case 3:
      return toy_bad_store((long *)argument);
    case 4:
      return toy_get_user(argument);
    case 5:
      return toy_bad_call((void *)argument);
    case 6:
      return ++counter + zeroed[4999]++;
    case 7:
      host->finding(host->context, (unsigned)argument, "told\n", (hosted_u64)&toy_bug);
      return 8;
    case 8:
      if (host->should_fail(host->context, HOSTED_SLAB, 0)) return -12;
      return host->allocate(host->context, argument, 64, 0) != 0;
    case 9:
      memory = host->allocate(host->context, 64, 64, 0);
      ((char *)memory)[-1] ^= 1; /* an underflow */
      host->release(host->context, memory);
      return 0;
    case 10: /* a guest of that VM */
      return enter_guest((void *)argument);
    case 20: /* a lock, which others may run before */
      schedule->lock(schedule->context, &shared_lock, "&toy->lock", 0);
      return (long)cpu_state.number;
    case 21: /* an interrupt of another CPU */
      schedule->interrupt(schedule->context, (unsigned)argument, handler, &interrupted);
      return interrupted;
    case 22:
      cpu_state.flags = argument;
      if (awaited) schedule->interrupts_on(schedule->context);
      return (long)cpu_state.number;
    case 30: /* an interrupt of another CPU that ends in a finding */
      schedule->interrupt(schedule->context, (unsigned)argument, bad_handler, 0);
      return interrupted;
    case 31: /* one that enters a guest, of the VM that no other one is */
      schedule->interrupt(schedule->context, (unsigned)argument, guest_handler, &interrupted);
      return 0;
    case 29:
      return toy_tell() + 1;
    case 28: /* the number that stands in the memory of that CPU, whoever runs */
      return (long)((struct cpu_state *)((char *)&cpu_state + offsets[argument]))->number;
    case 23: /* spin until another CPU stores to `shared_word`; how often it was read */
      for (argument = 1; argument < 1000; ++argument) {
        schedule->access(schedule->context, (const void *)&shared_word, sizeof(shared_word),
                         HOSTED_ACCESS_READ | HOSTED_ACCESS_MARKED, 0);
        if (shared_word) break;
      }
      return (long)argument;
    case 24:
      shared_word = (int)argument;
      return 0;
    case 27: /* a warning that is given once */
      if (said_once) return 0;
      said_once = 1;
      return toy_warn();
    case 25:
      return *toy_absent_data;
    case 26:
      return toy_absent_call() + 1;
    case 40: /* a task waits for what has the address of the word that it reads */
      schedule->prepare(schedule->context, (const void *)&shared_word, "task");
      return 0;
    case 11:
      host->log(host->context, "hello");
      return 0;
  }
  return -25;
}
static int close(int file) { return 0; }
static int is_table(hosted_u64 frame) { return frame == host->arena.first_free + 3; }

static void put(char *text, const char *what) {
  while ((*text++ = *what++)) {
  }
}
static int trap(hosted_u64 ip, char *text, unsigned size, hosted_u64 *go_on, int *error_register) {
  if (ip == (hosted_u64)toy_warn_at) {
    put(text, "WARNING at toy.c:1");
    return 1;
  }
  if (ip == (hosted_u64)toy_bug_at) {
    put(text, "kernel BUG at toy.c:2");
    return 2;
  }
  if (ip == (hosted_u64)toy_get_at) {
    *go_on = (hosted_u64)toy_get_on;
    *error_register = 2; /* rdx */
    return 3;
  }
  return 0;
}

const struct hosted_image toy_image_entry = {
#ifdef TOY_VERSION
    .version = TOY_VERSION,
#else
    .version = HOSTED_BOUNDARY_VERSION,
#endif
    .release = "0.0-toy",
    .flavour = "toy",
    .start = start,
    .load = load,
    .unload = unload,
    .open = open,
    .ioctl = ioctl,
    .close = close,
    .trap = trap,
    .is_table = is_table,
    .scheduling = &scheduling,
};
