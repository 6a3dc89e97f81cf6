/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processor that the kernel believes to run on: one CPU, its identity and
 * features, model-specific registers, per-CPU data, time, the current task.
 */
#include <linux/clocksource.h>
#include <linux/cpumask.h>
#include <linux/kvm_host.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <asm/cpu_device_id.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fpu/api.h>
#include <asm/nospec-branch.h>
#include <asm/processor.h>
#include <asm/smp.h>
#include <asm/tsc.h>
#include "shim.h"
#include "schedule.h"

unsigned long page_offset_base, vmalloc_base, vmemmap_base, phys_base;
struct cpuinfo_x86 boot_cpu_data;
struct mem_section **mem_section;
/* No frame is the zero page. The symbol was renamed. */
__visible unsigned long hosted_zero_frame = ~0ul;
asm(".globl zero_pfn, zero_page_pfn\n.set zero_pfn, hosted_zero_frame\n"
    ".set zero_page_pfn, hosted_zero_frame\n");
#if MAX_PTRS_PER_P4D > 1
unsigned int pgdir_shift = 39, ptrs_per_p4d = 1;
#endif
unsigned long __per_cpu_offset[NR_CPUS];
unsigned int nr_cpu_ids = 1;
struct cpumask __cpu_online_mask = {.bits = {1}}, __cpu_possible_mask = {.bits = {1}},
               __cpu_present_mask = {.bits = {1}};
atomic_t __num_online_cpus = ATOMIC_INIT(1);
/* Row n holds the mask of CPU n - 1. */
#define ROW(n) [n] = {1ul << ((n) - 1)}
#define ROWS(n) ROW(n), ROW((n) + 1), ROW((n) + 2), ROW((n) + 3), \
                ROW((n) + 4), ROW((n) + 5), ROW((n) + 6), ROW((n) + 7)
const unsigned long cpu_bit_bitmap[BITS_PER_LONG + 1][BITS_TO_LONGS(NR_CPUS)] = {
    ROWS(1), ROWS(9), ROWS(17), ROWS(25), ROWS(33), ROWS(41), ROWS(49), ROWS(57)};
enum system_states system_state = SYSTEM_RUNNING;
unsigned long volatile jiffies;
struct smp_ops smp_ops;
unsigned int tsc_khz = 3000000, cpu_khz = 3000000;
bool static_key_initialized = true;
int percpu_counter_batch = 32;
atomic_long_t vm_node_stat[NR_VM_NODE_STAT_ITEMS];

static struct task_struct main_task;
static struct signal_struct main_signal;

DEFINE_PER_CPU_READ_MOSTLY(unsigned long, this_cpu_off);
DEFINE_PER_CPU(unsigned long, cpu_dr7);
DEFINE_PER_CPU_READ_MOSTLY(struct cpuinfo_x86, cpu_info);
DEFINE_PER_CPU_PAGE_ALIGNED(struct gdt_page, gdt_page);
#ifdef HOSTED_PCPU_HOT
DEFINE_PER_CPU_ALIGNED(struct pcpu_hot, pcpu_hot) = {.current_task = &main_task,
                                                     .preempt_count = PREEMPT_NEED_RESCHED};
asm(".globl const_pcpu_hot\n.set const_pcpu_hot, pcpu_hot");
struct task_struct *hosted_current(void) { return pcpu_hot.current_task; }
void hosted_set_current(struct task_struct *task) { pcpu_hot.current_task = task; }
#else
#ifdef HOSTED_CONST_CURRENT_TASK
DEFINE_PER_CPU_CACHE_HOT(struct task_struct *, current_task) = &main_task;
asm(".globl const_current_task\n.set const_current_task, current_task");
#else
DEFINE_PER_CPU(struct task_struct *, current_task) = &main_task;
#endif
DEFINE_PER_CPU_READ_MOSTLY(int, cpu_number);
/* Bit 31 clear would ask for a reschedule at the next preempt_enable(). */
DEFINE_PER_CPU(int, __preempt_count) = PREEMPT_NEED_RESCHED;
struct task_struct *hosted_current(void) { return *(struct task_struct **)&current_task; }
void hosted_set_current(struct task_struct *task) { *(struct task_struct **)&current_task = task; }
#endif

/* ---- model-specific registers and CPUID of the host */
static u64 efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NX;
static int five_level_host;

__visible u64 hosted_msr_read(u32 msr) {
  switch (msr) {
    case MSR_EFER:
      return efer;
    case MSR_IA32_CR_PAT:
      return 0x0007040600070406ull;
    default:
      return hosted_is_intel ? hosted_vmx_msr(msr, five_level_host) : 0;
  }
}
__visible void hosted_msr_write(u32 msr, u64 value) {
  if (msr == MSR_EFER) efer = value;
}
struct cpuid_registers {
  u32 eax, ebx, ecx, edx;
};
__visible void hosted_cpuid_read(struct cpuid_registers *r) {
  u32 leaf = r->eax;
  r->eax = r->ebx = r->ecx = r->edx = 0;
  switch (leaf) {
    case 0:
    case 0x80000000:
      r->eax = leaf | 0x1f;
      if (hosted_is_intel) {
        memcpy(&r->ebx, "Genu", 4);
        memcpy(&r->edx, "ineI", 4);
        memcpy(&r->ecx, "ntel", 4);
      } else {
        memcpy(&r->ebx, "Auth", 4);
        memcpy(&r->edx, "enti", 4);
        memcpy(&r->ecx, "cAMD", 4);
      }
      break;
    case 0x80000001:
    case 1:
    case 7:
      r->eax = r->ebx = r->ecx = r->edx = ~0u;
      break;
    case 0x80000008:
      r->eax = (boot_cpu_data.x86_virt_bits << 8) | boot_cpu_data.x86_phys_bits;
      break;
    case 0x8000000a:
      r->ebx = 16; /* few ASIDs, so that they are used again */
      r->edx = ~0u;
      break;
    default:
      break;
  }
}
static u64 ticks;
__visible u64 hosted_tick(void) { return ticks += 1000; }

#define KEEP_ALL                                                                      \
  "push %rbp\nmov %rsp, %rbp\npush %rsi\npush %rdi\npush %r8\npush %r9\npush %r10\n"  \
  "push %r11\n"
#define BACK_ALL                                                                      \
  "pop %r11\npop %r10\npop %r9\npop %r8\npop %rdi\npop %rsi\npop %rbp\nret\n"
asm(".text\n.globl hosted_rdmsr, hosted_wrmsr, hosted_cpuid, hosted_rdtsc, hosted_invlpga\n"
    "hosted_rdmsr:\n" KEEP_ALL
    "push %rcx\nmov %ecx, %edi\nand $-16, %rsp\ncall hosted_msr_read\n"
    "mov %rax, %rdx\nshr $32, %rdx\nmov %eax, %eax\nlea -56(%rbp), %rsp\npop %rcx\n" BACK_ALL
    "hosted_wrmsr:\n" KEEP_ALL
    "push %rcx\npush %rax\npush %rdx\nmov %ecx, %edi\nmov %eax, %esi\nshl $32, %rdx\n"
    "or %rdx, %rsi\nand $-16, %rsp\ncall hosted_msr_write\nlea -72(%rbp), %rsp\n"
    "pop %rdx\npop %rax\npop %rcx\n" BACK_ALL
    "hosted_rdtsc:\n" KEEP_ALL
    "push %rcx\nand $-16, %rsp\ncall hosted_tick\nmov %rax, %rdx\nshr $32, %rdx\nmov %eax, %eax\n"
    "lea -56(%rbp), %rsp\npop %rcx\n" BACK_ALL
    "hosted_invlpga:\n" KEEP_ALL
    "push %rcx\npush %rax\npush %rdx\nmov %rax, %rdi\nmov %ecx, %esi\nand $-16, %rsp\n"
    "call hosted_invalidate_address\nlea -72(%rbp), %rsp\npop %rdx\npop %rax\npop %rcx\n" BACK_ALL
    "hosted_cpuid:\n" KEEP_ALL
    "sub $24, %rsp\nand $-16, %rsp\nmov %eax, (%rsp)\nmov %ebx, 4(%rsp)\nmov %ecx, 8(%rsp)\n"
    "mov %edx, 12(%rsp)\nmov %rsp, %rdi\ncall hosted_cpuid_read\nmov (%rsp), %eax\n"
    "mov 4(%rsp), %ebx\nmov 8(%rsp), %ecx\nmov 12(%rsp), %edx\nlea -48(%rbp), %rsp\n" BACK_ALL);

static void feature(int bit) { set_bit(bit, (unsigned long *)boot_cpu_data.x86_capability); }

void hosted_set_processor(int intel, int five_level, int physical_bits) {
  five_level_host = five_level;
  memset(&boot_cpu_data, 0, sizeof(boot_cpu_data));
  boot_cpu_data.x86_vendor = intel ? X86_VENDOR_INTEL : X86_VENDOR_AMD;
  boot_cpu_data.x86 = intel ? 6 : 0x19;
  boot_cpu_data.x86_virt_bits = five_level ? 57 : 48;
  boot_cpu_data.cpuid_level = 0x1f;
  boot_cpu_data.extended_cpuid_level = 0x8000001f;
  feature(X86_FEATURE_FPU);
  feature(X86_FEATURE_FXSR);
  feature(X86_FEATURE_NX);
  feature(X86_FEATURE_LM);
  feature(X86_FEATURE_PSE);
  feature(X86_FEATURE_PGE);
  feature(X86_FEATURE_PAE);
  feature(X86_FEATURE_PSE36);
  feature(X86_FEATURE_GBPAGES);
  feature(X86_FEATURE_SMEP);
  feature(X86_FEATURE_SMAP);
  feature(X86_FEATURE_PCID);
  feature(X86_FEATURE_INVPCID);
  feature(X86_FEATURE_PKU);
  feature(X86_FEATURE_OSPKE);
  feature(X86_FEATURE_CX8);
  feature(X86_FEATURE_CX16);
  feature(X86_FEATURE_CONSTANT_TSC);
  feature(X86_FEATURE_SYSCALL);
  feature(X86_FEATURE_MSR);
  feature(X86_FEATURE_TSC);
  feature(X86_FEATURE_APIC);
  feature(X86_FEATURE_CLFLUSH);
  feature(X86_FEATURE_MMX);
  feature(X86_FEATURE_XMM);
  feature(X86_FEATURE_XMM2);
  if (five_level) feature(X86_FEATURE_LA57);
  if (intel) {
    feature(X86_FEATURE_VMX);
    feature(X86_FEATURE_MSR_IA32_FEAT_CTL);
    feature(X86_FEATURE_VMX);
  } else {
    feature(X86_FEATURE_SVM);
    feature(X86_FEATURE_NPT);
    feature(X86_FEATURE_NRIPS);
    feature(X86_FEATURE_DECODEASSISTS);
    feature(X86_FEATURE_FLUSHBYASID);
  }
  /* Four levels of nested tables reach 48 bits: a wider bus needs five, in the tree too. */
  if (physical_bits > 48 && !pgtable_l5_enabled()) physical_bits = 46;
  boot_cpu_data.x86_phys_bits = boot_cpu_data.x86_cache_bits = (u8)physical_bits;
  *(struct cpuinfo_x86 *)&cpu_info = boot_cpu_data;
#if MAX_PTRS_PER_P4D > 1
  pgdir_shift = pgtable_l5_enabled() ? 48 : 39;
  ptrs_per_p4d = pgtable_l5_enabled() ? 512 : 1;
#endif
  hosted_user_levels();
}

void hosted_keep_pkru(void) {
  clear_bit(X86_FEATURE_PKU, (unsigned long *)boot_cpu_data.x86_capability);
  /* Else kvm_arch_vcpu_load() reads the register of a host that may have none. */
  clear_bit(X86_FEATURE_OSPKE, (unsigned long *)boot_cpu_data.x86_capability);
  *(struct cpuinfo_x86 *)&cpu_info = boot_cpu_data;
}

/* A preemption point of preempt_enable(); keeps every register. */
asm(".globl preempt_schedule_thunk, preempt_schedule_notrace_thunk\n"
    "preempt_schedule_thunk: preempt_schedule_notrace_thunk: ret\n");

HOSTED_OF_CPU unsigned long hosted_flags = 0x202; /* RFLAGS with the interrupt flag set */

/* ---- a CPU calls itself, with interrupts off as in an interrupt, or another one */
static void call_here(smp_call_func_t function, void *info) {
  unsigned long flags = hosted_flags;
  hosted_flags &= ~0x200ul;
  function(info);
  hosted_flags = flags;
}
int smp_call_function_single(int cpu, smp_call_func_t function, void *info, int wait) {
  if (SCHEDULED && cpu != raw_smp_processor_id())
    TELL(interrupt, cpu, function, info);
  else
    call_here(function, info);
  return 0;
}
/* Without waiting it is a kick: a guest here leaves after each instruction anyway. */
void smp_call_function_many(const struct cpumask *mask, smp_call_func_t function, void *info,
                            bool wait) {
  int cpu;
  if (!SCHEDULED || !wait) return;
  for_each_cpu(cpu, mask)
    if (cpu != raw_smp_processor_id()) TELL(interrupt, cpu, function, info);
}
void on_each_cpu_cond_mask(smp_cond_func_t condition, smp_call_func_t function, void *info,
                           bool wait, const struct cpumask *mask) {
  if (!condition || condition(0, info)) call_here(function, info);
}
static void reschedule(int cpu) {}


/* Where the GDT would be mapped. */
static char entry_area[2 << 20] __aligned(PAGE_SIZE);
struct cpu_entry_area *get_cpu_entry_area(int cpu) { return (struct cpu_entry_area *)entry_area; }

unsigned long cr4_read_shadow(void) {
  return X86_CR4_PAE | X86_CR4_PSE | X86_CR4_PGE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT |
         X86_CR4_SMEP | X86_CR4_SMAP | (five_level_host ? X86_CR4_LA57 : 0);
}

/* ---- floating point: the guest has none that matters */
bool fpu_alloc_guest_fpstate(struct fpu_guest *guest) {
  guest->fpstate = hosted_object(sizeof(struct fpstate) + 64, 1, HOSTED_VMALLOC,
                                 (unsigned long)__builtin_return_address(0));
  return guest->fpstate != NULL;
}
void fpu_free_guest_fpstate(struct fpu_guest *guest) {
  hosted_release(guest->fpstate);
  guest->fpstate = NULL;
}

int fpu_swap_kvm_fpstate(struct fpu_guest *guest, bool enter) {
  guest->fpstate->in_use = enter;
  return 0;
}

/* ---- time moves a microsecond whenever somebody looks */
static u64 nanoseconds;
ktime_t ktime_get(void) { return nanoseconds += 1000; }
ktime_t ktime_get_raw(void) { return ktime_get(); }
ktime_t ktime_get_with_offset(enum tk_offsets offset) { return ktime_get(); }
ktime_t ktime_add_safe(const ktime_t left, const ktime_t right) { return left + right; }
unsigned long __msecs_to_jiffies(const unsigned int m) { return m; }

void mod_node_page_state(struct pglist_data *node, enum node_stat_item item, long delta) {
  atomic_long_add(delta, &vm_node_stat[item]);
}

/* need_resched() stays true for a system call, a turn of a kernel thread or what the
 * host's memory management asks for, until a vCPU wants to enter its guest: there the
 * scheduler runs, or the vCPU would never get in. */
static int contended;
void hosted_contend(int on) {
  contended = on;
  hosted_system_call();
}
void hosted_system_call(void) {
  if (contended)
    set_tsk_need_resched(hosted_current());
  else
    clear_tsk_need_resched(hosted_current());
}
#ifdef HOSTED_GUEST_WORK_WITHOUT_VCPU
int xfer_to_guest_mode_handle_work(void) {
#else
struct kvm_vcpu;
int xfer_to_guest_mode_handle_work(struct kvm_vcpu *vcpu) {
#endif
  clear_tsk_need_resched(hosted_current());
  return 0;
}

#ifdef HOSTED_SCHEDULE
void hosted_become(unsigned cpu) {
  struct task_struct *task = hosted_host.allocate(hosted_host.context, sizeof(*task), 64, HOSTED_OF_SHIM);
  *task = main_task;
  hosted_set_current(task);
#ifdef HOSTED_PCPU_HOT
  pcpu_hot.cpu_number = cpu;
#else
  *(int *)&cpu_number = cpu;
#endif
}
#endif

extern struct mm_struct *hosted_user_mm(void);
void hosted_cpu_start(void) {
  unsigned long section, sections;
  unsigned long long frame;
  page_offset_base = hosted_host.arena.base;
  vmemmap_base = (unsigned long)hosted_host.allocate(
      hosted_host.context, hosted_host.arena.pages * sizeof(struct page), PAGE_SIZE, HOSTED_OF_SHIM);
  memset((void *)vmemmap_base, 0, hosted_host.arena.pages * sizeof(struct page));
  mem_section = hosted_host.allocate(hosted_host.context, sizeof(void *) * NR_SECTION_ROOTS, 64, HOSTED_OF_SHIM);
  memset(mem_section, 0, sizeof(void *) * NR_SECTION_ROOTS);
  sections = DIV_ROUND_UP(hosted_host.arena.pages, PAGES_PER_SECTION);
  for (section = 0; section < sections; ++section) {
    struct mem_section **root = &mem_section[SECTION_NR_TO_ROOT(section)];
    if (!*root) {
      *root = hosted_host.allocate(hosted_host.context,
                                   SECTIONS_PER_ROOT * sizeof(struct mem_section), 64, HOSTED_OF_SHIM);
      memset(*root, 0, SECTIONS_PER_ROOT * sizeof(struct mem_section));
    }
    (*root)[section & SECTION_ROOT_MASK].section_mem_map =
        SECTION_MARKED_PRESENT | SECTION_HAS_MEM_MAP | SECTION_IS_EARLY | SECTION_IS_ONLINE;
  }
  for (frame = 0; frame < hosted_host.arena.first_free; ++frame)
    set_page_count(pfn_to_page(frame), 1);
  main_task.mm = main_task.active_mm = hosted_user_mm();
  main_task.signal = &main_signal;
  main_task.real_parent = &main_task;
  main_task.group_leader = &main_task;
  main_task.nr_cpus_allowed = 1;
  refcount_set(&main_task.usage, 1);
  smp_ops.smp_send_reschedule = reschedule;
  hosted_set_processor(0, 0, 46);
}
unsigned long long hosted_task_references(void) { return refcount_read(&main_task.usage); }
