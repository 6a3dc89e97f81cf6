// SPDX-License-Identifier: GPL-2.0-or-later
/// What an engine says of itself, where the model says nothing.
#include <gtest/gtest.h>

#include "props/impl_engine.h"
#include "props/lockstep.h"
#include "props/spec_engine.h"
#include "spec/engine_insides.h"
#include "spec/program.h"

namespace lockstep::props {
namespace {

/// The model's own answers; the last command of a block loses its vCPU, and so does an
/// access of which there is something to say.
template <typename Says>
class FakeThat : public Engine, public Says {
 public:
  struct Words {
    std::string in_block = {};
    std::string at_end = {};
    std::string of_access = {};
    bool four_level_ept = false;
  };
  explicit FakeThat(Words words) : words_(std::move(words)), inner_(1, machine_models()) {
    platform_ = inner_.platform();
    if (!words_.four_level_ept) return;
    platform_.tdp = platform_.four_level_ept = true;
    platform_.host_maxphyaddr = 52;
  }
  std::string_view name() const override { return "fake"; }
  const Platform& platform() const override { return platform_; }
  Result<void> begin(const Configuration& configuration, bool fresh) override {
    complaint_.clear();
    return inner_.begin(configuration, fresh);
  }
  Result<Observation> execute(const Command& command) override {
    if (words_.of_access.empty() || !std::holds_alternative<Access>(command)) {
      return inner_.execute(command);
    }
    complaint_ = words_.of_access;
    return Unexpected{words_.of_access};
  }
  Result<std::vector<ParallelAnswer>> execute_parallel(
      std::span<const ParallelCommand> commands) override {
    std::vector<ParallelAnswer> answers;
    for (const ParallelCommand& command : commands) {
      auto seen = inner_.execute(command.command);
      if (!seen) return tl::unexpected(seen.error());
      answers.push_back({std::move(*seen), 0, 1});
    }
    answers.back().observation = Unexpected{"KVM exit 8"};
    complaint_ = words_.in_block;
    return answers;
  }
  Result<Observation> end() override {
    if (words_.at_end.empty()) return inner_.end();
    complaint_ = words_.at_end;
    return Unexpected{words_.at_end};
  }
  const std::map<std::string, std::uint64_t>& reached() const override { return reached_; }
  std::string complaint() const override { return complaint_; }

 private:
  Words words_;
  SpecEngine inner_;
  Platform platform_;
  std::string complaint_;
  std::map<std::string, std::uint64_t> reached_;
};

using Fake = FakeThat<Complains>;
/// A kernel that boots.
class FakeKernel final : public FakeThat<HasKernelLog> {
 public:
  using FakeThat::FakeThat;
  Result<Observation> tear_down() override { return end(); }
};

/// Writes of two vCPUs side by side, in more orders than the model tries.
Program with_many_orders() {
  std::string text =
      "lockstep 1\n"
      "title  many orders\n"
      "config paging=4-level vcpus=2\n"
      "slot 0 add gpa=0x0 size=0x200000\n"
      "map 0x400000 gpa=0x100000 rwxu\n"
      "v0 cpl3 read 0x400000\n"
      "v1 cpl3 read 0x400000\n"
      "par {\n";
  for (int vcpu = 0; vcpu < 2; ++vcpu) {
    if (vcpu == 1) text += "} {\n";
    for (int i = 0; i < 8; ++i) {
      text += "v" + std::to_string(vcpu) + " cpl3 write 0x400000 = " + std::to_string(i) + "\n";
    }
  }
  text += "}\n";
  const auto program = parse(text);
  EXPECT_TRUE(program) << program.error().message("test", text);
  return program.value_or(Program{});
}

Outcome run(Fake::Words words, const Program& program = with_many_orders()) {
  std::vector<std::unique_ptr<Engine>> engines;
  engines.push_back(std::make_unique<Fake>(std::move(words)));
  return Lockstep(std::move(engines), machine_models()).run(program);
}

/// A guest whose entry leads to an address of 49 bits.
Program beyond_48_bits() {
  const std::string text =
      "lockstep 1\ntitle  far\nconfig paging=4-level mmu=tdp\n"
      "slot 0 add gpa=0x0 size=0x400000\nmap 0x0 gpa=0x200000 rwxu\n"
      "v0 entry pt 0x12000[0] = 0x1000000200000 rwxu\nv0 cpl3 read 0x0\n";
  const auto program = parse(text);
  EXPECT_TRUE(program) << program.error().message("test", text);
  return program.value_or(Program{});
}

TEST(Complaint, IsFoundWhereTheSearchForAnOrderEndsUndecided) {
  const auto outcome = run({.in_block = "WARNING: at mmu.c:1", .at_end = {}});
  EXPECT_EQ(outcome.verdict, Verdict::fail) << outcome.reason;
  EXPECT_FALSE(outcome.undecided);
  ASSERT_TRUE(outcome.finding);
  EXPECT_EQ(outcome.finding->kind, FindingKind::unexpected);
  EXPECT_EQ(outcome.finding->engine, "fake");
}

TEST(Complaint, OfNobodyLeavesItUndecided) {
  const auto outcome = run({});
  EXPECT_EQ(outcome.verdict, Verdict::no_verdict);
  EXPECT_TRUE(outcome.undecided);
  EXPECT_NE(outcome.reason.find("more orders"), std::string::npos) << outcome.reason;
}

TEST(Complaint, IsNoneWhereKvmPromisesNothing) {
  for (const bool reaches : {true, false}) {
    const auto outcome =
        run({.of_access = "WARNING: at tdp_mmu.c:1", .four_level_ept = !reaches}, beyond_48_bits());
    EXPECT_EQ(outcome.verdict, reaches ? Verdict::fail : Verdict::no_verdict) << outcome.reason;
    EXPECT_EQ(outcome.undecided, !reaches);
  }
  const auto left = run({.at_end = "leak: 1 pages", .of_access = "WARNING", .four_level_ept = true},
                        beyond_48_bits());
  EXPECT_EQ(left.verdict, Verdict::no_verdict) << "what is left over follows from it";
}

TEST(Complaint, InTheLogOfABootedKernelIsFoundWhateverTheModelSays) {
  std::vector<std::unique_ptr<Engine>> engines;
  engines.push_back(std::make_unique<FakeKernel>(
      FakeKernel::Words{.of_access = "WARNING: at tdp_mmu.c:1", .four_level_ept = true}));
  const auto outcome = Lockstep(std::move(engines), machine_models()).run(beyond_48_bits());
  EXPECT_EQ(outcome.verdict, Verdict::fail) << outcome.reason;
}

TEST(Complaint, AtTheEndIsFoundToo) {
  const auto outcome = run({.in_block = {}, .at_end = "leak: 1 pages"});
  EXPECT_EQ(outcome.verdict, Verdict::fail) << outcome.reason;
  EXPECT_FALSE(outcome.undecided);
  EXPECT_TRUE(outcome.reason.empty());
  ASSERT_TRUE(outcome.finding);
  EXPECT_EQ(outcome.finding->kind, FindingKind::teardown);
}

}  // namespace
}  // namespace lockstep::props
