// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/reach.h"

#include <gtest/gtest.h>

namespace lockstep::props {
namespace {

using Counts = std::map<std::string, std::uint64_t>;

TEST(Reach, CountsWhatWasSeenNotWhatWasAsked) {
  Reach reach;
  const Access read{1, AccessKind::read, Cpl::supervisor, 0x1000, 0, 8, false};
  reach.count(read, PageFault{4, 0x1000});
  EXPECT_EQ(reach.by_name(), (Counts{{"access #PF", 1}, {"access cpl0", 1}, {"vcpu1", 1}}));
  reach.count(read, Mmio{false, 0x1000, 8, 0});
  EXPECT_EQ(reach.by_name().at("mmio read"), 1u);
  EXPECT_FALSE(reach.by_name().contains("access read"));
  reach.count(read, Value{1});
  EXPECT_EQ(reach.by_name().at("access read"), 1u);
}

TEST(Drawn, CountsTheHostsThatProgramsHad) {
  Platform platform;
  Drawn drawn;
  Configuration configuration;
  configuration.mmu = MmuKind::shadow;
  configuration.host.vendor = Vendor::intel;
  drawn.count(configuration, platform);
  EXPECT_TRUE(drawn.by_name().empty()) << "an engine that chooses nothing";
  platform.features.set(static_cast<std::size_t>(Feature::host_parameters));
  drawn.count(configuration, platform);
  configuration = {};
  configuration.mmu = MmuKind::tdp;
  configuration.host.eager_page_split = false;
  configuration.host.nx_huge_pages = configuration.host.five_levels = true;
  drawn.count(configuration, platform);
  EXPECT_EQ(drawn.by_name(), (Counts{{"drawn programs", 2},
                                     {"drawn tdp", 1},
                                     {"drawn tdp-mmu", 1},
                                     {"drawn eager-split", 1},
                                     {"drawn nx-huge-pages", 1},
                                     {"drawn vendor=intel", 1},
                                     {"drawn five-levels", 1}}));
}

TEST(Reach, TellsFailedCommandsApart) {
  Reach reach;
  reach.count(SlotDelete{3}, Errno{22});
  reach.count(DirtyGet{3}, Errno{2});
  reach.count(LoadCr3{0, 0x1000, 0, false}, Exception{13, 0});
  EXPECT_EQ(reach.by_name(), (Counts{{"slot errno", 1}}));
}

TEST(Reach, CountsWhatTheHostDid) {
  Reach reach;
  reach.count(MmuPages{63}, Errno{22});
  reach.count(RingCollect{}, DirtyPages{});
  EXPECT_TRUE(reach.by_name().empty());
  reach.count(MmuPages{64}, Done{});
  reach.count(HostChange{HostAction::migrate, 0, 0x1000}, Done{});
  reach.count(HostChange{HostAction::discard, 0, 0x1000}, Done{});
  reach.count(Shrink{1}, Done{});
  reach.count(NxRecover{}, Done{});
  reach.count(RingCollect{}, DirtyPages{{{0, {1}}}});
  reach.count(Access{0, AccessKind::write, Cpl::user, 0, 0, 8, false}, Errno{14});
  EXPECT_EQ(reach.by_name(), (Counts{{"access cpl3", 1},
                                     {"host discard", 1},
                                     {"host migrate", 1},
                                     {"host refused write", 1},
                                     {"mmu pages", 1},
                                     {"nx recover", 1},
                                     {"ring collect", 1},
                                     {"shrink", 1}}));
}

TEST(Reach, WhatWasJudgedCountsMoreThanWhatWasTried) {
  Reach reach;
  reach.count(Invlpg{0, 0}, Done{});
  const auto all = merged(reach, {{"invlpg", 5}, {"access pf_fixed", 2}});
  EXPECT_EQ(all, (Counts{{"access pf_fixed", 2}, {"invlpg", 1}}));
}

}  // namespace
}  // namespace lockstep::props
