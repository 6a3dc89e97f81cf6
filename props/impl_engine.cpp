// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/impl_engine.h"

#include <fmt/format.h>

#include "props/impl_engine_class.h"

namespace lockstep::props::impl_engine {

ImplEngine::ImplEngine() {
  platform_.features.set();
  for (const Feature lacking :
       {Feature::smm, Feature::host_parameters, Feature::host_age, Feature::host_split,
        Feature::host_collapse, Feature::shrinker, Feature::nx_recovery, Feature::dirty_ring,
        Feature::slot_zap_quirk}) {
    platform_.features.reset(static_cast<std::size_t>(lacking));
  }
  platform_.max_vcpus = 64;
  platform_.provenance = {{"engine", "impl"}};
}

Result<void> ImplEngine::begin(const Configuration& configuration, bool /*fresh*/) {
  machine_.reset();
  platform_.tdp = configuration.mmu == MmuKind::tdp;
  memory_.reset(configuration.memory);
  impl::VmSettings settings;
  settings.tdp = platform_.tdp;
  settings.dirty_log = configuration.dirty_log;
  settings.slot_limits.max_gfn = (1ull << 40) - 1;
  machine_.emplace(configuration, arena_, memory_.view(configuration.memory), settings);
  machine_->vcpus.resize(configuration.vcpus);
  return {};
}

Result<Observation> ImplEngine::end() {
  if (!machine_) return Done{};
  for (auto& cpu : machine_->vcpus) {
    if (cpu) cpu->mmu.unload();
  }
  tally();
  impl::ShadowMmu& mmu = vm().mmu();
  mmu.zap_all();
  std::string leaks;
  const auto expect_zero = [&](std::string_view what, std::uint64_t left) {
    if (left != 0) leaks += fmt::format("{}{} {}", leaks.empty() ? "" : ", ", left, what);
  };
  expect_zero("page charges", mmu.counter().used());
  expect_zero("mapped host pages", mmu.mapped_pages());
  expect_zero("shadow pages", arena_.in_use());
  expect_zero("lists of shadow pages", mmu.empty() ? 0 : 1);
  for (const auto& slot : vm().slots().all()) {
    for (Gfn gfn = slot->base; !leaks.empty() && gfn < slot->base + slot->pages; ++gfn) {
      if (slot->is_tracked(gfn)) leaks += fmt::format(", gfn {:#x} tracked", gfn);
    }
  }
  machine_.reset();
  if (!leaks.empty()) return Unexpected{"left at the end: " + leaks};
  return Done{};
}

void ImplEngine::tally() {
  counts_[static_cast<std::size_t>(Path::shadow_page_zapped)] += vm().mmu().events().pages_zapped;
  counts_[static_cast<std::size_t>(Path::host_unmapped)] += vm().host_unmapped();
  counts_[static_cast<std::size_t>(Path::page_recycled)] += vm().mmu().events().recycled;
  counts_[static_cast<std::size_t>(Path::tracked_write)] += vm().tracked_stores();
}

const std::map<std::string, std::uint64_t>& ImplEngine::reached() const {
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] != 0) reached_[std::string(path_names[i])] = counts_[i];
  }
  return reached_;
}

Result<Observation> ImplEngine::execute(const Command& command) {
  if (!machine_) return tl::unexpected(EngineError{"execute() without begin()"});
  hit(Path::commands);
  return std::visit([this](const auto& alternative) { return run(alternative); }, command);
}

Result<VirtualCpu*> ImplEngine::vcpu(unsigned index) {
  if (index >= machine_->vcpus.size()) {
    return tl::unexpected(EngineError{fmt::format("vcpu {} does not exist", index)});
  }
  if (index == 1) hit(Path::vcpu1);
  auto& cpu = machine_->vcpus[index];
  if (cpu) return cpu.get();
  const Configuration& config = machine_->config;
  cpu = std::make_unique<VirtualCpu>(
      vm(),
      impl::PagingRegisters{
          .mode = config.paging, .control = config.control, .maxphyaddr = config.maxphyaddr},
      config.roots.empty() ? 0 : config.roots.front(), machine_->frames);
  return cpu.get();
}

// User space.

Observation ImplEngine::set_slot(const Command& command) {
  const auto region = machine_->user_slots.region(command);
  if (!region) return Errno{EINVAL};
  const auto set = vm().set_memory_region({.id = region->id,
                                           .gpa = region->gpa,
                                           .size = region->size,
                                           .hva = region->hva,
                                           .log = region->log,
                                           .read_only = region->read_only});
  hit(set ? Path::slot_ok : Path::slot_errno);
  if (!set) return Errno{number(set.error())};
  machine_->user_slots.accept(*region);
  return Done{};
}

Observation ImplEngine::user_store(Gpa gpa, unsigned size, std::uint64_t value) {
  const auto hva = machine_->user_slots.hva(gpa);
  if (!hva || !vm().memory().contains(*hva, size) || vm().host_protects(*hva)) {
    return Errno{EFAULT};
  }
  vm().memory().store(*hva, size, value);
  return Done{};
}

Result<Observation> ImplEngine::run(const Poke& command) {
  return user_store(command.gpa, command.size, command.value);
}

Result<Observation> ImplEngine::run(const Peek& command) {
  const auto hva = machine_->user_slots.hva(command.gpa);
  if (!hva || !vm().memory().contains(*hva, command.size)) return Errno{EFAULT};
  return Value{vm().memory().load(*hva, command.size)};
}

Result<Observation> ImplEngine::run(const EntrySet& command) {
  const unsigned size = entry_size(machine_->config.paging);
  const Gpa gpa = command.table + std::uint64_t{command.index} * size;
  if (!command.vcpu) return user_store(gpa, size, command.value);
  const auto cpu = vcpu(*command.vcpu);
  if (!cpu) return tl::unexpected(cpu.error());
  hit(Path::entry_write);
  if (vm().guest_store(gpa, size, command.value) == impl::Vm::Store::done) return Done{};
  hit(Path::mmio_write);
  const std::uint64_t mask = size == 8 ? ~0ull : (1ull << (size * 8)) - 1;
  return Mmio{.write = true, .gpa = gpa, .size = size, .value = command.value & mask};
}

Result<Observation> ImplEngine::run(const Map&) {
  return tl::unexpected(EngineError{"map must be lowered first"});
}
Result<Observation> ImplEngine::run(const AliasTable&) {
  return tl::unexpected(EngineError{"alias-table must be lowered first"});
}

Result<Observation> ImplEngine::run(const DirtyGet& command) {
  hit(Path::dirty_get);
  auto log = vm().get_dirty_log(command.id);
  if (!log) return Errno{number(log.error())};
  return DirtyBitmap{.pages = log->pages, .words = std::move(log->words)};
}

Result<Observation> ImplEngine::run(const DirtyClear& command) {
  hit(Path::dirty_clear);
  const auto cleared = vm().clear_dirty_log(command.id, command.first, command.count);
  if (!cleared) return Errno{number(cleared.error())};
  return Done{};
}

Result<Observation> ImplEngine::run(const MmuPages& command) {
  hit(Path::mmu_pages);
  const auto set = vm().set_page_limit(command.pages);
  if (!set) return Errno{number(set.error())};
  return Done{};
}

/// A host page of this engine keeps its frame, the offset in program memory: to
/// migrate it drops what maps it and no more. There are no huge pages to split
/// or to make, and nobody asks for the accessed flags of SPTEs.
Result<Observation> ImplEngine::run(const HostChange& command) {
  const Hva end = command.hva + command.size;
  switch (command.action) {
    case HostAction::migrate:
      vm().unmap_host(command.hva, command.size);
      break;
    case HostAction::protect:
    case HostAction::unprotect:
      vm().protect_host(command.hva, command.size, command.action == HostAction::protect);
      break;
    case HostAction::discard:
      vm().unmap_host(command.hva, command.size);
      for (Hva at = command.hva; at < end; at += 8) {
        vm().memory().store(at, 8, code_cell(static_cast<std::uint32_t>(at >> page_shift)));
      }
      break;
    case HostAction::age:
    case HostAction::split:
    case HostAction::collapse:
      return lacking(feature_of(command.action));
  }
  const auto first = static_cast<std::size_t>(Path::host_migrate);
  hit(static_cast<Path>(first + static_cast<std::size_t>(command.action)));
  return Done{};
}

Result<Observation> ImplEngine::lacking(Feature feature) {
  return tl::unexpected(EngineError{fmt::format("lacks {}", lockstep::name(feature))});
}

}  // namespace lockstep::props::impl_engine

namespace lockstep::props {

std::unique_ptr<Engine> make_impl_engine() { return std::make_unique<impl_engine::ImplEngine>(); }

}  // namespace lockstep::props
