// SPDX-License-Identifier: GPL-2.0-or-later
#include "impl/spte.h"

#include <gtest/gtest.h>

namespace lockstep::impl {
namespace {

TEST(MmioSpte, GfnGenerationAndRightsComeBack) {
  for (const Gfn gfn : {Gfn{0}, Gfn{1}, Gfn{0x30000}, mmio::end_gfn - 1}) {
    for (unsigned bit = 0; bit < mmio::generation_bits; ++bit) {
      for (const Rights rights : {Rights{0}, rights::writable, rights::user, Rights{6}}) {
        const std::uint64_t generation = 1ull << bit;
        const std::uint64_t spte = mmio_spte(gfn, rights, generation);
        EXPECT_TRUE(is_mmio_spte(spte));
        EXPECT_FALSE(spte_present(spte));
        EXPECT_EQ(mmio_gfn(spte), gfn);
        EXPECT_EQ(mmio_generation(spte), generation);
        EXPECT_EQ(mmio_rights(spte), rights);
        EXPECT_EQ(spte & entry::no_execute, 0u);
      }
    }
  }
}

TEST(MmioSpte, GenerationWrapsAtNineteenBits) {
  EXPECT_EQ(mmio_spte(5, 0, 1ull << 19), mmio_spte(5, 0, 0));
  EXPECT_EQ(mmio_spte(5, 0, (1ull << 63) | 4), mmio_spte(5, 0, 4));
}

LeafRequest<std::uint64_t> leaf(Hfn frame, Rights access, unsigned level, bool host_writable) {
  return {.level = level,
          .frame = frame,
          .access = access,
          .host_writable = host_writable,
          .read_only = false};
}

TEST(Spte, WhatTheDirtyLogTookMayComeBackAndNothingElse) {
  const std::uint64_t spte = leaf_spte(leaf(8, rights::all, 1, /*host_writable=*/true));
  EXPECT_TRUE(spte_writable(spte));
  EXPECT_TRUE(may_restore_write(without_write(spte, /*for_good=*/false)));
  EXPECT_FALSE(may_restore_write(without_write(spte, /*for_good=*/true)));
  EXPECT_FALSE(spte_writable(leaf_spte(leaf(8, rights::all, 1, /*host_writable=*/false))));
  EXPECT_FALSE(may_restore_write(leaf_spte(leaf(8, rights::all, 1, /*host_writable=*/false))));
}

TEST(Spte, PiecesOfAHugeLeafMapTheSame) {
  for (const unsigned level : {2u, 3u}) {
    const Hfn first = 3ull << 18;
    for (const Rights access : {Rights{0}, rights::writable, rights::executable, rights::all}) {
      const std::uint64_t huge = leaf_spte(leaf(first, access, level, /*host_writable=*/true));
      for (const unsigned i : {0u, 1u, 511u}) {
        EXPECT_EQ(split_spte(huge, level, i),
                  leaf_spte(leaf(first + i * pages_of(level - 1), access, level - 1, true)));
      }
    }
  }
}

TEST(Spte, FreezingIsNeitherPresentNorEmpty) {
  EXPECT_FALSE(spte_present(spte::removed));
  EXPECT_FALSE(is_mmio_spte(spte::removed));
  EXPECT_EQ(spte::removed & entry::present, 0u);
}

}  // namespace
}  // namespace lockstep::impl
