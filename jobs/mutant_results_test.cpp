// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/mutant_results.h"

#include <gtest/gtest.h>

#include "hw/kernels/test_tree.h"

namespace lockstep::jobs {
namespace {

TEST(MutantResults, LaterRunsReplaceEarlierOnes) {
  const hw::kernels::TestFolder folder;
  const hw::kernels::Cache cache(folder.path());
  EXPECT_TRUE(kept_results(cache, "6.1.0").empty());
  ASSERT_TRUE(keep_results(cache, "6.1.0",
                           {{{"name", "a"}, {"reached", true}, {"detected", false}},
                            {{"name", "b"}, {"reached", true}, {"detected", true}}}));
  ASSERT_TRUE(
      keep_results(cache, "6.1.0", {{{"name", "a"}, {"reached", true}, {"detected", true}}}));
  const auto kept = kept_results(cache, "6.1.0");
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_TRUE(kept.at("a").detected);
  EXPECT_TRUE(kept_results(cache, "6.12.0").empty());
}

TEST(MutantResults, ADamagedFileCountsAsNone) {
  const hw::kernels::TestFolder folder;
  folder.file("mutants/6.1.0.json", "[1, {");
  EXPECT_TRUE(kept_results(hw::kernels::Cache(folder.path()), "6.1.0").empty());
}

}  // namespace
}  // namespace lockstep::jobs
