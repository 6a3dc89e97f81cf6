// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/build/prepare.h"

#include <gtest/gtest.h>

#include <fstream>

namespace lockstep::hw::hosted {
namespace {

TEST(PrepareHosted, AnImageNeedsNoBuild) {
  const auto file = std::filesystem::path(testing::TempDir()) / "some-image";
  std::ofstream(file) << "anything";
  const auto found = prepare_hosted("hosted:" + file.string(), {});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(*found, file);
}

TEST(PrepareHosted, RefusesWhatNamesNoKernel) {
  for (const char* name : {"hosted", "hosted:", "hosted-fast:6.1", "kvm"}) {
    const auto found = prepare_hosted(name, {});
    ASSERT_FALSE(found) << name;
    EXPECT_EQ(found.error().cause, kernels::KernelError::Cause::input) << name;
  }
}

#ifndef __SANITIZE_ADDRESS__
TEST(PrepareHosted, SanitizedKernelsNeedASanitizedProcess) {
  const auto found = prepare_hosted("hosted-asan:6.1", {});
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message.find("AddressSanitizer"), std::string::npos);
}
#endif

}  // namespace
}  // namespace lockstep::hw::hosted
