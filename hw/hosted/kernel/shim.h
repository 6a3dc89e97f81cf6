/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the shim know of each other. No kernel header here: parts
 * that must not see kernel prototypes include it too.
 */
#ifndef HOSTED_SHIM_H
#define HOSTED_SHIM_H

#include "hw/hosted/boundary.h"

extern struct hosted_host hosted_host;

/* ---- findings (findings.c) */
/* Report and leave the image. */
void hosted_fail(unsigned kind, const char* format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));
void hosted_warn(const char* format, ...) __attribute__((format(printf, 1, 2)));
/* Called by generated stubs: `name` is a kernel symbol without a shim. */
void hosted_stub(const char* name) __attribute__((noreturn));
void hosted_format(char* buffer, unsigned size, const char* format, __builtin_va_list arguments);

/* ---- memory (memory.c, allocators.c) */
void hosted_memory_start(void);
void* hosted_object(unsigned long bytes, int zero, unsigned kind, unsigned long caller);
void* hosted_percpu(unsigned long bytes, unsigned long align, unsigned long caller);
void hosted_percpu_free(void* memory);
void hosted_release(void* object);
/* Who owns memory of the process': the shim, one of the kernel's allocators, or a slab
 * cache by its address. */
enum { HOSTED_OF_SHIM, HOSTED_OF_KMALLOC, HOSTED_OF_KVMALLOC, HOSTED_OF_VMALLOC, HOSTED_OWNERS };
void* hosted_object_of(unsigned long owner, unsigned long bytes, int zero, unsigned kind,
                       unsigned long caller);
unsigned long hosted_owner(void* object);
const char* hosted_owner_name(unsigned long owner);
/* Whoever its owner is. */
void hosted_give_back(void* object);
void hosted_kvfree(void* object);
unsigned long hosted_page(unsigned order, int zero, unsigned long caller);
/* Of the host itself: never made to fail. */
unsigned long hosted_page_of_host(unsigned order, int zero);
void hosted_page_release(unsigned long address, unsigned order);
int hosted_page_live(unsigned long frame);
/* As that, or part of a block of pages. */
int hosted_page_may_be_used(unsigned long frame);
/* Prepare struct page of a page just handed out; check it when it comes back. */
void hosted_page_prepare(unsigned long address);
void hosted_page_check(unsigned long address);
void* hosted_page_descriptor(unsigned long address);
unsigned long hosted_page_address(void* descriptor);
extern unsigned hosted_gfp_zero, hosted_gfp_may_sleep;
extern unsigned long long hosted_live_objects, hosted_live_pages;
/* A sleeping operation is about to run: a finding if something forbids it. */
void hosted_may_sleep(const char* what);

/* ---- locks (locks.c) */
extern int hosted_locks_held;
void hosted_wait(const char* what, const void* lock);

/* ---- RCU (rcu.c) */
void hosted_rcu_run(void);
void hosted_rcu_hurry(int on);
/* Whoever calls this is no reader, unless he runs with preemption off: what waits for
 * readers is done now where grace periods end early. */
void hosted_rcu_quiet(void);
extern unsigned long long hosted_rcu_pending;
extern int hosted_srcu_nesting;

/* ---- services.c */
/* Run the work that is due: nothing is held. */
void hosted_delayed_work(void);

/* ---- threads of the kernel (threads.c) */
int hosted_threads_run(void);
void hosted_threads_start(void);

/* ---- the rest of each part that image.c starts */
void hosted_cpu_start(void);
void hosted_user_start(void);
void hosted_user_levels(void); /* of the host's page tables: 4 or 5 */
int hosted_module_load(const struct hosted_parameters* parameters);
void hosted_module_unload(void);
int hosted_device_registered(void);
int hosted_file_open(void);
long hosted_file_ioctl(int file, unsigned command, unsigned long argument);
int hosted_file_close(int file);
void* hosted_file_map(int file, unsigned long page_offset);
void* hosted_file_private(int file);
int hosted_notify(unsigned kind, hosted_u64 start, hosted_u64 end);
int hosted_notifiers(void); /* registered: one for each VM */
unsigned long long hosted_mm_references(void);
unsigned long long hosted_task_references(void);
/* Whoever runs must not block: its caller said so. */
extern int hosted_must_not_block;
long hosted_shrink(unsigned long objects);
/* Shadow pages of all VMs by the shrinker's count; negative without a shrinker. */
long hosted_shrinkable(void);
int hosted_references(hosted_u64 frame);
unsigned long long hosted_extra_references(void);
int hosted_host_level(hosted_u64 address, unsigned level);
int hosted_trap(hosted_u64 ip, char* text, unsigned size, hosted_u64* go_on, int* error_register);
void hosted_contend(int on);
/* One begins. */
void hosted_system_call(void);
void hosted_before_mapping(void);
/* KVM has seen that there are protection keys: from here on it loads no PKRU into the real
 * processor, and the guest's stays in vcpu->arch.pkru. */
void hosted_keep_pkru(void);
void hosted_set_processor(int intel, int five_level, int physical_bits);
int hosted_view(int vm_file, const struct hosted_view_sink* sink);
int hosted_leaves(int vm_file, hosted_u64 leaves[3]);

/* ---- vendors (cpu.c, processor_svm.c, processor_vmx.c, vmcs.c) */
extern int hosted_is_intel;
unsigned long long hosted_msr_read(unsigned msr);
unsigned long long hosted_vmx_msr(unsigned msr, int five_level);
/* Drop what the running vCPU knows of one linear address under this tag. */
void hosted_invalidate_address(unsigned long long address, unsigned asid);
/* Fields of the current VMCS: key of an encoding, slot of a key (0: none yet),
 * address by way of both. */
#define HOSTED_VMCS_KEY(field) \
  ((((field) >> 13) & 3) << 8 | (((field) >> 10) & 3) << 6 | (((field) >> 1) & 63))
extern unsigned long long* hosted_vmcs;
extern unsigned short hosted_vmcs_slots[1024];
unsigned long long* hosted_vmcs_place(unsigned field);
static inline __attribute__((always_inline)) unsigned long long* hosted_vmcs_field(unsigned field) {
  unsigned slot = hosted_vmcs_slots[HOSTED_VMCS_KEY(field)];
  return slot && hosted_vmcs ? hosted_vmcs + slot : hosted_vmcs_place(field);
}
/* Check VMLAUNCH or VMRESUME against the state of the VMCS. */
void hosted_vmcs_enter(const void* vmcs, int launched);

#endif
