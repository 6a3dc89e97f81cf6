// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/kvm/invariants.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "spec/kvm/invariants_fixture.h"

namespace lockstep::spec {
namespace {

using Kind = ViewEntry::Kind;

/// Numbers of the invariants that the view breaks, each once.
std::vector<unsigned> broken(const View& view) {
  std::vector<unsigned> numbers;
  for (const Violation& violation : violations(view)) numbers.push_back(violation.invariant);
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  return numbers;
}

struct Plant {
  unsigned invariant;
  const char* what;
  std::function<void(View&)> plant;
};

const std::vector<Plant>& plants() {
  static const std::vector<Plant> all = {
      {1, "a cache that is too full",
       [](View& v) { v.vcpus[0].caches = {{.name = "pages", .objects = 41, .capacity = 40}}; }},
      {1, "a cache of the VM that is too full",
       [](View& v) { v.caches = {{.name = "split", .objects = 6, .capacity = 5}}; }},
      {3, "a page that only the VM counts", [](View& v) { v.counters.used_pages_everywhere = 3; }},
      {9, "a second page of the role",
       [](View& v) {
         ViewPage& page = v.pages.at(0x102);
         page.gfn = 4;
         page.role.word = v.pages.at(0x101).role.word;
         v.slots[0].tracked = {{1, 1, 1}, {1, 2, 1}, {1, 4, 1}};
       }},
      {9, "two pages with one table", [](View& v) { v.same_table.push_back(0x101); }},
      {10, "a link to no page",
       [](View& v) {
         entry(v, 0x102, 0).frame = 0x999;
         v.pages.at(0x101).parents.clear();
       }},
      {10, "a child that ignores CR0.WP", [](View& v) { v.pages.at(0x101).role.cr0_wp = true; }},
      {10, "a child with more access", [](View& v) { v.pages.at(0x102).role.access = 3; }},
      {10, "a child with the wrong quadrant",
       [](View& v) {
         for (auto& [table, page] : v.pages) page.role.has_4_byte_gpte = true;
         v.pages.at(0x101).role.quadrant = 1;
       }},
      {11, "a writable leaf whose role is not",
       [](View& v) {
         v.pages.at(0x101).role.access = 5;
         v.pages.at(0x101).role.cr0_wp = true;
         for (auto& [table, page] : v.pages) page.role.cr0_wp = true;
       }},
      {11, "a leaf for users below supervisor's entries",
       [](View& v) {
         entry(v, 0x101, 8).user = true;
         v.pages.at(0x101).role.access = 3;
       }},
      {11, "an executable leaf whose role is not",
       [](View& v) {
         entry(v, 0x101, 8).executable = true;
         v.pages.at(0x101).role.access = 6;
         v.masks.access_executable = 1;
       }},
      {11, "a writable leaf of a read-only slot", [](View& v) { v.slots[0].flags = 2; }},
      {11, "a writable leaf of a page that the host protects",
       [](View& v) { entry(v, 0x101, 8).host = ViewHostPage{.frame = 8, .writable = false}; }},
      {12, "a shadowed table that is mapped writable",
       [](View& v) {
         entry(v, 0x101, 8).gfn = 4;
         v.slots[0].rmaps[0].gfn = 4;
       }},
      {12, "a huge page over a shadowed table",
       [](View& v) {
         entry(v, 0x102, 1).gfn = 0;
         v.slots[0].rmaps[1].gfn = 0;
       }},
      {12, "an unsync page whose gfn is an upper table",
       [](View& v) {
         v.pages.at(0x101).unsync = true;
         v.pages.at(0x101).gfn = 3;
         for (Hfn table = 0x102; table <= 0x104; ++table) v.pages.at(table).unsync_children = 1;
         v.counters.unsync_pages = 1;
       }},
      {14, "an unsync page that its root does not know of",
       [](View& v) {
         v.pages.at(0x101).unsync = true;
         v.counters.unsync_pages = 1;
         v.pages.at(0x102).unsync_children = v.pages.at(0x103).unsync_children = 1;
       }},
      {14, "an unsync page that is not counted",
       [](View& v) {
         v.pages.at(0x101).unsync = true;
         for (Hfn table = 0x102; table <= 0x104; ++table) v.pages.at(table).unsync_children = 1;
       }},
      {14, "an unsync page that its parent counts and does not mark",
       [](View& v) {
         v.pages.at(0x101).unsync = true;
         v.counters.unsync_pages = 1;
         for (Hfn table = 0x102; table <= 0x104; ++table) v.pages.at(table).unsync_children = 1;
         v.pages.at(0x102).unsync_child_bitmap = {1ull << 63};
       }},
      {14, "a mark of an unsync child that is not counted",
       [](View& v) { v.pages.at(0x102).unsync_child_bitmap = {1}; }},
      {14, "an unsync upper table",
       [](View& v) {
         v.pages.at(0x102).unsync = true;
         v.counters.unsync_pages = 1;
       }},
      {15, "a valid page that is not active", [](View& v) { v.active.pop_back(); }},
      {15, "a page that is active twice", [](View& v) { v.active.push_back(0x101); }},
      {15, "a link to an obsolete page", [](View& v) { v.pages.at(0x101).obsolete = true; }},
      {16, "a new page behind an old one", [](View& v) { v.pages.at(0x102).valid_generation = 1; }},
      {18, "a root made for CR0.WP=0", [](View& v) { v.vcpus[0].mmus[0].role.cr0_wp = true; }},
      {19, "a leaf that is in no rmap", [](View& v) { v.slots[0].rmaps.pop_back(); }},
      {19, "an rmap of another gfn", [](View& v) { v.slots[0].rmaps[0].gfn = 9; }},
      {19, "an rmap entry that is no leaf",
       [](View& v) {
         v.slots[0].rmaps[0].places.push_back({0x101, 9});
       }},
      {19, "an rmap entry that is there twice",
       [](View& v) {
         v.slots[0].rmaps[0].places.push_back({0x101, 8});
       }},
      {19, "a leaf in the rmap of another level", [](View& v) { v.slots[0].rmaps[1].level = 3; }},
      {20, "a parent that does not link", [](View& v) { v.pages.at(0x103).parents[0].index = 7; }},
      {20, "a link that its child forgot", [](View& v) { v.pages.at(0x101).parents.clear(); }},
      {20, "a parent that is there twice",
       [](View& v) {
         v.pages.at(0x101).parents.push_back({0x102, 0});
       }},
      {21, "an rmap that was not recycled",
       [](View& v) {
         for (unsigned i = 0; i < 1000; ++i) v.slots[0].rmaps[0].places.push_back({0x500 + i, 1});
       }},
      {22, "a root that is cached and not counted",
       [](View& v) {
         v.vcpus[0].mmus[0].previous[1] = ViewRoot{0x1000, 0x104000};
       }},
      {22, "a root that nobody has", [](View& v) { v.vcpus[0].mmus[0].active.reset(); }},
      {23, "an obsolete root that no request drops",
       [](View& v) { v.pages.at(0x104).obsolete = true; }},
      {23, "an obsolete root among those before",
       [](View& v) {
         v.pages.at(0x104).obsolete = true;
         v.requests[7] = "MMU_SYNC";
         v.vcpus[0].requests = 1u << 7;
         v.vcpus[0].mmus[0].previous[2] = v.vcpus[0].mmus[0].active;
         v.vcpus[0].mmus[0].active.reset();
       }},
      {25, "slots that overlap",
       [](View& v) {
         ViewSlot slot;
         slot.id = 1;
         slot.gfn = 0xfff;
         slot.pages = 2;
         v.slots.push_back(slot);
       }},
      {25, "one generation for two address spaces",
       [](View& v) {
         v.slot_generations = {4, 4};
       }},
      {25, "an update without end", [](View& v) { v.slot_generations[0] |= 1ull << 63; }},
      {27, "MMIO where a slot is now",
       [](View& v) {
         ViewPage page = direct(0x201, 1);
         page.parents.push_back({0x999, 0});
         ViewEntry mmio;
         mmio.kind = Kind::mmio;
         mmio.gfn = 0x30;
         mmio.generation = 4;
         page.entries.push_back(mmio);
         v.pages.emplace(0x201, page);
         v.masks.mmio_generation = 0xff;
       }},
      {28, "one shadowed table too few", [](View& v) { v.slots[0].no_huge[0].number = 3; }},
      {28, "a count that was not taken back", [](View& v) { v.slots[0].no_huge[1].number = 6; }},
      {28, "a negative count",
       [](View& v) {
         v.slots[0].no_huge.push_back({2, 0x400, -1});
       }},
      {28, "a count that is missing", [](View& v) { v.slots[0].no_huge.pop_back(); }},
      {29, "a huge page across the end of its slot", [](View& v) { v.slots[0].pages = 0x3ff; }},
      {29, "a huge page over small ones of the host",
       [](View& v) {
         entry(v, 0x102, 1).host = ViewHostPage{.frame = 0x200, .writable = true, .level = 1};
       }},
      {31, "a clean page that is writable",
       [](View& v) {
         v.slots[0].flags = 1;
         v.slots[0].dirty.assign(0x40, ~0ull);
         v.slots[0].dirty[0] = ~(1ull << 8);
       }},
      {31, "a clean page below a writable huge one, with dirty bits",
       [](View& v) {
         v.logs_dirty_bits = true;
         v.slots[0].flags = 1;
         v.slots[0].dirty.assign(0x40, ~0ull);
         v.slots[0].dirty[0] = 0;
         v.slots[0].dirty[8] = 1;
       }},
      {31, "a clean page whose dirty bit is set already",
       [](View& v) {
         v.logs_dirty_bits = v.logs_at_once = true;
         v.slots[0].flags = 1;
         v.slots[0].dirty.assign(0x40, ~0ull);
         v.slots[0].dirty[0] = ~(1ull << 8);
         entry(v, 0x101, 8).dirty = true;
       }},
      {34, "an upper table that is not tracked", [](View& v) { v.slots[0].tracked.pop_back(); }},
      {34, "tracking that nobody asks for",
       [](View& v) {
         v.slots[0].tracked.push_back({1, 0x50, 1});
       }},
      {34, "an indirect page that is not counted", [](View& v) { v.counters.indirect_pages = 3; }},
      {35, "a writable leaf that is not MMU-writable",
       [](View& v) { entry(v, 0x101, 8).mmu_writable = false; }},
      {35, "an MMU-writable leaf that is not host-writable",
       [](View& v) { entry(v, 0x101, 8).host_writable = false; }},
      {35, "a shadowed table that a fast fault makes writable",
       [](View& v) {
         entry(v, 0x101, 8).gfn = 4;
         entry(v, 0x101, 8).writable = false;
         v.slots[0].rmaps[0].gfn = 4;
       }},
      {36, "an entry that stayed frozen",
       [](View& v) {
         ViewEntry frozen;
         frozen.index = 100;
         frozen.kind = Kind::frozen;
         v.pages.at(0x101).entries.push_back(frozen);
       }},
      {37, "an invalid root that still links",
       [](View& v) {
         ViewPage root = direct(0x204, 4);
         root.role.invalid = root.obsolete = true;
         ViewEntry stays = link(1, 0x203);
         root.entries.push_back(stays);
         v.pages.emplace(0x204, root);
         ViewPage below = direct(0x203, 3);
         below.parents.push_back({0x204, 1});
         below.gfn = 1ull << 27;
         v.pages.emplace(0x203, below);
       }},
      {38, "a split that is not in the list", [](View& v) { v.counters.nx_splits = 1; }},
      {38, "a page in the list that forbids nothing",
       [](View& v) {
         v.counters.nx_splits = 1;
         v.recoverable.push_back(0x101);
       }},
      {38, "a huge page that is executable in spite of the mitigation",
       [](View& v) {
         v.nx_huge_pages = true;
         for (auto& [table, page] : v.pages) {
           if (page.role.level != 2) continue;
           for (ViewEntry& entry : page.entries) entry.executable = true;
         }
       }},
      {39, "a leaf that the statistics forgot", [](View& v) { v.counters.leaves[0] = 0; }},
      {39, "a huge leaf counted as small",
       [](View& v) {
         v.counters.leaves = {2, 0, 0};
       }},
      {40, "a page that is not counted",
       [](View& v) { v.counters.used_pages = 3, v.counters.used_pages_everywhere = 3; }},
      {42, "a leaf of a page that the host moved",
       [](View& v) { entry(v, 0x101, 8).host = ViewHostPage{.frame = 9, .writable = true}; }},
      {42, "a change of the host's that never ends", [](View& v) { v.counters.invalidating = 1; }},
  };
  return all;
}

TEST(Invariants, HoldInAHealthyView) {
  for (const Violation& violation : violations(healthy())) ADD_FAILURE() << print(violation);
  for (const Violation& violation : violations(View{})) ADD_FAILURE() << print(violation);
}

TEST(Invariants, EachSeesWhatIsPlanted) {
  for (const Plant& plant : plants()) {
    View view = healthy();
    plant.plant(view);
    const auto numbers = broken(view);
    // Nothing else is broken, unless one wrong fact is two.
    EXPECT_TRUE(std::ranges::find(numbers, plant.invariant) != numbers.end()) << plant.what;
    EXPECT_LE(numbers.size(), 2u) << plant.what;
  }
}

TEST(Invariants, EachHasAPlantAndASource) {
  unsigned before = 0;
  for (const Invariant& invariant : invariants()) {
    EXPECT_LT(before, invariant.number);
    before = invariant.number;
    EXPECT_FALSE(invariant.title.empty() || invariant.source.empty()) << invariant.number;
    EXPECT_FALSE(invariant.kernels.empty() || invariant.failure.empty()) << invariant.number;
    // Outside every slot is planted below.
    EXPECT_TRUE(
        invariant.check == nullptr || invariant.number == 26 ||
        std::ranges::any_of(
            plants(), [&](const Plant& plant) { return plant.invariant == invariant.number; }))
        << invariant.number;
    EXPECT_TRUE(invariant.check != nullptr || invariant.check_step != nullptr);
  }
}

TEST(Invariants, AreAllOfTheListCheckedOrAbsentForAReason) {
  std::vector<unsigned> numbers;
  for (const Invariant& invariant : invariants()) numbers.push_back(invariant.number);
  for (const AbsentInvariant& invariant : absent_invariants()) {
    numbers.push_back(invariant.number);
    EXPECT_FALSE(invariant.title.empty() || invariant.source.empty() || invariant.reason.empty());
  }
  std::ranges::sort(numbers);
  ASSERT_EQ(numbers.size(), 42u);
  for (unsigned i = 0; i < numbers.size(); ++i) EXPECT_EQ(numbers[i], i + 1);
}

TEST(Invariants, SeeWhatIsLeftOfADeletedSlot) {
  View view = healthy();
  view.slots.clear();
  const auto numbers = broken(view);
  EXPECT_EQ(numbers, (std::vector<unsigned>{19, 26}));
}

TEST(Invariants, ActiveInvalidPage) {
  View view = healthy();
  ViewPage& root = view.pages.at(0x104);
  root.role.invalid = root.obsolete = true;
  EXPECT_EQ(broken(view), (std::vector<unsigned>{15, 23, 28, 34}));
}

TEST(Invariants, FollowTheTreeOfTheTdpMmu) {
  View view;
  view.pages.emplace(0x204, direct(0x204, 4));
  view.pages.emplace(0x203, direct(0x203, 3));
  view.pages.at(0x204).entries.push_back(link(1, 0x203));
  view.pages.at(0x203).parents.push_back({0x204, 1});
  view.pages.at(0x203).gfn = 1ull << 27;
  EXPECT_EQ(broken(view), std::vector<unsigned>{});
  view.pages.at(0x203).gfn = 2ull << 27;
  EXPECT_EQ(broken(view), std::vector<unsigned>{10});
  view.pages.at(0x203).gfn = 1ull << 27;
  view.pages.emplace(0x205, direct(0x205, 4));
  EXPECT_EQ(broken(view), std::vector<unsigned>{9});
}

TEST(Invariants, SayHowManyMoreThereAre) {
  View view = healthy();
  for (unsigned i = 0; i < 9; ++i) view.recoverable.push_back(0x900 + i);
  view.counters.nx_splits = 9;
  const auto found = violations(view);
  ASSERT_EQ(found.size(), 4u);
  EXPECT_EQ(print(found[0]), "invariant 38: NX recovery may zap 0x900, which is no shadow page");
  EXPECT_TRUE(found[3].text.ends_with("; and 5 more")) << found[3].text;
}

}  // namespace
}  // namespace lockstep::spec
