// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/qemu/messages.h"

#include <gtest/gtest.h>

#include "spec/program.h"

namespace lockstep::hw::qemu {
namespace {

TEST(Messages, RequestsAndAnswersComeBack) {
  const auto request = parse_request(write_request({Verb::parallel, "a\nb\n"}));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->verb, Verb::parallel);
  EXPECT_EQ(request->body, "a\nb\n");
  EXPECT_FALSE(parse_request("paralel\n"));
  EXPECT_EQ(parse_answer(write_answer(std::string("x\ny"))), "x\ny");
  EXPECT_EQ(parse_answer(write_answer(tl::unexpected(std::string("why")))).error(), "why");
  EXPECT_FALSE(parse_answer("\xff noise"));
}

TEST(Messages, AModuleMayHoldAnyByte) {
  const std::string image(
      "\x7f"
      "ELF\0\n\nx",
      8);
  const auto load = parse_load(write_load({"kvm", "tdp_mmu=0", image}));
  ASSERT_TRUE(load);
  EXPECT_EQ(load->name, "kvm");
  EXPECT_EQ(load->parameters, "tdp_mmu=0");
  EXPECT_EQ(load->image, image);
  EXPECT_FALSE(parse_load("kvm\n\n"));
}

TEST(Messages, ConfigurationsComeBack) {
  BeginProgram begin;
  begin.fresh = true;
  begin.configuration.paging = PagingMode::pae;
  begin.configuration.vcpus = 2;
  begin.configuration.memory = 4u << 20;
  begin.configuration.dirty_log = DirtyLogMode::ring;
  const auto back = parse_begin(write_begin(begin));
  ASSERT_TRUE(back) << back.error();
  EXPECT_TRUE(back->fresh);
  EXPECT_EQ(back->configuration, begin.configuration);
  EXPECT_FALSE(parse_begin("fresh\nnothing"));
}

TEST(Messages, CommandsAndObservationsComeBack) {
  const std::vector<Command> commands = {
      SlotAdd{.id = 3, .gpa = 0x1000, .size = 0x2000, .hva = 0x3000, .log = true},
      EntrySet{.vcpu = 1, .level = TableLevel::pd, .table = 0x2000, .index = 511, .value = ~0ull},
      Access{.vcpu = 1,
             .kind = AccessKind::write,
             .cpl = Cpl::supervisor,
             .gva = 0xffff'8000'0000'0000,
             .value = 7,
             .size = 4,
             .ac = true},
      HostChange{.action = HostAction::collapse, .hva = 0x20'0000, .size = 0x20'0000}};
  for (const auto& command : commands) {
    const auto line = print(command, PagingMode::level4);
    const auto back = parse_command_line(line, PagingMode::level4);
    ASSERT_TRUE(back) << line;
    EXPECT_EQ(*back, command) << line;
  }
  EXPECT_FALSE(parse_command_line("v0 cpl3 raed 0x0", PagingMode::level4));
  const std::vector<Observation> observations = {Done{},
                                                 Value{~0ull},
                                                 PageFault{0x8, 0x1234},
                                                 Exception{13, 0},
                                                 Exception{6, 0},
                                                 Mmio{true, 0x1000, 4, 0xff},
                                                 Errno{17},
                                                 DirtyBitmap{70, {5, 1}},
                                                 Translation{},
                                                 Translation{0x1000},
                                                 InternalError{1},
                                                 Livelock{64},
                                                 Unexpected{"a \"b\"\n\xc3"},
                                                 DirtyPages{{{2, {1}}}}};
  for (const auto& observation : observations) {
    const auto line = print(observation);
    const auto back = parse_observation_line(line, Access{});
    ASSERT_TRUE(back) << line;
    EXPECT_EQ(*back, observation) << line;
  }
  EXPECT_FALSE(parse_observation_line("value", Access{}));
}

TEST(Messages, BlocksComeBack) {
  const std::vector<ParallelCommand> block = {{0, Access{.gva = 0x1000}, 42},
                                              {1, SlotDelete{.id = 1}, 0}};
  const auto back = parse_parallel(write_parallel(block, PagingMode::level4), PagingMode::level4);
  ASSERT_TRUE(back) << back.error();
  ASSERT_EQ(back->size(), 2U);
  EXPECT_EQ((*back)[0].schedule, 42U);
  EXPECT_EQ((*back)[1].thread, 1U);
  EXPECT_EQ((*back)[1].command, block[1].command);
  const std::vector<ParallelAnswer> answers = {{Value{1}, 2, 5}, {Done{}, 3, 4}};
  const auto seen = parse_parallel_answers(write_parallel_answers(answers), block);
  ASSERT_TRUE(seen) << seen.error();
  EXPECT_EQ((*seen)[0].observation, answers[0].observation);
  EXPECT_EQ((*seen)[1].began, 3U);
  EXPECT_FALSE(parse_parallel_answers("2 5 value 0x1\n", block)) << "an answer lacks";
}

TEST(Messages, PlatformsAndCountsComeBack) {
  Platform platform;
  platform.features.set(3);
  platform.features.set(feature_count - 1);
  platform.max_vcpus = 4;
  platform.max_maxphyaddr = 40;
  platform.host_maxphyaddr = 48;
  platform.tdp = platform.amd = true;
  platform.deviations = {"tcg-tss"};
  platform.provenance = {{"kvm_amd.npt", "1"}, {"cpu", "a b"}};
  const auto back = parse_platform(write_platform(platform));
  ASSERT_TRUE(back) << back.error();
  EXPECT_EQ(back->features, platform.features);
  EXPECT_EQ(back->max_maxphyaddr, 40U);
  EXPECT_EQ(back->host_maxphyaddr, 48U);
  EXPECT_TRUE(back->tdp && back->amd);
  EXPECT_FALSE(back->four_level_ept);
  EXPECT_EQ(back->provenance, platform.provenance);
  EXPECT_EQ(back->deviations, platform.deviations);
  EXPECT_FALSE(parse_platform("1 2 3"));
  const Counts counts = {{"access pf_fixed", 12}, {"kvmmmu:kvm_mmu_get_page", 3}};
  EXPECT_EQ(parse_counts(write_counts(counts)), counts);
}

}  // namespace
}  // namespace lockstep::hw::qemu
