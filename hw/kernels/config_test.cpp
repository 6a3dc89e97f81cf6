// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/config.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "hw/kernels/test_tree.h"

namespace lockstep::hw::kernels {
namespace {

using Lines = std::vector<std::string>;

TEST(Fragment, ReadsWishesAndExcuses) {
  const auto wishes = parse_fragment(
      "# comment\n\nCONFIG_KVM=y\n# CONFIG_NET is not set\n#? later trees lost it\n"
      "CONFIG_PREEMPT_NONE=y\nCONFIG_NAME=\"a=b\"\nCONFIG_NR_CPUS=64");
  ASSERT_TRUE(wishes);
  ASSERT_EQ(wishes->size(), 5U);
  EXPECT_EQ((*wishes)[1].symbol, "NET");
  EXPECT_EQ((*wishes)[1].value, "n");
  EXPECT_EQ((*wishes)[2].excuse, "later trees lost it");
  EXPECT_EQ((*wishes)[3].value, "\"a=b\"");
  EXPECT_EQ((*wishes)[3].excuse, "");
  EXPECT_EQ((*wishes)[4].value, "64");
}

TEST(Fragment, NamesAWrongLine) {
  const auto wrong = parse_fragment("CONFIG_KVM=y\nKVM=y\n");
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message.find("line 2"), std::string::npos);
  EXPECT_FALSE(parse_fragment("CONFIG_KVM=\n"));
}

TEST(Fragment, LaterWishesWin) {
  const auto merged = merge_fragments({"CONFIG_A=y\nCONFIG_B=y\n", "# CONFIG_A is not set\n"});
  ASSERT_TRUE(merged);
  EXPECT_EQ(write_fragment(*merged), "CONFIG_B=y\n# CONFIG_A is not set\n");
}

TEST(Fragment, RefusedWishesAreNamedWhereTheTreeKnowsThem) {
  const TestFolder folder;
  const auto tree = tiny_tree(folder, "tree");
  const auto wishes = parse_fragment(
      "CONFIG_KVM=y\nCONFIG_REFUSED=y\n#? known\nCONFIG_REFUSED_TOO=y\nCONFIG_UNKNOWN=y\n"
      "# CONFIG_GPU is not set\n");
  EXPECT_EQ(refused_wishes(*wishes, "CONFIG_KVM=y\n# CONFIG_REFUSED is not set\n", tree),
            Lines{"CONFIG_REFUSED: y was wanted, n is what kconfig made of it"});
  EXPECT_EQ(refused_wishes(*wishes, "CONFIG_KVM=y\nCONFIG_REFUSED=y\nCONFIG_GPU=y\n", tree),
            Lines{"CONFIG_GPU: n was wanted, y is what kconfig made of it"});
}

TEST(Fragment, TheHostedOneParses) {
  const auto text = hosted_fragment();
  ASSERT_TRUE(text) << text.error().message;
  const auto wishes = parse_fragment(*text);
  ASSERT_TRUE(wishes) << wishes.error().message;
  EXPECT_EQ(config_value(write_fragment(*wishes), "KVM_AMD"), "y");
}

RC_GTEST_PROP(FragmentText, SurvivesAnyText, (const std::string& text)) {
  const auto wishes = parse_fragment(text);
  if (!wishes) return;
  const auto again = parse_fragment(write_fragment(*wishes));
  RC_ASSERT(again.has_value());
  RC_ASSERT(again->size() == wishes->size());
}

}  // namespace
}  // namespace lockstep::hw::kernels
