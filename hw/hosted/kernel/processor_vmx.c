/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMLAUNCH and VMRESUME, done by the process: guest state and controls are read
 * from the current VMCS, the software processor runs the guest, its exit is
 * written back as the SDM says ("VM Exits", exit information).
 */
#include <linux/kvm_host.h>
#include <linux/kvm_types.h>
#include <asm/msr-index.h>
#include <asm/trapnr.h>
#include <asm/vmx.h>
#include "vmx.h"
#include "shim.h"
#include "schedule.h"

/* Control registers of the host, for the macro of prelude.h. */
unsigned long hosted_cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP |
                           X86_CR0_PG;
HOSTED_OF_CPU unsigned long hosted_cr2;
unsigned long hosted_cr3, hosted_cr4 = X86_CR4_PAE;

/* ---- what the processor can do (SDM "VMX Capability Reporting Facility") */

/* No bit of a control must be one, these may be. */
static u64 allowed(u32 controls) { return (u64)controls << 32; }

#define PRIMARY_CONTROLS                                                                     \
  (CPU_BASED_HLT_EXITING | CPU_BASED_CR3_LOAD_EXITING | CPU_BASED_CR3_STORE_EXITING |        \
   CPU_BASED_CR8_LOAD_EXITING | CPU_BASED_CR8_STORE_EXITING | CPU_BASED_UNCOND_IO_EXITING |  \
   CPU_BASED_MOV_DR_EXITING | CPU_BASED_USE_TSC_OFFSETTING | CPU_BASED_MWAIT_EXITING |       \
   CPU_BASED_MONITOR_EXITING | CPU_BASED_INVLPG_EXITING | CPU_BASED_RDPMC_EXITING |          \
   CPU_BASED_INTR_WINDOW_EXITING | CPU_BASED_NMI_WINDOW_EXITING |                            \
   CPU_BASED_USE_MSR_BITMAPS | CPU_BASED_ACTIVATE_SECONDARY_CONTROLS)
#define SECONDARY_CONTROLS                                                                   \
  (SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_ENABLE_VPID |                                  \
   SECONDARY_EXEC_UNRESTRICTED_GUEST | SECONDARY_EXEC_ENABLE_INVPCID |                       \
   SECONDARY_EXEC_ENABLE_RDTSCP | SECONDARY_EXEC_ENABLE_PML)
#define ENTRY_CONTROLS                                                                       \
  (VM_ENTRY_LOAD_DEBUG_CONTROLS | VM_ENTRY_IA32E_MODE | VM_ENTRY_LOAD_IA32_EFER |            \
   VM_ENTRY_LOAD_IA32_PAT)
#define EXIT_CONTROLS                                                                        \
  (VM_EXIT_SAVE_DEBUG_CONTROLS | VM_EXIT_ACK_INTR_ON_EXIT | VM_EXIT_HOST_ADDR_SPACE_SIZE |   \
   VM_EXIT_LOAD_IA32_EFER | VM_EXIT_SAVE_IA32_EFER | VM_EXIT_LOAD_IA32_PAT |                 \
   VM_EXIT_SAVE_IA32_PAT)
#define EPT_CAPABILITIES                                                                     \
  (VMX_EPT_EXECUTE_ONLY_BIT | VMX_EPT_PAGE_WALK_4_BIT | VMX_EPTP_WB_BIT | VMX_EPTP_UC_BIT |  \
   VMX_EPT_2MB_PAGE_BIT | VMX_EPT_1GB_PAGE_BIT | VMX_EPT_INVEPT_BIT | VMX_EPT_AD_BIT |       \
   VMX_EPT_EXTENT_CONTEXT_BIT | VMX_EPT_EXTENT_GLOBAL_BIT)
#define VPID_CAPABILITIES                                                                    \
  (VMX_VPID_INVVPID_BIT | VMX_VPID_EXTENT_INDIVIDUAL_ADDR_BIT |                              \
   VMX_VPID_EXTENT_SINGLE_CONTEXT_BIT | VMX_VPID_EXTENT_GLOBAL_CONTEXT_BIT)
/* IA32_VMX_BASIC: size of a VMCS at bit 32, its memory type at 50. */
#define BASIC ((u64)PAGE_SIZE << 32 | 6ull << 50 | 1)

u64 hosted_vmx_msr(u32 msr, int five_level) {
  switch (msr) {
    case MSR_IA32_FEAT_CTL:
      return FEAT_CTL_LOCKED | FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX;
    case MSR_IA32_VMX_BASIC:
      return BASIC;
    case MSR_IA32_VMX_PINBASED_CTLS:
      return allowed(PIN_BASED_EXT_INTR_MASK | PIN_BASED_NMI_EXITING | PIN_BASED_VIRTUAL_NMIS);
    case MSR_IA32_VMX_PROCBASED_CTLS:
      return allowed(PRIMARY_CONTROLS);
    case MSR_IA32_VMX_PROCBASED_CTLS2:
      return allowed(SECONDARY_CONTROLS);
    case MSR_IA32_VMX_ENTRY_CTLS:
      return allowed(ENTRY_CONTROLS);
    case MSR_IA32_VMX_EXIT_CTLS:
      return allowed(EXIT_CONTROLS);
    case MSR_IA32_VMX_EPT_VPID_CAP:
      return (u64)VPID_CAPABILITIES << 32 | EPT_CAPABILITIES |
             (five_level ? VMX_EPT_PAGE_WALK_5_BIT : 0);
    case MSR_IA32_VMX_CR0_FIXED0:
      return X86_CR0_PE | X86_CR0_NE | X86_CR0_PG;
    case MSR_IA32_VMX_CR0_FIXED1:
      return 0xffffffff;
    case MSR_IA32_VMX_CR4_FIXED0:
      return X86_CR4_VMXE;
    case MSR_IA32_VMX_CR4_FIXED1:
      return 0xffffffff;
    default:
      return 0;
  }
}

/* ---- entry */

/* What stands in a field has its width already. */
static __always_inline u64 get(u32 field) { return *hosted_vmcs_field(field); }
static __always_inline void set(u32 field, u64 value) { *hosted_vmcs_field(field) = value; }

static int primary(u32 control) {
  return !!(get(CPU_BASED_VM_EXEC_CONTROL) & control);
}
static int secondary(u32 control) {
  return primary(CPU_BASED_ACTIVATE_SECONDARY_CONTROLS) &&
         (get(SECONDARY_VM_EXEC_CONTROL) & control);
}

/* The bit of the exception bitmap, turned round where error codes never match
 * (SDM "Exception Bitmap"). */
static unsigned page_fault_exits(void) {
  int bit = !!(get(EXCEPTION_BITMAP) & (1u << PF_VECTOR));
  u32 mask = (u32)get(PAGE_FAULT_ERROR_CODE_MASK);
  u32 match = (u32)get(PAGE_FAULT_ERROR_CODE_MATCH);
  if (mask) hosted_fail(HOSTED_BUG, "the processor knows no page-fault error-code mask");
  return match ? !bit : bit;
}

static u64 guest_efer(void) {
  u32 controls = (u32)get(VM_ENTRY_CONTROLS);
  u64 value;
  if (controls & VM_ENTRY_LOAD_IA32_EFER) return get(GUEST_IA32_EFER);
  value = hosted_msr_read(MSR_EFER) & ~(u64)(EFER_LMA | EFER_LME);
  return controls & VM_ENTRY_IA32E_MODE ? value | EFER_LMA | EFER_LME : value;
}

static void describe(const struct kvm_vcpu *vcpu, struct hosted_entry *entry) {
  u32 event = (u32)get(VM_ENTRY_INTR_INFO_FIELD);
  int at;
  memset(entry, 0, sizeof(*entry));
  entry->vcpu = vcpu->vcpu_id;
  entry->cr0 = get(GUEST_CR0);
  entry->cr2 = hosted_cr2;
  entry->cr3 = get(GUEST_CR3);
  entry->cr4 = get(GUEST_CR4);
  entry->efer = guest_efer();
  if (secondary(SECONDARY_EXEC_ENABLE_EPT)) {
    u64 pointer = get(EPT_POINTER);
    entry->format = HOSTED_FORMAT_EPT;
    entry->root = pointer & ~0xfffull;
    entry->root_level = ((pointer >> 3) & 7) + 1;
    entry->ept_accessed_dirty = !!(pointer & VMX_EPTP_AD_ENABLE_BIT);
    for (at = 0; at < 4; ++at) entry->pdpte[at] = get(GUEST_PDPTR0 + 2 * at);
    if (secondary(SECONDARY_EXEC_ENABLE_PML)) {
      entry->log = 1;
      entry->log_page = get(PML_ADDRESS);
      entry->log_index = (unsigned)get(GUEST_PML_INDEX);
    }
  } else {
    entry->format = HOSTED_FORMAT_SHADOW;
    entry->root_level = !(entry->efer & EFER_LMA) ? 3 : entry->cr4 & X86_CR4_LA57 ? 5 : 4;
    /* With a PCID below it, where there is one. */
    entry->root = entry->cr3 & (entry->root_level == 3 ? 0xffffffe0 : PTE_PFN_MASK);
  }
  entry->asid = secondary(SECONDARY_EXEC_ENABLE_VPID)
                    ? (unsigned)get(VIRTUAL_PROCESSOR_ID)
                    : 0;
  /* VPID 0 is the host's: every entry begins with no translation. */
  entry->flush = entry->asid ? HOSTED_FLUSH_NONE : HOSTED_FLUSH_ASID;
  for (at = 0; at < 16; ++at) entry->gpr[at] = vcpu->arch.regs[at];
  entry->gpr[VCPU_REGS_RSP] = get(GUEST_RSP);
  entry->pkru = vcpu->arch.pkru;
  entry->rip = get(GUEST_RIP);
  entry->rflags = get(GUEST_RFLAGS);
  entry->cpl = (get(GUEST_SS_AR_BYTES) >> 5) & 3;
  entry->intercept_page_fault = page_fault_exits();
  entry->intercept_cr3_write = primary(CPU_BASED_CR3_LOAD_EXITING);
  entry->intercept_invlpg = primary(CPU_BASED_INVLPG_EXITING);
  entry->intercept_invpcid =
      entry->intercept_invlpg && secondary(SECONDARY_EXEC_ENABLE_INVPCID);
  if ((event & INTR_INFO_VALID_MASK) &&
      (event & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_HARD_EXCEPTION) {
    entry->event_valid = 1;
    entry->event_vector = event & INTR_INFO_VECTOR_MASK;
    entry->event_has_code = !!(event & INTR_INFO_DELIVER_CODE_MASK);
    entry->event_code = (unsigned)get(VM_ENTRY_EXCEPTION_ERROR_CODE);
  }
}

/* ---- exit */

/* The privilege level stands in the selectors and rights of CS and SS. */
static void set_privilege(unsigned cpl) {
  static const u32 selectors[] = {GUEST_CS_SELECTOR, GUEST_SS_SELECTOR};
  static const u32 rights[] = {GUEST_CS_AR_BYTES, GUEST_SS_AR_BYTES};
  int at;
  for (at = 0; at < 2; ++at) {
    set(selectors[at], (get(selectors[at]) & ~3ull) | cpl);
    set(rights[at], (get(rights[at]) & ~0x60ull) | cpl << 5);
  }
}

static void write_back(struct kvm_vcpu *vcpu, const struct hosted_entry *entry) {
  unsigned before = (get(GUEST_SS_AR_BYTES) >> 5) & 3;
  int at;
  for (at = 0; at < 16; ++at) vcpu->arch.regs[at] = entry->gpr[at];
  vcpu->arch.pkru = entry->pkru;
  set(GUEST_RSP, entry->gpr[VCPU_REGS_RSP]);
  set(GUEST_RIP, entry->rip);
  set(GUEST_RFLAGS, entry->rflags);
  set(GUEST_CR3, entry->cr3);
  hosted_cr2 = entry->cr2;
  if (entry->format == HOSTED_FORMAT_EPT)
    for (at = 0; at < 4; ++at) set(GUEST_PDPTR0 + 2 * at, entry->pdpte[at]);
  if (entry->log) set(GUEST_PML_INDEX, entry->log_index);
  if (entry->cpl != before) set_privilege(entry->cpl);
  set(VM_ENTRY_INTR_INFO_FIELD,
                  get(VM_ENTRY_INTR_INFO_FIELD) & ~(u64)INTR_INFO_VALID_MASK);
}

/* SDM "Exit Qualification for EPT Violations". */
static u64 violation(const struct hosted_entry *entry, const struct hosted_exit *exit) {
  u64 qualification =
      exit->code & HOSTED_NESTED_WRITE ? 2 : exit->code & HOSTED_NESTED_FETCH ? 4 : 1;
  qualification |= ((exit->code >> HOSTED_NESTED_ACCESS_RIGHTS_SHIFT) & 7) << 3;
  /* A load of PDPTE registers has no linear address. */
  if (exit->code & HOSTED_NESTED_REGISTER) return qualification;
  if (exit->code & HOSTED_NESTED_TABLE)
    qualification |= entry->ept_accessed_dirty ? 3 : 0;
  else
    qualification |= 1 << 8;
  return qualification | 1 << 7;
}

static void exception(unsigned vector, unsigned code) {
  set(VM_EXIT_REASON, EXIT_REASON_EXCEPTION_NMI);
  set(VM_EXIT_INTR_INFO, INTR_INFO_VALID_MASK | INTR_INFO_DELIVER_CODE_MASK |
                                         INTR_TYPE_HARD_EXCEPTION | vector);
  set(VM_EXIT_INTR_ERROR_CODE, code);
}

/* A memory operand at a displacement alone, the type of INVPCID in RAX (SDM
 * "VM-Exit Instruction Information"). */
static u32 instruction_information(const struct hosted_entry *entry) {
  u32 address_size = entry->efer & EFER_LMA ? 2 : 1;
  return address_size << 7 | VCPU_SREG_DS << 15 | 1u << 22 | 1u << 27 | VCPU_REGS_RAX << 28;
}

static void leave(struct kvm_vcpu *vcpu, const struct hosted_entry *entry,
                  const struct hosted_exit *exit) {
  u64 qualification = 0;
  set(VM_EXIT_INTR_INFO, 0);
  set(IDT_VECTORING_INFO_FIELD, 0);
  set(VM_EXIT_INSTRUCTION_LEN, exit->instruction_length);
  switch (exit->reason) {
    case HOSTED_EXIT_PAGE_FAULT:
      exception(PF_VECTOR, exit->code);
      qualification = exit->address;
      break;
    case HOSTED_EXIT_NESTED_FAULT:
      set(GUEST_PHYSICAL_ADDRESS, exit->address);
      if (!(exit->code & HOSTED_NESTED_REGISTER)) set(GUEST_LINEAR_ADDRESS, exit->linear);
      if (exit->code & HOSTED_NESTED_RESERVED) {
        set(VM_EXIT_REASON, EXIT_REASON_EPT_MISCONFIG);
      } else {
        set(VM_EXIT_REASON, EXIT_REASON_EPT_VIOLATION);
        qualification = violation(entry, exit);
      }
      break;
    case HOSTED_EXIT_LOG_FULL:
      set(VM_EXIT_REASON, EXIT_REASON_PML_FULL);
      break;
    case HOSTED_EXIT_WRITE_CR:
      /* MOV to the register from RAX, which is 0 in all other fields. */
      set(VM_EXIT_REASON, EXIT_REASON_CR_ACCESS);
      qualification = exit->number;
      vcpu->arch.regs[VCPU_REGS_RAX] = exit->value;
      break;
    case HOSTED_EXIT_INVLPG:
      set(VM_EXIT_REASON, EXIT_REASON_INVLPG);
      qualification = exit->address;
      break;
    case HOSTED_EXIT_INVPCID:
      set(VM_EXIT_REASON, EXIT_REASON_INVPCID);
      set(VMX_INSTRUCTION_INFO, instruction_information(entry));
      qualification = exit->address;
      vcpu->arch.regs[VCPU_REGS_RAX] = exit->value;
      break;
    case HOSTED_EXIT_WRITE_MSR:
      set(VM_EXIT_REASON, EXIT_REASON_MSR_WRITE);
      vcpu->arch.regs[VCPU_REGS_RCX] = exit->number;
      vcpu->arch.regs[VCPU_REGS_RAX] = (u32)exit->value;
      vcpu->arch.regs[VCPU_REGS_RDX] = exit->value >> 32;
      break;
    case HOSTED_EXIT_EXCEPTION:
      exception(exit->number, exit->code);
      break;
    default:
      set(VM_EXIT_REASON, EXIT_REASON_HLT);
      set(VM_EXIT_INSTRUCTION_LEN, 1);
      break;
  }
  set(EXIT_QUALIFICATION, qualification);
}

/* A MOV to CR0 or CR4 that changes no bit of the host's completes in the guest
 * (SDM "Changes to Instruction Behavior in VMX Non-Root Operation"). One that
 * loads PDPTEs is left to KVM, which does the same. */
static int completes(const struct hosted_entry *entry, const struct hosted_exit *exit) {
  u64 mask, shadow, fresh;
  u32 guest, other;
  if (exit->reason != HOSTED_EXIT_WRITE_CR || (exit->number != 0 && exit->number != 4)) return 0;
  guest = exit->number ? GUEST_CR4 : GUEST_CR0;
  mask = get(exit->number ? CR4_GUEST_HOST_MASK : CR0_GUEST_HOST_MASK);
  shadow = get(exit->number ? CR4_READ_SHADOW : CR0_READ_SHADOW);
  if ((exit->value ^ shadow) & mask) return 0;
  fresh = (get(guest) & mask) | (exit->value & ~mask);
  other = (u32)(fresh ^ get(guest));
  if (exit->number == 4 && (other & X86_CR4_PGE)) {
    if ((entry->cr0 & X86_CR0_PG) && !(entry->efer & EFER_LMA) && (fresh & X86_CR4_PAE)) return 0;
    hosted_host.invalidate_all(hosted_host.context, entry->asid);
  }
  set(guest, fresh);
  set(GUEST_RIP, entry->rip + exit->instruction_length);
  return 1;
}

/* In place of vmenter.S. Further arguments came and went with versions; the
 * result tells of a failure before the guest, which this processor reports. */
asm(".globl __vmx_vcpu_run\n.set __vmx_vcpu_run, hosted_vmenter\n");
__visible int hosted_vmenter(struct vcpu_vmx *vmx) {
  struct hosted_entry entry;
  struct hosted_exit exit;
  hosted_vmcs_enter(vmx->loaded_vmcs->vmcs, vmx->loaded_vmcs->launched);
  do {
    describe(&vmx->vcpu, &entry);
    memset(&exit, 0, sizeof(exit));
    hosted_host.run(hosted_host.context, vmx->vcpu.kvm, &entry, &exit);
    write_back(&vmx->vcpu, &entry);
  } while (completes(&entry, &exit));
  leave(&vmx->vcpu, &entry, &exit);
  return 0;
}

/* Where the host goes on after an exit; and VMREAD that failed. Neither runs. */
asm(".globl vmx_vmexit, vmread_error_trampoline\n"
    "vmx_vmexit: vmread_error_trampoline: ud2\n");
