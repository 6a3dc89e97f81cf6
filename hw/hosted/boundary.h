/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The boundary between a kernel image and the process that runs it: plain C,
 * no kernel type, no libc type. Both sides include it; nothing else passes.
 *
 * An image is KVM of one kernel tree (kvm and its vendor module, unmodified)
 * with a shim for the rest of the kernel. Its ELF entry point is the address
 * of a `struct hosted_image`. One image serves one thread at a time; fibers of it
 * are CPUs of their own in images that can be scheduled.
 */
#ifndef LOCKSTEP_HW_HOSTED_BOUNDARY_H
#define LOCKSTEP_HW_HOSTED_BOUNDARY_H

#ifdef __cplusplus
extern "C" {
#endif

#define HOSTED_BOUNDARY_VERSION 12u

/* The last word of a stack that the image made: callers are sought no further. */
#define HOSTED_STACK_END 0x646e652d6b636174ull

/* Symbols of the kernel that nobody provides: each has so many bytes of addresses, above
 * every image, where nothing is. */
#define HOSTED_ABSENT_SYMBOLS 0x78000000ull
#define HOSTED_ABSENT_BYTES 0x10000ull
#define HOSTED_ABSENT_END 0x7c000000ull

typedef unsigned long long hosted_u64; /* 64 bits on both sides */

/* ---- memory ------------------------------------------------------------ */

/*
 * Host physical memory: `pages` frames of 4096 bytes, frame 0 at `base` as the
 * kernel sees it (page_offset_base). Frames below `first_free` back host
 * virtual addresses and are the process' to hand out through look_up(); the
 * rest is the kernel's page allocator.
 */
struct hosted_arena {
  hosted_u64 base;
  hosted_u64 pages;
  hosted_u64 first_free;
};

/* What the host's page tables say about one host virtual address. */
struct hosted_host_page {
  hosted_u64 frame;
  unsigned char present;
  unsigned char writable;
  unsigned char special; /* PFNMAP: no struct page reference may be taken */
  unsigned char level;   /* 1: 4 KiB, 2: 2 MiB, 3: 1 GiB mapping */
};

/* ---- the processor ------------------------------------------------------ */

enum hosted_format {
  HOSTED_FORMAT_SHADOW, /* hardware CR3 points to tables in 64-bit or PAE format */
  HOSTED_FORMAT_NPT,
  HOSTED_FORMAT_EPT
};

enum hosted_flush { HOSTED_FLUSH_NONE, HOSTED_FLUSH_ASID, HOSTED_FLUSH_ALL };

/* What the vendor module has loaded at VM entry. */
struct hosted_entry {
  unsigned vcpu;               /* vcpu_id */
  unsigned format;             /* enum hosted_format */
  hosted_u64 root;             /* host physical address of the top table */
  unsigned root_level;         /* 3, 4 or 5 */
  unsigned ept_accessed_dirty; /* EPT only: the processor sets A and D */
  unsigned log;                /* EPT with A and D: the processor logs what it makes dirty */
  unsigned log_index;          /* 16 bits: of the next entry; written back */
  hosted_u64 log_page;         /* host physical address of 512 entries */
  unsigned asid;               /* ASID or VPID */
  unsigned flush;              /* enum hosted_flush: before the entry */
  hosted_u64 gpr[16];          /* in the encoding's order: rax rcx rdx rbx rsp ... */
  hosted_u64 rip, rflags;
  hosted_u64 cr0, cr2, cr3, cr4, efer; /* as the processor runs with */
  hosted_u64 pdpte[4];                 /* EPT with PAE paging: loaded by the kernel */
  unsigned pkru;                       /* rights of protection keys: written back */
  unsigned cpl;
  unsigned intercept_page_fault; /* guest #PF exits */
  unsigned intercept_cr3_write;
  unsigned intercept_invlpg;
  unsigned intercept_invpcid;
  unsigned event_valid; /* an exception is injected with this entry */
  unsigned event_vector;
  unsigned event_has_code;
  unsigned event_code;
};

enum hosted_exit_reason {
  HOSTED_EXIT_LEAVE,        /* HLT: KVM_RUN returns to user space */
  HOSTED_EXIT_PAGE_FAULT,   /* code, address */
  HOSTED_EXIT_NESTED_FAULT, /* code, address: guest physical */
  HOSTED_EXIT_LOG_FULL,     /* page-modification log */
  HOSTED_EXIT_WRITE_CR,     /* number, value */
  HOSTED_EXIT_INVLPG,       /* address */
  HOSTED_EXIT_INVPCID,      /* value: type, address: linear address of the descriptor */
  HOSTED_EXIT_WRITE_MSR,    /* number, value */
  HOSTED_EXIT_EXCEPTION     /* number: vector; code */
};

/* Bits of a nested fault's code, neutral to the vendor. */
#define HOSTED_NESTED_PRESENT 1u
#define HOSTED_NESTED_WRITE 2u
#define HOSTED_NESTED_FETCH 16u
#define HOSTED_NESTED_RESERVED 8u
#define HOSTED_NESTED_TABLE 32u    /* during the guest's own page walk; else the final address */
#define HOSTED_NESTED_REGISTER 64u /* with TABLE: an entry that MOV to CR loads into a register */
#define HOSTED_NESTED_ACCESS_RIGHTS_SHIFT 8 /* EPT: R W X of the entry that faulted */

/* Why the guest stopped, as the software processor says. gpr, rip, cr2, cr3 of
 * the entry are written back to the guest too. */
struct hosted_exit {
  unsigned reason; /* enum hosted_exit_reason */
  unsigned number;
  unsigned code;
  hosted_u64 address;
  hosted_u64 value;
  hosted_u64 linear;           /* EPT: guest linear address of a nested fault */
  unsigned instruction_length; /* bytes that the emulator is given; 0: it must fetch */
  unsigned char instruction[15];
};

/* ---- findings ----------------------------------------------------------- */

enum hosted_finding {
  HOSTED_WARNING, /* WARN: the kernel goes on */
  HOSTED_BUG,     /* BUG, refcount, list corruption, unlock of a free lock: it does not */
  HOSTED_STUB,    /* a kernel symbol that the shim does not provide was called */
  HOSTED_FAULT,   /* a bad memory access of kernel code */
  HOSTED_LOCKING, /* order, sleeping while atomic, missing lock, RCU use */
  HOSTED_MEMORY,  /* double free, bad free, page reference count */
  HOSTED_STUCK    /* a lock that nobody can release, a grace period without end */
};

enum hosted_allocation { HOSTED_SLAB, HOSTED_PAGE, HOSTED_VMALLOC, HOSTED_USER_PAGE };

/* What the process provides. `context` is passed back unchanged. */
struct hosted_host {
  unsigned version; /* HOSTED_BOUNDARY_VERSION */
  void* context;
  struct hosted_arena arena;

  /* Memory of `bytes` bytes, aligned to `alignment` (a power of two); null
   * only when the process has none. `owner` is the image's word, kept with it. */
  void* (*allocate)(void* context, hosted_u64 bytes, hosted_u64 alignment, hosted_u64 owner);
  /* The owner of memory that allocate() gave; a finding of any other address. */
  hosted_u64 (*owner)(void* context, void* memory);
  void (*release)(void* context, void* memory);
  /* Nonzero: this allocation or page lookup must fail. `caller` is a code
   * address of the image. */
  int (*should_fail)(void* context, unsigned kind, hosted_u64 caller);
  /* The host's page tables. */
  void (*look_up)(void* context, hosted_u64 address, struct hosted_host_page* page);
  /* The kernel has a page of the user's in hand and is about to take mmu_lock, to map it:
   * nobody holds it, so that the notifiers may be called. */
  void (*looked_up)(void* context, hosted_u64 address);
  /* User memory at `address` is about to be written (or its page handed to
   * somebody who may). */
  void (*touched)(void* context, hosted_u64 address, hosted_u64 bytes);

  /* Run the guest until it exits. `vm` tells virtual machines apart. */
  void (*run)(void* context, void* vm, struct hosted_entry* entry, struct hosted_exit* exit);
  /* INVLPGA, INVVPID of one address. */
  void (*invalidate)(void* context, void* vm, unsigned vcpu, unsigned asid, hosted_u64 address);
  /* INVEPT of one EPT pointer. */
  void (*invalidate_root)(void* context, hosted_u64 ept_pointer);
  /* INVEPT and INVVPID of everything (asid 0), INVVPID of one context. */
  void (*invalidate_all)(void* context, unsigned asid);

  /* Report; returns only for HOSTED_WARNING. For the others it must not return
   * (the process leaves the image, see hosted_image.reset). */
  void (*finding)(void* context, unsigned kind, const char* text, hosted_u64 ip);
  void (*log)(void* context, const char* text);
};

/* ---- the image ---------------------------------------------------------- */

struct hosted_parameters {
  int intel;              /* 0: kvm-amd, 1: kvm-intel */
  int tdp;                /* kvm_amd.npt, kvm_intel.ept */
  int tdp_mmu;            /* kvm.tdp_mmu */
  int eager_page_split;   /* kvm.eager_page_split */
  int nx_huge_pages;      /* kvm.nx_huge_pages: 0 off, 1 force */
  int ept_accessed_dirty; /* kvm_intel.eptad */
  int pml;                /* kvm_intel.pml */
  int five_level;         /* host paging has five levels */
  int physical_bits;      /* MAXPHYADDR of the host */
  int flush_on_reuse;     /* kvm.flush_on_reuse */
};

enum hosted_notify {
  HOSTED_NOTIFY_START,         /* invalidate_range_start */
  HOSTED_NOTIFY_START_AT_ONCE, /* the same, which must not block */
  HOSTED_NOTIFY_END,           /* invalidate_range_end */
  HOSTED_NOTIFY_AGE,           /* clear_flush_young */
  HOSTED_NOTIFY_CLEAR_YOUNG,
  HOSTED_NOTIFY_TEST_YOUNG,
  HOSTED_NOTIFY_CHANGE /* change_pte, where the kernel has it */
};

struct hosted_counters {
  hosted_u64 objects;     /* live slab and vmalloc allocations */
  hosted_u64 pages;       /* live pages of the allocator */
  hosted_u64 references;  /* sum of references above one on user frames */
  hosted_u64 locks;       /* held now */
  hosted_u64 rcu_pending; /* callbacks that wait for a grace period */
  hosted_u64 srcu_nesting;
  hosted_u64 virtual_machines;
  hosted_u64 mm_references; /* of the user's mm, by user and by count */
  hosted_u64 task_references;
  hosted_u64 shrinkable; /* shadow pages of all VMs, as the shrinker counts them */
};

/* Basic blocks that ran, in images of the flavour `coverage`: the symbol
 * `hosted_coverage`. A return address of __sanitizer_cov_trace_pc() at
 * `begin` + n sets hits[n]; the process provides the memory. */
struct hosted_coverage {
  unsigned char* hits;
  hosted_u64 begin;
  hosted_u64 bytes; /* 0: nobody asks */
};

struct hosted_view_sink;  /* hw/hosted/boundary_view.h */
struct hosted_scheduling; /* hw/hosted/boundary_schedule.h */

struct hosted_image {
  unsigned version; /* HOSTED_BOUNDARY_VERSION */
  const char* release;
  const char* flavour;
  /* Rmaps of a range are aged by steps of a leaf from its first page on. */
  int ages_by_steps;

  /* Once per load of the image: set the shim up. */
  int (*start)(const struct hosted_host* host);
  /* insmod and rmmod of the vendor module; 0 or a negative errno. */
  int (*load)(const struct hosted_parameters* parameters);
  void (*unload)(void);

  /* The files that KVM hands out; a negative errno on failure. `open` is
   * /dev/kvm. Arguments of ioctl are those of <linux/kvm.h>; KVM_CREATE_VM and
   * KVM_CREATE_VCPU return such files. */
  int (*open)(void);
  long (*ioctl)(int file, unsigned command, unsigned long argument);
  int (*close)(int file);
  /* What mmap() of one page of the file shows (struct kvm_run, dirty ring):
   * its address, or null. */
  void* (*map)(int file, unsigned long page_offset);

  /* The kernel's memory management calls KVM's MMU notifiers. */
  int (*notify)(unsigned kind, hosted_u64 start, hosted_u64 end);
  /* The shrinker: objects it counts; then scan. -1 where the kernel has none. */
  long (*shrink)(unsigned long objects);
  /* One round of the NX huge page recovery worker of every VM. */
  int (*recover)(void);
  /* A grace period ends: run every RCU callback. */
  void (*quiesce)(void);
  /* need_resched() and lock contention answer this from now on. */
  void (*contend)(int on);
  /* Grace periods end as early as they may from now on, or when somebody waits. */
  void (*hurry)(int on);
  void (*counters)(struct hosted_counters* counters);
  /* References of a user frame; 1 when KVM holds none. */
  int (*references)(hosted_u64 frame);
  /* The host's page tables say `level` for the pages around the address. */
  int (*host_level)(hosted_u64 address, unsigned level);
  /* Small, 2 MiB and 1 GiB leaves of a VM, as its statistics say. */
  int (*leaves)(int vm_file, hosted_u64 leaves[3]);
  /* Look at a VM: every shadow page, entry, root and counter. */
  int (*view)(int vm_file, const struct hosted_view_sink* sink);
  /* Reason for a trap at `ip`: 0 none of ours, 1 WARN, 2 BUG; fills text. A
   * user-memory access with a fixup returns 3 and the address to go on at. */
  int (*trap)(hosted_u64 ip, char* text, unsigned size, hosted_u64* go_on, int* error_register);
  /* read() of a file (KVM's binary statistics); bytes read or a negative errno. */
  long (*read)(int file, void* buffer, unsigned long bytes, unsigned long offset);
  /* Nonzero if the kernel's page allocator has handed the frame out. */
  int (*is_table)(hosted_u64 frame);
  /* Null in flavours that run one CPU. */
  const struct hosted_scheduling* scheduling;
};

#ifdef __cplusplus
}
#endif
#endif
