// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/generator.h"

#include <algorithm>
#include <array>

#include "props/draw.h"
#include "props/generator_phrases.h"
#include "props/generator_sketch.h"
#include "props/shrink.h"

namespace lockstep::props {
namespace {

constexpr std::uint64_t cases_of_an_era = 256;
/// No more than the VMs that an engine keeps.
constexpr unsigned shapes_of_an_era = 3;
/// Engines that honour host parameters load their kernel's module anew for each
/// combination, hence blocks; 8 * 32 combinations.
constexpr std::uint64_t cases_of_a_host = 32;

Features draw_features(Draw& draw, const GeneratorOptions& options) {
  // Only an engine that has the feature runs such a case; the others skip it.
  return draw.chance(5) ? options.somewhere : options.everywhere;
}

PagingMode draw_mode(Draw& draw, const Features& features) {
  const auto weight = [&](Feature feature, unsigned value) {
    return features[static_cast<unsigned>(feature)] ? value : 0u;
  };
  const std::array<unsigned, 5> weights = {
      weight(Feature::paging_none, 6), weight(Feature::paging_bits32, 14),
      weight(Feature::paging_pae, 16), weight(Feature::paging_level4, 52),
      weight(Feature::paging_level5, 12)};
  if (std::all_of(weights.begin(), weights.end(), [](unsigned value) { return value == 0; })) {
    return PagingMode::level4;
  }
  return static_cast<PagingMode>(draw.weighted(weights));
}

/// What an engine fixes when it makes a VM. A run keeps to a few shapes for a
/// while, so that VMs are used again.
struct Shape {
  PagingMode mode = PagingMode::level4;
  unsigned vcpus = 1;
  unsigned maxphyaddr = 40;
  DirtyLogMode dirty_log = DirtyLogMode::plain;
  bool slot_zap_all = true;
};

Shape draw_shape(Draw& draw, const Features& features, const GeneratorOptions& options) {
  const auto has = [&](Feature feature) { return features[static_cast<unsigned>(feature)]; };
  Shape shape;
  shape.mode = draw_mode(draw, features);
  shape.vcpus = options.max_vcpus > 1 && draw.chance(40) ? 2 : 1;
  const auto width = draw.chance(90) ? draw.between(36, 40) : draw.between(36, 52);
  shape.maxphyaddr = std::min(width, options.max_maxphyaddr);
  if (has(Feature::dirty_log_manual) && draw.chance(25)) {
    shape.dirty_log = DirtyLogMode::manual;
  } else if (has(Feature::dirty_log_all_set) && draw.chance(25)) {
    shape.dirty_log = DirtyLogMode::manual_all_set;
  } else if (has(Feature::dirty_ring) && draw.chance(30)) {
    shape.dirty_log = DirtyLogMode::ring;
  }
  if (has(Feature::slot_zap_quirk)) shape.slot_zap_all = !draw.chance(30);
  return shape;
}

/// Five choices, a bit each, so that numbers in a row take every combination
/// equally often; above them, A/D bits of EPT and the log of what they say.
void choose_host(std::uint64_t number, const Features& features, Configuration& configuration) {
  const auto has = [&](Feature feature) { return features[static_cast<unsigned>(feature)]; };
  const auto bit = [number](unsigned at) { return ((number >> at) & 1u) != 0; };
  HostParameters& host = configuration.host;
  host.vendor = bit(0) ? Vendor::intel : Vendor::amd;
  host.tdp_mmu = bit(1);
  host.eager_page_split = bit(2);
  host.nx_huge_pages = bit(3);
  if (has(Feature::mmu_shadow) && has(Feature::mmu_tdp)) {
    configuration.mmu = bit(4) ? MmuKind::tdp : MmuKind::shadow;
  }
  if (host.vendor == Vendor::intel) {
    host.ad_bits = (number >> 5) % 4 != 0;
    if (*host.ad_bits) host.pml = bit(7);
  }
}

Configuration draw_configuration(Draw& draw, const Shape& shape, const Features& features,
                                 std::optional<std::uint64_t> host) {
  const auto has = [&](Feature feature) { return features[static_cast<unsigned>(feature)]; };
  Configuration configuration;
  const auto mode = configuration.paging = shape.mode;
  const bool long_mode = mode == PagingMode::level4 || mode == PagingMode::level5;
  if (draw.chance(8) && has(Feature::mmu_shadow)) configuration.mmu = MmuKind::shadow;
  if (draw.chance(8) && has(Feature::mmu_tdp)) configuration.mmu = MmuKind::tdp;
  if (host) {
    choose_host(*host, features, configuration);
    if (draw.chance(12)) configuration.host.contended = true;
    if (draw.chance(50)) configuration.host.early_grace = true;
    // Programs of the usual size make a few hundred allocations.
    if (draw.chance(12)) configuration.host.fail_allocation = draw.below(400);
    if (draw.chance(6)) configuration.host.pfnmap = true;
    // A few pages are looked up in each program.
    if (draw.chance(15)) configuration.host.race = draw.below(30);
    // A guest of five levels has a host of five, which the bus is drawn for all the same.
    if (draw.chance(25)) configuration.host.five_levels = true;
    // Without MMIO entries 6.1 never ends a fetch of MMIO at gva 0 that the guest maps
    // read-only: vcpu->arch.mmio_gva 0 means none, so reexecute_instruction() tries again.
    if (configuration.mmu == MmuKind::shadow || draw.chance(50))
      configuration.host.spare_bit = true;
  }
  configuration.vcpus = shape.vcpus;
  configuration.maxphyaddr = shape.maxphyaddr;
  configuration.dirty_log = shape.dirty_log;
  configuration.slot_zap_all = shape.slot_zap_all;
  auto& control = configuration.control;
  control.set(ControlBit::cr0_wp, draw.chance(70));
  const bool wide = mode == PagingMode::pae || long_mode;
  control.set(ControlBit::efer_nx, has(Feature::nx) && (!wide || draw.chance(85)));
  if (mode != PagingMode::none) {
    control.set(ControlBit::cr4_pge, has(Feature::pge) && draw.chance(50));
    control.set(ControlBit::cr4_smep, has(Feature::smep) && draw.chance(30));
    control.set(ControlBit::cr4_smap, has(Feature::smap) && draw.chance(30));
  }
  if (mode == PagingMode::bits32) {
    control.set(ControlBit::cr4_pse, has(Feature::pse) && draw.chance(65));
  }
  if (long_mode) {
    // Protection keys work under TDP only, on KVM as on real machines of today.
    const bool shadow = host && configuration.mmu == MmuKind::shadow;
    const bool keys = has(Feature::pke) && has(Feature::mmu_tdp) && !shadow && draw.chance(30);
    control.set(ControlBit::cr4_pke, keys);
    if (keys) configuration.mmu = MmuKind::tdp;
    control.set(ControlBit::cr4_pcide, has(Feature::pcid) && draw.chance(30));
  }
  configuration.roots = {0x1000};
  if (mode != PagingMode::none) {
    const auto roots = draw.of({1u, 1u, 2u, 2u, 3u});
    for (unsigned i = 1; i < roots; ++i) configuration.roots.push_back(0x1000 * (i + 1));
  }
  return configuration;
}

Program make(const GeneratorOptions& options, std::uint64_t seed, std::uint64_t era, int size) {
  Draw draw(seed);
  Program program;
  program.title = "random";
  program.steps.reserve(96);
  auto features = draw_features(draw, options);
  Draw shaper(era + draw.below(shapes_of_an_era));
  const auto shape = draw_shape(shaper, features, options);
  std::optional<std::uint64_t> host;
  // A wish, not a need: engines that cannot choose run the case as they are.
  if (options.somewhere[static_cast<unsigned>(Feature::host_parameters)]) {
    host = options.host.value_or(draw.word());
  }
  program.configuration = draw_configuration(draw, shape, features, host);
  Sketch sketch(draw, program, features);
  sketch.upper_half = options.upper_half;
  sketch.build();

  // Swarm testing: each case keeps some phrases, so that it uses them densely.
  const auto vocabulary = phrases();
  std::array<unsigned, 32> weights{};
  for (std::size_t i = 0; i < vocabulary.size(); ++i) {
    if (!vocabulary[i].possible(sketch)) continue;
    if (i == 0 || draw.chance(55)) weights[i] = vocabulary[i].weight;
  }
  const auto setup = program.steps.size();
  const auto wanted = 10 + static_cast<std::size_t>(size) * 30 / 100;
  const std::span<const unsigned> used(weights.data(), vocabulary.size());
  // A phrase may have nothing to say; tries are bounded.
  for (std::size_t tries = 0; tries < 4 * wanted; ++tries) {
    if (program.steps.size() >= setup + wanted) break;
    vocabulary[draw.weighted(used)].speak(sketch);
  }
  return program;
}

}  // namespace

GeneratorOptions generator_options(std::span<const Platform> platforms) {
  GeneratorOptions options;
  options.everywhere.set();
  for (const auto& platform : platforms) {
    options.everywhere &= platform.features;
    options.somewhere |= platform.features;
    options.max_vcpus = std::min(options.max_vcpus, platform.max_vcpus);
    options.max_maxphyaddr = std::min(options.max_maxphyaddr, platform.max_maxphyaddr);
    // PVM keeps the hypervisor in the upper half of every address space: an
    // access from CPL 3 meets its entries, never the guest's.
    for (const auto& deviation : platform.deviations) {
      if (deviation == "kvm_pvm") options.upper_half = false;
    }
  }
  return options;
}

GeneratorOptions everything() {
  GeneratorOptions options;
  options.everywhere.set();
  options.somewhere.set();
  return options;
}

rc::Gen<Program> program(const GeneratorOptions& options) {
  return rc::Gen<Program>([options](const rc::Random& random, int size) {
    auto copy = random;
    const auto seed = copy.next();
    return with_shrinks(make(options, seed, options.era.value_or(seed), size));
  });
}

Program generate(const GeneratorOptions& options, std::uint64_t seed, std::uint64_t index) {
  std::uint64_t state = seed;
  state = splitmix(state) ^ (index * 0xd1b5'4a32'd192'ed03ull);
  const auto size = static_cast<int>(splitmix(state) % 101);
  auto in_era = options;
  std::uint64_t era = seed ^ (index / cases_of_an_era);
  in_era.era = splitmix(era);
  in_era.host = seed + index / cases_of_a_host;
  return program(in_era)(rc::Random(splitmix(state)), size).value();
}

}  // namespace lockstep::props
