// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/page_walk_matrix.h"

#include <gtest/gtest.h>

#include <bit>
#include <set>

#include "props/page_walk_matrix_blocks.h"
#include "props/page_walk_matrix_program.h"
#include "props/page_walk_matrix_walk.h"

namespace lockstep::props {
namespace {

/// Primes, so that no period of the enumeration hides a value. The coarse one
/// is for tests that compute each case several times over.
constexpr std::uint64_t fine = 101;
constexpr std::uint64_t coarse = 7919;

TEST(PageWalkMatrix, SpecAndImplementationAgree) {
  const auto result = run_page_walk_matrix({.every = fine});
  EXPECT_EQ(result.mismatched, 0u) << text_report(result);
  EXPECT_FALSE(result.stopped);
  EXPECT_GE(result.legal, 19'200'000u);
  EXPECT_EQ(result.compared, (result.legal + fine - 1) / fine);
  ASSERT_EQ(result.dimensions.size(), matrix_blocks().size());
  for (const auto& dimension : result.dimensions) {
    EXPECT_GT(dimension.compared, 0u) << dimension.name;
  }
}

TEST(PageWalkMatrix, MainBlockHas31Flags) {
  EXPECT_EQ(std::popcount(varied(matrix_blocks().front())), 31);
}

TEST(PageWalkMatrix, ShardsCoverEveryCaseOnce) {
  std::uint64_t compared = 0;
  std::set<std::string> seen;
  const auto see = [&seen](const MatrixCase& c, WalkAnswer&) {
    EXPECT_TRUE(seen.insert(print(c)).second) << print(c);
  };
  for (const std::uint64_t first : {0u, 1u}) {
    const auto result = run_page_walk_matrix({.every = 40'009, .first = first, .lie = see});
    compared += result.compared;
  }
  EXPECT_EQ(seen.size(), compared);
}

TEST(PageWalkMatrix, CaseAloneGivesTheAnswerOfTheRun) {
  std::uint64_t checked = 0;
  const auto check = [&checked](const MatrixCase& c, WalkAnswer& actual) {
    EXPECT_EQ(answer(c).impl, actual) << print(c);
    ++checked;
  };
  const auto result = run_page_walk_matrix({.every = coarse, .lie = check});
  EXPECT_EQ(checked, result.compared);
}

TEST(PageWalkMatrix, BothOutcomesAndEveryFaultBitAppear) {
  std::uint32_t codes = 0;
  std::set<std::uint64_t> sizes;
  bool refused_load = false;
  run_page_walk_matrix({.every = 211, .lie = [&](const MatrixCase&, WalkAnswer& actual) {
                          codes |= actual.code;
                          if (actual.kind == WalkAnswer::Kind::translated) {
                            sizes.insert(actual.page_size);
                          }
                          refused_load |= actual.kind == WalkAnswer::Kind::load_gp;
                        }});
  EXPECT_EQ(codes, 0x3fu);
  EXPECT_EQ(sizes, (std::set<std::uint64_t>{1u << 12, 1u << 21, 1u << 22, 1u << 30}));
  EXPECT_TRUE(refused_load);
}

/// An implementation that forgot one register bit must fail in exactly the
/// cases in which the manual lets that bit decide.
void expect_exactly(MatrixFlag forgotten, MatrixFlags always, std::uint64_t every = coarse) {
  std::uint64_t decided = 0;
  MatrixOptions options;
  options.every = every;
  options.keep = 100'000;
  options.lie = [&](const MatrixCase& c, WalkAnswer& actual) {
    MatrixCase without = c;
    without.flags &= ~+forgotten;
    if (print(answer(without).spec) != print(answer(c).spec)) ++decided;
    actual = answer(without).impl;
  };
  const auto result = run_page_walk_matrix(options);
  EXPECT_GT(decided, 0u);
  EXPECT_EQ(result.mismatched, decided);
  for (const auto& mismatch : result.mismatches) {
    EXPECT_EQ(mismatch.which.flags & always, always) << mismatch.line;
    EXPECT_NE(mismatch.line.find(name(forgotten)), std::string::npos) << mismatch.line;
  }
}

TEST(PageWalkMatrix, FindsForgottenSmep) {
  expect_exactly(MatrixFlag::cr4_smep, MatrixFlag::cr4_smep | MatrixFlag::fetch);
}
TEST(PageWalkMatrix, FindsForgottenSmap) {
  // SMAP takes part in small blocks only.
  expect_exactly(MatrixFlag::cr4_smap, +MatrixFlag::cr4_smap, /*every=*/1009);
}
TEST(PageWalkMatrix, FindsForgottenWriteProtect) {
  expect_exactly(MatrixFlag::cr0_wp, MatrixFlag::cr0_wp | MatrixFlag::write);
}
TEST(PageWalkMatrix, FindsForgottenProtectionKeys) {
  expect_exactly(MatrixFlag::cr4_pke, +MatrixFlag::cr4_pke);
}
TEST(PageWalkMatrix, FindsForgottenPageSizeExtension) {
  expect_exactly(MatrixFlag::cr4_pse, +MatrixFlag::cr4_pse);
}

TEST(PageWalkMatrix, FindsOneBitOfWidth) {
  const auto widen = [](const MatrixCase& c, WalkAnswer& actual) {
    MatrixCase wider = c;
    if (c.maxphyaddr == 45) wider.maxphyaddr = 46;
    actual = answer(wider).impl;
  };
  const auto result = run_page_walk_matrix(
      {.every = 211, .keep = 100'000, .lie = [&](const MatrixCase& c, WalkAnswer& actual) {
         if (c.stray_level != 0) widen(c, actual);
       }});
  EXPECT_GT(result.mismatched, 0u);
  for (const auto& mismatch : result.mismatches) {
    EXPECT_EQ(mismatch.which.stray_bit, 45u) << mismatch.line;
  }
}

TEST(PageWalkMatrix, FailureLineIsTheCase) {
  const auto lie = [](const MatrixCase& c, WalkAnswer& actual) {
    if (c.mode != PagingMode::pae || actual.kind != WalkAnswer::Kind::page_fault) return;
    if (actual.code == (fault::present | fault::user | fault::fetch)) actual.code = 0;
  };
  const auto result = run_page_walk_matrix({.every = coarse, .keep = 1, .lie = lie});
  ASSERT_EQ(result.mismatches.size(), 1u);
  const auto& mismatch = result.mismatches.front();
  EXPECT_EQ(mismatch.line,
            "test " + print(mismatch.which) + ": FAIL: spec #PF present user fetch, impl #PF");
  EXPECT_TRUE(mismatch.line.starts_with("test pae maxphyaddr=40 p")) << mismatch.line;
  EXPECT_NE(mismatch.dump.find("\n  pd   at 0x"), std::string::npos) << mismatch.dump;
  EXPECT_NE(mismatch.dump.find("\n  impl #PF"), std::string::npos) << mismatch.dump;
  EXPECT_NE(text_report(result).find(mismatch.line), std::string::npos);
}

TEST(PageWalkMatrix, CaseReadsAloud) {
  const MatrixCase c{.mode = PagingMode::level4,
                     .maxphyaddr = 46,
                     .flags = MatrixFlag::pte_p | MatrixFlag::pte_nx | MatrixFlag::pde_p |
                              MatrixFlag::cr0_wp | MatrixFlag::user | MatrixFlag::fetch |
                              MatrixFlag::pkey | MatrixFlag::pkru_wd,
                     .pkru_key = 7};
  EXPECT_EQ(print(c),
            "4-level maxphyaddr=46 pte.nx pte.p pde.p cpu.cr0.wp pkey=5 pkru.wd7 user fetch");
}

TEST(PageWalkMatrix, StopsWhenAsked) {
  const std::atomic<bool> stop{true};
  const auto result = run_page_walk_matrix({.stop = &stop});
  EXPECT_TRUE(result.stopped);
  EXPECT_LT(result.legal, 1'000'000u);
}

TEST(PageWalkMatrix, EveryCaseIsALegalProgramThatReadsBack) {
  std::uint64_t programs = 0;
  run_page_walk_matrix({.every = 40'009, .lie = [&](const MatrixCase& c, WalkAnswer&) {
                          const Program program = matrix_program(c);
                          const auto illegal = validate(program);
                          ASSERT_FALSE(illegal) << illegal->reason << "\n" << print(program);
                          const auto again = parse(print(program));
                          ASSERT_TRUE(again) << print(program);
                          EXPECT_EQ(*again, program) << print(program);
                          ++programs;
                        }});
  EXPECT_GT(programs, 1000u);
}

}  // namespace
}  // namespace lockstep::props
