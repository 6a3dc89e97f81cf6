// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/build/prepare.h"

#include <gtest/gtest.h>

namespace lockstep::hw::hosted {
namespace {

TEST(HostedName, TakesVersionsAndPaths) {
  const auto version = parse_hosted_name("hosted:6.12");
  ASSERT_TRUE(version && *version);
  EXPECT_EQ((*version)->tree, "6.12");
  const auto path = parse_hosted_name("hosted-release:/src/a:b");
  ASSERT_TRUE(path && *path);
  EXPECT_EQ((*path)->tree, "/src/a:b");
  EXPECT_EQ((*path)->flavour, "release");
}

TEST(HostedName, LeavesOtherEnginesAlone) {
  for (const char* name : {"kvm", "spec", "hostedx:1", "impl"}) {
    const auto parsed = parse_hosted_name(name);
    ASSERT_TRUE(parsed) << name;
    EXPECT_FALSE(*parsed) << name;
  }
}

TEST(HostedName, RefusesWhatNamesNoKernel) {
  for (const char* name : {"hosted", "hosted:", "hosted-asan", "hosted-fast:6.1"}) {
    const auto parsed = parse_hosted_name(name);
    ASSERT_FALSE(parsed) << name;
    EXPECT_EQ(parsed.error().cause, kernels::KernelError::Cause::input);
  }
}

}  // namespace
}  // namespace lockstep::hw::hosted
