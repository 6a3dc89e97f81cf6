// SPDX-License-Identifier: GPL-2.0-or-later
/// The `impl` engine: instructions that change registers or drop translations.
#include "props/impl_engine_class.h"

namespace lockstep::props::impl_engine {

Result<Observation> ImplEngine::run(const LoadCr3& command) {
  const auto found = vcpu(command.vcpu);
  if (!found) return tl::unexpected(found.error());
  VirtualCpu& cpu = **found;
  hit(Path::cr3);
  const std::uint64_t noflush = command.noflush ? 1ull << 63 : 0;
  if (!cpu.mmu.set_cr3(command.root | command.pcid | noflush)) return Exception{13};
  const bool pcide = cpu.mmu.state().paging.control.has(ControlBit::cr4_pcide);
  if (command.noflush && pcide) return Done{};
  if (pcide) {
    cpu.processor.tlb().flush_pcid(command.pcid);
  } else {
    cpu.processor.tlb().flush_nonglobal();
  }
  return Done{};
}

Result<Observation> ImplEngine::run(const Invlpg& command) {
  const auto found = vcpu(command.vcpu);
  if (!found) return tl::unexpected(found.error());
  VirtualCpu& cpu = **found;
  hit(Path::invlpg);
  cpu.mmu.invlpg(command.gva);
  cpu.processor.tlb().invalidate_page(command.gva, processor_state(cpu).pcid, /*globals=*/true);
  return Done{};
}

Result<Observation> ImplEngine::run(const Invpcid& command) {
  const auto found = vcpu(command.vcpu);
  if (!found) return tl::unexpected(found.error());
  VirtualCpu& cpu = **found;
  hit(Path::invpcid);
  const impl::PagingRegisters& paging = cpu.mmu.state().paging;
  const bool names_pcid =
      command.type == InvpcidType::address || command.type == InvpcidType::single;
  if (command.pcid > 0xfff) return Exception{13};
  if (names_pcid && command.pcid != 0 && !paging.control.has(ControlBit::cr4_pcide)) {
    return Exception{13};
  }
  // The software processor tags shadow translations with PCID 0: drop them all.
  spec::Tlb& tlb = cpu.processor.tlb();
  if (!platform_.tdp) {
    if (command.type == InvpcidType::address && !spec::canonical(paging.mode, command.gva)) {
      return Exception{13};
    }
    switch (command.type) {
      case InvpcidType::address:
        cpu.mmu.invlpg(command.gva);
        break;
      case InvpcidType::single:
        cpu.mmu.invalidate_pcid(command.pcid);
        break;
      default:
        cpu.mmu.flush_guest();
    }
    tlb.flush();
    return Done{};
  }
  switch (command.type) {
    case InvpcidType::address:
      if (!spec::canonical(paging.mode, command.gva)) return Exception{13};
      tlb.invalidate_page(command.gva, command.pcid, /*globals=*/false);
      break;
    case InvpcidType::single:
      tlb.flush_pcid(command.pcid);
      break;
    case InvpcidType::all_and_global:
      tlb.flush();
      break;
    case InvpcidType::all:
      tlb.flush_nonglobal();
      break;
  }
  return Done{};
}

Result<Observation> ImplEngine::run(const SetControl& command) {
  const auto found = vcpu(command.vcpu);
  if (!found) return tl::unexpected(found.error());
  VirtualCpu& cpu = **found;
  hit(Path::control);
  const impl::PagingRegisters before = cpu.mmu.state().paging;
  if (!cpu.mmu.set_control(command.bit, command.on)) return Exception{13};
  if (before == cpu.mmu.state().paging) return Done{};
  // SDM "Operations that Invalidate TLBs"; EFER.NXE is read when tables are walked.
  switch (command.bit) {
    case ControlBit::cr4_pge:
    case ControlBit::cr4_pcide:
    case ControlBit::efer_nx:
      cpu.processor.tlb().flush();
      break;
    case ControlBit::cr4_smep:
      cpu.processor.tlb().flush_nonglobal();
      break;
    default:
      break;
  }
  return Done{};
}

Result<Observation> ImplEngine::run(const SetPkru& command) {
  const auto found = vcpu(command.vcpu);
  if (!found) return tl::unexpected(found.error());
  VirtualCpu& cpu = **found;
  constexpr unsigned invalid_opcode = 6;
  if (!cpu.mmu.state().paging.control.has(ControlBit::cr4_pke)) return Exception{invalid_opcode};
  cpu.mmu.set_pkru(command.value);
  return Done{};
}

Result<Observation> ImplEngine::run(const Translate& command) {
  const auto found = vcpu(command.vcpu);
  if (!found) return tl::unexpected(found.error());
  hit(Path::translate);
  return Translation{(*found)->mmu.translate(command.gva)};
}

}  // namespace lockstep::props::impl_engine
