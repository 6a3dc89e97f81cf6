// SPDX-License-Identifier: GPL-2.0-or-later
/// That the refinement theorems speak of something: every outcome of an access is
/// possible within their preconditions, and every function of impl/ that a step
/// rests on is missed when it is left out.
#include <gtest/gtest.h>

#include <set>

#include "smt/refinement/guest_commands.h"
#include "smt/refinement/machine_invariants.h"
#include "smt/refinement/slot_commands.h"
#include "smt/refinement/theorems.h"
#include "smt/solver.h"

namespace lockstep::smt {
namespace {

using namespace refinement;

class Refinement : public testing::Test {
 protected:
  void SetUp() override {
    if (solver_version().empty()) GTEST_SKIP() << "built without " << solver_package;
  }
};

template <AccessKind kind>
void find_events(PagingMode mode, std::set<std::string>& possible, std::set<std::string>& all) {
  auto machine = any_machine<Symbolic>(mode);
  const auto good = well_formed(machine) && invariants(machine).all();
  const auto outcome = access<Symbolic, kind>(machine, /*broken=*/false);
  for (const auto& [name, happens] : outcome.events) {
    all.insert(name);
    if (possible.contains(name)) continue;
    const auto answer = check({good, outcome.fits, happens}, {});
    ASSERT_TRUE(answer.kind == Answer::Kind::sat || answer.kind == Answer::Kind::unsat) << name;
    if (answer.kind == Answer::Kind::sat) possible.insert(name);
  }
}

/// Every event but those that this machine cannot have.
void expect_every_event(PagingMode mode, const std::set<std::string>& impossible) {
  std::set<std::string> possible, all;
  find_events<AccessKind::write>(mode, possible, all);
  find_events<AccessKind::read>(mode, possible, all);
  find_events<AccessKind::fetch>(mode, possible, all);
  EXPECT_EQ(all.size(), 20u);
  for (const auto& name : all)
    EXPECT_NE(possible.contains(name), impossible.contains(name)) << name;
}

const std::string lockless = "write access comes back without the lock";

TEST_F(Refinement, EveryOutcomeIsPossibleIn5LevelMode) {
  expect_every_event(PagingMode::level5, {lockless});
}
TEST_F(Refinement, EveryOutcomeIsPossibleIn4LevelMode) {
  expect_every_event(PagingMode::level4, {lockless});
}
TEST_F(Refinement, EveryOutcomeIsPossibleInPaeMode) {
  expect_every_event(PagingMode::pae, {lockless});
}
TEST_F(Refinement, EveryOutcomeIsPossibleIn32BitMode) {
  // Entries of 4-KByte pages have no reserved bits there.
  expect_every_event(PagingMode::bits32, {lockless, "the guest gets a fault of reserved bits"});
}
TEST_F(Refinement, EveryOutcomeIsPossibleUnderTwoDimensionalPaging) {
  expect_every_event(
      PagingMode::none,
      {"hardware uses what memory no longer says", "hardware writes a table",
       "the guest gets a fault of rights", "the guest gets a fault of reserved bits",
       "the guest gets a fault of absence", "an MMIO entry is passed though its gfn has memory",
       "CR0.WP=0 exchanges rights", "a page is mapped whose table lags behind"});
}

/// Within the preconditions of commands of slots and roots, too.
TEST_F(Refinement, WhatTheirStepsAreAboutIsPossible) {
  for (const auto mode : {PagingMode::level4, PagingMode::pae, PagingMode::bits32}) {
    for (const auto command : {move_slot<Symbolic>, set_cr3<Symbolic>}) {
      auto machine = any_machine<Symbolic>(mode);
      const auto good = well_formed(machine) && invariants(machine).all();
      const auto outcome = command(machine, /*broken=*/false);
      EXPECT_GE(outcome.events.size(), 3u);
      for (const auto& [name, happens] : outcome.events) {
        EXPECT_EQ(check({good, outcome.fits, happens}, {}).kind, Answer::Kind::sat) << name;
      }
    }
  }
}

/// A machine without slots, shadow pages and translations, where every run begins, is
/// one that the theorems speak of.
TEST_F(Refinement, TheEmptyMachineMeetsTheInvariants) {
  for (const auto mode : {PagingMode::level5, PagingMode::level4, PagingMode::pae,
                          PagingMode::bits32, PagingMode::none}) {
    const auto machine = any_machine<Symbolic>(mode);
    const auto good = well_formed(machine);
    Bool empty = machine.generation == 0;
    for (const auto& exists : machine.exists) empty = empty && !exists;
    for (std::size_t i = 0; i < gfn_count; ++i) {
      empty = empty && !machine.tracked[i] && !machine.written[i];
    }
    for (const auto& page : machine.pages) {
      empty = empty && !page.exists && !page.unsync && page.spte == 0 && !page.role.cr0_wp;
    }
    for (const auto& cpu : machine.cpus) empty = empty && !cpu.linked && !cpu.cached;
    EXPECT_EQ(check({good, empty}, {}).kind, Answer::Kind::sat);
    EXPECT_EQ(check({good, empty, !invariants(machine).all()}, {}).kind, Answer::Kind::unsat);
  }
}

/// None of the invariants follows from the others: each can be broken alone.
TEST_F(Refinement, NoInvariantFollowsFromTheRest) {
  const auto machine = any_machine<Symbolic>(PagingMode::level4);
  const auto good = well_formed(machine);
  const auto inv = invariants(machine);
  const std::pair<const char*, Bool Invariants<Symbolic>::*> each[] = {
      {"sptes_follow_guest", &Invariants<Symbolic>::sptes_follow_guest},
      {"sptes_grant_no_more", &Invariants<Symbolic>::sptes_grant_no_more},
      {"writes_are_seen", &Invariants<Symbolic>::writes_are_seen},
      {"mmio_entries_true", &Invariants<Symbolic>::mmio_entries_true},
      {"links_follow_guest", &Invariants<Symbolic>::links_follow_guest},
      {"tlbs_covered", &Invariants<Symbolic>::tlbs_covered},
      {"written_is_reported", &Invariants<Symbolic>::written_is_reported}};
  for (const auto& [name, member] : each) {
    auto others = inv;
    others.*member = true;
    EXPECT_EQ(check({good, others.all(), !(inv.*member)}, {}).kind, Answer::Kind::sat) << name;
  }
}

TEST_F(Refinement, TheoremsHaveNamesOfTheirOwnAndABound) {
  std::set<std::string> names;
  for (const auto& theorem : refinement_theorems()) {
    EXPECT_TRUE(names.insert(theorem.name).second) << theorem.name;
    EXPECT_EQ(theorem.bound, 1u);
    EXPECT_EQ(theorem.subject, "refinement");
  }
  EXPECT_EQ(names.size(), 104u);
}

}  // namespace
}  // namespace lockstep::smt
