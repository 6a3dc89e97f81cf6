/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the shim tells whoever controls the schedule, and what of it belongs to one
 * CPU. Both are nothing in flavours that run one CPU.
 */
#ifndef HOSTED_SCHEDULE_H
#define HOSTED_SCHEDULE_H

#ifdef HOSTED_SCHEDULE
#include "hw/hosted/boundary_schedule.h"

/* Null: nobody listens. */
extern const struct hosted_schedule* hosted_schedule;
extern const struct hosted_scheduling hosted_scheduling;
#define SCHEDULED (hosted_schedule != 0)
#define TELL(what, ...)                                                                \
  do {                                                                                 \
    if (hosted_schedule) hosted_schedule->what(hosted_schedule->context, __VA_ARGS__); \
  } while (0)
/* Stands with per-CPU data, which each CPU has its own contents of. */
#define HOSTED_OF_CPU __attribute__((section(".data..percpu..hosted")))
void hosted_rcu_grace(void);
void hosted_become(unsigned cpu);
#else
#define SCHEDULED 0
#define TELL(...) ((void)0)
#define HOSTED_OF_CPU
#endif

#ifdef CONFIG_DEBUG_LOCK_ALLOC
#define HOSTED_NAME(lock) ((lock)->dep_map.name)
#else
#define HOSTED_NAME(lock) ((const char*)0)
#endif

#endif
