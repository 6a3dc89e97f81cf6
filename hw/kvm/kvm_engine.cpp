// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kvm/kvm_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace lockstep::hw {
namespace {

/// KVM_MEM_MAX_NR_PAGES: larger slots are refused by KVM itself.
constexpr std::uint64_t largest_slot_pages = (1ull << 31) - 1;

/// The slot, if KVM takes it, lets the guest reach host memory outside the
/// program's.
bool escapes(const UserSlots::Region& region, std::uint64_t memory) {
  if (region.size == 0) return false;
  if (region.size % page_size != 0 || region.hva % page_size != 0) return false;
  if (region.size >> page_shift > largest_slot_pages) return false;
  return region.hva > memory || memory - region.hva < region.size;
}

Feature feature_of(PagingMode mode) {
  switch (mode) {
    case PagingMode::none:
      return Feature::paging_none;
    case PagingMode::bits32:
      return Feature::paging_bits32;
    case PagingMode::pae:
      return Feature::paging_pae;
    case PagingMode::level4:
      return Feature::paging_level4;
    case PagingMode::level5:
      return Feature::paging_level5;
  }
  return Feature::paging_level4;
}

}  // namespace

KvmEngine::KvmEngine(Fd kvm, GuestCpuid cpuid, Platform platform, GuestStyle style,
                     std::shared_ptr<PatternFile> pattern)
    : kvm_(std::move(kvm)),
      cpuid_(std::move(cpuid)),
      platform_(std::move(platform)),
      style_(style),
      pattern_(std::move(pattern)) {}

KvmEngine::~KvmEngine() {
  if (watchdog_) watchdog_->disarm();
}

const std::map<std::string, std::uint64_t>& KvmEngine::reached() const { return reached_.counts(); }

std::optional<std::string> KvmEngine::refusal(const Configuration& configuration) const {
  const auto lacks = [this](Feature feature) {
    return !platform_.features.test(static_cast<std::size_t>(feature));
  };
  const auto missing = [](Feature feature) {
    return fmt::format("this host's KVM lacks {}", lockstep::name(feature));
  };
  if (lacks(feature_of(configuration.paging))) return missing(feature_of(configuration.paging));
  if (configuration.mmu == MmuKind::shadow && lacks(Feature::mmu_shadow)) {
    return missing(Feature::mmu_shadow);
  }
  if (configuration.mmu == MmuKind::tdp && lacks(Feature::mmu_tdp)) {
    return missing(Feature::mmu_tdp);
  }
  if (configuration.smm && lacks(Feature::smm)) return missing(Feature::smm);
  if (configuration.dirty_log == DirtyLogMode::ring && lacks(Feature::dirty_ring)) {
    return missing(Feature::dirty_ring);
  }
  if (!configuration.slot_zap_all && lacks(Feature::slot_zap_quirk)) {
    return missing(Feature::slot_zap_quirk);
  }
  if (configuration.vcpus == 0 || configuration.vcpus > platform_.max_vcpus) {
    return fmt::format("{} vCPUs; this engine has 1 to {}", configuration.vcpus,
                       platform_.max_vcpus);
  }
  if (configuration.maxphyaddr < 32 || configuration.maxphyaddr > platform_.max_maxphyaddr) {
    return fmt::format("MAXPHYADDR {}; this host's KVM gives 32 to {}", configuration.maxphyaddr,
                       platform_.max_maxphyaddr);
  }
  if (configuration.roots.empty()) return "no root table";
  return std::nullopt;
}

Result<void> KvmEngine::take_vm(const VmKey& key, bool fresh) {
  const auto found =
      std::find_if(vms_.begin(), vms_.end(), [&key](const auto& vm) { return vm->key() == key; });
  if (found != vms_.end() && !fresh) {
    vms_.splice(vms_.begin(), vms_, found);
    vm_ = vms_.front().get();
    ++reached_["vm reused"];
    return {};
  }
  if (found != vms_.end()) vms_.erase(found);
  auto made = Vm::create(kvm_.get(), key, style_, cpuid_);
  if (!made) return tl::unexpected(made.error());
  vms_.push_front(std::move(*made));
  vm_ = vms_.front().get();
  if (vms_.size() > kept_vms) vms_.pop_back();
  ++reached_["vm created"];
  return {};
}

Result<void> KvmEngine::begin(const Configuration& configuration, bool fresh) {
  if (auto cleaned = clean(); !cleaned) return cleaned;
  if (auto reason = refusal(configuration)) return tl::unexpected(EngineError{*reason});
  if (!memory_ || memory_->size() != configuration.memory) {
    auto memory = ProgramMemory::map(pattern_, configuration.memory);
    if (!memory) return tl::unexpected(memory.error());
    memory_ = std::move(*memory);
  }
  if (!watchdog_ || !watchdog_->is_mine()) {
    auto watchdog = Watchdog::create();
    if (!watchdog) return tl::unexpected(watchdog.error());
    watchdog_ = std::move(*watchdog);
  }
  if (auto taken = take_vm(VmKey::of(configuration), fresh); !taken) return taken;
  configuration_ = configuration;
  root_entries_ = harness_root_entries(configuration.paging);
  memos_.assign(configuration.vcpus, {});
  roots_planted_ = false;
  // What a VM of one program leaves behind is told at that program's end.
  keep_vm_ = !fresh;
  watchdog_->arm();
  return {};
}

Result<void> KvmEngine::clean() {
  if (vm_ == nullptr) return {};
  Vm* const vm = std::exchange(vm_, nullptr);
  watchdog_->disarm();
  slots_.clear();
  const Call cleaned = vm->clean();
  if (!cleaned || !keep_vm_) {
    vms_.remove_if([vm](const auto& kept) { return kept.get() == vm; });
  }
  if (auto reset = memory_->reset(); !reset) return reset;
  if (!cleaned) {
    return tl::unexpected(
        EngineError{fmt::format("delete of a slot: {}", std::strerror(cleaned.error()))});
  }
  return {};
}

Result<Observation> KvmEngine::end() {
  if (vm_ == nullptr) return tl::unexpected(EngineError{"end() without begin()"});
  if (auto cleaned = clean(); !cleaned) return Unexpected{cleaned.error().message};
  return Done{};
}

Result<Observation> KvmEngine::execute(const Command& command) {
  if (vm_ == nullptr) return tl::unexpected(EngineError{"execute() without begin()"});
  if (const auto vcpu = vcpu_of(command); vcpu && *vcpu >= configuration_.vcpus) {
    return tl::unexpected(EngineError{fmt::format("no vCPU {}", *vcpu)});
  }
  ++reached_["commands"];
  return std::visit([this](const auto& what) { return on(what); }, command);
}

Result<Observation> KvmEngine::not_lowered() {
  return tl::unexpected(EngineError{"a program must be lowered before it is executed"});
}

Result<Observation> KvmEngine::set_slot(const Command& command) {
  const UserSlots::Region region = *slots_.region(command);
  if (region.id == harness::first_slot) {
    return tl::unexpected(EngineError{fmt::format("slot {} is the harness'", region.id)});
  }
  if (escapes(region, memory_->size())) {
    return tl::unexpected(
        EngineError{fmt::format("slot {} leaves the program's memory", region.id)});
  }
  const Call set = vm_->set_slot(region, memory_->data());
  chill();
  if (!set) {
    ++reached_["slot errno"];
    return Errno{set.error()};
  }
  ++reached_["slot ok"];
  slots_.accept(region);
  if (!parallel_) roots_planted_ = false;
  return Done{};
}

Result<Observation> KvmEngine::on(const Poke& command) {
  const std::optional<Hva> hva = slots_.hva(command.gpa);
  if (!hva || !memory_->store(*hva, command.value, command.size)) return Errno{EFAULT};
  return Done{};
}

Result<Observation> KvmEngine::on(const Peek& command) {
  const std::optional<Hva> hva = slots_.hva(command.gpa);
  std::uint64_t value = 0;
  if (!hva || !memory_->load(*hva, value, command.size)) return Errno{EFAULT};
  return Value{value};
}

Result<Observation> KvmEngine::on(const DirtyGet& command) {
  const UserSlots::Region* const slot = slots_.find(command.id);
  DirtyBitmap bitmap;
  bitmap.pages = slot == nullptr ? 0 : slot->size >> page_shift;
  bitmap.words.assign((bitmap.pages + 63) / 64, 0);
  const Call got = vm_->get_dirty(command.id, bitmap.words);
  chill();
  ++reached_["dirty get"];
  if (!got) return Errno{got.error()};
  return bitmap;
}

Result<Observation> KvmEngine::on(const DirtyClear& command) {
  // KVM checks the count against the slot before it reads the bitmap, so the
  // buffer never needs to cover more than the slot.
  const UserSlots::Region* const slot = slots_.find(command.id);
  const std::uint64_t slot_pages = slot == nullptr ? 0 : slot->size >> page_shift;
  const std::uint64_t covered = std::min<std::uint64_t>(command.count, slot_pages);
  std::vector<std::uint64_t> words((covered + 63) / 64 + 1, ~0ull);
  const Call cleared = vm_->clear_dirty(command.id, command.first, command.count, words);
  chill();
  ++reached_["dirty clear"];
  if (!cleared) return Errno{cleared.error()};
  return Done{};
}

Result<Observation> KvmEngine::on(const RingCollect&) {
  if (configuration_.dirty_log != DirtyLogMode::ring) {
    return tl::unexpected(EngineError{"there are no dirty rings"});
  }
  DirtyPages pages;
  const Call collected = vm_->collect(pages);
  chill();
  if (!collected) return Errno{collected.error()};
  if (!pages.slots.empty()) ++reached_["ring collect"];
  return pages;
}

Result<Observation> KvmEngine::on(const MmuPages& command) {
  const Call set = vm_->set_mmu_pages(command.pages);
  chill();
  ++reached_["mmu pages"];
  if (!set) return Errno{set.error()};
  return Done{};
}

Result<Observation> KvmEngine::on(const HostChange& command) {
  static constexpr const char* counters[host_action_count] = {
      "host migrate", "host protect",  "host unprotect", "host age",
      "host split",   "host collapse", "host discard"};
  const auto changed = memory_->change(command.action, command.hva, command.size);
  if (!changed) return tl::unexpected(changed.error());
  if (*changed) ++reached_[counters[static_cast<std::size_t>(command.action)]];
  chill();
  // A root may have lost the entries of the harness.
  if (command.action == HostAction::discard) roots_planted_ = false;
  return Done{};
}

Result<Observation> KvmEngine::lacking(Feature feature) {
  return tl::unexpected(
      EngineError{fmt::format("this host's KVM lacks {}", lockstep::name(feature))});
}

}  // namespace lockstep::hw
