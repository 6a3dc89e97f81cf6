// SPDX-License-Identifier: GPL-2.0-or-later
/// What the README shows must work: its programs parse, are legal, and print
/// back as they stand; its verbs exist.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "cli/corpus.h"
#include "cli/verbs.h"
#include "spec/program.h"

namespace lockstep::cli {
namespace {

std::string readme() {
  std::ifstream file(source_tree() / "README.md");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Readme, ProgramsPrintBackAsTheyStand) {
  const std::string text = readme();
  const std::string fence = "```lockstep\n";
  unsigned programs = 0;
  for (auto at = text.find(fence); at != std::string::npos; at = text.find(fence, at)) {
    at += fence.size();
    const std::string source = text.substr(at, text.find("```", at) - at);
    const auto program = parse(source);
    ASSERT_TRUE(program) << program.error().message("README.md", source);
    EXPECT_FALSE(validate(*program)) << validate(*program)->reason;
    EXPECT_EQ(print(*program), source);
    ++programs;
  }
  EXPECT_GE(programs, 1u);
}

TEST(Readme, VerbsExist) {
  std::istringstream words(readme());
  std::string word;
  unsigned verbs = 0;
  while (words >> word) {
    if (!word.ends_with("./lockstep") || !(words >> word)) continue;
    word.erase(std::find_if(word.begin(), word.end(), [](char c) { return c < 'a' || c > 'z'; }),
               word.end());
    EXPECT_NE(std::ranges::find(verb_names(), word), verb_names().end()) << word;
    ++verbs;
  }
  EXPECT_GE(verbs, 5u);
}

}  // namespace
}  // namespace lockstep::cli
