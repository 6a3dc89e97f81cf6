// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/shrink_fold.h"

#include <gtest/gtest.h>

namespace lockstep::props {
namespace {

Program program(const std::string& steps, const std::string& mode = "4-level") {
  const auto parsed = parse("lockstep 1\ntitle  t\nconfig paging=" + mode +
                            "\nslot 0 add gpa=0x0 size=0x400000\n" + steps);
  EXPECT_TRUE(parsed);
  return *parsed;
}

std::string steps_of(const Program& p) {
  std::string text;
  for (const Step& step : p.steps) text += print(step.command, p.configuration.paging) + "\n";
  return text;
}

TEST(Fold, APathBecomesAMapAndTablesFollow) {
  const auto folded =
      folded_programs(program("entry pml4 0x1000[1] = 0x5000 r-xu\n"
                              "entry pdpt 0x5000[0] = 0x3000 rwxu\n"
                              "entry pd 0x3000[2] = 0x4000 rwxu\n"
                              "entry pt 0x4000[3] = 0x200000 r-xu d\n"
                              "v0 entry pt 0x4000[3] = 0x0\n"
                              "peek 0x3010\n"));
  ASSERT_EQ(folded.size(), 1u);
  EXPECT_EQ(steps_of(folded.front()),
            "slot 0 add gpa=0x0 size=0x400000\n"
            "map 0x8000403000 gpa=0x200000 r-xu d\n"
            "v0 entry pt 0x12000[3] = 0x0\n"
            "peek 0x11010\n");
  EXPECT_FALSE(validate(folded.front()));
}

TEST(Fold, ASecondPathSharesWhatTheFirstMapMade) {
  const auto folded =
      folded_programs(program("map 0x0 gpa=0x200000 rwxu\n"
                              "entry pd 0x11000[1] = 0x7000 rwxu\n"
                              "entry pt 0x7000[0] = 0x201000 rwxu\n"));
  ASSERT_EQ(folded.size(), 1u);
  EXPECT_EQ(steps_of(folded.front()),
            "slot 0 add gpa=0x0 size=0x400000\n"
            "map 0x0 gpa=0x200000 rwxu\n"
            "map 0x200000 gpa=0x201000 rwxu\n");
}

TEST(Fold, LargePagesAndTheUpperHalf) {
  const auto folded =
      folded_programs(program("entry pml4 0x1000[256] = 0x10000 rwxu\n"
                              "entry pdpt 0x10000[0] = 0x11000 rwxu\n"
                              "entry pd 0x11000[1] = 0x200000 rwxu ps g\n"));
  ASSERT_EQ(folded.size(), 1u);
  EXPECT_EQ(steps_of(folded.front()),
            "slot 0 add gpa=0x0 size=0x400000\n"
            "map 0xffff800000200000 gpa=0x200000 rwxu size=2m g\n");
}

TEST(Fold, OneEntryOrAHoleIsNoPath) {
  EXPECT_TRUE(folded_programs(program("entry pml4 0x1000[0] = 0x2000 rwxu\n")).empty());
  EXPECT_TRUE(folded_programs(program("entry pt 0x4000[0] = 0x200000 rwxu\n")).empty());
  EXPECT_TRUE(folded_programs(program("v0 cpl3 read 0x0\n", "none")).empty());
}

TEST(Fold, ATableOfTwoLevelsHasNoOrderOfAllocation) {
  EXPECT_TRUE(folded_programs(program("entry pml4 0x1000[0] = 0x2000 rwxu\n"
                                      "entry pdpt 0x2000[0] = 0x2000 rwxu\n"
                                      "entry pt 0x2000[1] = 0x200000 rwxu\n"))
                  .empty());
}

}  // namespace
}  // namespace lockstep::props
