/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * alloc_percpu(): memory that each CPU has its own contents of. One CPU has an object of
 * the heap. CPUs that take turns have a place in the memory that changes with them, and
 * an object that stands for it: so it can fail, it can leak, and it is given back once.
 */
#include <linux/percpu.h>
#include <linux/string.h>
#include "shim.h"
#include "schedule.h"

#ifdef HOSTED_SCHEDULE

#define UNIT 64u
#define UNITS 64u

struct percpu_place {
  void *object; /* null: the unit is free, or belongs to a place that begins before it */
  unsigned units;
};
static struct percpu_place places[UNITS];
static HOSTED_OF_CPU char contents[UNITS * UNIT] __aligned(UNIT);

/* Of the first run of so many free units; UNITS if there is none. */
static unsigned free_run(unsigned units) {
  unsigned at = 0, run = 0;
  while (at < UNITS && run < units) {
    if (places[at].object) {
      at += places[at].units;
      run = 0;
    } else {
      ++at;
      ++run;
    }
  }
  return run == units ? at - units : UNITS;
}

static void wipe(unsigned at) {
  unsigned cpu;
  for (cpu = 0; cpu < HOSTED_CPUS; ++cpu)
    memset(&contents[at * UNIT] + __per_cpu_offset[cpu], 0, places[at].units * UNIT);
}

void *hosted_percpu(unsigned long bytes, unsigned long align, unsigned long caller) {
  unsigned units = (unsigned)((bytes + UNIT - 1) / UNIT), at;
  if (!units || units > UNITS || align > UNIT)
    hosted_fail(HOSTED_STUB, "alloc_percpu() of %lu bytes: more than the shim has", bytes);
  at = free_run(units);
  if (at == UNITS) hosted_fail(HOSTED_STUB, "alloc_percpu(): the shim has no place left");
  places[at].object = hosted_object(bytes, 0, HOSTED_SLAB, caller);
  if (!places[at].object) return 0;
  places[at].units = units;
  wipe(at);
  return &contents[at * UNIT];
}

void hosted_percpu_free(void *memory) {
  unsigned long at = (unsigned long)((char *)memory - contents) / UNIT;
  if (!memory) return;
  if (at >= UNITS || memory != &contents[at * UNIT] || !places[at].object)
    hosted_fail(HOSTED_MEMORY, "free_percpu() of what alloc_percpu() did not give");
  /* CPUs that have not run yet begin with what stands here now. */
  wipe(at);
  hosted_release(places[at].object);
  places[at].object = 0;
}

#else

void *hosted_percpu(unsigned long bytes, unsigned long align, unsigned long caller) {
  return hosted_object(bytes, 1, HOSTED_SLAB, caller);
}
void hosted_percpu_free(void *memory) { hosted_release(memory); }

#endif
