// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/known_races.h"

#include <gtest/gtest.h>

namespace lockstep::hw::hosted {
namespace {

TEST(KnownRaces, AreToldByTheirFunctionsInEitherOrder) {
  const KnownRace* const race = known_race("make_mmio_spte+0x1c", "kvm_swap_active_memslots+0x8");
  ASSERT_NE(race, nullptr);
  EXPECT_EQ(known_race("kvm_swap_active_memslots.isra.0+0x8", "make_mmio_spte"), race);
}

TEST(KnownRaces, AnotherPairIsNone) {
  EXPECT_EQ(known_race("make_mmio_spte", "make_mmio_spte"), nullptr);
  EXPECT_EQ(known_race("track_possible_nx_huge_page", "track_possible_nx_huge_page"), nullptr);
  EXPECT_EQ(known_race("kvm_mmu_notifier_invalidate_range_start",
                       "kvm_mmu_notifier_invalidate_range_start"),
            nullptr);
  EXPECT_EQ(known_race("make_mmio_spte_more", "kvm_swap_active_memslots"), nullptr);
  EXPECT_EQ(known_race("", ""), nullptr);
}

TEST(KnownRaces, EachHasItsReason) {
  for (const KnownRace& race : known_races()) EXPECT_FALSE(race.reason.empty());
}

}  // namespace
}  // namespace lockstep::hw::hosted
