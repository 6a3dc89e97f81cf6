/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The image as the process sees it. */
#include <linux/kernel.h>
#include <linux/kvm_host.h>
#include <linux/rcupdate.h>
#include <generated/utsrelease.h>
#include "shim.h"
#include "schedule.h"

#ifndef HOSTED_FLAVOUR
#define HOSTED_FLAVOUR "release"
#endif

extern struct kmem_cache *hosted_cache(const char *name, unsigned size, void (*constructor)(void *));
extern long hosted_file_read(int file, void *buffer, unsigned long bytes, unsigned long offset);
extern struct kmem_cache *radix_tree_node_cachep;
static void radix_constructor(void *object) {
  struct xa_node *node = object;
  memset(node, 0, sizeof(*node));
  INIT_LIST_HEAD(&node->private_list);
}

static int start(const struct hosted_host *host) {
  if (host->version != HOSTED_BOUNDARY_VERSION) return -EINVAL;
  hosted_host = *host;
  hosted_memory_start();
  /* The page descriptors come first: every page handed out needs its own. */
  hosted_cpu_start();
  hosted_user_start();
  hosted_threads_start();
  radix_tree_node_cachep = hosted_cache("radix_tree_node", sizeof(struct xa_node), radix_constructor);
  return radix_tree_node_cachep ? 0 : -ENOMEM;
}
static void quiesce(void) { hosted_rcu_run(); }
static void counters(struct hosted_counters *c) {
  c->objects = hosted_live_objects;
  c->pages = hosted_live_pages;
  c->references = hosted_extra_references();
  c->locks = hosted_locks_held;
  c->rcu_pending = hosted_rcu_pending;
  c->srcu_nesting = hosted_srcu_nesting;
  c->shrinkable = hosted_shrinkable() > 0 ? hosted_shrinkable() : 0;
  c->virtual_machines = hosted_notifiers();
  c->mm_references = hosted_mm_references();
  c->task_references = hosted_task_references();
}
static int is_table(hosted_u64 frame) { return hosted_page_live(frame); }

const struct hosted_image hosted_image_entry = {
    .version = HOSTED_BOUNDARY_VERSION,
    .release = UTS_RELEASE,
    .flavour = HOSTED_FLAVOUR,
#ifdef HOSTED_AGES_BY_STEPS
    .ages_by_steps = 1,
#endif
    .start = start,
    .load = hosted_module_load,
    .unload = hosted_module_unload,
    .open = hosted_file_open,
    .ioctl = hosted_file_ioctl,
    .close = hosted_file_close,
    .map = hosted_file_map,
    .notify = hosted_notify,
    .shrink = hosted_shrink,
    .recover = hosted_threads_run,
    .quiesce = quiesce,
    .contend = hosted_contend,
    .hurry = hosted_rcu_hurry,
    .counters = counters,
    .references = hosted_references,
    .host_level = hosted_host_level,
    .leaves = hosted_leaves,
    .view = hosted_view,
    .trap = hosted_trap,
    .read = hosted_file_read,
    .is_table = is_table,
#ifdef HOSTED_SCHEDULE
    .scheduling = &hosted_scheduling,
#endif
};
