// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/open.h"

#include <gtest/gtest.h>

#include "hw/hosted/test/toy.h"

namespace lockstep::hw {
namespace {

TEST(HostedName, ReadsVersionsPathsAndFlavours) {
  EXPECT_EQ(parse_hosted_name("hosted:6.1"), (HostedName{"release", "6.1", false}));
  EXPECT_EQ(parse_hosted_name("hosted-asan:6.12.3"), (HostedName{"asan", "6.12.3", false}));
  EXPECT_EQ(parse_hosted_name("hosted-lockdep:./linux"), (HostedName{"lockdep", "./linux", true}));
  EXPECT_EQ(parse_hosted_name("hosted:/a/b:c"), (HostedName{"release", "/a/b:c", true}));
}

TEST(HostedName, FlavoursThatAreScheduled) {
  EXPECT_EQ(parse_hosted_name("hosted-asan+schedule:6.1"),
            (HostedName{"asan+schedule", "6.1", false}));
  EXPECT_EQ(parse_hosted_name("hosted-tsan:./t"), (HostedName{"tsan", "./t", true}));
}

TEST(HostedName, RefusesOthers) {
  for (const auto* name : {"hosted", "hosted:", "hosted-:6.1", "hosted-fast:6.1", "hostedasan:6.1",
                           "hosted:six", "hosted:6", "hosted:.1", "hosted:6..1", "kvm"}) {
    EXPECT_FALSE(parse_hosted_name(name)) << name;
    EXPECT_TRUE(bad_hosted_name(name)) << name;
  }
  EXPECT_NE(bad_hosted_name("hosted")->find("hosted:6.1"), std::string::npos);
}

TEST(HostedEngine, SaysWhichImageIsMissing) {
  const auto engine = open_hosted_engine("/no/such/image", "hosted:6.1");
  ASSERT_FALSE(engine);
  EXPECT_NE(engine.error().message.find("/no/such/image"), std::string::npos);
}

/// Side by side nobody controls a schedule, and a pass would say nothing of it.
TEST(HostedEngine, RefusesImagesThatWantASchedule) {
  const hosted::TemporaryFolder folder;
  hosted::build_toy(folder / "toy", 0x2000'0000);
  const auto engine = open_hosted_engine(folder / "toy", "hosted-toy:6.1");
  ASSERT_FALSE(engine);
  EXPECT_NE(engine.error().message.find("`--property schedules` and `parallel` alone"),
            std::string::npos)
      << engine.error().message;
}

}  // namespace
}  // namespace lockstep::hw
