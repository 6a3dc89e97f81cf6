// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/checkout.h"

#include <gtest/gtest.h>

#include "hw/kernels/test_tree.h"

namespace lockstep::hw::kernels {
namespace {

namespace fs = std::filesystem;

class CheckoutTest : public ::testing::Test {
 protected:
  void SetUp() override {
    tiny_tree(folder_, "tree");
    git({"init", "-q"});
    first_ = commit("first");
    folder_.file("tree/arch/x86/kvm/mmu/mmu.c", "int changed;\n");
    second_ = commit("second");
  }
  std::string git(std::vector<std::string> words) const {
    Process process;
    process.words = {"git", "-C", tree().string(), "-c", "user.name=a", "-c", "user.email=a@b"};
    process.words.insert(process.words.end(), words.begin(), words.end());
    const auto outcome = run_or_fail(process);
    EXPECT_TRUE(outcome) << (outcome ? "" : outcome.error().message);
    return outcome ? outcome->out : "";
  }
  std::string commit(const char* message) const {
    git({"add", "-A"});
    git({"commit", "-q", "-m", message});
    auto hash = git({"rev-parse", "HEAD"});
    hash.pop_back();
    return hash;
  }
  fs::path tree() const { return folder_.path() / "tree"; }

  TestFolder folder_;
  Cache cache_{folder_.path() / "cache"};
  std::string first_;
  std::string second_;
};

TEST_F(CheckoutTest, KnowsItsCommits) {
  const auto checkout = Checkout::at(tree());
  ASSERT_TRUE(checkout);
  EXPECT_EQ(checkout->commit("HEAD"), second_);
  EXPECT_EQ(checkout->commit(first_.substr(0, 12)), first_);
  EXPECT_FALSE(checkout->commit("0123456789abcdef"));
  EXPECT_FALSE(checkout->commit("--all"));
  EXPECT_FALSE(checkout->commit(""));
  EXPECT_FALSE(Checkout::at(folder_.path()));
}

TEST_F(CheckoutTest, GivesTheTreeOfACommitAndLeavesItsOwn) {
  const auto checkout = Checkout::at(tree());
  const auto old = checkout->tree_of(cache_, first_, {});
  ASSERT_TRUE(old) << old.error().message;
  EXPECT_NE(read_file(old->path / "arch/x86/kvm/mmu/mmu.c").value(), "int changed;\n");
  EXPECT_EQ(read_file(tree() / "arch/x86/kvm/mmu/mmu.c").value(), "int changed;\n");
  EXPECT_EQ(git({"status", "--short"}), "");
  EXPECT_EQ(git({"rev-parse", "HEAD"}), second_ + "\n");
  // Exported once.
  const auto again = checkout->tree_of(cache_, first_, [](std::string_view line) {
    EXPECT_EQ(line.find("taking the tree"), std::string_view::npos);
  });
  EXPECT_TRUE(again);
}

TEST_F(CheckoutTest, NamesPatchesAsFormatPatchDoes) {
  const auto checkout = Checkout::at(tree());
  const auto ids = checkout->patch_ids(first_, second_, 10);
  ASSERT_TRUE(ids) << ids.error().message;
  ASSERT_EQ(ids->size(), 1U);
  folder_.file("tree/more.c", "int more;\n");
  commit("third");
  const auto mail = git({"format-patch", "--stdout", "-1", "--base=" + first_});
  EXPECT_NE(mail.find("prerequisite-patch-id: " + ids->front()), std::string::npos) << mail;
}

}  // namespace
}  // namespace lockstep::hw::kernels
