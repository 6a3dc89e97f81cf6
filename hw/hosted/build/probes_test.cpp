// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/build/probes.h"

#include <gtest/gtest.h>

#include <fstream>

namespace lockstep::hw::hosted {
namespace {

TEST(Probes, DefinesWhatTheTreeHas) {
  const auto tree = std::filesystem::path(testing::TempDir()) / "probes";
  std::filesystem::create_directories(tree / "include");
  std::ofstream(tree / "include/a.h") << "struct pcpu_hot { int x; };\n";
  const auto found = probe_tree(
      "# comment\nHAS include/a.h struct pcpu_hot\nLACKS include/a.h shrinker\n"
      "GONE include/b.h anything\n",
      tree);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(*found, std::vector<std::string>{"-DHAS"});
}

TEST(Probes, NamesTheLineThatIsWrong) {
  const auto found = probe_tree("A b c\nB\n", ".");
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message.find("line 2"), std::string::npos);
}

}  // namespace
}  // namespace lockstep::hw::hosted
