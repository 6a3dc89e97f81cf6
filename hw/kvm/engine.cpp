// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kvm/engine.h"

#include <cpuid.h>
#include <fmt/format.h>

#include <algorithm>

#include "hw/kvm/capabilities.h"
#include "hw/kvm/kvm_engine.h"
#include "hw/kvm/probe.h"

namespace lockstep::hw {
namespace {

constexpr const char* interpreting_module = "kvm_pvm";
constexpr const char* emulated_task = "tcg-tss";

/// Whether the processor is QEMU's TCG, by the CPUID leaf of hypervisors.
bool runs_on_tcg() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  __cpuid(0x4000'0000, eax, ebx, ecx, edx);
  constexpr unsigned tcgt = 0x5447'4354, cgtc = 0x4354'4743, gtcg = 0x4743'5447;
  return ebx == tcgt && ecx == cgtc && edx == gtcg;
}

/// Collects features and the reasons for the missing ones.
class Findings {
 public:
  explicit Findings(KvmProbe& probe) : probe_(probe) {}
  void add(Feature feature, bool present, std::string reason) {
    probe_.platform.features.set(static_cast<std::size_t>(feature), present);
    if (!present) probe_.missing.emplace_back(feature, std::move(reason));
  }

 private:
  KvmProbe& probe_;
};

void find_cpuid_features(Findings& findings, const GuestCpuid& cpuid) {
  struct Bit {
    Feature feature;
    std::uint32_t leaf;
    CpuidRegister which;
    unsigned bit;
  };
  constexpr Bit bits[] = {
      {Feature::pse, 1, CpuidRegister::edx, 3},
      {Feature::pge, 1, CpuidRegister::edx, 13},
      {Feature::pcid, 1, CpuidRegister::ecx, 17},
      {Feature::smep, 7, CpuidRegister::ebx, 7},
      {Feature::invpcid, 7, CpuidRegister::ebx, 10},
      {Feature::smap, 7, CpuidRegister::ebx, 20},
      {Feature::pke, 7, CpuidRegister::ecx, 3},
      {Feature::nx, 0x8000'0001, CpuidRegister::edx, 20},
      {Feature::gigabyte_pages, 0x8000'0001, CpuidRegister::edx, 26},
  };
  for (const Bit& bit : bits) {
    findings.add(bit.feature, cpuid.has(bit.leaf, bit.which, bit.bit),
                 "KVM_GET_SUPPORTED_CPUID does not offer it");
  }
}

void find_capabilities(Findings& findings, int kvm, bool tdp) {
  findings.add(Feature::mmu_tdp, tdp, "the vendor module does not use EPT or NPT");
  findings.add(Feature::mmu_shadow, !tdp,
               "the vendor module uses EPT or NPT: reload it with ept=0 or npt=0");
  findings.add(Feature::read_only_slots, capability(kvm, KVM_CAP_READONLY_MEM) != 0,
               "no KVM_CAP_READONLY_MEM");
  const int manual = capability(kvm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);
  findings.add(Feature::dirty_log_manual, (manual & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE) != 0,
               "no KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2");
  findings.add(Feature::dirty_log_all_set, (manual & KVM_DIRTY_LOG_INITIALLY_SET) != 0,
               "no KVM_DIRTY_LOG_INITIALLY_SET");
  findings.add(Feature::mmu_pages, capability(kvm, KVM_CAP_MMU_SHADOW_CACHE_CONTROL) != 0,
               "no KVM_CAP_MMU_SHADOW_CACHE_CONTROL");
  const int quirks = capability(kvm, KVM_CAP_DISABLE_QUIRKS2);
  findings.add(Feature::slot_zap_quirk,
               (static_cast<std::uint64_t>(quirks) & slot_zap_all_quirk) != 0,
               "KVM_CAP_DISABLE_QUIRKS2 lacks KVM_X86_QUIRK_SLOT_ZAP_ALL (Linux 6.12)");
  findings.add(Feature::host_parameters, false,
               "module parameters of a running host stay as they are");
  for (const Feature host : {Feature::host_migrate, Feature::host_protect, Feature::host_discard}) {
    findings.add(host, true, "");
  }
  const bool collapses = collapses_pages();
  for (const Feature host : {Feature::host_split, Feature::host_collapse}) {
    findings.add(host, collapses, "the host makes no huge page on request (MADV_COLLAPSE)");
  }
  findings.add(
      Feature::dirty_ring,
      static_cast<std::uint64_t>(capability(kvm, KVM_CAP_DIRTY_LOG_RING)) >= dirty_ring_bytes,
      "no KVM_CAP_DIRTY_LOG_RING");
  findings.add(Feature::host_age, false, "no system call ages a range of pages");
  findings.add(Feature::shrinker, false, "no system call runs a shrinker on one VM");
  findings.add(Feature::nx_recovery, false, "no system call wakes the worker of one VM");
  findings.add(Feature::parallel_blocks, true, "");
  findings.add(Feature::smm, false,
               capability(kvm, KVM_CAP_X86_SMM) == 0 ? "no KVM_CAP_X86_SMM"
                                                     : "this engine has no guest code for SMM");
}

/// Try what only a guest can tell.
void find_by_running(Findings& findings, KvmEngine& engine, const KvmProbe& probe) {
  constexpr std::pair<PagingMode, Feature> modes[] = {
      {PagingMode::none, Feature::paging_none},     {PagingMode::bits32, Feature::paging_bits32},
      {PagingMode::pae, Feature::paging_pae},       {PagingMode::level4, Feature::paging_level4},
      {PagingMode::level5, Feature::paging_level5},
  };
  const unsigned width = std::min(40u, probe.platform.max_maxphyaddr);
  for (const auto& [mode, feature] : modes) {
    std::optional<std::string> reason = self_test(engine, mode, width);
    // KVM_SET_SREGS succeeds there, with CR0.PG quietly clear; the kernel log
    // has the explanation.
    if (reason && probe.style.interpreted_ring0 && mode != PagingMode::none) {
      *reason += "; kvm_pvm pages in 64-bit modes only";
    }
    findings.add(feature, !reason, reason.value_or(""));
  }
}

Result<bool> find_translate(KvmEngine& engine, unsigned width) {
  Configuration configuration;
  configuration.memory = 2ull << 20;
  configuration.maxphyaddr = width;
  if (auto begun = engine.begin(configuration, /*fresh=*/false); !begun) {
    return tl::unexpected(begun.error());
  }
  (void)engine.execute(SlotAdd{.size = configuration.memory});
  auto seen = engine.execute(Translate{.gva = 0});
  (void)engine.end();
  if (!seen) return tl::unexpected(seen.error());
  return std::holds_alternative<Translation>(*seen);
}

/// An engine that refuses no paging mode, to try them on.
Platform everything(const Platform& known) {
  Platform platform = known;
  platform.features.set();
  return platform;
}

}  // namespace

Result<KvmProbe> probe_kvm() {
  auto kvm = open_kvm();
  if (!kvm) return tl::unexpected(kvm.error());
  auto cpuid = GuestCpuid::supported(kvm->get());
  if (!cpuid) return tl::unexpected(cpuid.error());
  auto pattern = PatternFile::create();
  if (!pattern) return tl::unexpected(pattern.error());

  KvmProbe probe;
  probe.pattern = std::make_shared<PatternFile>(std::move(*pattern));
  if (auto grown = probe.pattern->grow(Configuration{}.memory); !grown) {
    return tl::unexpected(grown.error());
  }
  probe.host = read_host();
  probe.host.capabilities = capabilities(kvm->get());
  const bool interpreted = probe.host.vendor_module == interpreting_module;
  probe.style = {.descent = interpreted ? Descent::sregs : Descent::iret,
                 .interpreted_ring0 = interpreted,
                 .available_task = runs_on_tcg()};
  Platform& platform = probe.platform;
  if (interpreted) platform.deviations.emplace_back(interpreting_module);
  if (probe.style.available_task) platform.deviations.emplace_back(emulated_task);
  platform.tdp = probe.host.tdp();
  platform.max_maxphyaddr = cpuid->maxphyaddr();
  platform.amd = cpuid->amd();
  platform.four_level_ept = !platform.amd;
  platform.host_maxphyaddr =
      probe.host.physical_bits != 0 ? probe.host.physical_bits : cpuid->maxphyaddr();
  platform.max_vcpus = static_cast<unsigned>(std::clamp(capability(kvm->get(), KVM_CAP_MAX_VCPUS),
                                                        1, static_cast<int>(harness_max_vcpus)));
  platform.provenance = probe.host.provenance();
  platform.provenance.emplace_back("guest CPUID", cpuid->summary());

  Findings findings(probe);
  find_cpuid_features(findings, *cpuid);
  find_capabilities(findings, kvm->get(), platform.tdp);
  KvmEngine trial(std::move(*kvm), *cpuid, everything(platform), probe.style, probe.pattern);
  find_by_running(findings, trial, probe);
  const auto translate = find_translate(trial, std::min(40u, platform.max_maxphyaddr));
  findings.add(Feature::translate, translate && *translate,
               translate ? "KVM_TRANSLATE fails" : translate.error().message);
  return probe;
}

Result<std::unique_ptr<Engine>> open_kvm_engine(const KvmProbe& probe) {
  auto kvm = open_kvm();
  if (!kvm) return tl::unexpected(kvm.error());
  auto cpuid = GuestCpuid::supported(kvm->get());
  if (!cpuid) return tl::unexpected(cpuid.error());
  return std::make_unique<KvmEngine>(std::move(*kvm), std::move(*cpuid), probe.platform,
                                     probe.style, probe.pattern);
}

Result<std::unique_ptr<Engine>> open_kvm_engine() {
  const auto probe = probe_kvm();
  if (!probe) return tl::unexpected(probe.error());
  return open_kvm_engine(*probe);
}

}  // namespace lockstep::hw
