// SPDX-License-Identifier: GPL-2.0-or-later
// Commands that a vCPU executes as guest code.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "hw/kvm/kvm_engine.h"
#include "hw/kvm/registers.h"

namespace lockstep::hw {
namespace {

std::uint64_t truncate(std::uint64_t value, unsigned size) {
  return size >= 8 ? value : value & ((1ull << (8 * size)) - 1);
}

Stub stub_of(const Access& access) {
  switch (access.kind) {
    case AccessKind::read:
      return read_stub(access.size);
    case AccessKind::write:
      return write_stub(access.size);
    case AccessKind::fetch:
      return Stub::fetch;
  }
  return Stub::nothing;
}

/// The guest has an instruction of that size.
bool is_possible(const Access& access, PagingMode mode) {
  if (access.kind == AccessKind::fetch) return true;
  const unsigned size = access.size;
  return size == 1 || size == 2 || size == 4 || (size == 8 && is_long_mode(mode));
}

const char* counter_of(AccessKind kind) {
  switch (kind) {
    case AccessKind::read:
      return "access read";
    case AccessKind::write:
      return "access write";
    case AccessKind::fetch:
      return "access fetch";
  }
  return "access";
}

}  // namespace

Result<void> KvmEngine::plant_roots() {
  if (roots_planted_) return {};
  const unsigned width = entry_size(configuration_.paging);
  for (const Gpa root : configuration_.roots) {
    for (const RootEntry& entry : root_entries_) {
      const auto hva = slots_.hva(root + std::uint64_t{entry.index} * width);
      std::uint64_t now = 0;
      if (hva && memory_->load(*hva, now, width) && now != entry.value) {
        if (auto stored = memory_->store_anyway(*hva, entry.value, width); !stored) return stored;
      }
    }
  }
  roots_planted_ = true;
  return {};
}

Result<Vcpu*> KvmEngine::ready(unsigned index) {
  // All of them are, and what the others do is not to be looked at.
  if (parallel_) return &vm_->vcpus()[index];
  if (auto planted = plant_roots(); !planted) return tl::unexpected(planted.error());
  Vcpu& vcpu = vm_->vcpus()[index];
  if (vcpu.started()) return &vcpu;
  const Gpa root = configuration_.roots.front();
  if (configuration_.paging != PagingMode::none && !slots_.hva(root)) {
    return tl::unexpected(
        EngineError{fmt::format("vCPU {} cannot start: no slot backs root {:#x}", index, root)});
  }
  if (auto started = vcpu.start(configuration_, root); !started) {
    return tl::unexpected(started.error());
  }
  if (style_.available_task) ++reached_["deviation tcg-tss"];
  memos_[index] = {};
  return &vcpu;
}

void KvmEngine::chill(std::optional<unsigned> vcpu) {
  if (parallel_) return;  // the end of the block is the end of all of them
  for (unsigned i = 0; i < memos_.size(); ++i) {
    if (!vcpu || *vcpu == i) memos_[i].cold = true;
  }
}

void KvmEngine::warm(Vcpu& vcpu, unsigned index) {
  VcpuMemo& memo = memos_[index];
  if (memo.cold) {
    // Its outcome shows again in the access that follows.
    (void)vcpu.run({.stub = Stub::nothing, .cpl = Cpl::user});
    memo.cold = false;
    memo.pf_fixed_known = false;
  }
  if (!memo.pf_fixed_known) {
    memo.pf_fixed = vcpu.stats().pf_fixed();
    memo.pf_fixed_known = true;
  }
}

Observation KvmEngine::finished(const Stop& stop) const {
  if (!stop.mmio) return stop.reason;
  if (std::holds_alternative<Done>(stop.reason)) return *stop.mmio;
  return Unexpected{fmt::format("MMIO at {:#x} that did not complete", stop.mmio->gpa)};
}

Result<Observation> KvmEngine::on(const Access& access) {
  if (!is_possible(access, configuration_.paging)) {
    return tl::unexpected(
        EngineError{fmt::format("no access of {} bytes in this mode", access.size)});
  }
  const auto found = ready(access.vcpu);
  if (!found) return tl::unexpected(found.error());
  Vcpu& vcpu = **found;
  if (!parallel_) warm(vcpu, access.vcpu);
  const Stop stop = vcpu.run({.stub = stub_of(access),
                              .cpl = access.cpl,
                              .address = access.gva,
                              .value = access.kind == AccessKind::write ? access.value : 0,
                              .ac = access.ac});
  VcpuMemo& memo = memos_[access.vcpu];
  // Beside others, what the harness needed counts as well.
  const std::uint64_t fixed = parallel_ ? memo.pf_fixed : vcpu.stats().pf_fixed();
  ++reached_["access"];
  ++reached_[counter_of(access.kind)];
  ++reached_[access.cpl == Cpl::user ? "access cpl3" : "access cpl0"];
  if (access.vcpu != 0) ++reached_["vcpu1"];
  if (fixed != memo.pf_fixed) ++reached_["access pf_fixed"];
  memo.pf_fixed = fixed;

  if (std::holds_alternative<PageFault>(stop.reason)) ++reached_["access #PF"];
  if (std::holds_alternative<InternalError>(stop.reason)) ++reached_["internal error"];
  if (stop.mmio) {
    ++reached_[stop.mmio->write ? "mmio write" : "mmio read"];
    const bool read_back = !stop.mmio->write && std::holds_alternative<Done>(stop.reason);
    if (read_back &&
        truncate(stop.rax, access.size) != truncate(mmio_answer(stop.mmio->gpa), access.size)) {
      return Unexpected{
          fmt::format("MMIO read of {:#x} gave the guest {:#x}", stop.mmio->gpa, stop.rax)};
    }
    return finished(stop);
  }
  if (std::holds_alternative<Done>(stop.reason) && access.kind != AccessKind::write) {
    const unsigned size = access.kind == AccessKind::fetch ? 4 : access.size;
    return Value{truncate(stop.rax, size)};
  }
  return stop.reason;
}

Observation KvmEngine::store_through_window(Vcpu& vcpu, unsigned index, const EntrySet& command) {
  const unsigned width = entry_size(configuration_.paging);
  const Gva window = HarnessLayout::of(configuration_.paging).window;
  // The window has key 0: lift whatever PKRU says about that key.
  const std::uint32_t pkru = memos_[index].pkru;
  if (pkru != 0) (void)vcpu.run({.stub = Stub::wrpkru, .value = 0});
  vcpu.set_parameters(command.value, 0);
  const Stop stop =
      vcpu.run({.stub = write_stub(width),
                .cpl = Cpl::user,
                .address = window + command.table + std::uint64_t{command.index} * width,
                .value = command.value});
  if (pkru != 0) (void)vcpu.run({.stub = Stub::wrpkru, .value = pkru});
  if (stop.mmio) ++reached_["mmio write"];
  return finished(stop);
}

Result<Observation> KvmEngine::on(const EntrySet& command) {
  const unsigned width = entry_size(configuration_.paging);
  if (!command.vcpu) {
    return on(Poke{.gpa = command.table + std::uint64_t{command.index} * width,
                   .value = command.value,
                   .size = width});
  }
  const std::uint64_t offset = std::uint64_t{command.index} * width;
  if (command.table >= harness::window || harness::window - command.table < offset + width) {
    return tl::unexpected(EngineError{"entry outside the harness window"});
  }
  const auto found = ready(*command.vcpu);
  if (!found) return tl::unexpected(found.error());
  ++reached_["entry write"];
  const Observation seen = store_through_window(**found, *command.vcpu, command);
  memos_[*command.vcpu].pf_fixed_known = false;
  // A write to a root may drop the whole shadow tree below it.
  if (std::ranges::find(configuration_.roots, command.table) != configuration_.roots.end()) chill();
  return seen;
}

Result<Observation> KvmEngine::on(const LoadCr3& command) {
  const auto found = ready(command.vcpu);
  if (!found) return tl::unexpected(found.error());
  const std::uint64_t noflush = command.noflush ? 1ull << 63 : 0;
  const Stop stop =
      (*found)->run({.stub = Stub::load_cr3, .value = command.root | command.pcid | noflush});
  ++reached_["cr3"];
  chill(command.vcpu);
  if (auto read = (*found)->refresh_control(); !read) return tl::unexpected(read.error());
  return finished(stop);
}

Result<Observation> KvmEngine::on(const Invlpg& command) {
  const auto found = ready(command.vcpu);
  if (!found) return tl::unexpected(found.error());
  const Stop stop = (*found)->run({.stub = Stub::invlpg, .address = command.gva});
  ++reached_["invlpg"];
  memos_[command.vcpu].pf_fixed_known = false;
  return finished(stop);
}

Result<Observation> KvmEngine::on(const Invpcid& command) {
  const auto found = ready(command.vcpu);
  if (!found) return tl::unexpected(found.error());
  Vcpu& vcpu = **found;
  vcpu.set_parameters(command.pcid, command.gva);
  const Stop stop = vcpu.run({.stub = Stub::invpcid,
                              .address = vcpu.parameters(Cpl::supervisor),
                              .value = static_cast<std::uint64_t>(command.type)});
  ++reached_["invpcid"];
  chill(command.vcpu);
  return finished(stop);
}

Result<Observation> KvmEngine::on(const SetControl& command) {
  const auto found = ready(command.vcpu);
  if (!found) return tl::unexpected(found.error());
  Vcpu& vcpu = **found;
  const ControlPlace at = place(command.bit);
  const auto changed = [&](std::uint64_t now) {
    return command.on ? now | at.mask : now & ~at.mask;
  };
  StubCall call;
  switch (at.which) {
    case ControlRegister::cr0:
      call = {.stub = Stub::load_cr0, .value = changed(vcpu.control().cr0)};
      break;
    case ControlRegister::cr4:
      call = {.stub = Stub::load_cr4, .value = changed(vcpu.control().cr4)};
      break;
    case ControlRegister::efer: {
      const std::uint64_t value = changed(vcpu.control().efer);
      call = {.stub = Stub::write_msr,
              .value = value & 0xffff'ffff,
              .rcx = efer::msr,
              .rdx = static_cast<std::uint32_t>(value >> 32)};
      break;
    }
  }
  const Stop stop = vcpu.run(call);
  ++reached_["control"];
  chill(command.vcpu);
  if (auto read = vcpu.refresh_control(); !read) return tl::unexpected(read.error());
  return finished(stop);
}

Result<Observation> KvmEngine::on(const SetPkru& command) {
  const auto found = ready(command.vcpu);
  if (!found) return tl::unexpected(found.error());
  const Stop stop = (*found)->run({.stub = Stub::wrpkru, .value = command.value});
  ++reached_["control"];
  memos_[command.vcpu].pf_fixed_known = false;
  if (std::holds_alternative<Done>(stop.reason)) {
    memos_[command.vcpu].pkru = command.value;
    // KVM_SET_SREGS does not reach PKRU: no other program may inherit it.
    keep_vm_ = false;
  }
  return finished(stop);
}

Result<Observation> KvmEngine::on(const Translate& command) {
  const auto found = ready(command.vcpu);
  if (!found) return tl::unexpected(found.error());
  kvm_translation translation{};
  translation.linear_address = command.gva;
  const Call done = kvm_call((*found)->fd(), KVM_TRANSLATE, &translation);
  ++reached_["translate"];
  memos_[command.vcpu].pf_fixed_known = false;
  if (!done) return Errno{done.error()};
  Translation seen;
  if (translation.valid != 0) seen.gpa = translation.physical_address;
  return seen;
}

}  // namespace lockstep::hw
