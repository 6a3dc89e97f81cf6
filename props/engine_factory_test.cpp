// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/engine_factory.h"

#include <gtest/gtest.h>

#include "props/boot_allowance.h"

namespace lockstep::props {
namespace {

TEST(EngineFactory, KnowsItsNames) {
  for (const auto name : engine_names()) EXPECT_FALSE(unknown_engine(name)) << name;
  EXPECT_EQ(unknown_engine("kmv"),
            "unknown engine 'kmv'; valid: hosted:VERSION, qemu:VERSION, impl, kvm, spec; did you "
            "mean 'kvm'?");
  EXPECT_EQ(unknown_engine("quux"),
            "unknown engine 'quux'; valid: hosted:VERSION, qemu:VERSION, impl, kvm, spec");
}

TEST(EngineFactory, KnowsHostedEnginesByKernel) {
  EXPECT_FALSE(unknown_engine("hosted:6.1"));
  EXPECT_FALSE(unknown_engine("hosted-asan:./linux"));
  EXPECT_NE(unknown_engine("hosted")->find("hosted:6.1"), std::string::npos);
  const auto engine = make_engine("hosted:/no/such/image", 1);
  ASSERT_FALSE(engine);
  EXPECT_NE(engine.error().message.find("/no/such/image"), std::string::npos);
}

TEST(EngineFactory, OpensTheEnginesThatNeedNothing) {
  for (const auto* name : {"impl", "spec"}) {
    const auto engine = make_engine(name, 1);
    ASSERT_TRUE(engine.has_value()) << engine.error().message;
    EXPECT_EQ((*engine)->name(), name);
  }
}

TEST(EngineFactory, ShrinksOnTheFastestFirst) {
  EXPECT_EQ(fastest_first({"kvm", "hosted:6.1", "spec", "impl"}),
            (std::vector<std::string>{"impl", "spec", "hosted:6.1", "kvm"}));
}

TEST(EngineFactory, OnlyKernelsThatBootNeedMoreTime) {
  EXPECT_EQ(boot_allowance(std::vector<std::string>{"spec", "impl", "kvm", "hosted:6.1"}).count(),
            0);
  const auto one = boot_allowance(std::vector<std::string>{"spec", "qemu-shadow:6.1"});
  EXPECT_GT(one.count(), 0);
  EXPECT_EQ(boot_allowance(std::vector<std::string>{"qemu-direct:6.1", "qemu-shadow:6.1"}),
            2 * one);
}

TEST(EngineFactory, BadNamesOfKernelsThatBootSayWhatIsRight) {
  const auto bad = unknown_engine("qemu-npt:6.1");
  ASSERT_TRUE(bad);
  EXPECT_NE(bad->find("qemu-shadow:6.1"), std::string::npos) << *bad;
  EXPECT_FALSE(unknown_engine("qemu:6.1"));
}

}  // namespace
}  // namespace lockstep::props
