/* SPDX-License-Identifier: GPL-2.0-or-later */
/* insmod and rmmod of the vendor module: parameters, static calls, shrinker. */
#include <linux/cpuhotplug.h>
#include <linux/err.h>
#include <linux/kvm_host.h>
#include <linux/moduleparam.h>
#include <linux/percpu_counter.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/static_call.h>
#include <linux/string.h>
#include "shim.h"

extern int svm_init(void) __attribute__((weak));
extern void svm_exit(void) __attribute__((weak));
extern int vmx_init(void) __attribute__((weak));
extern void vmx_exit(void) __attribute__((weak));
/* Since TDX these are the module's own, with the above called by them. */
extern int vt_init(void) __attribute__((weak));
extern void vt_exit(void) __attribute__((weak));
/* kvm.ko's own; 6.3 and later take note of kvm.tdp_mmu there, once. */
extern int kvm_x86_init(void) __attribute__((weak));
extern void kvm_x86_exit(void) __attribute__((weak));

int hosted_is_intel;
static int loaded, common_started;
/* What the common part took from the parameters and the processor as it started. */
static int common_tdp_mmu, common_five_level, common_physical_bits;

extern const struct kernel_param __start___param[], __stop___param[];
static const struct kernel_param *parameter(const char *name) {
  const struct kernel_param *p;
  for (p = __start___param; p < __stop___param; ++p)
    if (!strcmp(p->name, name)) return p;
  return NULL;
}
static int set_bool(const char *name, int on) {
  const struct kernel_param *p = parameter(name);
  if (!p) return -ENOENT;
  *(bool *)p->arg = on;
  return 0;
}
/* Whether the parameter still is what it was set to: modules turn off what they find
 * that they cannot have. */
static int stayed(const char *name, int on) {
  const struct kernel_param *p = parameter(name);
  return p && *(bool *)p->arg == !!on;
}
static int set_int(const char *name, int value) {
  const struct kernel_param *p = parameter(name);
  if (!p) return -ENOENT;
  *(int *)p->arg = value;
  return 0;
}
static int set_text(const char *name, const char *text) {
  const struct kernel_param *p = parameter(name);
  return p ? p->ops->set(text, p) : -ENOENT;
}

/* A static call is a jump at the trampoline; a null target returns. */
static int zero(void) { return 0; }
void __static_call_update(struct static_call_key *key, void *trampoline, void *function) {
  unsigned char *code = trampoline;
  void *target = function ? function : (void *)zero;
  int distance = (int)((long)target - ((long)code + 5));
  key->func = function;
  code[0] = 0xe9;
  memcpy(code + 1, &distance, 4);
}
long __static_call_return0(void) { return 0; }

/* ---- the shrinker that KVM registers, while it has one */
static struct shrinker *shrinker;
#ifdef HOSTED_SHRINKER_ALLOC
struct shrinker *shrinker_alloc(unsigned int flags, const char *format, ...) {
  return hosted_object(sizeof(struct shrinker), 1, HOSTED_SLAB,
                       (unsigned long)__builtin_return_address(0));
}
void shrinker_register(struct shrinker *s) { shrinker = s; }
void shrinker_free(struct shrinker *s) {
  if (shrinker == s) shrinker = NULL;
  hosted_release(s);
}
#else
int register_shrinker(struct shrinker *s, const char *format, ...) {
  if (hosted_host.should_fail(hosted_host.context, HOSTED_SLAB,
                              (unsigned long)__builtin_return_address(0)))
    return -ENOMEM;
  shrinker = s;
  return 0;
}
void unregister_shrinker(struct shrinker *s) { shrinker = NULL; }
#endif
/* What the shrinker could free: the shadow pages of every VM; -1 where the
 * kernel has none. */
long hosted_shrinkable(void) {
  struct shrink_control control = {.gfp_mask = GFP_KERNEL};
  unsigned long there;
  if (!shrinker) return -1;
  there = shrinker->count_objects(shrinker, &control);
  return there == SHRINK_EMPTY ? 0 : (long)there;
}
long hosted_shrink(unsigned long objects) {
  struct shrink_control control = {.gfp_mask = GFP_KERNEL, .nr_to_scan = objects};
  unsigned long there;
  if (!shrinker) return -1;
  hosted_system_call();
  there = shrinker->count_objects(shrinker, &control);
  if (!there || there == SHRINK_EMPTY) return 0;
  control.nr_scanned = objects;
  return (long)shrinker->scan_objects(shrinker, &control);
}

/* ---- per-CPU counters of one CPU */
static int no_memory_for_counters(unsigned long caller) {
  return hosted_host.should_fail(hosted_host.context, HOSTED_SLAB, caller);
}
#ifdef HOSTED_PERCPU_COUNTER_MANY
int __percpu_counter_init_many(struct percpu_counter *counter, s64 amount, gfp_t gfp, u32 count,
                               struct lock_class_key *key) {
  u32 at;
  if (no_memory_for_counters((unsigned long)__builtin_return_address(0))) return -ENOMEM;
  for (at = 0; at < count; ++at) counter[at].count = amount;
  return 0;
}
#else
int __percpu_counter_init(struct percpu_counter *counter, s64 amount, gfp_t gfp,
                          struct lock_class_key *key) {
  if (no_memory_for_counters((unsigned long)__builtin_return_address(0))) return -ENOMEM;
  counter->count = amount;
  return 0;
}
#endif
void percpu_counter_add_batch(struct percpu_counter *counter, s64 amount, s32 batch) {
  counter->count += amount;
}

/* CPU hotplug: the one CPU comes up when asked to call, and never goes: teardown is not called. */
#define STATES 8
static enum cpuhp_state states[STATES];
static int states_used;
int __cpuhp_setup_state(enum cpuhp_state state, const char *name, bool invoke,
                        int (*startup)(unsigned int cpu), int (*teardown)(unsigned int cpu),
                        bool multi) {
  int at, error = 0;
  if (hosted_host.should_fail(hosted_host.context, HOSTED_SLAB,
                              (unsigned long)__builtin_return_address(0)))
    return -ENOMEM;
  for (at = 0; at < states_used; ++at)
    if (states[at] == state) return -EBUSY;
  if (states_used == STATES) hosted_fail(HOSTED_BUG, "more than %d states of CPU hotplug", STATES);
  if (invoke && startup) error = startup(0);
  if (!error) states[states_used++] = state;
  return error;
}
void __cpuhp_remove_state(enum cpuhp_state state, bool invoke) {
  int at;
  for (at = 0; at < states_used; ++at) {
    if (states[at] != state) continue;
    states[at] = states[--states_used];
    return;
  }
  /* KVM's clock goes on when its own could not be set up, and is removed all the same. */
}
/* Registrations of the vendor module, which none is without. */
static void hosted_nothing_registered(void) {
  if (hosted_device_registered())
    hosted_fail(HOSTED_BUG, "/dev/kvm stays, and its module does not");
}

/* The table of the Intel module, by the names that it had. */
extern struct kvm_x86_ops vmx_x86_ops __attribute__((weak)), vt_x86_ops __attribute__((weak));

/* hardware_setup() takes out of it what the parameters turn off, as the log of dirty pages
 * without PML; insmod brings it whole again. */
static void make_table_whole(void) {
  static struct kvm_x86_ops whole;
  static int kept;
  struct kvm_x86_ops *table = &vt_x86_ops ? &vt_x86_ops : &vmx_x86_ops;
  if (!table) hosted_fail(HOSTED_BUG, "the Intel module has no struct kvm_x86_ops");
  /* Some of its members are constant. */
  if (kept)
    memcpy(table, &whole, sizeof(whole));
  else
    memcpy((void *)&whole, table, sizeof(whole));
  kept = 1;
}

/* What a module has taken since it was loaded, objects and pages of it. */
static unsigned long long objects_of_module, pages_of_module;
static unsigned long long taken_since(unsigned long long then, unsigned long long now) {
  return now > then ? now - then : 0;
}
/* A load that fails, and what begins again after it, finds all as it was. */
static int failed(int error, unsigned long long objects, unsigned long long pages) {
  hosted_rcu_run();
  if (hosted_live_objects != objects || hosted_live_pages != pages)
    hosted_fail(HOSTED_MEMORY, "a load of the module that failed (%d) leaves %lld objects, %lld pages",
                error, (long long)(hosted_live_objects - objects),
                (long long)(hosted_live_pages - pages));
  hosted_nothing_registered();
  return error;
}

static void leave(void) {
  if (!hosted_is_intel)
    svm_exit();
  else if (vt_exit)
    vt_exit();
  else
    vmx_exit();
}

int hosted_module_load(const struct hosted_parameters *p) {
  unsigned long long objects, pages;
  int error = 0;
  hosted_is_intel = p->intel;
  hosted_set_processor(p->intel, p->five_level, p->physical_bits);
  set_bool("kvm.tdp_mmu", p->tdp_mmu);
  set_bool("kvm.eager_page_split", p->eager_page_split);
  set_bool("kvm.flush_on_reuse", p->flush_on_reuse);
  set_bool("kvm.enable_pmu", 0);
  if (common_started && (common_tdp_mmu != p->tdp_mmu || common_five_level != p->five_level ||
                         common_physical_bits != p->physical_bits)) {
    if (kvm_x86_exit) kvm_x86_exit();
    common_started = 0;
  }
  if (kvm_x86_init && !common_started) {
    /* A processor of 52 bits turned it off; the start takes that for the user's wish. */
    set_bool("kvm.mmio_caching", 1);
    objects = hosted_live_objects;
    pages = hosted_live_pages;
    error = kvm_x86_init();
    if (error) return failed(error, objects, pages);
    common_started = 1;
    common_tdp_mmu = p->tdp_mmu;
    common_five_level = p->five_level;
    common_physical_bits = p->physical_bits;
  }
  hosted_rcu_run();
  objects = hosted_live_objects;
  pages = hosted_live_pages;
  if (p->intel) {
    if (!vmx_init) return -ENODEV;
    make_table_whole();
    if (set_bool("kvm_intel.ept", p->tdp)) return -ENOENT;
    set_bool("kvm_intel.eptad", p->ept_accessed_dirty);
    /* The last load may have turned off what it had no use for. */
    set_bool("kvm_intel.unrestricted_guest", 1);
    set_bool("kvm_intel.vpid", 1);
    set_bool("kvm_intel.allow_smaller_maxphyaddr", 0);
    set_bool("kvm_intel.pml", p->pml);
    error = vt_init ? vt_init() : vmx_init();
  } else {
    if (!svm_init) return -ENODEV;
    if (set_bool("kvm_amd.npt", p->tdp)) return -ENOENT;
    set_bool("kvm_amd.avic", 0);
    set_int("kvm_amd.nested", 1);
    error = svm_init();
  }
  if (error) return failed(error, objects, pages);
  hosted_keep_pkru();
  if (!stayed(p->intel ? "kvm_intel.ept" : "kvm_amd.npt", p->tdp) ||
      (p->tdp && !stayed("kvm.tdp_mmu", p->tdp_mmu)) ||
      (p->intel && p->tdp && !stayed("kvm_intel.eptad", p->ept_accessed_dirty)) ||
      (p->intel && p->tdp && p->ept_accessed_dirty && !stayed("kvm_intel.pml", p->pml))) {
    leave();
    return -EOPNOTSUPP;
  }
  loaded = 1;
  objects_of_module = taken_since(objects, hosted_live_objects);
  pages_of_module = taken_since(pages, hosted_live_pages);
  /* "never" would forbid them for as long as the image lives. */
  set_text("kvm.nx_huge_pages", p->nx_huge_pages ? "force" : "off");
  return 0;
}
void hosted_module_unload(void) {
  unsigned long long objects = hosted_live_objects, pages = hosted_live_pages;
  if (!loaded) return;
  loaded = 0;
  leave();
  hosted_rcu_run();
  if (taken_since(hosted_live_objects, objects) < objects_of_module ||
      taken_since(hosted_live_pages, pages) < pages_of_module)
    hosted_fail(HOSTED_MEMORY, "the module took %llu objects and %llu pages and gave %llu and %llu",
                objects_of_module, pages_of_module, taken_since(hosted_live_objects, objects),
                taken_since(hosted_live_pages, pages));
  hosted_nothing_registered();
}
