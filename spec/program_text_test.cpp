// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "spec/program.h"
#include "spec/text_names.h"

namespace lockstep {
namespace {

struct Canonical {
  const char* name;
  const char* text;
};

void PrintTo(const Canonical& c, std::ostream* out) { *out << c.name; }

const Canonical canonical[] = {
    {"design_example",
     "lockstep 1\n"
     "title  shadow page shared by two upper entries (CVE-2021-38198)\n"
     "config paging=4-level mmu=shadow\n"
     "slot 0 add gpa=0x0 size=0x1000000\n"
     "map 0x400000 gpa=0x200000 rwxu\n"
     "alias-table pml4[1] = pml4[0] r-xu\n"
     "v0 cpl3 write 0x400000 = 0x12   -> ok\n"
     "v0 cpl3 write 0x8000400000 = 0x12 -> #PF present write user 0x8000400000\n"
     "v0 cpl3 write 0x10000400000 = 0x12 \\\n"
     "    -> #PF present write user 0x10000400000\n"},
    {"configuration",
     "lockstep 1\n"
     "# engine kvm, seed 7\n"
     "\n"
     "config paging=5-level mmu=tdp vcpus=2 maxphyaddr=46\n"
     "config dirty-log=manual-all-set smm=1 memory=0x2000000\n"
     "config roots=0x1000,0x5000 tables=0x20000 cr0.wp=0 cr4.smep=1 cr4.smap=1\n"
     "config cr4.pke=1 cr4.pcide=1 efer.nx=0\n"},
    {"slots",
     "lockstep 1\n"
     "config paging=none\n"
     "slot 0 add gpa=0x0 size=0x1000000 log ro\n"
     "slot 1 add gpa=0x10000000 size=0x1000 hva=0x4000 -> errno EEXIST\n"
     "slot 0 flags log ro\n"
     "slot 0 flags none               -> errno 77\n"
     "slot 0 move gpa=0x2000\n"
     "slot 0 delete                   -> ok\n"
     "slot 0 dirty-get                -> dirty pages=0x80 {0x0 0x3f-0x40}\n"
     "slot 0 dirty-get                -> dirty pages=0x40 {}\n"
     "slot 0 dirty-clear first=0x0 count=0x40\n"},
    {"parallel_blocks",
     "lockstep 1\n"
     "config paging=4-level vcpus=2 memory=0x200000\n"
     "v0 cpl3 read 0x0\n"
     "# two of them\n"
     "par {\n"
     "v0 cpl3 write 0x0 = 0x1         -> ok  # first\n"
     "v0 invlpg 0x0\n"
     "} {\n"
     "# user space\n"
     "slot 0 dirty-get                -> dirty pages=0x40 {}\n"
     "}\n"
     "par schedule=17 {\n"
     "peek 0x0\n"
     "} {\n"
     "v1 cpl3 read 0x0\n"
     "} {\n"
     "v0 cpl3 read 0x0\n"
     "}\n"
     "peek 0x0\n"
     "# end\n"},
    {"memory",
     "lockstep 1\n"
     "config paging=32-bit\n"
     "poke 0x2000 = 0x1 size=4 host-poke\n"
     "peek 0x2000 size=4              -> value 0x1\n"
     "map 0x400000 gpa=0x400000 rwxu size=4m a g bits=0x200\n"
     "entry pd 0x1000[0] = 0x0\n"
     "v0 entry pt 0x4000[3] = 0xfffff000 --x- d bits=0xe00\n"},
    {"entries",
     "lockstep 1\n"
     "config paging=4-level\n"
     "map 0x40000000 gpa=0x0 r--u size=1g a d g pwt pcd pk=3\n"
     "entry pml4 0x1000[0] = 0x2000 rwxu a\n"
     "v0 entry pt 0x4000[3] = 0x200000 r-xu a d g ps pwt pcd pk=15 \\\n"
     "    bits=0x7f0000000000e00\n"},
    {"vcpu",
     "lockstep 1\n"
     "config paging=4-level vcpus=2\n"
     "v0 cpl3 read 0x400000           -> mmio read gpa=0xf0000000 size=8\n"
     "v1 cpl0 write 0x400000 = 0x1 size=4 ac \\\n"
     "    -> mmio write gpa=0xf0000000 size=4 value=0x1\n"
     "v0 cpl3 fetch 0x400000          -> #UD\n"
     "v0 cr3 0x1000 pcid=1 noflush    -> #GP 0x0\n"
     "v0 invlpg 0x400000              -> exception 6 0x1\n"
     "v0 invpcid address pcid=0 gva=0x0\n"
     "v0 invpcid single pcid=1\n"
     "v0 invpcid all-and-global\n"
     "v0 invpcid all\n"
     "v0 set cr4.smep=1               -> internal-error 1\n"
     "v0 pkru 0x4                     -> livelock 64\n"
     "v0 translate 0x400000           -> gpa 0x200000\n"
     "v0 translate 0x400000           -> gpa invalid\n"
     "v0 cpl3 read 0x8                -> #PF not-present 0x10\n"
     "v0 cpl3 read 0x8                -> #PF present pk bits=0x8000 0x8\n"
     "v0 cpl3 read 0x8                -> unexpected \"\\\"\\\\\\n\\t\\x00\\xff\"\n"},
    {"host",
     "lockstep 1\n"
     "config paging=4-level dirty-log=ring slot-zap-all=0\n"
     "host vendor=intel tdp-mmu=off eager-split=off nx-huge-pages=on \\\n"
     "    ad-bits=off pml=on contended=on early-grace=on pfnmap=on \\\n"
     "    fail-allocation=17 race=3\n"
     "mmu-pages 64\n"
     "host migrate hva=0x200000 size=0x1000 -> ok\n"
     "host protect hva=0x0 size=0x200000\n"
     "host unprotect hva=0x0 size=0x200000\n"
     "host age hva=0x0 size=0x1000\n"
     "host split hva=0x0 size=0x1000\n"
     "host collapse hva=0x0 size=0x200000\n"
     "host discard hva=0x0 size=0x1000\n"
     "shrink 128\n"
     "nx-recover\n"
     "ring-collect                    -> ring empty\n"
     "ring-collect \\\n"
     "    -> ring slot 0 {0x1 0x3f-0x40} slot 7 {0x0}\n"},
    {"comments",
     "lockstep 1\n"
     "# head\n"
     "config paging=4-level\n"
     "\n"
     "# before\n"
     "slot 0 delete  # behind \\\n"
     "slot 0 delete                   -> ok  # behind\n"
     "\n"
     "# end\n"
     "\n"},
};

class CanonicalText : public testing::TestWithParam<Canonical> {};

TEST_P(CanonicalText, PrintsBackByteForByte) {
  const std::string text = GetParam().text;
  const auto program = parse(text);
  ASSERT_TRUE(program) << program.error().message("test", text);
  EXPECT_EQ(print(*program), text);
}

INSTANTIATE_TEST_SUITE_P(Table, CanonicalText, testing::ValuesIn(canonical),
                         [](const auto& info) { return std::string(info.param.name); });

Program parsed(const std::string& text) {
  auto program = parse(text);
  EXPECT_TRUE(program) << program.error().message("test", text);
  return program ? *program : Program{};
}

ParseError refused(const std::string& text) {
  const auto program = parse(text);
  EXPECT_FALSE(program) << text;
  return program ? ParseError{} : program.error();
}

const std::string head = "lockstep 1\nconfig paging=4-level\n";

TEST(ProgramText, AnySpacingAndLineEndGiveTheSameProgram) {
  EXPECT_EQ(parsed("lockstep 1\r\nconfig  paging = 4-level\r\nentry pt 0x4000 [ 3 ]=0x2000   "
                   "rwxu->ok # c  \r\n"),
            parsed(head + "entry pt 0x4000[3] = 0x2000 rwxu -> ok # c"));
}

TEST(ProgramText, BackslashContinuesTheLine) {
  EXPECT_EQ(parsed(head + "slot 0 \\\n  delete \\\r\n -> ok\n"),
            parsed(head + "slot 0 delete -> ok\n"));
}

TEST(ProgramText, FaultAddressDefaultsToTheAccess) {
  const auto program = parsed(head + "v0 cpl3 read 0x400000 -> #PF present user\n");
  EXPECT_EQ(program.steps.at(0).expected,
            Observation(PageFault{fault::present | fault::user, 0x400000}));
}

TEST(ProgramText, LongBitmapFitsMailAndParsesOnOneLine) {
  Program program;
  DirtyBitmap dirty{0x4000, std::vector<std::uint64_t>(0x100, 0x5555'5555'5555'5555ull)};
  program.steps.push_back(Step{DirtyGet{0}, dirty, {}, {}});
  const std::string text = print(program);
  EXPECT_EQ(parsed(text), program);
  std::size_t widest = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    widest = std::max(widest, end - at);
    at = end + 1;
  }
  EXPECT_LE(widest, 72u);
  EXPECT_EQ(parsed(head + "slot 0 dirty-get -> " + print(*program.steps[0].expected) + "\n"),
            program);
}

TEST(ProgramText, BackslashInATitleContinuesNothing) {
  Program program;
  program.title = "\\";
  EXPECT_EQ(parsed(print(program)), program);
}

TEST(ProgramText, LongTitleIsFolded) {
  Program program;
  program.title = "one two  three";
  for (int i = 0; i < 30; ++i) program.title += " word  #" + std::to_string(i);
  const std::string text = print(program);
  EXPECT_EQ(parsed(text).title, program.title);
  EXPECT_NE(text.find("\ntitle  ", 15), std::string::npos);
}

struct Wrong {
  const char* line;
  unsigned column;
  const char* expected;  ///< part of the message
  const char* suggestion;
};

TEST(ProgramText, ErrorsNameColumnExpectationAndNearestWord) {
  const Wrong table[] = {
      {"v0 cpl3 wirte 0x400000", 9, "an access", "write"},
      {"solt 0 delete", 1, "a command", "slot"},
      {"slot 0 dirtyget", 8, "a slot command", "dirty-get"},
      {"slot 0 add gpa=0x0 siez=0x1", 20, "size", "size"},
      {"v0 set cr4.smpe=1", 8, "a control bit", "cr4.smep"},
      {"v0 cpl3 read 0x0 -> #pf", 21, "an observation", "#PF"},
      {"v0 cpl3 read 0x0 -> #PF presnt", 25, "`not-present`", "present"},
      {"slot 0 delete -> errno EXIST", 24, "an errno", "EEXIST"},
      {"V0 cpl3 read 0x0", 1, "a command", "v0"},
      {"map 0x0 gpa=0x0 rxwu", 17, "rights", ""},
      {"map 0x0 gpa=0x0 rwxu size=4m", 27, "a page size", "4k"},
      {"poke 0x10000000000000000 = 1", 6, "at most 0xffffffffffffffff", ""},
      {"poke 0x1", 9, "`=`", ""},
      {"slot 0 delete delete", 15, "the end of the line", ""},
      {"slot 0 add gpa=0 gpa=0", 18, "only once", ""},
      {"entry pt 0x0[0] = 0x123 rwxu", 19, "address field", ""},
      {"entry pt 0x0[0] = 0x0 rwxu bits=0x1", 33, "no word of their own", ""},
      {"config vcpus=2", 1, "a command", ""},
      {"host migrat hva=0x0 size=0x1000", 6, "what the host does", "migrate"},
      {"host migrate hva=0x0", 21, "`size=`", ""},
      {"host vendor=amd", 6, "what the host does", ""},
      {"ring-collect -> ring slot 1 {}", 30, "a page", ""},
      {"ring-collect -> ring slot 1 {0x0} slot 1 {0x0}", 42, "slots in order", ""},
      {"ring-collect -> ring slot 1 {0x4000}", 30, "below 0x4000", ""},
  };
  for (const Wrong& wrong : table) {
    const std::string setup = head + "slot 0 delete\n";
    const ParseError error = refused(setup + wrong.line + "\n");
    EXPECT_EQ(error.line, 4u) << wrong.line;
    EXPECT_EQ(error.column, wrong.column) << wrong.line;
    EXPECT_NE(error.expected.find(wrong.expected), std::string::npos)
        << wrong.line << ": " << error.expected;
    EXPECT_EQ(error.suggestion, wrong.suggestion) << wrong.line;
  }
}

TEST(ProgramText, MessageShowsTheLineAndACaret) {
  const std::string text = head + "v0 cpl3 wirte 0x400000\n";
  EXPECT_EQ(refused(text).message("a.txt", text),
            "a.txt:3:9: expected an access: `read`, `write` or `fetch`, found `wirte`; did you "
            "mean `write`?\n  v0 cpl3 wirte 0x400000\n          ^");
}

TEST(ProgramText, HostParametersStandInTheHeadOnce) {
  const Program program = parsed(head + "host vendor=amd # wish\nhost nx-huge-pages = on\n");
  HostParameters wanted;
  wanted.vendor = Vendor::amd;
  wanted.nx_huge_pages = true;
  EXPECT_EQ(program.configuration.host, wanted);
  EXPECT_EQ(refused(head + "host vendor=amd\nhost vendor=amd\n").line, 4u);
  EXPECT_EQ(refused(head + "host tdp-mu=on\n").suggestion, "tdp-mmu");
  EXPECT_EQ(refused(head + "host tdp-mmu=1\n").column, 14u);
}

TEST(ProgramText, DuplicateSettingsAreRefusedAcrossLines) {
  EXPECT_EQ(refused("lockstep 1\nconfig vcpus=1\nconfig vcpus=1\n").line, 3u);
}

TEST(ProgramText, BracesOfParallelBlocksAreChecked) {
  struct Wrong {
    const char* lines;
    unsigned line;
    const char* expected;
  };
  const Wrong table[] = {
      {"par {\npeek 0\n", 5, "`}`, the end of the parallel block"},
      {"par\npeek 0\n", 3, "`{`"},
      {"par schedule=x {\n", 3, "a number"},
      {"par {\n} {\npeek 0\n}\n", 4, "a command of the thread"},
      {"par {\npeek 0\n} {\n}\n", 6, "a command of the thread"},
      {"par {\npeek 0\n}\n", 5, "`{`, another thread"},
      {"par {\npar {\n", 4, "before another one"},
      {"par {\npeek 0\n# lost\n} {\n", 6, "a command behind its comment"},
      {"par { peek 0\n", 3, "the end of the line"},
      {"par {\nconfig vcpus=1\n", 4, "stands before the first command"},
      {"peek 0\n}\n", 4, "a command"},
  };
  for (const Wrong& wrong : table) {
    const ParseError error = refused(head + wrong.lines);
    EXPECT_EQ(error.line, wrong.line) << wrong.lines << error.expected;
    EXPECT_NE(error.expected.find(wrong.expected), std::string::npos)
        << wrong.lines << ": " << error.expected;
  }
}

TEST(ProgramText, HostileBytesAreErrors) {
  EXPECT_EQ(refused("").line, 1u);
  EXPECT_EQ(refused("lockstep 2\n").column, 10u);
  const ParseError nul = refused(head + std::string("# a\0b\n", 6));
  EXPECT_EQ(nul.line, 3u);
  EXPECT_EQ(nul.column, 4u);
  EXPECT_NE(nul.found.find("NUL"), std::string::npos);
  for (const char* bad : {"# \x80", "# \xc0\xaf", "# \xed\xa0\x80", "# \xf4\x90\x80\x80", "# \r x",
                          "# \x1b[2J", "# \xe2\x82"}) {
    EXPECT_EQ(refused(head + bad + "\n").line, 3u);
  }
  EXPECT_EQ(parsed(head + "# \xe2\x82\xac \xf0\x9f\x90\x9b\n").trailer.size(), 1u);
}

TEST(ProgramText, SizeIsBounded) {
  refused(std::string(spec::text::most_bytes + 1, '\n'));
  std::string many = head;
  for (std::size_t i = 0; i <= spec::text::most_steps; ++i) many += "peek 0\n";
  EXPECT_EQ(refused(many).line, 3 + spec::text::most_steps);
  refused(head + "slot 0 dirty-get -> dirty pages=0xffffffffff {}\n");
}

}  // namespace
}  // namespace lockstep
