// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/impl_engine.h"

#include <fmt/format.h>

#include "impl/mutants.h"
#include "props/impl_engine_class.h"

namespace lockstep::props::impl_engine {

ImplEngine::ImplEngine() {
  platform_.features.set();
  platform_.features.reset(static_cast<std::size_t>(Feature::smm));
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
  settings.slot_zap_all = configuration.slot_zap_all;
  const HostParameters& host = configuration.host;
  settings.tdp_mmu = host.tdp_mmu.value_or(true);
  settings.nx_huge_pages = host.nx_huge_pages.value_or(false);
  settings.eager_page_split = host.eager_page_split.value_or(true);
  // Intel's processors with D bits log them by themselves (PML).
  settings.dirty_bits = platform_.tdp && configuration.dirty_log != DirtyLogMode::ring &&
                        host.vendor == Vendor::intel && host.ad_bits.value_or(true) &&
                        host.pml.value_or(true);
  const Timed timed(*this);
  machine_.emplace(configuration, arena_, memory_.view(configuration.memory), settings);
  machine_->vcpus.resize(configuration.vcpus);
  commands_ = 0;
  before_.reset();
  complaint_.clear();
  check_commands_ = checks_commands();
  return {};
}

Result<Observation> ImplEngine::end() {
  if (!machine_) return Done{};
  std::string leaks = judge_invariants();
  tally();
  const Timed timed(*this);
  for (auto& cpu : machine_->vcpus) cpu.reset();
  vm().empty_split_caches();
  auto held = std::make_optional(vm().exclusive());
  impl::ShadowMmu& mmu = held->mmu();
  mmu.zap_all();
  held->tdp().invalidate_roots();
  held->tdp().zap_invalidated([] {});
  const auto expect_zero = [&](std::string_view what, std::uint64_t left) {
    if (left != 0) leaks += fmt::format("{}{} {} left", leaks.empty() ? "" : "; ", left, what);
  };
  expect_zero("page charges", mmu.counter().used());
  expect_zero("mapped host pages", mmu.mapped_pages());
  expect_zero("shadow pages", arena_.in_use());
  expect_zero("lists of shadow pages", mmu.empty() ? 0 : 1);
  expect_zero("pages of the TDP MMU", held->tdp().pages());
  expect_zero("unsync pages", mmu.unsync_pages());
  expect_zero("shadowed tables", mmu.indirect_pages());
  expect_zero("pages on the NX list", mmu.nx().size());
  expect_zero("rmap descriptors", arena_.rmaps().in_use());
  expect_zero("shadowed translations", arena_.translations().in_use());
  for (const auto& slot : vm().slots().all()) {
    for (Gfn gfn = slot->base; !leaks.empty() && gfn < slot->base + slot->pages; ++gfn) {
      if (slot->is_tracked(gfn)) leaks += fmt::format(", gfn {:#x} tracked", gfn);
    }
  }
  held.reset();
  machine_.reset();
  if (!leaks.empty()) return complain(std::move(leaks));
  return Done{};
}

void ImplEngine::tally() {
  const auto add = [&](Path path, std::uint64_t count) {
    counts_[static_cast<std::size_t>(path)] += count;
  };
  const auto held = vm().exclusive();
  const impl::MmuEvents& events = held.mmu().events();
  add(Path::shadow_page_zapped, events.pages_zapped);
  add(Path::host_unmapped, vm().host_unmapped());
  add(Path::page_recycled, events.recycled);
  add(Path::tracked_write, vm().tracked_stores());
  add(Path::unsync, events.unsynced);
  add(Path::synced, events.synced);
  add(Path::flooded, events.flooded);
  add(Path::split, events.split);
  add(Path::collapsed, events.collapsed);
  add(Path::nx_recovered, events.nx_recovered);
  add(Path::zap_batches, events.batches);
  if (vm().uses_tdp_mmu()) add(Path::tdp_mmu, held.tdp().pages());
  for (const auto& cpu : machine_->vcpus) {
    if (!cpu) continue;
    const impl::FaultEvents& faults = cpu->mmu.events();
    add(Path::huge, faults.huge);
    add(Path::fast_fault, faults.fast);
    add(Path::mmio_spte, faults.mmio_cached);
    add(Path::mmio_stale, faults.mmio_stale);
    add(Path::fast_switch, faults.fast_switches);
  }
  counts_[static_cast<std::size_t>(Path::mutant)] = impl::mutant_reached();
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
  ++commands_;
  auto seen = std::visit([this](const auto& alternative) { return run(alternative); }, command);
  if (check_commands_ && (commands_ <= longest_checked ||
                          checks_ == hw::hosted::InvariantChecks::every_command)) [[unlikely]] {
    if (std::string broken = broken_invariants(); !broken.empty()) {
      return complain(std::move(broken));
    }
  }
  return seen;
}

Result<VirtualCpu*> ImplEngine::vcpu(unsigned index) {
  if (index >= machine_->vcpus.size()) {
    return tl::unexpected(EngineError{fmt::format("vcpu {} does not exist", index)});
  }
  if (index == 1) hit(Path::vcpu1);
  auto& cpu = machine_->vcpus[index];
  if (cpu) {
    // KVM_EXIT_DIRTY_RING_FULL: user space makes room before the vCPU goes on.
    if (cpu->mmu.dirty().ring().full()) take_rings(machine_->full_rings);
    return cpu.get();
  }
  const Configuration& config = machine_->config;
  const Timed timed(*this);
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
  const Timed timed(*this);
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
  switch ((*cpu)->mmu.window_store(gpa, size, command.value)) {
    case impl::Vcpu::Window::done:
      return Done{};
    case impl::Vcpu::Window::refused:
      return Errno{EFAULT};
    case impl::Vcpu::Window::mmio:
      break;
  }
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

Result<Observation> ImplEngine::run(const HostChange& command) {
  const Hva hva = command.hva;
  const std::uint64_t size = command.size;
  impl::HostMemory& memory = vm().memory();
  if (!memory.contains(hva, size)) {
    return tl::unexpected(EngineError{"the host changes pages that the program does not have"});
  }
  if (command.action == HostAction::age) {
    (void)vm().age(hva, size);
  } else if (command.action == HostAction::protect || command.action == HostAction::unprotect) {
    vm().protect_host(hva, size, command.action == HostAction::protect);
  } else {
    vm().invalidate_begin(hva, size);
    switch (command.action) {
      case HostAction::migrate:
        memory.migrate(hva, size);
        break;
      case HostAction::split:
        memory.split(hva, size);
        break;
      case HostAction::collapse:
        memory.collapse(hva, size);
        break;
      default:  // discard
        memory.fill(hva, size,
                    [](Hfn page) { return code_cell(static_cast<std::uint32_t>(page)); });
    }
    vm().invalidate_end();
  }
  const auto first = static_cast<std::size_t>(Path::host_migrate);
  hit(static_cast<Path>(first + static_cast<std::size_t>(command.action)));
  return Done{};
}

void ImplEngine::take_rings(DirtyPages& pages) {
  for (const impl::DirtyRing::Entry& entry : vm().collect_rings()) {
    pages.add(entry.slot, entry.page);
  }
}

Result<Observation> ImplEngine::run(const RingCollect&) {
  hit(Path::ring_collect);
  DirtyPages pages = std::exchange(machine_->full_rings, {});
  take_rings(pages);
  return pages;
}

Result<Observation> ImplEngine::run(const Shrink& command) {
  hit(Path::shrink);
  (void)vm().shrink(command.objects);
  return Done{};
}

Result<Observation> ImplEngine::run(const NxRecover&) {
  hit(Path::nx_recover);
  vm().recover_huge_pages();
  return Done{};
}

}  // namespace lockstep::props::impl_engine

namespace lockstep::props {

std::unique_ptr<Engine> make_impl_engine() { return std::make_unique<impl_engine::ImplEngine>(); }

}  // namespace lockstep::props
