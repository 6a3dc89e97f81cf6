// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/sandbox.h"

#include <gtest/gtest.h>

#include "hw/kernels/test_tree.h"

namespace lockstep::hw::kernels {
namespace {

class Sandboxed : public testing::Test {
 protected:
  void SetUp() override {
    if (!sandbox_works()) GTEST_SKIP() << "no bubblewrap, or no user namespaces";
  }
  Result<Outcome> shell(const std::string& script) {
    Process process;
    process.words = {"sh", "-c", script};
    process.readable = {folder_.path() / "source"};
    auto made = sandboxed(std::move(process), {folder_.path() / "build"});
    if (!made) return tl::unexpected(made.error());
    return run(*made);
  }
  TestFolder folder_;
};

TEST_F(Sandboxed, WritesOnlyWhereItMay) {
  const auto source = folder_.file("source/Makefile", "all:\n");
  const auto kept = folder_.file("kept", "kept\n");
  std::filesystem::create_directories(folder_.path() / "build");
  const auto outcome = shell("echo made > " + (folder_.path() / "build/made").string() +
                             "; rm -f " + source.string() + " " + kept.string() +
                             "; touch /usr/lockstep-was-here; cat " + source.string());
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->out, "all:\n") << outcome->err;
  EXPECT_EQ(folder_.text("build/made"), "made\n");
  EXPECT_EQ(folder_.text("kept"), "kept\n");
  EXPECT_FALSE(std::filesystem::exists("/usr/lockstep-was-here"));
}

TEST_F(Sandboxed, SeesNoNetworkAndNoHome) {
  std::filesystem::create_directories(folder_.path() / "source");
  std::filesystem::create_directories(folder_.path() / "build");
  const auto kept = folder_.file("secret", "secret\n");
  const auto outcome =
      shell("cat " + kept.string() + "; grep -c : /proc/net/dev; id -u; ls -A $HOME | wc -l");
  ASSERT_TRUE(outcome) << outcome.error().message;
  // The loopback device alone.
  EXPECT_EQ(outcome->out.find("secret"), std::string::npos);
  EXPECT_TRUE(outcome->out.starts_with("1\n65534\n")) << outcome->out;
}

}  // namespace
}  // namespace lockstep::hw::kernels
