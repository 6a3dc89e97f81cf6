// SPDX-License-Identifier: GPL-2.0-or-later
/// What one step may change: invariants over the views before and behind it.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "spec/kvm/invariants.h"
#include "spec/kvm/invariants_fixture.h"

namespace lockstep::spec {
namespace {

using Kind = ViewEntry::Kind;

/// Both views are healthy; the step between them is not.
struct StepPlant {
  unsigned invariant;
  const char* what;
  std::function<void(View& before, View& after)> plant;
};

/// `view` with its huge leaf split into small ones, as it should be.
void split(View& view) {
  ViewEntry& huge = entry(view, 0x102, 1);
  ViewPage table;
  table.table = 0x110;
  table.gfn = huge.gfn;
  table.role = view.pages.at(0x101).role;
  table.role.direct = true;
  for (unsigned i = 0; i < 512; ++i) table.entries.push_back(leaf(i, huge.gfn + i));
  view.pages.emplace(table.table, table);
  huge.kind = Kind::link;
  huge.frame = table.table;
}

/// Reclaim has taken the page.
void reclaim(View& view, Hfn table) {
  view.pages.erase(table);
  std::erase(view.active, table);
  ++view.counters.recycled;
}

const std::vector<StepPlant>& step_plants() {
  static const std::vector<StepPlant> all = {
      {1, "a cache that got other room",
       [](View& before, View& after) {
         before.vcpus[0].caches = {{.name = "pages", .objects = 1, .capacity = 40}};
         after.vcpus[0].caches = {{.name = "pages", .objects = 1, .capacity = 20}};
       }},
      // The list has 0x101 in front, 0x104 is the root.
      {4, "reclaim that takes a younger page", [](View&, View& after) { reclaim(after, 0x102); }},
      {4, "reclaim of a root in use",
       [](View&, View& after) {
         after.pages.at(0x104).role.invalid = true;
         reclaim(after, 0x103);
       }},
      {24, "a leaf in an obsolete page",
       [](View& before, View& after) {
         before.pages.at(0x101).obsolete = after.pages.at(0x101).obsolete = true;
         after.pages.at(0x101).entries.push_back(leaf(9, 9));
       }},
      {24, "another page behind an entry of an obsolete one",
       [](View& before, View& after) {
         before.pages.at(0x101).obsolete = after.pages.at(0x101).obsolete = true;
         entry(after, 0x101, 8).frame = 9;
       }},
      {25, "a generation that falls",
       [](View&, View& after) {
         after.slot_generations = {2, 1};
       }},
      {25, "a slot that moved in secret", [](View&, View& after) { after.slots[0].gfn = 0x10; }},
      {33, "a piece that maps the first page",
       [](View&, View& after) {
         split(after);
         entry(after, 0x110, 7).frame = 0x200;
       }},
      {33, "a piece that the host lets be written, and not the whole",
       [](View& before, View& after) {
         split(after);
         for (ViewEntry& piece : after.pages.at(0x110).entries) piece.writable = false;
         ViewEntry& huge = entry(before, 0x102, 1);
         huge.writable = huge.mmu_writable = huge.host_writable = false;
       }},
      {33, "more pieces that gain write access than one command writes",
       [](View& before, View& after) {
         split(after);
         entry(before, 0x102, 1).writable = false;
       }},
  };
  return all;
}

TEST(Invariants, HoldForSoundSteps) {
  const auto sound = [](const View& before, const View& after) {
    for (const Violation& violation : step_violations(before, after)) {
      ADD_FAILURE() << print(violation);
    }
  };
  sound(healthy(), healthy());
  sound(View{}, healthy());
  sound(healthy(), View{});
  View after = healthy();
  split(after);
  sound(healthy(), after);
  // A write fault splits what the dirty log had protected.
  View logged = healthy();
  entry(logged, 0x102, 1).writable = false;
  for (ViewEntry& piece : after.pages.at(0x110).entries) piece.writable = piece.index == 5;
  sound(logged, after);
  after = healthy();
  reclaim(after, 0x103);
  sound(healthy(), after);
  after = healthy();
  after.slot_generations = {6, 1};
  after.slots[0].gfn = 0x10;
  sound(healthy(), after);
}

TEST(Invariants, EachStepSeesWhatIsPlanted) {
  for (const StepPlant& plant : step_plants()) {
    View before = healthy();
    View after = healthy();
    plant.plant(before, after);
    const auto found = step_violations(before, after);
    EXPECT_FALSE(found.empty()) << plant.what;
    for (const Violation& violation : found) {
      EXPECT_EQ(violation.invariant, plant.invariant) << plant.what << ": " << print(violation);
    }
  }
}

TEST(Invariants, EachOfStepsHasAPlant) {
  for (const Invariant& invariant : invariants()) {
    EXPECT_TRUE(invariant.check_step == nullptr ||
                std::ranges::any_of(
                    step_plants(),
                    [&](const StepPlant& plant) { return plant.invariant == invariant.number; }))
        << invariant.number;
  }
}

}  // namespace
}  // namespace lockstep::spec
