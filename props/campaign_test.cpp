// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/campaign.h"

#include <gtest/gtest.h>

#include <unistd.h>
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "props/tester.h"
#include "props/toy_test_engine.h"

namespace lockstep::props {
namespace {

using toy::Bug;

class CampaignTest : public ::testing::Test {
 protected:
  CampaignTest() {
    failures_ =
        std::filesystem::temp_directory_path() / ("lockstep-campaign-" + std::to_string(getpid()));
    options_.failures = failures_;
    options_.models = toy::models();
    options_.budget = std::chrono::seconds(30);
    options_.shrink_budget = std::chrono::seconds(60);
    options_.case_deadline = std::chrono::milliseconds(2'000);
    options_.max_cases = 400;
    options_.max_findings = 1;
    options_.canary = false;
  }
  ~CampaignTest() override { std::filesystem::remove_all(failures_); }

  CampaignResult run(std::map<std::string, Bug> bugs) {
    options_.engines.clear();
    for (const auto& [name, bug] : bugs) options_.engines.push_back(name);
    options_.factory = toy::factory(std::move(bugs));
    return run_campaign(options_);
  }

  static Program load(const std::filesystem::path& path) {
    std::ifstream in(path);
    std::stringstream text;
    text << in.rdbuf();
    const auto program = parse(text.str());
    EXPECT_TRUE(program.has_value()) << text.str();
    return program ? *program : Program{};
  }

  Outcome replay(std::span<const Program> programs) {
    TesterSetup setup;
    setup.engines = options_.engines;
    setup.factory = options_.factory;
    setup.models = options_.models;
    setup.deadline = options_.case_deadline;
    return Tester(std::move(setup)).run(programs);
  }

  std::filesystem::path failures_;
  CampaignOptions options_;
};

TEST_F(CampaignTest, HealthyEnginesPass) {
  options_.canary = true;
  const auto result = run({{"a", Bug::none}, {"b", Bug::none}});
  EXPECT_EQ(result.verdict, Verdict::pass) << result.reason;
  EXPECT_TRUE(result.canary.found);
  EXPECT_EQ(result.cases, 400u);
  EXPECT_EQ(result.discards, 0u) << result.first_discard;
  EXPECT_EQ(result.engines[0].cases, 400u);
  EXPECT_GT(result.engines[0].commands, 4'000u);
  EXPECT_GT(result.engines[0].reached.at("access read"), 0u);
  // The toy never sends an access to user space.
  const auto& never = result.engines[0].never_reached;
  EXPECT_NE(std::find(never.begin(), never.end(), "mmio read"), never.end());
  EXPECT_FALSE(std::filesystem::exists(failures_));
}

TEST_F(CampaignTest, SeededBugIsFoundShrunkSavedAndFailsAgain) {
  std::size_t announced = 0;
  bool unshrunk_first = false;
  options_.found = [&](const CampaignFinding& finding) {
    if (announced++ == 0) unshrunk_first = !finding.shrunk && std::filesystem::exists(finding.path);
  };
  const auto result = run({{"a", Bug::none}, {"b", Bug::stale_after_invlpg}});
  EXPECT_EQ(result.verdict, Verdict::fail);
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& finding = result.findings[0];
  EXPECT_TRUE(unshrunk_first);
  EXPECT_EQ(announced, 2u);
  EXPECT_EQ(finding.finding.engine, "b");
  EXPECT_TRUE(finding.shrunk);
  EXPECT_TRUE(finding.confirmed);
  // Least: one INVLPG, one read.
  EXPECT_EQ(finding.program.steps.size(), 2u) << print(finding.program);
  const auto saved = load(finding.path);
  EXPECT_EQ(saved, finding.program);
  EXPECT_EQ(saved.steps.back().expected, (Observation{Value{0}}));
  EXPECT_EQ(replay({&saved, 1}).verdict, Verdict::fail);
}

TEST_F(CampaignTest, ACrashIsAFindingWithItsProgram) {
  const auto result = run({{"a", Bug::crash}});
  ASSERT_EQ(result.findings.size(), 1u) << result.reason;
  const auto& finding = result.findings[0];
  EXPECT_EQ(finding.finding.kind, FindingKind::crash);
  EXPECT_EQ(finding.finding.engine, "a");
  EXPECT_EQ(finding.finding.title, "fetch: died by exit status 42");
  EXPECT_TRUE(finding.confirmed);
  EXPECT_EQ(finding.program.steps.size(), 1u) << print(finding.program);
}

TEST_F(CampaignTest, AHangIsAFindingWithItsProgram) {
  options_.shrink_budget = std::chrono::seconds(5);
  for (const auto& [bug, deadline] : {std::pair{Bug::spin, 500}, std::pair{Bug::hang, 200}}) {
    options_.case_deadline = std::chrono::milliseconds(deadline);
    const auto result = run({{"a", bug}});
    ASSERT_EQ(result.findings.size(), 1u) << result.reason;
    const auto& finding = result.findings[0];
    EXPECT_EQ(finding.finding.kind, FindingKind::hang);
    EXPECT_EQ(finding.finding.command_kind, "fetch");
    EXPECT_TRUE(std::filesystem::exists(finding.path));
  }
}

TEST_F(CampaignTest, AWorkerThatWasNotScheduledHasNotHung) {
  options_.case_deadline = std::chrono::milliseconds(200);
  const auto result = run({{"a", Bug::waits}, {"b", Bug::none}});
  EXPECT_EQ(result.verdict, Verdict::pass) << result.reason;
}

TEST_F(CampaignTest, AFailureThatVanishesSavesTheSequence) {
  const auto result = run({{"a", Bug::lingers}});
  ASSERT_EQ(result.findings.size(), 1u) << result.reason;
  const auto& finding = result.findings[0];
  // Three programs that wrote; one more if the failing one reads first.
  EXPECT_GE(finding.sequence, 3u);
  EXPECT_LE(finding.sequence, 4u);
  EXPECT_TRUE(finding.confirmed);
  EXPECT_NE(finding.finding.detail.find("not on a fresh VM"), std::string::npos);
  ASSERT_TRUE(std::filesystem::is_directory(finding.path));
  std::vector<Program> programs;
  for (std::size_t i = 1; i <= finding.sequence; ++i) {
    programs.push_back(load(finding.path / ("00" + std::to_string(i) + ".lockstep")));
  }
  EXPECT_EQ(replay(programs).verdict, Verdict::fail);
  EXPECT_EQ(replay({&programs.back(), 1}).verdict, Verdict::pass);
}

TEST_F(CampaignTest, AnEngineThatCannotRunIsNoVerdict) {
  options_.engines = {"a", "missing"};
  options_.factory = toy::factory({{"a", Bug::none}});
  const auto result = run_campaign(options_);
  EXPECT_EQ(result.verdict, Verdict::no_verdict);
  EXPECT_NE(result.reason.find("missing: no such toy"), std::string::npos);
  EXPECT_EQ(result.gave_up, "missing");
}

TEST_F(CampaignTest, OnlyACrashOfItsOwnNamesTheEngineThatOpened) {
  for (const int signal : {SIGSEGV, SIGKILL}) {
    options_.engines = {"a", "dies"};
    options_.factory = [good = toy::factory({{"a", Bug::none}}), signal](std::string_view name,
                                                                         std::uint64_t seed) {
      if (name == "dies") {
        (void)std::signal(SIGSEGV, SIG_DFL);
        (void)std::raise(signal);
      }
      return good(name, seed);
    };
    const auto result = run_campaign(options_);
    EXPECT_EQ(result.verdict, Verdict::no_verdict);
    EXPECT_EQ(result.gave_up, signal == SIGSEGV ? "dies" : "") << result.reason;
  }
}

TEST_F(CampaignTest, AnEngineThatBreaksIsNoVerdict) {
  const auto result = run({{"a", Bug::error}});
  EXPECT_EQ(result.verdict, Verdict::no_verdict);
  EXPECT_NE(result.reason.find("out of toys"), std::string::npos);
  EXPECT_EQ(result.gave_up, "a");
}

TEST_F(CampaignTest, AnEngineThatSkipsAllIsNoVerdict) {
  options_.engines = {"a", "b"};
  options_.factory = [](std::string_view name, std::uint64_t) -> Result<std::unique_ptr<Engine>> {
    Features missing;
    if (name == "b") missing.set();
    return std::make_unique<toy::ToyEngine>(std::string(name), Bug::none, missing);
  };
  const auto result = run_campaign(options_);
  EXPECT_EQ(result.verdict, Verdict::no_verdict);
  EXPECT_NE(result.reason.find("b ran nothing"), std::string::npos) << result.reason;
}

TEST_F(CampaignTest, TooManyDiscardsAreNoPass) {
  options_.engines = {"a"};
  options_.factory = [](std::string_view name, std::uint64_t) -> Result<std::unique_ptr<Engine>> {
    Features missing;
    missing.set();
    return std::make_unique<toy::ToyEngine>(std::string(name), Bug::none, missing);
  };
  const auto result = run_campaign(options_);
  EXPECT_EQ(result.verdict, Verdict::no_verdict);
  EXPECT_EQ(result.discards, 400u);
  EXPECT_NE(result.reason.find("400 of 400 cases discarded"), std::string::npos) << result.reason;
}

TEST_F(CampaignTest, ACanaryThatSurvivesIsNoVerdict) {
  // A judge that admits everything cannot see a lie.
  class Blind final : public Model {
   public:
    spec::Judgement judge(const Command&, const Observation&) override { return {}; }
    std::vector<Observation> admitted(const Command&) const override { return {Done{}}; }
    std::string explain(const Command&) const override { return {}; }
    const std::array<std::uint64_t, spec::looseness_count>& looseness_used() const override {
      return none_;
    }

   private:
    std::array<std::uint64_t, spec::looseness_count> none_{};
  };
  options_.canary = true;
  options_.models = [](const Configuration&, const Platform&) -> std::unique_ptr<Model> {
    return std::make_unique<Blind>();
  };
  const auto result = run({{"a", Bug::none}});
  EXPECT_EQ(result.verdict, Verdict::no_verdict);
  EXPECT_FALSE(result.canary.found);
  EXPECT_NE(result.reason.find("canary"), std::string::npos);
}

TEST_F(CampaignTest, StoppingKeepsWhatWasFound) {
  std::atomic<bool> stop{false};
  options_.stop = &stop;
  options_.max_cases = 0;
  options_.max_findings = 8;
  options_.found = [&](const CampaignFinding&) { stop.store(true); };
  const auto result = run({{"a", Bug::stale_after_invlpg}});
  EXPECT_TRUE(result.interrupted);
  EXPECT_EQ(result.verdict, Verdict::fail);
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_TRUE(std::filesystem::exists(result.findings[0].path));
  EXPECT_LT(result.seconds, 20.0);
}

TEST_F(CampaignTest, StoppingWithoutAFindingIsNoVerdict) {
  std::atomic<bool> stop{false};
  options_.stop = &stop;
  options_.max_cases = 0;
  options_.progress = [&](const Progress& progress) {
    if (progress.cases > 50) stop.store(true);
  };
  const auto result = run({{"a", Bug::none}});
  EXPECT_TRUE(result.interrupted);
  EXPECT_EQ(result.verdict, Verdict::no_verdict);
}

TEST_F(CampaignTest, WorkersShareTheCases) {
  options_.jobs = 3;
  const auto result = run({{"a", Bug::none}});
  EXPECT_EQ(result.verdict, Verdict::pass) << result.reason;
  EXPECT_EQ(result.cases, 400u);
}

TEST_F(CampaignTest, ARepeatedFailureIsOneFinding) {
  options_.max_findings = 8;
  options_.max_cases = 200;
  options_.shrink_budget = std::chrono::milliseconds(1);
  const auto result = run({{"a", Bug::stale_after_invlpg}});
  ASSERT_EQ(result.findings.size(), 1u);
  EXPECT_GT(result.findings[0].times, 1u);
}

TEST(Campaign, WrongNamesAreInputErrors) {
  CampaignOptions options;
  options.engines = {"spec", "kmv"};
  const auto result = run_campaign(options);
  EXPECT_EQ(result.verdict, Verdict::input_error);
  EXPECT_NE(result.reason.find("did you mean 'kvm'?"), std::string::npos) << result.reason;
  options.engines = {"spec", "spec"};
  EXPECT_EQ(run_campaign(options).verdict, Verdict::input_error);
}

}  // namespace
}  // namespace lockstep::props
