/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMX instructions other than the entry. A VMCS keeps its fields in its own
 * page behind the revision identifier, so that it lives and dies with it; which
 * field stands where is the processor's business (SDM "Virtual-Machine Control
 * Structures") and is settled when a field is first touched.
 */
#include <linux/kvm_host.h>
#include <asm/vmx.h>
#include "shim.h"
#include "schedule.h"

/* Operands, as the macros of prelude.h leave them. */
HOSTED_OF_CPU unsigned long hosted_vmx_first, hosted_vmx_second, hosted_vmx_scratch;

#define SLOTS (PAGE_SIZE / 8)
enum { SLOT_HEADER, SLOT_LAUNCHED, FIRST_SLOT };
HOSTED_OF_CPU unsigned long long *hosted_vmcs;
unsigned short hosted_vmcs_slots[1024];
static unsigned short next_slot = FIRST_SLOT;

/* Encoding of a field (SDM "Field Encoding in VMCS"). */
#define FIELD_HIGH 1u /* upper half of a 64-bit field */
#define FIELD_KNOWN 0x6c7fu
#define FIELD_WIDTH(field) (((field) >> 13) & 3)
#define FIELD_TYPE(field) (((field) >> 10) & 3)
enum { WIDTH_16, WIDTH_64, WIDTH_32, WIDTH_NATURAL };
#define TYPE_READ_ONLY 1

unsigned long long *hosted_vmcs_place(unsigned field) {
  unsigned short *slot = &hosted_vmcs_slots[HOSTED_VMCS_KEY(field)];
  if (!hosted_vmcs)
    hosted_fail(HOSTED_BUG, "VMCS field %x used while no VMCS is current", field);
  if ((field & ~FIELD_KNOWN) || next_slot == SLOTS)
    hosted_fail(HOSTED_BUG, "no VMCS has a field %x", field);
  if (!*slot) *slot = next_slot++;
  return hosted_vmcs + *slot;
}

static void write_field(u32 field, u64 value) {
  unsigned long long *at = hosted_vmcs_field(field);
  if (FIELD_WIDTH(field) == WIDTH_16)
    *at = (u16)value;
  else if (FIELD_WIDTH(field) == WIDTH_32)
    *at = (u32)value;
  else if (field & FIELD_HIGH)
    *at = (u32)*at | value << 32;
  else
    *at = value;
}

/* VMLAUNCH wants a clear VMCS, VMRESUME one that was launched since. */
void hosted_vmcs_enter(const void *vmcs, int launched) {
  if (hosted_vmcs != vmcs) hosted_fail(HOSTED_BUG, "VM entry with another VMCS current");
  if (!hosted_vmcs[SLOT_LAUNCHED] != !launched)
    hosted_fail(HOSTED_BUG, launched ? "VMRESUME of a VMCS that is clear"
                                     : "VMLAUNCH of a VMCS that is launched");
  hosted_vmcs[SLOT_LAUNCHED] = 1;
}

/* Called between any two instructions of the kernel: every register stays. */
#define INSTRUCTION __visible __attribute__((no_caller_saved_registers, force_align_arg_pointer))

INSTRUCTION void hosted_vmread(void) {
  u64 value = *hosted_vmcs_field((u32)hosted_vmx_first);
  hosted_vmx_second = hosted_vmx_first & FIELD_HIGH ? value >> 32 : value;
}

INSTRUCTION void hosted_vmwrite(void) {
  u32 field = (u32)hosted_vmx_second;
  if (FIELD_TYPE(field) == TYPE_READ_ONLY)
    hosted_fail(HOSTED_BUG, "VMWRITE of the read-only field %x", field);
  write_field(field, hosted_vmx_first);
}

INSTRUCTION void hosted_vmptrld(void) { hosted_vmcs = __va(hosted_vmx_first); }

INSTRUCTION void hosted_vmclear(void) {
  unsigned long long *vmcs = __va(hosted_vmx_first);
  vmcs[SLOT_LAUNCHED] = 0;
  if (vmcs == hosted_vmcs) hosted_vmcs = NULL;
}

struct invept_descriptor {
  u64 eptp;
  u64 reserved;
};
INSTRUCTION void hosted_invept(void) {
  const struct invept_descriptor *descriptor = (void *)hosted_vmx_first;
  if (hosted_vmx_second == VMX_EPT_EXTENT_CONTEXT)
    hosted_host.invalidate_root(hosted_host.context, descriptor->eptp);
  else
    hosted_host.invalidate_all(hosted_host.context, 0);
}

struct invvpid_descriptor {
  u64 vpid;
  u64 address;
};
INSTRUCTION void hosted_invvpid(void) {
  const struct invvpid_descriptor *descriptor = (void *)hosted_vmx_first;
  switch (hosted_vmx_second) {
    case VMX_VPID_EXTENT_INDIVIDUAL_ADDR:
      hosted_invalidate_address(descriptor->address, (u32)descriptor->vpid);
      break;
    case VMX_VPID_EXTENT_SINGLE_CONTEXT:
    case VMX_VPID_EXTENT_SINGLE_NON_GLOBAL:
      hosted_host.invalidate_all(hosted_host.context, (u32)descriptor->vpid);
      break;
    default:
      hosted_host.invalidate_all(hosted_host.context, 0);
      break;
  }
}
