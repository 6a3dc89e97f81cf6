// SPDX-License-Identifier: GPL-2.0-or-later
// Needs an image of a kernel: LOCKSTEP_HOSTED_IMAGE names the file.
#include "hw/hosted/view.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "hw/hosted/engine.h"
#include "spec/kvm/invariants.h"
#include "spec/program.h"

namespace lockstep::hw::hosted {
namespace {

class ViewTest : public testing::Test {
 protected:
  static constexpr std::uint64_t pwu = entry::present | entry::writable | entry::user;

  void SetUp() override {
    const char* const file = std::getenv("LOCKSTEP_HOSTED_IMAGE");
    if (file == nullptr) GTEST_SKIP() << "set LOCKSTEP_HOSTED_IMAGE to an image";
    auto opened = HostedEngine::open(file, "hosted:test");
    ASSERT_TRUE(opened) << opened.error().message;
    engine = std::move(*opened);
    engine->check_invariants(InvariantChecks::every_command);
  }
  void run(const Command& command) {
    const auto seen = engine->execute(command);
    ASSERT_TRUE(seen) << seen.error().message;
    if (const auto* const wrong = std::get_if<Unexpected>(&*seen)) FAIL() << wrong->what;
  }
  /// Four levels of tables at 0x1000 map the first 2 MiB onto themselves; a few
  /// pages are used.
  void use(MmuKind mmu, bool tdp_mmu = true) {
    Configuration configuration;
    configuration.mmu = mmu;
    configuration.host.tdp_mmu = tdp_mmu;
    configuration.vcpus = 1;
    const auto begun = engine->begin(configuration, true);
    ASSERT_TRUE(begun) << begun.error().message;
    run(SlotAdd{.size = configuration.memory});
    for (unsigned level = 0; level < 3; ++level) {
      set(0x1000 * (level + 1), 0, 0x1000 * (level + 2) | pwu);
    }
    for (unsigned page = 0; page < 16; ++page) set(0x4000, page, page * page_size | pwu);
    run(Access{.gva = 0x8000});
    run(Access{.kind = AccessKind::write, .gva = 0x9000, .value = 1});
  }
  void set(Gpa table, unsigned index, std::uint64_t value) {
    EntrySet entry;
    entry.table = table;
    entry.index = index;
    entry.value = value;
    run(entry);
  }
  spec::View view() {
    auto seen = engine->view();
    EXPECT_TRUE(seen) << seen.error().message;
    return seen ? *std::move(seen) : spec::View{};
  }
  /// The leaf that maps a gfn in a page of the level.
  static const spec::ViewEntry* leaf(const spec::View& view, Gfn gfn) {
    for (const auto& [table, page] : view.pages) {
      for (const auto& entry : page.entries) {
        if (entry.kind == spec::ViewEntry::Kind::leaf && entry.gfn == gfn) return &entry;
      }
    }
    return nullptr;
  }
  void end() {
    const auto ended = engine->end();
    ASSERT_TRUE(ended) << ended.error().message;
    EXPECT_EQ(print(*ended), print(Observation(Done{})));
  }
  std::unique_ptr<HostedEngine> engine;
};

/// A replay is one program: what shows only inside must show there too.
TEST_F(ViewTest, TheFirstProgramOfAnEngineIsChecked) {
  engine->check_invariants(InvariantChecks::sampled);
  EXPECT_FALSE(engine->reached().contains("invariants")) << "trials of the engine's own";
  ASSERT_TRUE(engine->begin({}, true));
  run(SlotAdd{.size = Configuration{}.memory});
  EXPECT_EQ(engine->reached().at("invariants"), 1u);
  ASSERT_TRUE(engine->end());
  EXPECT_EQ(engine->reached().at("invariants"), 2u);
}

TEST_F(ViewTest, ShowsShadowPages) {
  use(MmuKind::shadow);
  const spec::View seen = view();
  SCOPED_TRACE(spec::print(seen));
  EXPECT_FALSE(seen.tdp);
  EXPECT_EQ(seen.pages.size(), seen.counters.used_pages);
  EXPECT_EQ(seen.active.size(), seen.pages.size());
  ASSERT_EQ(seen.vcpus.size(), 1u);
  ASSERT_TRUE(seen.vcpus[0].mmus[0].active);
  const auto root = seen.pages.find(seen.vcpus[0].mmus[0].active->root >> page_shift);
  ASSERT_NE(root, seen.pages.end());
  EXPECT_EQ(root->second.role.level, 4u);
  EXPECT_EQ(root->second.gfn, 1u);
  EXPECT_EQ(root->second.root_count, 1);
  const auto* const written = leaf(seen, 9);
  ASSERT_NE(written, nullptr);
  EXPECT_TRUE(written->writable && written->user && written->host_writable);
  ASSERT_TRUE(written->host);
  EXPECT_EQ(written->host->frame, written->frame);
  EXPECT_TRUE(written->host->writable);
  ASSERT_EQ(seen.vcpus[0].caches.size(), 4u);
  for (const spec::ViewCache& cache : seen.vcpus[0].caches) EXPECT_GT(cache.capacity, 0u);
  EXPECT_GT(engine->mmu_bytes().value_or(0), seen.pages.size() * page_size);
  EXPECT_GE(seen.slots.size(), 1u);
  EXPECT_TRUE(seen.slots[0].has_rmaps && seen.slots[0].has_tracking);
  EXPECT_TRUE(std::ranges::any_of(seen.slots[0].rmaps, [](const spec::ViewRmap& rmap) {
    return rmap.level == 1 && rmap.gfn == 9 && rmap.places.size() == 1;
  }));
  // PML4, PDPT and PD are write-tracked; the page table may be unsync.
  EXPECT_EQ(seen.slots[0].tracked.size(), 3u);
  EXPECT_EQ(seen.requests.at(0), "TLB_FLUSH");
  end();
}

TEST_F(ViewTest, ShowsTheTdpMmu) {
  use(MmuKind::tdp);
  const spec::View seen = view();
  SCOPED_TRACE(spec::print(seen));
  EXPECT_TRUE(seen.tdp && seen.tdp_mmu);
  EXPECT_EQ(seen.counters.used_pages, 0u);
  EXPECT_GE(seen.pages.size(), 3u);
  EXPECT_TRUE(std::ranges::all_of(
      seen.pages, [](const auto& page) { return page.second.tdp_mmu && page.second.role.direct; }));
  EXPECT_GE(seen.counters.leaves[1], 1u) << "the host's pages are huge, the slot is aligned";
  end();
}

TEST_F(ViewTest, ShowsTheDirectMmu) {
  use(MmuKind::tdp, /*tdp_mmu=*/false);
  const spec::View seen = view();
  SCOPED_TRACE(spec::print(seen));
  EXPECT_TRUE(seen.tdp);
  EXPECT_FALSE(seen.tdp_mmu);
  EXPECT_EQ(seen.pages.size(), seen.counters.used_pages);
  EXPECT_TRUE(seen.slots[0].has_rmaps);
  end();
}

TEST_F(ViewTest, ShowsMmioEntries) {
  use(MmuKind::shadow);
  set(0x4000, 20, 0x4000'0000 | pwu);
  run(Access{.gva = 20 * page_size});
  const spec::View seen = view();
  const auto mmio = [](const spec::ViewEntry& entry) {
    return entry.kind == spec::ViewEntry::Kind::mmio && entry.gfn == 0x4'0000;
  };
  EXPECT_TRUE(std::ranges::any_of(seen.pages, [&](const auto& page) {
    return std::ranges::any_of(page.second.entries, mmio);
  })) << spec::print(seen);
  end();
}

TEST_F(ViewTest, NeedsAProgram) { EXPECT_FALSE(engine->view()); }

}  // namespace
}  // namespace lockstep::hw::hosted
