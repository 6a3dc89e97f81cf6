// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/build/line_coverage.h"

#include <gtest/gtest.h>

namespace lockstep::hw::hosted {
namespace {

constexpr std::string_view dump =
    "Contents of the .debug_line section:\n\n"
    "CU: /t/arch/x86/kvm/../../../virt/kvm/kvm_main.c:\n"
    "File name      Line number    Starting address    View    Stmt\n"
    "kvm_main.c             10          0x1000               x\n"
    "kvm_main.c             11          0x1008       1       x\n"
    "kvm_main.c             99          0x1009\n"
    "\n/t/include/linux/mm.h:\n"
    "mm.h                    7          0x1010               x\n"
    "mm.h                    -          0x1020\n"
    "\n"
    "kvm_main.c             20          0x1020               x\n"
    "kvm_main.c             21          0x1028               x\n"
    "kvm_main.c              -          0x1030\n";

TEST(LineRows, KnowTheirFileAndFunction) {
  const auto rows = parse_line_rows(dump, "/t");
  ASSERT_EQ(rows.size(), 5u);
  EXPECT_EQ(rows[0].file, "virt/kvm/kvm_main.c");
  EXPECT_EQ(rows[1].line, 11u);
  EXPECT_EQ(rows[2].file, "include/linux/mm.h");
  EXPECT_EQ(rows[2].function, 0x1000u);
  // The file goes back to the unit's where readelf prints no header for it.
  EXPECT_EQ(rows[3].file, "virt/kvm/kvm_main.c");
  EXPECT_EQ(rows[3].function, 0x1020u);
}

TEST(Calls, AreFoundByTheirTarget) {
  const std::vector<std::uint8_t> code = {0x90, 0xe8, 0xfa, 0xff, 0xff, 0xff, 0xe8, 0, 0, 0, 0};
  EXPECT_EQ(calls_to(code, 0x100, 0x100), std::vector<std::uint64_t>{0x101});
  EXPECT_EQ(calls_to(code, 0x100, 0x10b), std::vector<std::uint64_t>{0x106});
  EXPECT_TRUE(calls_to(code, 0x100, 0x200).empty());
}

TEST(LineCoverage, ARowBelongsToTheCallBeforeIt) {
  const std::vector<std::uint64_t> calls = {0x1004, 0x100c, 0x1028};
  const LineCoverage lines(parse_line_rows(dump, "/t"), calls);
  using State = LineCoverage::State;
  const auto first = [](std::uint64_t address) { return address == 0x1009; };
  EXPECT_EQ(lines.state("virt/kvm/kvm_main.c", 11, first), State::hit);
  EXPECT_EQ(lines.state("include/linux/mm.h", 7, first), State::missed);
  EXPECT_EQ(lines.state("virt/kvm/kvm_main.c", 21, first), State::missed);
  // The prologue of the second function is not of the first one's last block.
  EXPECT_EQ(lines.state("virt/kvm/kvm_main.c", 20, first), State::no_code);
  EXPECT_EQ(lines.state("virt/kvm/kvm_main.c", 12, first), State::no_code);
  EXPECT_EQ(lines.state("virt/kvm/none.c", 11, first), State::no_code);
  EXPECT_EQ(lines.blocks(), 3u);
}

}  // namespace
}  // namespace lockstep::hw::hosted
