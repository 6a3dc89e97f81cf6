// SPDX-License-Identifier: GPL-2.0-or-later
/// Test helper: one engine, and a program that is put down line by line.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <concepts>
#include <map>
#include <memory>
#include <ostream>
#include <string>

#include "hw/kvm/engine.h"
#include "spec/program.h"

namespace lockstep::hw {

/// Skips the test, with the reason, where this host has no usable KVM.
class KvmTest : public ::testing::Test {
 protected:
  static constexpr Gpa root = 0x1000;
  static constexpr std::uint64_t rwu = entry::present | entry::writable | entry::user;

  void SetUp() override {
    // Only a machine without usable /dev/kvm skips; a probe that breaks fails.
    if (const auto opened = open_kvm(); !opened) GTEST_SKIP() << opened.error().message;
    ASSERT_TRUE(probe()) << probe().error().message;
    auto engine = open_kvm_engine(*probe());
    ASSERT_TRUE(engine) << engine.error().message;
    engine_ = std::move(*engine);
  }

  /// Found once for the whole test program.
  static const Result<KvmProbe>& probe() {
    static const Result<KvmProbe> probed = probe_kvm();
    return probed;
  }

  static bool has(Feature feature) {
    return probe()->platform.features.test(static_cast<std::size_t>(feature));
  }

  Configuration configuration(PagingMode mode = PagingMode::level4) const {
    Configuration made;
    made.paging = mode;
    made.maxphyaddr = std::min(40u, probe()->platform.max_maxphyaddr);
    return made;
  }

  void begin(const Configuration& with, bool fresh = false) {
    configuration_ = with;
    next_table_ = with.tables;
    const auto begun = engine_->begin(with, fresh);
    ASSERT_TRUE(begun) << begun.error().message;
  }

  /// Begin, with slot 0 over all memory at gpa 0.
  void begin_with_memory(const Configuration& with, bool fresh = false) {
    begin(with, fresh);
    ASSERT_EQ(run(SlotAdd{.size = with.memory}), Observation(Done{}));
  }

  Observation run(const Command& command) {
    auto seen = engine_->execute(command);
    if (!seen) return Unexpected{"engine error: " + seen.error().message};
    return *seen;
  }

  void set_entry(Gpa table, unsigned index, std::uint64_t value) {
    EntrySet entry;
    entry.table = table;
    entry.index = index;
    entry.value = value;
    ASSERT_EQ(run(entry), Observation(Done{}));
  }

  /// Map a 4 KiB page in `top`, with table pages from Configuration::tables.
  void map(Gva gva, Gpa gpa, std::uint64_t rights, Gpa top = root) {
    const PagingMode mode = configuration_.paging;
    const unsigned bits = mode == PagingMode::bits32 ? 10 : 9;
    Gpa table = top;
    for (auto level = static_cast<unsigned>(root_level(mode)); level > 1; --level) {
      const auto index =
          static_cast<unsigned>(gva >> (12 + bits * (level - 1))) & ((1u << bits) - 1);
      Gpa& below = below_[{table, index}];
      if (below == 0) {
        below = next_table_;
        next_table_ += page_size;
        const bool pdpte = mode == PagingMode::pae && level == 3;
        set_entry(table, index, below | (pdpte ? entry::present : rwu));
      }
      table = below;
    }
    last_table_ = table;
    last_index_ = static_cast<unsigned>(gva >> 12) & ((1u << bits) - 1);
    set_entry(table, last_index_, gpa | rights);
  }

  static Access access(AccessKind kind, Gva gva, Cpl cpl = Cpl::user, std::uint64_t value = 0,
                       unsigned size = 8) {
    Access made;
    made.kind = kind;
    made.gva = gva;
    made.cpl = cpl;
    made.value = value;
    made.size = size;
    return made;
  }
  Observation read(Gva gva, unsigned size = 8, Cpl cpl = Cpl::user) {
    return run(access(AccessKind::read, gva, cpl, 0, size));
  }
  Observation write(Gva gva, std::uint64_t value, unsigned size = 8, Cpl cpl = Cpl::user) {
    return run(access(AccessKind::write, gva, cpl, value, size));
  }
  Observation fetch(Gva gva, Cpl cpl = Cpl::user) {
    return run(access(AccessKind::fetch, gva, cpl));
  }
  Observation peek(Gpa gpa, unsigned size = 8) { return run(Peek{.gpa = gpa, .size = size}); }
  void end() {
    const auto ended = engine_->end();
    ASSERT_TRUE(ended) << ended.error().message;
    EXPECT_EQ(*ended, Observation(Done{}));
    below_.clear();
  }

  std::uint64_t count(const std::string& name) const {
    const auto& reached = engine_->reached();
    const auto found = reached.find(name);
    return found == reached.end() ? 0 : found->second;
  }

  std::unique_ptr<Engine> engine_;
  Configuration configuration_;
  Gpa next_table_ = 0;
  Gpa last_table_ = 0;       ///< table that the last map() ended in
  unsigned last_index_ = 0;  ///< and the index of its entry
  std::map<std::pair<Gpa, unsigned>, Gpa> below_;
};

/// The cell that fresh memory holds at a gpa of slot 0.
constexpr std::uint64_t cell_at(Gpa gpa) {
  return code_cell(static_cast<std::uint32_t>(gpa >> page_shift));
}

}  // namespace lockstep::hw

namespace lockstep {

/// Let a failed comparison show the observation as programs spell it.
template <typename Kind>
requires std::constructible_from<Observation, Kind>
void PrintTo(const Kind& seen, std::ostream* out) { *out << print(Observation(seen)); }

}  // namespace lockstep
