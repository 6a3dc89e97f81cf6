// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/base.h"

#include <gtest/gtest.h>

#include "hw/kernels/test_tree.h"

namespace lockstep::jobs::review {
namespace {

namespace kernels = hw::kernels;

/// Three commits: the base, a prerequisite, and what is checked out.
class BaseTest : public ::testing::Test {
 protected:
  void SetUp() override {
    kernels::tiny_tree(folder_, "tree");
    git({"init", "-q"});
    base_ = commit("base");
    folder_.file("tree/one.c", "int one;\n");
    commit("prerequisite");
    const auto mail = git({"show", "--format=commit %H", "-p"});
    kernels::Process process;
    process.words = {"git", "patch-id", "--stable"};
    process.input = mail;
    prerequisite_ = kernels::run_or_fail(process)->out.substr(0, 40);
    tree_ = *kernels::open_tree(path());
  }
  std::string git(std::vector<std::string> words) const {
    kernels::Process process;
    process.words = {"git", "-C", path().string(), "-c", "user.name=a", "-c", "user.email=a@b"};
    process.words.insert(process.words.end(), words.begin(), words.end());
    const auto outcome = kernels::run_or_fail(process);
    EXPECT_TRUE(outcome) << (outcome ? "" : outcome.error().message);
    return outcome ? outcome->out : "";
  }
  std::string commit(const char* message) const {
    git({"add", "-A"});
    git({"commit", "-q", "-m", message});
    return git({"rev-parse", "HEAD"}).substr(0, 40);
  }
  std::filesystem::path path() const { return folder_.path() / "tree"; }
  Base of(const std::string& commit, std::vector<std::string> prerequisites = {}) const {
    Submission submission;
    submission.base_commit = commit;
    submission.prerequisites = std::move(prerequisites);
    auto base = base_of(cache_, tree_, submission, {});
    EXPECT_TRUE(base) << base.error().message;
    return *std::move(base);
  }

  kernels::TestFolder folder_;
  kernels::Cache cache_{folder_.path() / "cache"};
  kernels::Tree tree_;
  std::string base_;
  std::string prerequisite_;
};

TEST_F(BaseTest, WithoutABaseCommitTheTreeIsTheUsers) {
  EXPECT_EQ(of("").tree.path, tree_.path);
  EXPECT_TRUE(of("").notes.empty());
}

TEST_F(BaseTest, TheTreeOfTheBaseCommitIsTaken) {
  const auto base = of(base_);
  EXPECT_NE(base.tree.path, tree_.path);
  EXPECT_FALSE(std::filesystem::exists(base.tree.path / "one.c"));
  ASSERT_EQ(base.notes.size(), 1U);
  EXPECT_NE(base.notes[0].find("though"), std::string::npos) << base.notes[0];
}

TEST_F(BaseTest, PrerequisitesAmongTheCommitsAreHonoured) {
  EXPECT_EQ(of(base_, {prerequisite_}).tree.path, tree_.path);
  const std::string other(40, 'a');
  const auto lacks = of(base_, {prerequisite_, other});
  EXPECT_NE(lacks.tree.path, tree_.path);
  EXPECT_NE(lacks.notes[0].find(other), std::string::npos) << lacks.notes[0];
  EXPECT_EQ(lacks.notes[0].find(prerequisite_), std::string::npos) << lacks.notes[0];
}

TEST_F(BaseTest, WhatTheCheckoutDoesNotHaveIsSaid) {
  const auto base = of(std::string(40, 'b'));
  EXPECT_EQ(base.tree.path, tree_.path);
  EXPECT_NE(base.notes.at(0).find("not in the checkout"), std::string::npos);
}

}  // namespace
}  // namespace lockstep::jobs::review
