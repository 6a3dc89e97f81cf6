// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/generator.h"

#include <gtest/gtest.h>
#include <map>
#include <set>

#include "props/command_kind.h"
#include "props/shrink.h"

namespace lockstep::props {
namespace {

constexpr std::uint64_t many = 3'000;

TEST(Generator, SameSeedSamePrograms) {
  const auto options = everything();
  for (std::uint64_t index = 0; index < 50; ++index) {
    EXPECT_EQ(generate(options, 7, index), generate(options, 7, index));
  }
  EXPECT_FALSE(generate(options, 7, 1) == generate(options, 8, 1));
  EXPECT_FALSE(generate(options, 7, 1) == generate(options, 7, 2));
}

TEST(Generator, ProgramsAreLegalByConstruction) {
  const auto options = everything();
  std::map<std::string, int> reasons;
  for (std::uint64_t index = 0; index < many; ++index) {
    const auto program = generate(options, 1, index);
    if (const auto illegal = validate(program)) {
      if (reasons[illegal->reason]++ == 0)
        ADD_FAILURE() << illegal->reason << "\n" << print(program);
    }
  }
}

TEST(Generator, ProgramsSurviveTheirText) {
  const auto options = everything();
  for (std::uint64_t index = 0; index < 300; ++index) {
    const auto program = generate(options, 2, index);
    const auto text = print(program);
    const auto back = parse(text);
    ASSERT_TRUE(back.has_value()) << back.error().message("program", text);
    EXPECT_EQ(*back, program) << text;
  }
}

TEST(Generator, NeedsNothingThatNoEngineHas) {
  auto options = everything();
  options.everywhere.reset(static_cast<unsigned>(Feature::smep));
  options.everywhere.reset(static_cast<unsigned>(Feature::paging_level5));
  options.everywhere.reset(static_cast<unsigned>(Feature::gigabyte_pages));
  options.everywhere.reset(static_cast<unsigned>(Feature::nx));
  options.somewhere = options.everywhere;
  options.max_vcpus = 1;
  options.max_maxphyaddr = 39;
  for (std::uint64_t index = 0; index < many; ++index) {
    const auto program = generate(options, 3, index);
    EXPECT_TRUE((needs(program) & ~options.everywhere).none()) << print(program);
    EXPECT_EQ(program.configuration.vcpus, 1u);
    EXPECT_LE(program.configuration.maxphyaddr, 39u);
  }
}

TEST(Generator, MixesWhatTheEnginesMustMeet) {
  const auto options = everything();
  std::map<std::string, unsigned> kinds;
  std::map<PagingMode, unsigned> modes;
  unsigned commands = 0, user = 0, supervisor = 0, second = 0, accesses = 0, steps = 0;
  for (std::uint64_t index = 0; index < many; ++index) {
    const auto program = generate(options, 4, index);
    ++modes[program.configuration.paging];
    for (const auto& step : program.steps) {
      ++steps;
      const auto vcpu = vcpu_of(step.command);
      if (!vcpu) continue;
      ++commands;
      second += *vcpu == 1;
      ++kinds[std::string(command_kind(step.command))];
      if (const auto* access = std::get_if<Access>(&step.command)) {
        ++accesses;
        (access->cpl == Cpl::user ? user : supervisor) += 1;
      }
    }
  }
  EXPECT_EQ(modes.size(), 5u);
  EXPECT_GT(modes[PagingMode::level4], many * 2 / 5);
  EXPECT_GT(second, commands / 20);
  EXPECT_GT(user, accesses / 5);
  EXPECT_GT(supervisor, accesses / 5);
  for (const auto* kind : {"read", "write", "fetch", "guest entry"}) {
    EXPECT_GT(kinds[kind], commands / 25) << kind;
  }
  for (const auto* kind : {"invlpg", "cr3", "control", "translate", "invpcid", "pkru"}) {
    EXPECT_GT(kinds[kind], 100u) << kind;
  }
  EXPECT_LT(steps / many, 90u);
}

/// Without an engine that honours them, no case names host parameters; with one,
/// none of the combinations is rare.
TEST(Generator, HostParametersTakeTurns) {
  auto options = everything();
  std::map<std::string, unsigned> shares;
  constexpr std::uint64_t cases = 8'192;
  for (std::uint64_t index = 0; index < cases; ++index) {
    const auto configuration = generate(options, 6, index).configuration;
    const HostParameters& host = configuration.host;
    ASSERT_TRUE(host.vendor && host.tdp_mmu && host.eager_page_split && host.nx_huge_pages);
    ASSERT_NE(configuration.mmu, MmuKind::any);
    std::string key = *host.vendor == Vendor::amd ? "amd" : "intel";
    key += configuration.mmu == MmuKind::tdp ? " tdp" : " shadow";
    for (const bool on : {*host.tdp_mmu, *host.eager_page_split, *host.nx_huge_pages}) {
      key += on ? " on" : " off";
    }
    ++shares[key];
    if (host.fail_allocation) ++shares["failing"];
    if (host.contended) ++shares["contended"];
    if (host.early_grace) ++shares["early"];
    if (host.pfnmap) ++shares["pfnmap"];
    if (host.race) ++shares["race"];
    if (host.ad_bits) {
      EXPECT_EQ(*host.vendor, Vendor::intel);
      ++shares[*host.ad_bits ? "ad" : "no ad"];
    }
    ASSERT_EQ(host.pml.has_value(), host.ad_bits.value_or(false));
    if (host.pml) ++shares[*host.pml ? "pml" : "no pml"];
  }
  EXPECT_EQ(shares.size(), 32u + 9u);
  for (const auto& [key, count] : shares) EXPECT_GE(count, cases / 50) << key;

  options.everywhere.reset(static_cast<unsigned>(Feature::host_parameters));
  options.somewhere = options.everywhere;
  for (std::uint64_t index = 0; index < 200; ++index) {
    EXPECT_EQ(generate(options, 6, index).configuration.host, HostParameters{});
  }
}

/// What user space may not do to live tables, the host does not do either.
TEST(Generator, TheHostLeavesTablesAlone) {
  const auto options = everything();
  std::map<HostAction, unsigned> actions;
  unsigned limits = 0, collections = 0, quirks = 0;
  for (std::uint64_t index = 0; index < many; ++index) {
    const auto program = generate(options, 7, index);
    quirks += !program.configuration.slot_zap_all;
    for (const auto& step : program.steps) {
      limits += std::holds_alternative<MmuPages>(step.command);
      collections += std::holds_alternative<RingCollect>(step.command);
      const auto* change = std::get_if<HostChange>(&step.command);
      if (change == nullptr) continue;
      ++actions[change->action];
      if (change->action != HostAction::discard && change->action != HostAction::protect) continue;
      EXPECT_GE(change->hva, harness::window) << print(program);
    }
  }
  EXPECT_EQ(actions.size(), host_action_count);
  for (const auto& [action, count] : actions) EXPECT_GT(count, 100u);
  EXPECT_GT(limits, 100u);
  EXPECT_GT(collections, 100u);
  EXPECT_GT(quirks, many / 10);
}

/// The engine's entries and linear addresses stay out, and what a fetch
/// executes is a code cell: the offsets of fetches never hold entries.
TEST(Generator, FetchesExecuteCodeCells) {
  const auto options = everything();
  for (std::uint64_t index = 0; index < many; ++index) {
    const auto program = generate(options, 5, index);
    std::set<std::uint64_t> written;
    for (const auto& step : program.steps) {
      if (const auto* entry = std::get_if<EntrySet>(&step.command)) {
        written.insert(entry->index * entry_size(program.configuration.paging) & ~7ull);
      }
      const auto* access = std::get_if<Access>(&step.command);
      if (access == nullptr || access->kind != AccessKind::fetch) continue;
      EXPECT_FALSE(written.contains(access->gva & ~page_mask)) << print(program);
    }
  }
}

}  // namespace
}  // namespace lockstep::props
