// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kvm/registers.h"

#include "hw/kvm/guest_image.h"

namespace lockstep::hw {
namespace {

kvm_segment flat(std::uint16_t select, bool code, bool long_mode) {
  kvm_segment segment{};
  segment.limit = 0xffff'ffff;
  segment.selector = select;
  segment.type = code ? 11 : 3;  // accessed, readable or writable
  segment.present = 1;
  segment.dpl = select & 3;
  segment.s = 1;
  segment.g = 1;
  segment.l = code && long_mode;
  segment.db = !(code && long_mode);
  return segment;
}

std::uint64_t control_bits(const Configuration& configuration, ControlRegister which) {
  std::uint64_t bits = 0;
  for (unsigned i = 0; i < control_bit_count; ++i) {
    const auto bit = static_cast<ControlBit>(i);
    const ControlPlace at = place(bit);
    if (at.which == which && configuration.control.has(bit)) bits |= at.mask;
  }
  return bits;
}

}  // namespace

ControlPlace place(ControlBit bit) {
  switch (bit) {
    case ControlBit::cr0_wp:
      return {ControlRegister::cr0, cr0::wp};
    case ControlBit::cr4_pse:
      return {ControlRegister::cr4, cr4::pse};
    case ControlBit::cr4_pge:
      return {ControlRegister::cr4, cr4::pge};
    case ControlBit::cr4_smep:
      return {ControlRegister::cr4, cr4::smep};
    case ControlBit::cr4_smap:
      return {ControlRegister::cr4, cr4::smap};
    case ControlBit::cr4_pke:
      return {ControlRegister::cr4, cr4::pke};
    case ControlBit::cr4_pcide:
      return {ControlRegister::cr4, cr4::pcide};
    case ControlBit::efer_nx:
      return {ControlRegister::efer, efer::nx};
  }
  return {ControlRegister::cr0, 0};
}

void set_privilege(kvm_sregs& sregs, PagingMode mode, Cpl cpl) {
  const bool user = cpl == Cpl::user;
  sregs.cs =
      flat(user ? selector::user_code : selector::kernel_code, /*code=*/true, is_long_mode(mode));
  sregs.ss =
      flat(user ? selector::user_data : selector::kernel_data, /*code=*/false, is_long_mode(mode));
}

void set_initial(kvm_sregs& sregs, const Configuration& configuration, Gpa root, unsigned vcpu) {
  const PagingMode mode = configuration.paging;
  const HarnessLayout layout = HarnessLayout::of(mode);
  set_privilege(sregs, mode, Cpl::supervisor);
  // DPL 3, so that a change of privilege never clears them.
  sregs.ds = flat(selector::user_data, /*code=*/false, is_long_mode(mode));
  sregs.es = sregs.fs = sregs.gs = sregs.ds;
  sregs.gdt = {};
  sregs.gdt.base = layout.supervisor + harness_page::descriptors;
  sregs.gdt.limit = gdt_limit;
  sregs.idt = {};
  sregs.idt.base = sregs.gdt.base + idt_offset;
  sregs.idt.limit = static_cast<std::uint16_t>(idt_vectors * (is_long_mode(mode) ? 16 : 8) - 1);
  sregs.tr = {};
  sregs.tr.base = layout.supervisor + harness_page::vcpu + vcpu * page_size;
  sregs.tr.limit = tss_limit;
  sregs.tr.selector = selector::task;
  sregs.tr.type = 11;  // busy
  sregs.tr.present = 1;
  sregs.ldt = {};
  sregs.ldt.type = 2;
  sregs.ldt.unusable = 1;

  const bool paging = mode != PagingMode::none;
  sregs.cr0 =
      cr0::base | (paging ? cr0::pg : 0) | control_bits(configuration, ControlRegister::cr0);
  sregs.cr2 = 0;
  sregs.cr3 = paging ? root : 0;
  sregs.cr4 = cr4::base | control_bits(configuration, ControlRegister::cr4);
  if (mode == PagingMode::pae || is_long_mode(mode)) sregs.cr4 |= cr4::pae;
  if (mode == PagingMode::level5) sregs.cr4 |= cr4::la57;
  sregs.efer = (is_long_mode(mode) ? efer::long_mode : 0) |
               control_bits(configuration, ControlRegister::efer);
  for (auto& word : sregs.interrupt_bitmap) word = 0;
}

}  // namespace lockstep::hw
