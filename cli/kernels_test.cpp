// SPDX-License-Identifier: GPL-2.0-or-later
/// `lockstep kernels` on a cache of its own, with scripts in place of apt.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/verbs.h"

namespace lockstep::cli {
namespace {

namespace fs = std::filesystem;

class KernelsVerb : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_ / "bin");
    fs::create_directories(folder_ / "kernels/build/linux-6.1-plain-0");
    program("apt-get", "echo 'E: no network' >&2; exit 100");
    setenv("LOCKSTEP_CACHE", folder_.c_str(), 1);
    setenv("PATH", ((folder_ / "bin").string() + ":" + path_).c_str(), 1);
  }
  void TearDown() override {
    unsetenv("LOCKSTEP_CACHE");
    setenv("PATH", path_.c_str(), 1);
    fs::remove_all(folder_);
  }
  void program(const std::string& name, const std::string& script) {
    std::ofstream(folder_ / "bin" / name) << "#!/bin/sh\n" << script << "\n";
    fs::permissions(folder_ / "bin" / name, fs::perms::owner_all);
  }
  int run(std::vector<std::string> words) {
    words.insert(words.begin(), {"lockstep", "kernels"});
    std::vector<const char*> argv;
    for (const auto& word : words) argv.push_back(word.c_str());
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const int exit = run_command(static_cast<int>(argv.size()), argv.data());
    out_ = testing::internal::GetCapturedStdout();
    err_ = testing::internal::GetCapturedStderr();
    return exit;
  }
  nlohmann::json object() { return nlohmann::json::parse(out_, nullptr, false); }

  fs::path folder_ =
      fs::temp_directory_path() / ("lockstep-kernels-verb-" + std::to_string(getpid()));
  std::string path_ = std::getenv("PATH");
  std::string out_, err_;
};

TEST_F(KernelsVerb, ListsTheCacheAlsoWithoutANetwork) {
  EXPECT_EQ(run({}), 0);
  EXPECT_NE(out_.find("  6.1 "), std::string::npos) << out_;
  EXPECT_NE(out_.find("nobody knows: "), std::string::npos) << out_;
  EXPECT_EQ(run({"list", "--json", "-"}), 0);
  EXPECT_EQ(object()["kernels"][0]["version"], "6.1");
  EXPECT_NE(object()["unavailable"].get<std::string>().find("no network"), std::string::npos);
  EXPECT_TRUE(object()["findings"].empty());
}

TEST_F(KernelsVerb, AFetchWithoutANetworkHasNoVerdict) {
  EXPECT_EQ(run({"fetch", "9.9", "--json", "-"}), 3);
  EXPECT_EQ(object()["verdict"], "no-verdict");
  EXPECT_NE(err_.find("no network"), std::string::npos) << err_;
}

TEST_F(KernelsVerb, WrongWordsAreInputErrors) {
  EXPECT_EQ(run({"fecth", "6.1"}), 2);
  EXPECT_NE(err_.find("did you mean 'fetch'?"), std::string::npos) << err_;
  EXPECT_EQ(run({"fetch"}), 2);
  EXPECT_EQ(run({"list", "6.1"}), 2);
  EXPECT_EQ(run({"fetch", "../6.1"}), 2);
  EXPECT_EQ(run({"remove", "5.4", "--json", "-"}), 2);
  EXPECT_EQ(object()["verdict"], "input-error");
}

TEST_F(KernelsVerb, RemovesWhatItNames) {
  EXPECT_EQ(run({"remove", "6.1", "--json", "-"}), 0);
  EXPECT_EQ(object()["removed"][0]["version"], "6.1");
  EXPECT_FALSE(fs::exists(folder_ / "kernels/build/linux-6.1-plain-0"));
}

}  // namespace
}  // namespace lockstep::cli
