// SPDX-License-Identifier: GPL-2.0-or-later
// What an image can do, found by trying.
#include <fmt/format.h>

#include <algorithm>

#include "hw/hosted/engine.h"
#include "hw/kvm/probe.h"

namespace lockstep::hw::hosted {
namespace {

struct CpuidBit {
  Feature feature;
  std::uint32_t leaf;
  CpuidRegister which;
  unsigned bit;
};
constexpr CpuidBit cpuid_bits[] = {
    {Feature::pse, 1, CpuidRegister::edx, 3},
    {Feature::pge, 1, CpuidRegister::edx, 13},
    {Feature::pcid, 1, CpuidRegister::ecx, 17},
    {Feature::smep, 7, CpuidRegister::ebx, 7},
    {Feature::invpcid, 7, CpuidRegister::ebx, 10},
    {Feature::smap, 7, CpuidRegister::ebx, 20},
    {Feature::nx, 0x8000'0001, CpuidRegister::edx, 20},
    {Feature::gigabyte_pages, 0x8000'0001, CpuidRegister::edx, 26},
};

constexpr std::pair<PagingMode, Feature> modes[] = {
    {PagingMode::none, Feature::paging_none},     {PagingMode::bits32, Feature::paging_bits32},
    {PagingMode::pae, Feature::paging_pae},       {PagingMode::level4, Feature::paging_level4},
    {PagingMode::level5, Feature::paging_level5},
};

}  // namespace

void HostedEngine::add(Feature feature, bool present, std::string reason) {
  platform_.features.set(static_cast<std::size_t>(feature), present);
  if (!present) missing_.emplace_back(feature, std::move(reason));
}

Result<std::unique_ptr<HostedEngine>> HostedEngine::open(const std::filesystem::path& image,
                                                         std::string name, Coverage* coverage) {
  std::unique_ptr<HostedEngine> engine(new HostedEngine(image, std::move(name), coverage));
  engine->probing_ = true;
  if (auto probed = engine->probe(); !probed) return tl::unexpected(probed.error());
  engine->probing_ = false;
  return engine;
}

Result<void> HostedEngine::probe() {
  if (auto grown = grow(0); !grown) return grown;
  // Nobody would listen to what it tells of its CPUs: what it is for would not be looked at.
  const hosted_image& image = session_->image().boundary();
  if (!scheduled_ && image.scheduling != nullptr) {
    return tl::unexpected(EngineError{fmt::format(
        "an image of the flavour {} runs under `--property schedules` and `parallel` alone",
        image.flavour)});
  }
  if (scheduled_ && image.scheduling == nullptr) {
    return tl::unexpected(EngineError{
        fmt::format("this image cannot be scheduled: its flavour is {}", image.flavour)});
  }
  hosted_parameters intel{};
  intel.intel = intel.tdp = 1;
  intel_works_ = session_->load(intel).has_value();
  hosted_parameters shadow{};
  if (auto loaded = session_->load(shadow); !loaded) return loaded;
  // A feature counts where both MMUs have it.
  GuestCpuid with_shadow = session_->cpuid();
  hosted_parameters tdp{};
  tdp.tdp = tdp.tdp_mmu = 1;
  if (auto loaded = session_->load(tdp); !loaded) return loaded;
  for (const CpuidBit& bit : cpuid_bits) {
    add(bit.feature,
        session_->cpuid().has(bit.leaf, bit.which, bit.bit) &&
            with_shadow.has(bit.leaf, bit.which, bit.bit),
        "KVM_GET_SUPPORTED_CPUID does not offer it");
  }
  const int manual = session_->capability(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
  add(Feature::dirty_log_manual, (manual & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE) != 0,
      "no KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
  add(Feature::dirty_log_all_set, (manual & KVM_DIRTY_LOG_INITIALLY_SET) != 0,
      "no KVM_DIRTY_LOG_INITIALLY_SET");
  add(Feature::read_only_slots, session_->capability(KVM_CAP_READONLY_MEM) != 0,
      "no KVM_CAP_READONLY_MEM");
  add(Feature::dirty_ring,
      session_->capability(KVM_CAP_DIRTY_LOG_RING) >= static_cast<int>(ring_pages * page_size),
      "no KVM_CAP_DIRTY_LOG_RING");
  add(Feature::slot_zap_quirk,
      (static_cast<unsigned>(session_->capability(KVM_CAP_DISABLE_QUIRKS2)) & slot_zap_all_quirk) !=
          0,
      "no KVM_X86_QUIRK_SLOT_ZAP_ALL");
  const auto shrunk =
      session_->host().enter([&] { return session_->image().boundary().shrink(0); });
  add(Feature::shrinker, shrunk && *shrunk >= 0, "this kernel's KVM has no shrinker");
  for (const Feature feature :
       {Feature::host_parameters, Feature::mmu_pages, Feature::host_migrate, Feature::host_protect,
        Feature::host_age, Feature::host_split, Feature::host_collapse, Feature::host_discard,
        Feature::nx_recovery, Feature::translate}) {
    add(feature, true, {});
  }
  add(Feature::parallel_blocks, scheduled_, "the flavour asan+schedule runs them");
  add(Feature::smm, false, "this engine has no guest for SMM");
  // Without TDP kvm_set_cpu_caps() clears it: nothing of it is asked of shadow paging.
  add(Feature::pke, session_->cpuid().has(7, CpuidRegister::ecx, 3),
      "KVM_GET_SUPPORTED_CPUID does not offer it");

  platform_.max_vcpus = harness_max_vcpus;
  platform_.max_maxphyaddr = session_->cpuid().maxphyaddr();
  platform_.provenance = {{"kernel", image.release},
                          {"flavour", image.flavour},
                          {"image", image_file_.filename().string()},
                          {"guest CPUID", session_->cpuid().summary()}};

  for (const auto& [kind, feature] : {std::pair{MmuKind::shadow, Feature::mmu_shadow},
                                      std::pair{MmuKind::tdp, Feature::mmu_tdp}}) {
    platform_.features.set(static_cast<std::size_t>(feature), true);
    for (const auto& [mode, needed] : modes) {
      const auto reason = self_test(*this, mode, std::min(40u, platform_.max_maxphyaddr), kind);
      const auto at = static_cast<std::size_t>(needed);
      if (kind == MmuKind::shadow) {
        add(needed, !reason, reason.value_or(""));
      } else if (reason && platform_.features.test(at)) {
        add(needed, false, *reason);
      }
    }
  }
  return {};
}

}  // namespace lockstep::hw::hosted
