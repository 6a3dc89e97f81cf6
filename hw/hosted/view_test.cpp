// SPDX-License-Identifier: GPL-2.0-or-later
// Needs an image of a kernel: LOCKSTEP_HOSTED_IMAGE names the file.
#include "hw/hosted/view.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "hw/hosted/engine.h"
#include "hw/hosted/image.h"
#include "hw/hosted/known_findings.h"
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
    {
      // One image at a time has the address.
      const auto image = Image::load(file);
      ASSERT_TRUE(image) << image.error().message;
      ages_by_steps = (*image)->boundary().ages_by_steps != 0;
    }
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
  void use(MmuKind mmu, bool tdp_mmu = true, Vendor vendor = Vendor::amd) {
    Configuration configuration;
    configuration.mmu = mmu;
    configuration.host.tdp_mmu = tdp_mmu;
    configuration.host.vendor = vendor;
    use(configuration);
  }
  void use(Configuration configuration) {
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
  /// The leaf that has a gfn among those that it maps.
  const spec::ViewEntry* leaf_of(spec::View seen, Gfn gfn) {
    shown_ = std::move(seen);
    for (const auto& [table, page] : shown_.pages) {
      const unsigned shift = 9 * (page.role.level - 1);
      for (const auto& entry : page.entries) {
        const bool is_leaf = entry.kind == spec::ViewEntry::Kind::leaf;
        if (is_leaf && entry.gfn >> shift == gfn >> shift) return &entry;
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
  bool ages_by_steps = false;

 private:
  spec::View shown_;
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
  ASSERT_GE(seen.vcpus[0].caches.size(), 4u);
  ASSERT_EQ(seen.caches.size(), 3u);
  EXPECT_EQ(seen.caches[0].name, "split_shadow_page_cache");
  for (const spec::ViewCache& cache : seen.vcpus[0].caches) {
    const bool confidential = cache.name == "mmu_external_spt_cache";
    EXPECT_EQ(cache.capacity == 0, confidential) << cache.name;
  }
  EXPECT_NE(seen.vcpus[0].mmus[0].cpu_role_extension, 0u);
  EXPECT_FALSE(seen.vcpus[0].flushes);
  EXPECT_TRUE(root->second.unsync_child_bitmap);
  EXPECT_GT(engine->mmu_bytes().value_or(0), seen.pages.size() * page_size);
  EXPECT_GE(seen.slots.size(), 1u);
  EXPECT_TRUE(seen.slots[0].has_rmaps && seen.slots[0].has_tracking);
  EXPECT_TRUE(std::ranges::any_of(seen.slots[0].rmaps, [](const spec::ViewRmap& rmap) {
    return rmap.level == 1 && rmap.gfn == 9 && rmap.places.size() == 1;
  }));
  // PML4, PDPT and PD are write-tracked; the page table may be unsync.
  EXPECT_EQ(seen.slots[0].tracked.size(), 3u);
  EXPECT_EQ(seen.requests.at(0), "TLB_FLUSH");
  EXPECT_EQ(seen.counters.invalidating, 0);
  run(HostChange{.action = HostAction::migrate, .hva = 0x9000, .size = page_size});
  EXPECT_EQ(view().counters.invalidations, seen.counters.invalidations + 1);
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

/// What invariants 31 and 11 judge by: without it they pass whatever the kernel does.
TEST_F(ViewTest, ShowsWhatTheNextLogWouldTell) {
  for (const Vendor vendor : {Vendor::amd, Vendor::intel}) {
    use(MmuKind::tdp, /*tdp_mmu=*/true, vendor);
    EXPECT_TRUE(view().slots[0].dirty.empty());
    run(SlotFlags{.id = 0, .log = true});
    run(Access{.kind = AccessKind::write, .gva = 0x9000, .value = 2});
    spec::View seen = view();
    const auto& slot = seen.slots[0];
    ASSERT_EQ(slot.dirty.size(), slot.pages / 64);
    EXPECT_NE(slot.dirty[0] & 1u << 9, 0u) << "just written";
    EXPECT_EQ(slot.dirty[0] & 1u << 8, 0u) << "read";
    EXPECT_EQ(seen.logs_dirty_bits, vendor == Vendor::intel);
    EXPECT_EQ(seen.masks.access_writable, 2u);
    EXPECT_EQ(seen.masks.access_user, 4u);
    EXPECT_NE(seen.masks.access_executable, 0u);
    EXPECT_TRUE(spec::violations(seen).empty());
    seen.slots[0].dirty[0] &= ~(1ull << 9);
    const auto broken = spec::violations(seen);
    ASSERT_EQ(broken.size(), 1u) << "a leaf that is writable and clean";
    EXPECT_EQ(broken[0].invariant, 31u);
    end();
  }
}

/// Accessed bits, and rights that are taken where there are none; with and without a flush.
TEST_F(ViewTest, JudgesWhatTheHostIsToldOfAge) {
  for (const bool ad_bits : {true, false}) {
    for (const bool tdp_mmu : {true, false}) {
      Configuration configuration;
      configuration.mmu = MmuKind::tdp;
      configuration.host.vendor = Vendor::intel;
      configuration.host.ad_bits = ad_bits;
      configuration.host.tdp_mmu = tdp_mmu;
      use(configuration);
      for (unsigned i = 0; i < 2; ++i) {
        // Not every aging flushes, and what is cached marks nothing.
        run(Invlpg{.gva = 0x9000});
        run(Access{.kind = AccessKind::write, .gva = 0x9000, .value = 1});
        const auto* const young = leaf_of(view(), 9);
        ASSERT_NE(young, nullptr);
        EXPECT_TRUE(young->accessed);
        run(HostChange{.action = HostAction::age, .hva = 0x9000, .size = page_size});
        const auto* const old = leaf_of(view(), 9);
        ASSERT_NE(old, nullptr);
        EXPECT_FALSE(old->accessed);
      }
      end();
    }
  }
  EXPECT_EQ(engine->reached().at("aging judged"), 8u);
}

/// A range that ends in a huge page, deeper in which it begins: some kernels pass that over.
TEST_F(ViewTest, KnowsWhatIsAgedBySteps) {
  Configuration configuration;
  configuration.mmu = MmuKind::tdp;
  configuration.host.tdp_mmu = false;
  configuration.memory = 8ull << 20;
  use(configuration);
  constexpr std::uint64_t huge = 2ull << 20;
  for (const Gva at : {Gva{huge}, Gva{2 * huge}}) {
    set(0x3000, static_cast<unsigned>(at / huge), at | pwu | entry::page_size);
    run(HostChange{.action = HostAction::collapse, .hva = at, .size = huge});
    run(Access{.kind = AccessKind::write, .gva = at, .value = 1});
  }
  const auto* const leaf = leaf_of(view(), 2 * huge / page_size);
  ASSERT_NE(leaf, nullptr);
  EXPECT_TRUE(leaf->accessed);
  run(HostChange{.action = HostAction::age, .hva = 2 * huge - page_size, .size = 2 * page_size});
  const std::string known = "known " + std::string(known_aging);
  EXPECT_EQ(engine->reached().contains(known), ages_by_steps);
  end();
}

TEST_F(ViewTest, NeedsAProgram) { EXPECT_FALSE(engine->view()); }

}  // namespace
}  // namespace lockstep::hw::hosted
