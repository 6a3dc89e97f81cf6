// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include <string>

#include "spec/program.h"

namespace lockstep {
namespace {

Program parsed(const std::string& text) {
  auto program = parse(text);
  EXPECT_TRUE(program) << program.error().message("test", text);
  return program ? *program : Program{};
}

Program with(const std::string& configuration, const std::string& steps) {
  return parsed("lockstep 1\nconfig " + configuration + "\n" + steps);
}

struct Rule {
  const char* configuration;
  const char* legal;
  const char* illegal;
};

TEST(Validate, EachRuleRefusesItsOwnViolation) {
  const Rule table[] = {
      {"vcpus=2", "v1 pkru 0x0", "v2 pkru 0x0"},
      {"paging=4-level", "entry pt 0x2000[511] = 0x0", "entry pt 0x2000[512] = 0x0"},
      {"paging=4-level", "entry pt 0x1ff000[0] = 0x0", "entry pt 0x200000[0] = 0x0"},
      {"paging=4-level", "entry pt 0x2000[0] = 0x0", "entry pt 0x2800[0] = 0x0"},
      {"paging=4-level", "entry pml4 0x1000[510] = 0x0", "entry pml4 0x1000[511] = 0x0"},
      {"paging=pae", "entry pdpt 0x1000[2] = 0x0", "entry pdpt 0x1000[3] = 0x0"},
      {"paging=32-bit", "entry pd 0x1000[1021] = 0x0", "entry pd 0x1000[1022] = 0x0"},
      {"paging=none", "v0 pkru 0x0", "v0 entry pt 0x2000[0] = 0x0"},
      {"paging=4-level", "v0 cpl3 read 0x8", "v0 cpl3 read 0x4"},
      {"paging=pae", "v0 cpl3 read 0x8 size=4", "v0 cpl3 read 0x8 size=8"},
      {"paging=4-level", "v0 cpl3 write 0x0 = 0xff size=1", "v0 cpl3 write 0x0 = 0x100 size=1"},
      {"paging=4-level", "v0 cpl3 read 0x0 size=2", "v0 cpl3 read 0x0 size=3"},
      {"paging=4-level", "v0 cpl3 read 0xffff000000000000", "v0 cpl3 read 0xffffff8000000000"},
      {"paging=pae", "v0 cpl3 read 0xbffffff8", "v0 cpl3 read 0xc0000000"},
      {"paging=32-bit", "v0 invlpg 0xff7fffff", "v0 invlpg 0xff800000"},
      {"paging=none", "v0 cpl3 read 0xcffffff8", "v0 cpl3 read 0xd0000000"},
      {"paging=none", "v0 cpl3 read 0xfffffff8", "v0 cpl3 read 0x100000000"},
      {"paging=4-level", "slot 0 add gpa=0xcffff000 size=0x1000 hva=0x0",
       "slot 0 add gpa=0xcffff000 size=0x2000 hva=0x0"},
      {"paging=4-level", "slot 0 add gpa=0xd0400000 size=0x1000 hva=0x0",
       "slot 0 add gpa=0xd03ff000 size=0x1000 hva=0x0"},
      {"paging=4-level", "slot 0 add gpa=0x0 size=0x2000 hva=0x0\nslot 0 move gpa=0xcfffe000",
       "slot 0 add gpa=0x0 size=0x2000 hva=0x0\nslot 0 move gpa=0xcffff000"},
      {"paging=4-level", "slot 0 move gpa=0xcffff000", "slot 0 move gpa=0xd0000000"},
      {"paging=4-level", "slot 499 delete", "slot 500 delete"},
      {"memory=0x2000", "slot 0 add gpa=0x0 size=0x1000 hva=0x1000",
       "slot 0 add gpa=0x0 size=0x1000 hva=0x1001"},
      {"memory=0x2000", "slot 0 add gpa=0x0 size=0x400000001000 hva=0x0",
       "slot 0 add gpa=0x0 size=0x3000 hva=0x0"},
      {"roots=0x1000,0x5000", "v0 cr3 0x5000", "v0 cr3 0x2000"},
      {"memory=0x2000", "host migrate hva=0x0 size=0x2000", "host migrate hva=0x0 size=0x3000"},
      {"memory=0x2000", "host age hva=0x1000 size=0x1000", "host age hva=0x1000 size=0x2000"},
      {"memory=0x2000", "host split hva=0x0 size=0x1000", "host split hva=0x0 size=0x0"},
      {"memory=0x2000", "host discard hva=0x1000 size=0x1000",
       "host discard hva=0x800 size=0x1000"},
      {"cr4.pcide=1", "v0 cr3 0x1000 pcid=4095", "v0 cr3 0x1000 pcid=4096"},
      {"cr4.pcide=1", "v0 cr3 0x1000 noflush", "v0 set cr4.pcide=0\nv0 cr3 0x1000 noflush"},
      {"cr4.pcide=0", "v0 cr3 0x1000", "v0 cr3 0x1000 pcid=1"},
      {"paging=4-level", "entry pt 0x4000[0] = 0x0\nv0 pkru 0x0",
       "v0 pkru 0x0\nentry pt 0x4000[0] = 0x0"},
      {"paging=4-level", "map 0x0 gpa=0x0 rwxu\nv0 pkru 0x0", "v0 pkru 0x0\nmap 0x0 gpa=0x0 rwxu"},
      {"paging=4-level", "map 0x200000 gpa=0x0 rwxu size=2m", "map 0x1000 gpa=0x0 rwxu size=2m"},
      {"paging=4-level", "map 0x0 gpa=0x200000 rwxu size=2m", "map 0x0 gpa=0x1000 rwxu size=2m"},
      {"paging=4-level", "map 0x0 gpa=0x0 rwxu", "map 0x0 gpa=0x0 rwxu ps"},
      {"paging=4-level", "map 0xffff800000000000 gpa=0x0 rwxu", "map 0x800000000000 gpa=0x0 rwxu"},
      {"paging=4-level", "map 0x0 gpa=0x0 rwxu\nalias-table pml4[510] = pml4[0] rwxu",
       "map 0x0 gpa=0x0 rwxu\nalias-table pml4[511] = pml4[0] rwxu"},
      {"paging=4-level", "map 0x0 gpa=0x0 rwxu\nalias-table pml4[1] = pml4[0] rwxu",
       "alias-table pml4[1] = pml4[0] rwxu"},
      {"paging=4-level", "poke 0x8 = 0x0", "poke 0x4 = 0x0"},
      {"paging=4-level", "poke 0x4 = 0x0 size=4", "poke 0x4 = 0x0 size=2"},
      {"paging=4-level", "poke 0x4 = 0xffffffff size=4", "poke 0x4 = 0x100000000 size=4"},
      {"paging=4-level", "peek 0x1ff0", "peek 0x1ff8"},
      {"paging=32-bit", "poke 0x1ff0 = 0x0", "poke 0x1ff8 = 0x0"},
      {"paging=4-level", "v0 pkru 0x0\npoke 0x1000 = 0x0 host-poke",
       "v0 pkru 0x0\npoke 0x1000 = 0x0"},
      {"paging=4-level", "map 0x0 gpa=0x0 rwxu\npoke 0x12000 = 0x0\nv0 pkru 0x0",
       "map 0x0 gpa=0x0 rwxu\nv0 pkru 0x0\npoke 0x12000 = 0x0"},
      {"paging=4-level", "v0 pkru 0x0\npoke 0x12000 = 0x0",
       "v0 entry pt 0x12000[0] = 0x0\npoke 0x12000 = 0x0"},
      {"paging=4-level", "slot 0 delete -> errno 4095", "slot 0 delete -> errno 0"},
  };
  for (const Rule& rule : table) {
    const auto legal = validate(with(rule.configuration, rule.legal));
    EXPECT_FALSE(legal) << rule.configuration << ": " << rule.legal << ": " << legal->reason;
    EXPECT_TRUE(validate(with(rule.configuration, rule.illegal)))
        << rule.configuration << ": " << rule.illegal;
  }
}

TEST(Validate, SaysWhatRunsBesideWhat) {
  const std::string begun = "v0 pkru 0x0\nv1 pkru 0x0\n";
  const auto block = [&](const std::string& one, const std::string& other) {
    return validate(
        with("vcpus=3 memory=0x2000", begun + "par {\n" + one + "} {\n" + other + "}\n"));
  };
  EXPECT_FALSE(block("v0 cpl3 read 0x0\nv0 invlpg 0x0\n", "v1 cpl3 write 0x0 = 0x1\n"));
  EXPECT_FALSE(block("v0 entry pt 0x4000[0] = 0x0\n", "slot 0 delete\npeek 0x0\n"));
  EXPECT_FALSE(block("v0 cr3 0x1000\n", "host migrate hva=0x0 size=0x1000\n"));
  const std::string read = "v0 cpl3 read 0x0\n";
  for (const char* bad :
       {"v0 cpl3 read 0x8\n", "v1 pkru 0x0\n", "v1 translate 0x0\n", "v2 cpl3 read 0x0\n",
        "ring-collect\n", "host discard hva=0x0 size=0x1000\n", "poke 0x0 = 0x1 host-poke\n",
        "peek 0x0\nv1 cpl3 read 0x0\n"}) {
    EXPECT_TRUE(block(read, bad)) << bad;
  }
  std::string many;
  for (unsigned i = 0; i < 15; ++i) many += "v1 cpl3 read 0x0\n";
  EXPECT_FALSE(block(read, many));
  EXPECT_TRUE(block(read, many + "v1 cpl3 read 0x0\n"));
  // What only a program that was never text can be.
  Program program = with("vcpus=2", begun + "par {\npeek 0x0\n} {\nv0 cpl3 read 0x0\n}\n");
  ASSERT_FALSE(validate(program));
  Program alone = program;
  alone.steps.pop_back();
  EXPECT_TRUE(validate(alone));
  Program skips = program;
  skips.steps.back().thread = 2;
  EXPECT_TRUE(validate(skips));
}

TEST(Validate, RefusesConfigurationsOutOfRange) {
  EXPECT_FALSE(validate(Program{}));
  for (const char* bad : {"vcpus=0", "vcpus=17", "maxphyaddr=31", "maxphyaddr=53", "memory=0x0",
                          "memory=0x1001", "memory=0x4001000", "roots=0x1800", "roots=0x200000",
                          "tables=0x10", "tables=0x200000", "paging=pae cr4.pcide=1"}) {
    EXPECT_TRUE(validate(with(bad, ""))) << bad;
  }
  Program rootless;
  rootless.configuration.roots.clear();
  EXPECT_TRUE(validate(rootless));
}

TEST(Validate, RefusesWhatTheTextCannotCarry) {
  const Step peek{Peek{}, std::nullopt, {}, {}};
  for (const char* bad : {" a", "a ", "a\nb", "a\x01"}) {
    Program program;
    program.title = bad;
    EXPECT_TRUE(validate(program)) << bad;
  }
  for (const char* bad : {"no hash", "# blank ", "#\n", "#\xff"}) {
    Program header, trailer, before, behind;
    header.header = {bad};
    trailer.trailer = {bad};
    before.steps = behind.steps = {peek};
    before.steps[0].before = {bad};
    behind.steps[0].behind = bad;
    for (const auto& program : {header, trailer, before, behind}) EXPECT_TRUE(validate(program));
  }
  for (const DirtyBitmap& bad : {DirtyBitmap{64, {}}, DirtyBitmap{63, {1ull << 63}},
                                 DirtyBitmap{0x4040, std::vector<std::uint64_t>(0x101)}}) {
    Program program;
    program.steps = {peek};
    program.steps[0].expected = bad;
    EXPECT_TRUE(validate(program));
  }
  Program huge;
  huge.trailer.assign(1u << 20, "");
  EXPECT_TRUE(validate(huge));
}

TEST(Validate, NamesTheStep) {
  const auto illegal = validate(with("paging=4-level", "peek 0x0\npeek 0x1\n"));
  ASSERT_TRUE(illegal);
  EXPECT_EQ(illegal->step, 1u);
}

std::string lowered_text(const Program& program) {
  const auto lowered = lower(program);
  if (!lowered) return "error: " + lowered.error();
  std::string out;
  for (const auto& step : lowered->steps) {
    out += print(step.command, lowered->configuration.paging) + "\n";
  }
  return out;
}

TEST(Lower, MapBuildsTablesAndReusesThem) {
  EXPECT_EQ(lowered_text(with("paging=4-level",
                              "map 0x400000 gpa=0x200000 r-xu a\n"
                              "map 0x401000 gpa=0x201000 rw-u\n"
                              "map 0x600000 gpa=0x600000 rwxu size=2m\n"
                              "alias-table pml4[1] = pml4[0] r-xu\n")),
            "entry pml4 0x1000[0] = 0x10000 rwxu a\n"
            "entry pdpt 0x10000[0] = 0x11000 rwxu a\n"
            "entry pd 0x11000[2] = 0x12000 rwxu a\n"
            "entry pt 0x12000[0] = 0x200000 r-xu a\n"
            "entry pt 0x12000[1] = 0x201000 rw-u\n"
            "entry pd 0x11000[3] = 0x600000 rwxu ps\n"
            "entry pml4 0x1000[1] = 0x10000 r-xu\n");
}

TEST(Lower, OtherModes) {
  EXPECT_EQ(lowered_text(with("paging=pae", "map 0x40201000 gpa=0x3000 rw-u\n")),
            "entry pdpt 0x1000[1] = 0x10000 r-x-\n"
            "entry pd 0x10000[1] = 0x11000 rwxu a\n"
            "entry pt 0x11000[1] = 0x3000 rw-u\n");
  EXPECT_EQ(lowered_text(with("paging=32-bit cr4.pse=1",
                              "map 0x400000 gpa=0x400000 r-x- size=4m\n"
                              "map 0x801000 gpa=0x3000 rwxu\n")),
            "entry pd 0x1000[1] = 0x400000 r-x- ps\n"
            "entry pd 0x1000[2] = 0x10000 rwxu a\n"
            "entry pt 0x10000[1] = 0x3000 rwxu\n");
  EXPECT_EQ(lowered_text(with("paging=5-level", "map 0x40000000 gpa=0x0 rwxu size=1g\n")),
            "entry pml5 0x1000[0] = 0x10000 rwxu a\n"
            "entry pml4 0x10000[0] = 0x11000 rwxu a\n"
            "entry pdpt 0x11000[1] = 0x0 rwxu ps\n");
}

TEST(Lower, TakesEarlierEntriesIntoAccount) {
  EXPECT_EQ(lowered_text(with("paging=4-level roots=0x1000,0x11000",
                              "entry pml4 0x1000[0] = 0x10000 rwxu\n"
                              "v0 entry pt 0x12000[0] = 0x0\n"
                              "map 0x0 gpa=0x0 rwxu size=1g\n"
                              "map 0x8000000000 gpa=0x0 rwxu size=1g\n")),
            "entry pml4 0x1000[0] = 0x10000 rwxu\n"
            "v0 entry pt 0x12000[0] = 0x0\n"
            "entry pdpt 0x10000[0] = 0x0 rwxu ps\n"
            "entry pml4 0x1000[1] = 0x12000 rwxu a\n"
            "entry pdpt 0x12000[0] = 0x0 rwxu ps\n");
}

TEST(Lower, Refuses) {
  for (const char* bad : {"map 0x0 gpa=0x0 rwxu size=2m\nmap 0x1000 gpa=0x0 rwxu\n",
                          "alias-table pml4[1] = pml4[0] rwxu\n",
                          "entry pml4 0x1000[0] = 0x200000 rwxu\nmap 0x0 gpa=0x0 rwxu\n"}) {
    EXPECT_FALSE(lower(with("paging=4-level", bad))) << bad;
  }
  EXPECT_FALSE(lower(with("tables=0x1ff000", "map 0x0 gpa=0x0 rwxu\n")));
}

TEST(Lower, ExpectationStaysOnTheLastCommand) {
  const auto lowered =
      lower(with("paging=32-bit", "peek 0x0\n# c\nmap 0x0 gpa=0x0 rwxu -> ok # b\n"));
  ASSERT_TRUE(lowered);
  EXPECT_EQ(lowered->origin, (std::vector<std::size_t>{0, 1, 1}));
  EXPECT_EQ(lowered->steps[1].before.size(), 1u);
  EXPECT_FALSE(lowered->steps[1].expected);
  EXPECT_EQ(lowered->steps[2].expected, Observation(Done{}));
  EXPECT_EQ(lowered->steps[2].behind, "# b");
}

TEST(Needs, NamesEveryFeature) {
  const auto set = [](std::initializer_list<Feature> all) {
    Features features;
    for (const Feature feature : all) features.set(static_cast<std::size_t>(feature));
    return features;
  };
  EXPECT_EQ(needs(Program{}), set({Feature::paging_level4, Feature::nx}));
  EXPECT_EQ(needs(with("paging=none efer.nx=0", "v0 set efer.nx=0")), set({Feature::paging_none}));
  EXPECT_EQ(needs(with("paging=pae efer.nx=0 mmu=shadow smm=1 dirty-log=manual",
                       "v0 set efer.nx=1\nv0 translate 0x0\nslot 0 flags ro")),
            set({Feature::paging_pae, Feature::mmu_shadow, Feature::smm, Feature::dirty_log_manual,
                 Feature::nx, Feature::translate, Feature::read_only_slots}));
  EXPECT_EQ(needs(with("paging=5-level efer.nx=0 mmu=tdp dirty-log=manual-all-set cr4.pke=1",
                       "map 0x0 gpa=0x0 rwxu size=1g\nv0 invpcid all\nv0 set cr4.smap=1")),
            set({Feature::paging_level5, Feature::mmu_tdp, Feature::dirty_log_manual,
                 Feature::dirty_log_all_set, Feature::pke, Feature::smap, Feature::invpcid,
                 Feature::gigabyte_pages}));
  EXPECT_EQ(needs(with("paging=32-bit efer.nx=0 cr4.pse=1 cr4.pge=1 cr4.smep=1",
                       "slot 0 add gpa=0x0 size=0x1000 ro")),
            set({Feature::paging_bits32, Feature::pse, Feature::pge, Feature::smep,
                 Feature::read_only_slots}));
  EXPECT_EQ(
      needs(with("paging=none efer.nx=0 dirty-log=ring slot-zap-all=0",
                 "mmu-pages 64\nshrink 1\nnx-recover\nring-collect\n"
                 "host migrate hva=0x0 size=0x1000\nhost unprotect hva=0x0 size=0x1000\n")),
      set({Feature::paging_none, Feature::dirty_ring, Feature::slot_zap_quirk, Feature::mmu_pages,
           Feature::shrinker, Feature::nx_recovery, Feature::host_migrate, Feature::host_protect}));
  EXPECT_EQ(needs(with("efer.nx=0", "par {\npeek 0x0\n} {\nv0 invlpg 0x0\n}\n")),
            set({Feature::paging_level4, Feature::parallel_blocks}));
  EXPECT_EQ(needs(parsed("lockstep 1\nhost vendor=intel tdp-mmu=on\n")), needs(Program{}));
  EXPECT_EQ(needs(with("cr4.pcide=1 efer.nx=0", "")), set({Feature::paging_level4, Feature::pcid}));
}

}  // namespace
}  // namespace lockstep
