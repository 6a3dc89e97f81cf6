/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMRUN, done by the process: the control block is read, the software processor
 * runs the guest, its exit is written back as AMD's manual says ("Secure
 * Virtual Machine", exit codes and decode assists).
 */
#include <linux/kvm_host.h>
#include <linux/kvm_types.h>
#include <linux/pgtable.h>
#include <asm/svm.h>
#include "svm.h"
#include "shim.h"

static int intercepted(const struct vmcb *vmcb, unsigned bit) {
  return (vmcb->control.intercepts[bit / 32] >> (bit % 32)) & 1;
}

static int nested_paging(const struct vmcb_control_area *control) {
#ifdef SVM_NESTED_CTL_NP_ENABLE
  return !!(control->nested_ctl & SVM_NESTED_CTL_NP_ENABLE);
#else
  return !!(control->misc_ctl & SVM_MISC_ENABLE_NP);
#endif
}

static void copy_registers(struct kvm_vcpu *vcpu, struct hosted_entry *entry, int back) {
  int at;
  for (at = 0; at < 16; ++at) {
    if (back)
      vcpu->arch.regs[at] = entry->gpr[at];
    else
      entry->gpr[at] = vcpu->arch.regs[at];
  }
}

static void describe(struct vcpu_svm *svm, struct hosted_entry *entry) {
  const struct vmcb *vmcb = svm->vmcb;
  const struct vmcb_save_area *save = &vmcb->save;
  const struct vmcb_control_area *control = &vmcb->control;
  memset(entry, 0, sizeof(*entry));
  entry->vcpu = svm->vcpu.vcpu_id;
  entry->format = nested_paging(control) ? HOSTED_FORMAT_NPT
                                                                  : HOSTED_FORMAT_SHADOW;
  entry->root = entry->format == HOSTED_FORMAT_NPT ? control->nested_cr3 & ~0xfffull
                                                    : save->cr3 & ~0x1full;
  if (entry->format == HOSTED_FORMAT_NPT)
    entry->root_level = pgtable_l5_enabled() ? 5 : 4;
  else if (!(save->efer & EFER_LMA))
    entry->root_level = 3;
  else
    entry->root_level = save->cr4 & X86_CR4_LA57 ? 5 : 4;
  entry->asid = control->asid;
  entry->flush = control->tlb_ctl == TLB_CONTROL_FLUSH_ALL_ASID ? HOSTED_FLUSH_ALL
                 : control->tlb_ctl == TLB_CONTROL_FLUSH_ASID   ? HOSTED_FLUSH_ASID
                                                                : HOSTED_FLUSH_NONE;
  copy_registers(&svm->vcpu, entry, 0);
  entry->gpr[VCPU_REGS_RAX] = save->rax;
  entry->gpr[VCPU_REGS_RSP] = save->rsp;
  entry->pkru = svm->vcpu.arch.pkru;
  entry->rip = save->rip;
  entry->rflags = save->rflags;
  entry->cr0 = save->cr0;
  entry->cr2 = save->cr2;
  entry->cr3 = save->cr3;
  entry->cr4 = save->cr4;
  entry->efer = save->efer;
  entry->cpl = save->cpl;
  entry->intercept_page_fault = intercepted(vmcb, INTERCEPT_EXCEPTION_OFFSET + PF_VECTOR);
  entry->intercept_cr3_write = intercepted(vmcb, INTERCEPT_CR3_WRITE);
  entry->intercept_invlpg = intercepted(vmcb, INTERCEPT_INVLPG);
  entry->intercept_invpcid = intercepted(vmcb, INTERCEPT_INVPCID);
  if ((control->event_inj & SVM_EVTINJ_VALID) &&
      (control->event_inj & SVM_EVTINJ_TYPE_MASK) == SVM_EVTINJ_TYPE_EXEPT) {
    entry->event_valid = 1;
    entry->event_vector = control->event_inj & SVM_EVTINJ_VEC_MASK;
    entry->event_has_code = !!(control->event_inj & SVM_EVTINJ_VALID_ERR);
    entry->event_code = control->event_inj_err;
  }
}

static u64 nested_code(const struct hosted_exit *exit) {
  u64 code = PFERR_USER_MASK;
  if (exit->code & HOSTED_NESTED_PRESENT) code |= PFERR_PRESENT_MASK;
  if (exit->code & HOSTED_NESTED_WRITE) code |= PFERR_WRITE_MASK;
  if (exit->code & HOSTED_NESTED_FETCH) code |= PFERR_FETCH_MASK;
  if (exit->code & HOSTED_NESTED_RESERVED) code |= PFERR_RSVD_MASK;
  code |= exit->code & HOSTED_NESTED_TABLE ? PFERR_GUEST_PAGE_MASK : PFERR_GUEST_FINAL_MASK;
  return code;
}

static void leave(struct vcpu_svm *svm, const struct hosted_entry *entry,
                  const struct hosted_exit *exit) {
  struct vmcb_control_area *control = &svm->vmcb->control;
  control->exit_int_info = 0;
  control->exit_info_1 = control->exit_info_2 = 0;
  control->next_rip = entry->rip + exit->instruction_length;
  control->insn_len = 0;
  switch (exit->reason) {
    case HOSTED_EXIT_PAGE_FAULT:
      control->exit_code = SVM_EXIT_EXCP_BASE + PF_VECTOR;
      control->exit_info_1 = exit->code;
      control->exit_info_2 = exit->address;
      break;
    case HOSTED_EXIT_NESTED_FAULT:
      control->exit_code = SVM_EXIT_NPF;
      control->exit_info_1 = nested_code(exit);
      control->exit_info_2 = exit->address;
      break;
    case HOSTED_EXIT_WRITE_CR:
      control->exit_code = SVM_EXIT_WRITE_CR0 + exit->number;
      /* Decode assist: MOV CR from RAX. */
      control->exit_info_1 = (1ull << 63) | VCPU_REGS_RAX;
      svm->vcpu.arch.regs[VCPU_REGS_RAX] = exit->value;
      svm->vmcb->save.rax = exit->value;
      break;
    case HOSTED_EXIT_INVLPG:
      control->exit_code = SVM_EXIT_INVLPG;
      control->exit_info_1 = exit->address;
      break;
    case HOSTED_EXIT_INVPCID:
      control->exit_code = SVM_EXIT_INVPCID;
      control->exit_info_1 = exit->address;
      control->exit_info_2 = exit->value;
      break;
    case HOSTED_EXIT_WRITE_MSR:
      control->exit_code = SVM_EXIT_MSR;
      control->exit_info_1 = 1;
      svm->vcpu.arch.regs[VCPU_REGS_RCX] = exit->number;
      svm->vmcb->save.rax = (u32)exit->value;
      svm->vcpu.arch.regs[VCPU_REGS_RDX] = exit->value >> 32;
      break;
    case HOSTED_EXIT_EXCEPTION:
      control->exit_code = SVM_EXIT_EXCP_BASE + exit->number;
      control->exit_info_1 = exit->code;
      break;
    default:
      control->exit_code = SVM_EXIT_HLT;
      control->next_rip = entry->rip + 1;
      break;
  }
  if (exit->reason == HOSTED_EXIT_PAGE_FAULT || exit->reason == HOSTED_EXIT_NESTED_FAULT) {
    control->insn_len = (u8)exit->instruction_length;
    memcpy(control->insn_bytes, exit->instruction, sizeof(control->insn_bytes));
    control->next_rip = 0;
  }
}

/* In place of vmenter.S. Further arguments came and went with versions. */
asm(".globl __svm_vcpu_run\n.set __svm_vcpu_run, hosted_vmrun\n");
__visible void hosted_vmrun(struct vcpu_svm *svm) {
  struct hosted_entry entry;
  struct hosted_exit exit;
  struct vmcb_save_area *save = &svm->vmcb->save;
  describe(svm, &entry);
  memset(&exit, 0, sizeof(exit));
  hosted_host.run(hosted_host.context, svm->vcpu.kvm, &entry, &exit);
  copy_registers(&svm->vcpu, &entry, 1);
  svm->vcpu.arch.pkru = entry.pkru;
  save->rax = entry.gpr[VCPU_REGS_RAX];
  save->rsp = entry.gpr[VCPU_REGS_RSP];
  save->rip = entry.rip;
  save->rflags = entry.rflags;
  save->cr2 = entry.cr2;
  save->cr3 = entry.cr3;
  save->cpl = (u8)entry.cpl;
  svm->vmcb->control.event_inj &= ~SVM_EVTINJ_VALID;
  leave(svm, &entry, &exit);
}

/* Whether VMRUN on the CPU where the vCPU is loaded would begin with a flush, or with an
 * ASID that has no translation. Each CPU hands out its own ASIDs: a vCPU that comes from
 * another one gets a fresh one. */
int hosted_svm_flushes(struct kvm_vcpu *vcpu) {
  const struct vcpu_svm *svm = to_svm(vcpu);
  if (vcpu->cpu < 0 || svm->current_vmcb->cpu != vcpu->cpu) return 1;
  return svm->vmcb->control.tlb_ctl != TLB_CONTROL_DO_NOTHING ||
         svm->current_vmcb->asid_generation !=
             per_cpu_ptr(&svm_data, vcpu->cpu)->asid_generation;
}

__visible void hosted_invalidate_address(u64 address, u32 asid) {
  struct kvm_vcpu *vcpu = kvm_get_running_vcpu();
  hosted_host.invalidate(hosted_host.context, vcpu ? vcpu->kvm : NULL, vcpu ? vcpu->vcpu_id : 0,
                         asid, address);
}
