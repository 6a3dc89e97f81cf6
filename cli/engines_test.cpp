// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/engines.h"

#include <gtest/gtest.h>

namespace lockstep::cli {
namespace {

using Names = std::vector<std::string>;

/// Every engine is usable but kvm.
Result<std::unique_ptr<Engine>> without_kvm(std::string_view name, std::uint64_t) {
  if (name == "kvm") return tl::unexpected(EngineError{"no /dev/kvm"});
  return std::unique_ptr<Engine>();
}

Result<std::unique_ptr<Engine>> all(std::string_view, std::uint64_t) {
  return std::unique_ptr<Engine>();
}

TEST(Engines, DefaultTakesAllThatRunHere) {
  const auto chosen = choose_engines({}, all);
  ASSERT_TRUE(chosen);
  EXPECT_EQ(chosen->names, (Names{"spec", "impl", "kvm"}));
  EXPECT_EQ(not_run_lines(*chosen), "");
}

TEST(Engines, DefaultNamesWhatDoesNotRunAndWhy) {
  const auto chosen = choose_engines({}, without_kvm);
  ASSERT_TRUE(chosen);
  EXPECT_EQ(chosen->names, (Names{"spec", "impl"}));
  EXPECT_EQ(not_run_lines(*chosen), "kvm: not run: no /dev/kvm\n");
}

TEST(Engines, WhatWasAskedForStaysEvenIfItCannotRun) {
  const auto chosen = choose_engines({"spec", "kvm"}, without_kvm);
  ASSERT_TRUE(chosen);
  EXPECT_TRUE(chosen->asked);
  EXPECT_EQ(chosen->names, (Names{"spec", "kvm"}));
}

TEST(Engines, UnknownNameSuggestsTheNearest) {
  const auto chosen = choose_engines({"spec", "kmv"}, all);
  ASSERT_FALSE(chosen);
  EXPECT_NE(chosen.error().find("did you mean 'kvm'"), std::string::npos) << chosen.error();
}

TEST(Engines, AKernelThatBootsIsOneEngineAnMmuMode) {
  // Of a tree that is not there: preparing it says so, as an input error.
  const auto chosen = choose_engines({"qemu:./no-such-tree"}, all);
  ASSERT_FALSE(chosen);
  EXPECT_FALSE(choose_engines({"qemu:6.1", "qemu-shadow:6.1"}, all));
}

TEST(Engines, RefusesAnEngineTwice) { EXPECT_FALSE(choose_engines({"impl", "impl"}, all)); }

}  // namespace
}  // namespace lockstep::cli
