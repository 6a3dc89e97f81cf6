// SPDX-License-Identifier: GPL-2.0-or-later
/// The `impl` engine: one access, from the software CPU to the MMU and back.
#include <fmt/format.h>

#include "props/impl_engine_class.h"

namespace lockstep::props::impl_engine {

/// What hardware's registers hold: under shadow paging KVM runs the guest with
/// CR0.WP and EFER.NXE set, and without paging also with SMEP and SMAP clear.
spec::ProcessorState ImplEngine::processor_state(const VirtualCpu& cpu) const {
  const impl::VcpuState& guest = cpu.mmu.state();
  const ControlBits& control = guest.paging.control;
  spec::ProcessorState state;
  state.root = cpu.mmu.root_frame();
  state.root_mode = cpu.mmu.root_level() == 5 ? PagingMode::level5 : PagingMode::level4;
  state.host_maxphyaddr = impl::spte::host_maxphyaddr;
  if (platform_.tdp) {
    state.paging.mode = guest.paging.mode;
    state.paging.control = control;
    state.paging.maxphyaddr = guest.paging.maxphyaddr;
    state.paging.pkru = guest.pkru;
    state.cr3 = guest.cr3;
    state.pdptes = guest.pdptes;
    state.pcid = control.has(ControlBit::cr4_pcide) ? static_cast<unsigned>(guest.cr3 & 0xfff) : 0;
    return state;
  }
  const bool paging = guest.paging.mode != PagingMode::none;
  state.paging.mode = state.root_mode;
  state.paging.maxphyaddr = impl::spte::host_maxphyaddr;
  state.paging.control.set(ControlBit::cr0_wp, true);
  state.paging.control.set(ControlBit::efer_nx, true);
  state.paging.control.set(ControlBit::cr4_smep, paging && control.has(ControlBit::cr4_smep));
  state.paging.control.set(ControlBit::cr4_smap, paging && control.has(ControlBit::cr4_smap));
  return state;
}

/// Let the TLB forget what the MMU asked it to. Under two-dimensional paging
/// the guest's own register writes ask for nothing here.
void ImplEngine::synchronize(VirtualCpu& cpu) {
  const std::uint64_t wanted = platform_.tdp ? vm().flush_generation() : cpu.mmu.flush_generation();
  const Hfn root = cpu.mmu.root_frame().value_or(0);
  if (wanted == cpu.flushed && root == cpu.root) return;
  cpu.flushed = wanted;
  cpu.root = root;
  cpu.processor.tlb().flush();
}

Observation ImplEngine::fetched(std::uint64_t bytes) const {
  constexpr std::uint64_t mov_eax = 0xb8;
  if ((bytes & 0xff) != mov_eax) {
    return Unexpected{fmt::format("fetched {:#018x}, which is no code cell", bytes)};
  }
  return Value{(bytes >> 8) & 0xffff'ffff};
}

Observation ImplEngine::use(const Access& command, Hfn frame) {
  const std::uint64_t offset = command.gva & ~page_mask;
  impl::HostMemory& memory = vm().memory();
  switch (command.kind) {
    case AccessKind::write:
      memory.store_frame(frame, offset, command.size, command.value);
      return Done{};
    case AccessKind::read:
      return Value{memory.load_frame(frame, offset, command.size)};
    case AccessKind::fetch:
      break;
  }
  return fetched(memory.load_frame(frame, offset, 8));
}

Observation ImplEngine::page_fault(VirtualCpu& cpu, const Access& command, std::uint32_t code) {
  hit(Path::access_pf);
  cpu.processor.tlb().drop(command.gva);
  return PageFault{code, command.gva};
}

Observation ImplEngine::emulate(VirtualCpu& cpu, const Access& command) {
  const impl::GuestAccess access{command.kind, command.cpl, command.ac};
  const unsigned size = command.kind == AccessKind::fetch ? 8 : command.size;
  const impl::Emulated result = cpu.mmu.emulate(command.gva, access, size, command.value);
  if (const auto* fault = std::get_if<impl::InjectPageFault>(&result)) {
    return page_fault(cpu, command, fault->code);
  }
  if (const auto* loaded = std::get_if<impl::Loaded>(&result)) {
    if (command.kind == AccessKind::fetch) return fetched(loaded->value);
    return Value{loaded->value};
  }
  if (std::holds_alternative<impl::Stored>(result)) return Done{};
  constexpr unsigned emulation_failure = 1;
  // handle_emulation_failure(): #UD for user code, KVM_EXIT_INTERNAL_ERROR else.
  if (command.kind == AccessKind::fetch) {
    if (command.cpl == Cpl::user) return Exception{6, 0};
    return InternalError{emulation_failure};
  }
  const bool write = command.kind == AccessKind::write;
  hit(write ? Path::mmio_write : Path::mmio_read);
  const std::uint64_t mask = size == 8 ? ~0ull : (1ull << (size * 8)) - 1;
  return Mmio{.write = write,
              .gpa = std::get<impl::MmioExit>(result).gpa,
              .size = size,
              .value = write ? command.value & mask : 0};
}

/// What the access shows; none if it must be tried again.
std::optional<Observation> ImplEngine::handle(VirtualCpu& cpu, const Access& command,
                                              const spec::Outcome& outcome) {
  if (const auto* allowed = std::get_if<spec::Allowed>(&outcome)) {
    if (allowed->from_tlb) hit(Path::tlb_hit);
    return use(command, allowed->frame);
  }
  if (const auto* broken = std::get_if<spec::Broken>(&outcome)) {
    return complain(fmt::format("an entry refers to frame {:#x}, no table", broken->frame));
  }
  if (const auto* stale = std::get_if<spec::Stale>(&outcome)) {
    // Beside others a flush may be on its way; nobody relies on it before it is over.
    if (lockstep::schedule::listener != nullptr) return use(command, stale->frame);
    return complain(spec::print(*stale));
  }
  impl::FaultOutcome handled;
  const Timed timed(*this);
  if (const auto* nested = std::get_if<spec::NestedFault>(&outcome)) {
    handled = cpu.mmu.tdp_fault(nested->gpa, nested->kind, nested->reserved);
  } else if (platform_.tdp) {
    return page_fault(cpu, command, std::get<spec::Fault>(outcome).code);
  } else {
    const std::uint32_t code = std::get<spec::Fault>(outcome).code;
    handled = cpu.mmu.page_fault(command.gva, {command.kind, command.cpl, command.ac},
                                 (code & fault::reserved) != 0);
  }
  if (const auto* inject = std::get_if<impl::InjectPageFault>(&handled)) {
    return page_fault(cpu, command, inject->code);
  }
  if (std::holds_alternative<impl::NeedsEmulation>(handled)) return emulate(cpu, command);
  if (const auto* error = std::get_if<impl::RunError>(&handled)) return Errno{number(error->error)};
  hit(Path::access_pf_fixed);
  return std::nullopt;
}

Result<Observation> ImplEngine::run(const Access& command) {
  const auto found = vcpu(command.vcpu);
  if (!found) return tl::unexpected(found.error());
  VirtualCpu& cpu = **found;
  hit(Path::access);
  hit(command.kind == AccessKind::read    ? Path::access_read
      : command.kind == AccessKind::write ? Path::access_write
                                          : Path::access_fetch);
  hit(command.cpl == Cpl::user ? Path::access_cpl3 : Path::access_cpl0);
  const PagingMode mode = cpu.mmu.state().paging.mode;
  if (long_mode(mode) && !spec::canonical(mode, command.gva)) return Exception{13};
  const spec::AccessRights access{command.kind, command.cpl, command.ac};
  for (unsigned faults = 0; faults < livelock_bound; ++faults) {
    lockstep::schedule::announce(guest_tag_, lockstep::schedule::Access::update);
    // Somebody else is about to change what made the fault be tried again.
    if (faults > 2 && lockstep::schedule::listener != nullptr) {
      lockstep::schedule::listener->yield();
    }
    {
      const Timed timed(*this);
      if (const auto entered = cpu.mmu.prepare_entry(); !entered) {
        return Errno{number(entered.error())};
      }
    }
    synchronize(cpu);
    const spec::ProcessorState state = processor_state(cpu);
    const spec::Outcome outcome = platform_.tdp
                                      ? cpu.processor.access_nested(state, access, command.gva)
                                      : cpu.processor.access_shadow(state, access, command.gva);
    if (auto shown = handle(cpu, command, outcome)) return *std::move(shown);
  }
  return Livelock{livelock_bound};
}

}  // namespace lockstep::props::impl_engine
