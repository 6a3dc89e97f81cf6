// SPDX-License-Identifier: GPL-2.0-or-later
// Commands that a vCPU executes as guest code.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "hw/hosted/engine.h"
#include "hw/kvm/registers.h"

namespace lockstep::hw::hosted {
namespace {

std::uint64_t truncate(std::uint64_t value, unsigned size) {
  return size >= 8 ? value : value & ((1ull << (8 * size)) - 1);
}

/// The first instruction of write8 in 32-bit code loads MM0; the store is next.
constexpr unsigned load_mm0_length = 3;

/// Bound on exits of one operation to user space.
constexpr unsigned exit_bound = 4 * livelock_bound;

}  // namespace

HostedEngine::Instructions HostedEngine::read_instructions(std::span<const std::byte> slot,
                                                           PagingMode mode) {
  Instructions all;
  for (unsigned i = 0; i < stub_count; ++i) {
    const auto stub = static_cast<Stub>(i);
    Instruction& one = all[i];
    one.offset = stub_offset(mode, stub);
    if (stub == Stub::write8 && !is_long_mode(mode)) one.offset += load_mm0_length;
    const std::uint64_t stop = stop_offset(mode, stub);
    one.length = stop > one.offset ? static_cast<unsigned>(stop - one.offset) : 0;
    one.length = std::min<unsigned>(one.length, 15);
    std::memcpy(one.bytes.data(), slot.data() + harness_page::user_code + one.offset, one.length);
  }
  return all;
}

void HostedEngine::plant_roots() {
  if (roots_planted_) return;
  Arena& arena = session_->arena();
  const unsigned width = entry_size(configuration_.paging);
  for (const Gpa root : configuration_.roots) {
    for (const RootEntry& entry : root_entries_) {
      const auto hva = slots_.hva(root + std::uint64_t{entry.index} * width);
      std::uint64_t now = 0;
      if (hva && arena.load(*hva, now, width) && now != entry.value) {
        (void)arena.store(*hva, entry.value, width);
      }
    }
  }
  roots_planted_ = true;
}

std::optional<Result<Observation>> HostedEngine::ready(unsigned index) {
  plant_roots();
  if (index == 1) counts_.hit(Path::vcpu1);
  if (machine_->vcpu(index).started) [[likely]] {
    return std::nullopt;
  }
  const Gpa root = configuration_.roots.front();
  if (configuration_.paging != PagingMode::none && !slots_.hva(root)) {
    return tl::unexpected(
        EngineError{fmt::format("vCPU {} cannot start: no slot backs root {:#x}", index, root)});
  }
  const auto started = machine_->start(index, configuration_, root);
  if (started == 0) return std::nullopt;
  if (!started) return failed(started);
  return tl::unexpected(
      EngineError{fmt::format("KVM_SET_SREGS: {}", std::strerror(static_cast<int>(-*started)))});
}

Operation HostedEngine::operation(Stub stub, Operation::Kind kind, Cpl cpl) const {
  const Instruction& code = (*code_)[static_cast<std::size_t>(stub)];
  Operation made;
  made.kind = kind;
  made.cpl = cpl;
  made.rip =
      (cpl == Cpl::user ? layout_.user_code : layout_.supervisor + harness_page::supervisor_code) +
      code.offset;
  made.length = code.length;
  made.bytes = code.bytes;
  return made;
}

bool HostedEngine::service_mmio(kvm_run& run, std::optional<Mmio>& mmio) {
  std::uint64_t value = 0;
  met_mmio_ = true;
  if (run.mmio.len > sizeof value) return false;
  if (run.mmio.is_write != 0) {
    std::memcpy(&value, run.mmio.data, run.mmio.len);
  } else {
    const std::uint64_t answer = mmio_answer(run.mmio.phys_addr);
    std::memcpy(run.mmio.data, &answer, run.mmio.len);
  }
  if (!mmio) {
    mmio = Mmio{.write = run.mmio.is_write != 0,
                .gpa = run.mmio.phys_addr,
                .size = run.mmio.len,
                .value = value};
  }
  return true;
}

Observation HostedEngine::finished(const Operation& operation, const Outcome& outcome,
                                   const std::optional<Mmio>& mmio) {
  using Kind = Operation::Kind;
  switch (outcome.kind) {
    case Outcome::Kind::page_fault:
      counts_.hit(Path::access_pf);
      return PageFault{.code = outcome.code, .address = outcome.address};
    case Outcome::Kind::exception:
      return Exception{.vector = outcome.vector, .code = outcome.code};
    case Outcome::Kind::broken:
      return complain(
          fmt::format("an entry refers to frame {:#x}, which is no live table", outcome.address));
    case Outcome::Kind::stale:
      return complain(spec::print(spec::Stale{outcome.address, outcome.value}));
    case Outcome::Kind::foreign:
      return complain(
          fmt::format("an entry maps frame {:#x}, which is no user page", outcome.address));
    case Outcome::Kind::strange:
      return Unexpected{fmt::format("fetched {:#018x}, which is no code cell", outcome.value)};
    case Outcome::Kind::livelock:
      return Livelock{livelock_bound};
    case Outcome::Kind::running:
      return Unexpected{"the vCPU left the guest in the middle of an instruction"};
    case Outcome::Kind::done:
      break;
  }
  if (mmio) {
    counts_.hit(mmio->write ? Path::mmio_write : Path::mmio_read);
    if (!mmio->write && operation.kind == Kind::read &&
        truncate(outcome.value, operation.size) !=
            truncate(mmio_answer(mmio->gpa), operation.size)) {
      return Unexpected{
          fmt::format("MMIO read of {:#x} gave the guest {:#x}", mmio->gpa, outcome.value)};
    }
    return *mmio;
  }
  if (operation.kind == Kind::read) return Value{truncate(outcome.value, operation.size)};
  if (operation.kind == Kind::fetch) return Value{truncate(outcome.value, 4)};
  return Done{};
}

Observation HostedEngine::run(unsigned index, const Operation& operation) {
  Processors& processors = session_->processors();
  MachineVcpu& vcpu = machine_->vcpu(index);
  processors.start(index, operation);
  std::optional<Mmio> mmio;
  for (unsigned exits = 0; exits < exit_bound; ++exits) {
    const auto left = vcpu.file.ioctl(KVM_RUN, 0);
    processors.after_run();
    if (!left) return failed(left);
    if (*left == -EINTR || *left == -EAGAIN) continue;
    if (*left < 0) {
      machine_->drop_events(index);
      return failed(left);
    }
    switch (vcpu.run->exit_reason) {
      case KVM_EXIT_HLT:
        return finished(operation, processors.outcome(index), mmio);
      case KVM_EXIT_MMIO:
        if (service_mmio(*vcpu.run, mmio)) continue;
        break;
      case KVM_EXIT_DIRTY_RING_FULL:
        if (const auto taken = machine_->collect(full_rings_); !taken || *taken < 0) {
          return failed(taken);
        }
        continue;
      case KVM_EXIT_INTERNAL_ERROR:
        counts_.hit(Path::internal_error);
        machine_->drop_events(index);
        return InternalError{vcpu.run->internal.suberror};
      default:
        break;
    }
    machine_->drop_events(index);
    return Unexpected{fmt::format("KVM exit {}", vcpu.run->exit_reason)};
  }
  return Livelock{livelock_bound};
}

Result<Observation> HostedEngine::on(const Access& access) {
  const bool fetch = access.kind == AccessKind::fetch;
  if (!fetch && access.size == 8 && !is_long_mode(configuration_.paging)) {
    return tl::unexpected(EngineError{"no access of 8 bytes in this mode"});
  }
  if (auto shown = ready(access.vcpu)) return *std::move(shown);
  counts_.hit(Path::access);
  counts_.hit(fetch                              ? Path::access_fetch
              : access.kind == AccessKind::write ? Path::access_write
                                                 : Path::access_read);
  counts_.hit(access.cpl == Cpl::user ? Path::access_cpl3 : Path::access_cpl0);
  Operation wanted;
  switch (access.kind) {
    case AccessKind::read:
      wanted = operation(read_stub(access.size), Operation::Kind::read, access.cpl);
      break;
    case AccessKind::write:
      wanted = operation(write_stub(access.size), Operation::Kind::write, access.cpl);
      wanted.value = truncate(access.value, access.size);
      break;
    case AccessKind::fetch:
      wanted = operation(Stub::fetch, Operation::Kind::fetch, access.cpl);
      wanted.rip = access.gva;
      wanted.length = 0;
      break;
  }
  wanted.address = access.gva;
  wanted.size = fetch ? 8 : access.size;
  wanted.ac = access.ac;
  return run(access.vcpu, wanted);
}

Result<Observation> HostedEngine::on(const EntrySet& command) {
  const unsigned width = entry_size(configuration_.paging);
  const std::uint64_t offset = std::uint64_t{command.index} * width;
  if (!command.vcpu) {
    return on(Poke{.gpa = command.table + offset, .value = command.value, .size = width});
  }
  if (command.table >= harness::window || harness::window - command.table < offset + width) {
    return tl::unexpected(EngineError{"entry outside the harness window"});
  }
  if (auto shown = ready(*command.vcpu)) return *std::move(shown);
  counts_.hit(Path::entry_write);
  Operation store = operation(write_stub(width), Operation::Kind::write, Cpl::user);
  store.address = layout_.window + command.table + offset;
  store.value = truncate(command.value, width);
  store.size = width;
  store.mmx = width == 8 && !is_long_mode(configuration_.paging);
  // The window is the harness', whose key the program may have denied.
  const auto& vcpu = machine_->vcpu(*command.vcpu);
  const std::uint32_t pkru = vcpu.pkru;
  const ControlPlace keys = hw::place(ControlBit::cr4_pke);
  const bool asked = (vcpu.control[static_cast<std::size_t>(keys.which)] & keys.mask) != 0;
  if (pkru == 0 || !asked) return run(*command.vcpu, store);
  const Observation allowed = write_pkru(*command.vcpu, 0);
  if (!std::holds_alternative<Done>(allowed)) return allowed;
  Observation seen = run(*command.vcpu, store);
  const Observation denied = write_pkru(*command.vcpu, pkru);
  return std::holds_alternative<Done>(denied) ? seen : denied;
}

Result<Observation> HostedEngine::on(const LoadCr3& command) {
  if (auto shown = ready(command.vcpu)) return *std::move(shown);
  counts_.hit(Path::cr3);
  Operation load = operation(Stub::load_cr3, Operation::Kind::mov_cr, Cpl::supervisor);
  load.number = 3;
  load.value = command.root | command.pcid | (command.noflush ? 1ull << 63 : 0);
  return run(command.vcpu, load);
}

Result<Observation> HostedEngine::on(const Invlpg& command) {
  if (auto shown = ready(command.vcpu)) return *std::move(shown);
  counts_.hit(Path::invlpg);
  Operation drop = operation(Stub::invlpg, Operation::Kind::invlpg, Cpl::supervisor);
  drop.address = command.gva;
  return run(command.vcpu, drop);
}

Result<Observation> HostedEngine::on(const Invpcid& command) {
  if (auto shown = ready(command.vcpu)) return *std::move(shown);
  counts_.hit(Path::invpcid);
  // Where the instruction exits, KVM reads the operand from the guest.
  const std::uint64_t descriptor[] = {command.pcid, command.gva};
  const std::uint64_t at = harness_page::parameters + std::uint64_t{parameter_size} * command.vcpu;
  std::memcpy(session_->arena().harness(configuration_.paging).data() + at, descriptor,
              sizeof descriptor);
  Operation drop = operation(Stub::invpcid, Operation::Kind::invpcid, Cpl::supervisor);
  drop.number = static_cast<unsigned>(command.type);
  drop.value = command.pcid;
  drop.address = command.gva;
  drop.descriptor = layout_.supervisor + at;
  return run(command.vcpu, drop);
}

Result<Observation> HostedEngine::on(const SetControl& command) {
  if (auto shown = ready(command.vcpu)) return *std::move(shown);
  counts_.hit(Path::control);
  const ControlPlace place = hw::place(command.bit);
  std::uint64_t& now = machine_->vcpu(command.vcpu).control[static_cast<std::size_t>(place.which)];
  const std::uint64_t value = command.on ? now | place.mask : now & ~place.mask;
  Operation write;
  switch (place.which) {
    case ControlRegister::cr0:
      write = operation(Stub::load_cr0, Operation::Kind::mov_cr, Cpl::supervisor);
      break;
    case ControlRegister::cr4:
      write = operation(Stub::load_cr4, Operation::Kind::mov_cr, Cpl::supervisor);
      write.number = 4;
      break;
    case ControlRegister::efer:
      write = operation(Stub::write_msr, Operation::Kind::wrmsr, Cpl::supervisor);
      write.number = efer::msr;
      break;
  }
  write.value = value;
  Observation seen = run(command.vcpu, write);
  if (std::holds_alternative<Done>(seen)) now = value;
  return seen;
}

Result<Observation> HostedEngine::on(const SetPkru& command) {
  if (auto shown = ready(command.vcpu)) return *std::move(shown);
  counts_.hit(Path::pkru);
  Observation seen = write_pkru(command.vcpu, command.value);
  if (std::holds_alternative<Done>(seen)) machine_->vcpu(command.vcpu).pkru = command.value;
  return seen;
}

Observation HostedEngine::write_pkru(unsigned vcpu, std::uint32_t value) {
  Operation write = operation(Stub::wrpkru, Operation::Kind::wrpkru, Cpl::supervisor);
  write.value = value;
  return run(vcpu, write);
}

Result<Observation> HostedEngine::on(const Translate& command) {
  if (auto shown = ready(command.vcpu)) return *std::move(shown);
  counts_.hit(Path::translate);
  kvm_translation translation{};
  translation.linear_address = command.gva;
  const auto done = machine_->vcpu(command.vcpu).file.ioctl(KVM_TRANSLATE, &translation);
  if (done != 0) return failed(done);
  Translation seen;
  if (translation.valid != 0) seen.gpa = translation.physical_address;
  return seen;
}

}  // namespace lockstep::hw::hosted
