// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include <algorithm>

#include "bench/table.h"

namespace lockstep::bench {
namespace {

Row row(double goal, std::vector<double> ratios, bool at_most = false) {
  Row made;
  made.name = "made";
  made.goal = goal;
  made.at_most = at_most;
  made.ratios = std::move(ratios);
  if (made.ratios.empty()) made.absent = "no such machine";
  return made;
}

TEST(BenchTable, TheMedianDecides) {
  const Ratio ratio = summarize({3, 1, 2});
  EXPECT_DOUBLE_EQ(ratio.min, 1);
  EXPECT_DOUBLE_EQ(ratio.median, 2);
  EXPECT_DOUBLE_EQ(ratio.max, 3);
  EXPECT_TRUE(holds(row(2, {1, 2, 9})));
  EXPECT_FALSE(holds(row(2, {1, 1.9, 9})));
  EXPECT_TRUE(holds(row(1.5, {1, 1.5, 9}, /*at_most=*/true)));
  EXPECT_FALSE(holds(row(1.5, {1, 1.6, 9}, /*at_most=*/true)));
  EXPECT_FALSE(holds(row(1, {})));
}

TEST(BenchTable, AMissFailsAndAnAbsentRowHasNoVerdict) {
  EXPECT_EQ(verdict_of({row(1, {2}), row(1, {3})}), props::Verdict::pass);
  EXPECT_EQ(verdict_of({row(1, {2}), row(1, {})}), props::Verdict::no_verdict);
  EXPECT_EQ(verdict_of({row(1, {0.5}), row(1, {})}), props::Verdict::fail);
  EXPECT_EQ(verdict_of({}), props::Verdict::no_verdict);
  EXPECT_NE(text({row(1, {})}).find("no such machine"), std::string::npos);
  EXPECT_NE(text({row(1, {0.5})}).find("NO"), std::string::npos);
  const auto json = json_rows({row(1, {0.5}), row(1, {})});
  EXPECT_EQ(json[0]["holds"], false);
  EXPECT_EQ(json[0]["ratio"]["median"], 0.5);
  EXPECT_TRUE(json[1]["holds"].is_null());
}

TEST(BenchTable, RepetitionsAreKeptAndAnErrorIsNoRatio) {
  Options options;
  options.repetitions = 3;
  double next = 0;
  const Row kept =
      repeat(row(1, {}), options, [&]() -> tl::expected<double, std::string> { return next += 1; });
  // The row was made absent above.
  EXPECT_TRUE(kept.ratios.empty());
  Row fresh = row(1, {});
  fresh.absent.clear();
  next = 0;
  const Row counted =
      repeat(fresh, options, [&]() -> tl::expected<double, std::string> { return next += 1; });
  EXPECT_EQ(counted.ratios, (std::vector<double>{1, 2, 3}));
  const Row broken = repeat(fresh, options, []() -> tl::expected<double, std::string> {
    return tl::unexpected(std::string("broken"));
  });
  EXPECT_TRUE(broken.ratios.empty());
  EXPECT_EQ(broken.absent, "broken");
}

/// Rows that need no kernel measure something, whatever it is.
TEST(BenchRows, RunWithoutAKernel) {
  Options options;
  options.repetitions = 1;
  options.scale = 50;
  for (const Bench& bench : benches()) {
    if (bench.name == "impl-hosted" || bench.name == "memory" || bench.name == "kvm-ioctl" ||
        bench.name == "hosted-schedules") {
      continue;
    }
    for (const Row& measured : bench.run(options)) {
      if (measured.absent == "this process may use one processor only") continue;
      // A kernel may take longer to open than such a measurement lasts.
      if (measured.name.find("hosted:") != std::string::npos) continue;
      EXPECT_EQ(measured.absent, "") << measured.name;
      ASSERT_EQ(measured.ratios.size(), 1u) << measured.name;
      EXPECT_GT(measured.ratios[0], 0) << measured.name;
    }
  }
}

}  // namespace
}  // namespace lockstep::bench
