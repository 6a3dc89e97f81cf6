// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/generator_parallel.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "props/draw.h"

namespace lockstep::props {
namespace {

/// Slot 0 holds the tables and never changes; slot 1 is what everybody does something
/// to; gpas of slot 2 have memory now and then.
constexpr std::uint64_t slot0_size = 0x20'0000;
constexpr Gpa slot1 = 0x20'0000;
constexpr std::uint64_t slot1_size = 0x4'0000;
constexpr Gpa slot2 = 0x40'0000;
constexpr std::uint64_t slot2_size = 0x1'0000;
constexpr Gpa slot2_moved = 0x50'0000;
/// Linear pages that programs use, all of one page table.
constexpr unsigned linear_pages = 5;

class Sketcher {
 public:
  Sketcher(const GeneratorOptions& options, std::uint64_t seed, std::uint64_t index)
      : features_(options.everywhere), draw_(mix(seed, index)) {
    // A run keeps to few shapes for a while, so that VMs are used again.
    Draw era(mix(seed, 0x7000'0000 + index / 64));
    shape(era, options);
  }

  Program make() {
    setup();
    const unsigned blocks = draw_.between(1, 2);
    for (unsigned i = 0; i < blocks; ++i) {
      block();
      look();
    }
    return std::move(program_);
  }

 private:
  static std::uint64_t mix(std::uint64_t seed, std::uint64_t index) {
    std::uint64_t state = seed ^ (index * 0xd1b5'4a32'd192'ed03ull);
    return splitmix(state);
  }
  bool has(Feature feature) const { return features_[static_cast<std::size_t>(feature)]; }

  void shape(Draw& era, const GeneratorOptions& options) {
    Configuration& c = program_.configuration;
    const std::array<unsigned, 5> weights = {
        0, has(Feature::paging_bits32) ? 1u : 0u, has(Feature::paging_pae) ? 2u : 0u,
        has(Feature::paging_level4) ? 6u : 0u, has(Feature::paging_level5) ? 1u : 0u};
    const bool some = std::ranges::any_of(weights, [](unsigned weight) { return weight != 0; });
    c.paging = some ? static_cast<PagingMode>(era.weighted(weights)) : PagingMode::level4;
    c.vcpus = std::min(2u, options.max_vcpus);
    c.maxphyaddr = std::min(c.maxphyaddr, options.max_maxphyaddr);
    c.memory = 8ull << 20;
    if (has(Feature::dirty_log_manual) && era.chance(30)) {
      c.dirty_log = has(Feature::dirty_log_all_set) && era.chance(40) ? DirtyLogMode::manual_all_set
                                                                      : DirtyLogMode::manual;
    }
    if (has(Feature::slot_zap_quirk)) c.slot_zap_all = !era.chance(40);
    if (has(Feature::mmu_shadow) && has(Feature::mmu_tdp)) {
      c.mmu = era.chance(50) ? MmuKind::tdp : MmuKind::shadow;
      c.host.tdp_mmu = era.chance(70);
      c.host.vendor = era.chance(50) ? Vendor::intel : Vendor::amd;
    }
  }

  std::uint64_t natural() const {
    const PagingMode mode = program_.configuration.paging;
    return mode == PagingMode::level4 || mode == PagingMode::level5 ? 8 : 4;
  }
  /// Where `map` puts the page table of the first linear pages.
  Gpa table() const {
    const auto levels = static_cast<unsigned>(root_level(program_.configuration.paging));
    return program_.configuration.tables + (levels - 2) * page_size;
  }

  Step& add(Command command) {
    program_.steps.push_back({std::move(command), std::nullopt, {}, {}});
    return program_.steps.back();
  }

  Gpa some_page() {
    // Few of slot 1; memory that comes and goes; the page table itself.
    const unsigned where = draw_.below(10);
    if (where < 6) return slot1 + draw_.below(4) * page_size;
    if (where < 8) return slot2 + draw_.below(2) * page_size;
    return table();
  }
  std::uint64_t some_rights() {
    std::uint64_t rights = entry::present | entry::user;
    if (!draw_.chance(15)) rights |= entry::writable;
    if (draw_.chance(40)) rights |= entry::accessed | entry::dirty;
    return rights;
  }

  void setup() {
    add(SlotAdd{0, 0, slot0_size, 0});
    logs_ = draw_.chance(65);
    add(SlotAdd{1, slot1, slot1_size, slot1, logs_});
    if (draw_.chance(40)) {
      add(SlotAdd{2, slot2, slot2_size, slot2});
      slot2_there_ = true;
    }
    for (unsigned i = 0; i < linear_pages; ++i) {
      add(Map{i * page_size, some_page(), TableLevel::pt, some_rights()});
    }
    for (unsigned vcpu = 0; vcpu < program_.configuration.vcpus; ++vcpu) {
      do {
        add(vcpu_command(vcpu));
      } while (draw_.chance(50));
    }
    if (logs_ && draw_.chance(60)) add(DirtyGet{1});
    if (manual() && logs_ && draw_.chance(60)) add(DirtyClear{1, 0, slot1_size >> page_shift});
  }
  bool manual() const { return program_.configuration.dirty_log != DirtyLogMode::plain; }

  Command vcpu_command(unsigned vcpu) {
    const Gva gva = draw_.below(linear_pages) * page_size + draw_.below(2) * 8;
    const unsigned what = draw_.below(100);
    const auto size = static_cast<unsigned>(natural());
    if (what < 35) return Access{vcpu, AccessKind::read, Cpl::user, gva, 0, size};
    if (what < 70) return Access{vcpu, AccessKind::write, Cpl::user, gva, ++values_, size};
    if (what < 85) {
      const std::uint64_t value = draw_.chance(15) ? 0 : some_page() | some_rights();
      return EntrySet{vcpu, TableLevel::pt, table(), draw_.below(linear_pages), value};
    }
    if (what < 97) return Invlpg{vcpu, gva & page_mask};
    return LoadCr3{vcpu, program_.configuration.roots.front()};
  }

  Command user_command() {
    for (;;) {
      switch (draw_.below(15)) {
        case 0:
        case 1:
        case 2:
          return DirtyGet{1};
        case 3:
          if (!manual()) break;
          return DirtyClear{1, 0, slot1_size >> page_shift};
        case 4:
          logs_ = !logs_;
          return SlotFlags{1, logs_};
        case 5:
        case 6:
          if (!std::exchange(slot2_there_, !slot2_there_)) {
            return SlotAdd{2, slot2, slot2_size, slot2};
          }
          return SlotDelete{2};
        case 7:
          if (!slot2_there_) break;
          moved_ = !moved_;
          return SlotMove{2, moved_ ? slot2_moved : slot2};
        case 8:
          return Peek{slot1 + draw_.below(4) * page_size};
        case 9:
          return Poke{slot1 + draw_.below(4) * page_size, ++values_};
        case 10:
        case 11:
        case 12:
        case 13:
          if (auto change = host_change()) return *change;
          break;
        default:
          if (has(Feature::shrinker)) return Shrink{1 + draw_.below(8)};
          if (has(Feature::mmu_pages)) return MmuPages{least_mmu_pages};
      }
    }
  }

  std::optional<Command> host_change() {
    const auto action = draw_.of({HostAction::migrate, HostAction::migrate, HostAction::age,
                                  HostAction::split, HostAction::collapse});
    if (!has(feature_of(action))) return std::nullopt;
    return HostChange{action, slot1, draw_.chance(50) ? page_size : slot1_size};
  }

  /// vCPUs, and user space in most blocks.
  void block() {
    const std::size_t first = program_.steps.size();
    const unsigned vcpus = program_.configuration.vcpus;
    const bool user = vcpus < 2 || draw_.chance(80);
    const bool both = vcpus >= 2 && (!user || draw_.chance(60));
    unsigned thread = 0;
    for (unsigned vcpu = 0; vcpu < (both ? 2u : 1u); ++vcpu, ++thread) {
      for (unsigned left = draw_.between(1, 3); left != 0; --left) {
        add(vcpu_command(vcpu)).thread = thread;
      }
    }
    for (unsigned left = user ? draw_.between(1, 2) : 0; left != 0; --left) {
      add(user_command()).thread = thread;
    }
    program_.steps[first].schedule = 1 + draw_.below(1'000'000);
  }

  /// What the block left behind.
  void look() {
    for (unsigned page = 0; page < linear_pages; ++page) {
      const unsigned vcpu = draw_.below(program_.configuration.vcpus);
      if (draw_.chance(50)) add(Invlpg{vcpu, page * page_size});
      const auto size = static_cast<unsigned>(natural());
      add(Access{vcpu, AccessKind::read, Cpl::user, page * page_size, 0, size});
    }
    for (unsigned page = 0; page < 4; ++page) add(Peek{slot1 + page * page_size});
    add(DirtyGet{1});
  }

  Features features_;
  Draw draw_;
  Program program_;
  std::uint64_t values_ = 0;
  bool logs_ = false;
  bool slot2_there_ = false;
  bool moved_ = false;
};

}  // namespace

Program generate_parallel(const GeneratorOptions& options, std::uint64_t seed,
                          std::uint64_t index) {
  return Sketcher(options, seed, index).make();
}

}  // namespace lockstep::props
