// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/engine_factory.h"

#include <gtest/gtest.h>

namespace lockstep::props {
namespace {

TEST(EngineFactory, KnowsItsNames) {
  for (const auto name : engine_names()) EXPECT_FALSE(unknown_engine(name)) << name;
  EXPECT_EQ(unknown_engine("kmv"),
            "unknown engine 'kmv'; valid: impl, kvm, spec; did you mean 'kvm'?");
  EXPECT_EQ(unknown_engine("quux"), "unknown engine 'quux'; valid: impl, kvm, spec");
}

TEST(EngineFactory, OpensTheEnginesThatNeedNothing) {
  for (const auto* name : {"impl", "spec"}) {
    const auto engine = make_engine(name, 1);
    ASSERT_TRUE(engine.has_value()) << engine.error().message;
    EXPECT_EQ((*engine)->name(), name);
  }
}

TEST(EngineFactory, ShrinksOnTheFastestFirst) {
  EXPECT_EQ(fastest_first({"kvm", "spec", "impl"}),
            (std::vector<std::string>{"impl", "spec", "kvm"}));
}

}  // namespace
}  // namespace lockstep::props
