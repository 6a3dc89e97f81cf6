// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/boot.h"

#include <gtest/gtest.h>

#include "jobs/review/report.h"
#include "jobs/review/review.h"
#include "props/model.h"
#include "props/spec_engine.h"
#include "spec/engine_insides.h"

namespace lockstep::jobs::review {
namespace {

constexpr const char* report_text = "WARNING: CPU: 0 PID: 1 at mmu.c:1 f+0x1/0x2 [kvm]";

/// What a booted kernel does wrong, at the first deletion of a slot.
enum class Fault { none, splat, once, stall, silent_death, leak, stays, no_start, no_start_once };

/// The model's own answers, but for the fault.
class FakeKernel final : public Engine, public HasKernelLog {
 public:
  FakeKernel(std::string_view name, Fault fault, unsigned* count)
      : name_(name), fault_(fault), count_(count), inner_(1, props::machine_models()) {}
  std::string_view name() const override { return name_; }
  const Platform& platform() const override { return inner_.platform(); }
  Result<void> begin(const Configuration& configuration, bool fresh) override {
    splat_.clear();
    return inner_.begin(configuration, fresh);
  }
  Result<Observation> execute(const Command& command) override {
    const bool quiet = fault_ == Fault::none || fault_ == Fault::leak || fault_ == Fault::stays ||
                       !std::holds_alternative<SlotDelete>(command);
    if (quiet || (fault_ != Fault::splat && ++*count_ > 1 && fault_ != Fault::silent_death)) {
      return inner_.execute(command);
    }
    if (fault_ == Fault::silent_death) return tl::unexpected(EngineError{"no answer"});
    splat_ = fault_ == Fault::stall ? "INFO: rcu: self-detected stall" : report_text;
    return Unexpected{"WARNING at mmu.c:1 f"};
  }
  Result<Observation> end() override { return inner_.end(); }
  const std::map<std::string, std::uint64_t>& reached() const override { return reached_; }
  std::string complaint() const override { return splat_; }
  Result<Observation> tear_down() override {
    if (fault_ == Fault::stays) {
      return tl::unexpected(EngineError{"delete_module kvm: Resource temporarily unavailable"});
    }
    if (fault_ != Fault::leak) return Done{};
    splat_ = "BUG pte_list_desc: Objects remaining";
    return Unexpected{"Objects remaining in pte_list_desc"};
  }

 private:
  std::string name_;
  Fault fault_;
  unsigned* count_;
  props::SpecEngine inner_;
  std::string splat_;
  std::map<std::string, std::uint64_t> reached_{{"access pf_fixed", 3}};
};

NamedProgram deletes_a_slot() {
  NamedProgram made{"deletes", {}};
  made.program.steps = {{SlotAdd{.id = 1, .size = 0x1000}, {}, {}, {}},
                        {SlotDelete{.id = 1}, {}, {}, {}}};
  return made;
}

struct Booted {
  BootReport report;
  std::vector<ReviewFinding> findings;
  unsigned deaths = 0;
};

/// `base` and `patched` fail so in the mode npt=0, and are well in the others.
Booted run(Fault base, Fault patched) {
  Booted booted;
  booted.report.asked = true;
  BootOptions options;
  options.programs = {deletes_a_slot()};
  booted.findings = run_booted(
      options,
      [&](hw::QemuMode mode, std::string_view name) -> Result<std::unique_ptr<Engine>> {
        const auto fault = mode != hw::QemuMode::shadow      ? Fault::none
                           : name == Workbench::patched_name ? patched
                                                             : base;
        const bool falls = fault == Fault::no_start || fault == Fault::no_start_once;
        if (falls && (++booted.deaths == 1 || fault == Fault::no_start)) {
          return tl::unexpected(EngineError{"kvm.ko does not load"});
        }
        return std::make_unique<FakeKernel>(name, falls ? Fault::none : fault, &booted.deaths);
      },
      booted.report);
  return booted;
}

TEST(Boot, EveryModeRunsEveryProgram) {
  const auto booted = run(Fault::none, Fault::none);
  EXPECT_TRUE(booted.findings.empty());
  ASSERT_EQ(booted.report.modes.size(), 3U);
  EXPECT_EQ(booted.report.modes[0].parameters, "npt=1");
  EXPECT_EQ(booted.report.modes[1].parameters, "npt=1 tdp_mmu=0");
  EXPECT_EQ(booted.report.modes[2].parameters, "npt=0");
  for (const auto& mode : booted.report.modes) EXPECT_EQ(mode.programs, 1U);
  EXPECT_NE(text_of(booted.report).find("npt=0            1 programs, 0 skipped, 3 faults fixed"),
            std::string::npos)
      << text_of(booted.report);
}

TEST(Boot, ASplatOfThePatchedKernelAloneIsAFindingThatQuotesIt) {
  const auto booted = run(Fault::none, Fault::splat);
  ASSERT_EQ(booted.findings.size(), 1U);
  const auto& finding = booted.findings[0];
  EXPECT_EQ(finding.kind, ReviewFinding::Kind::splat);
  EXPECT_EQ(finding.title, "slot delete: WARNING at mmu.c:1 f (booted, npt=0)");
  EXPECT_NE(finding.detail.find(report_text), std::string::npos) << finding.detail;
  EXPECT_NE(finding.detail.find("program deletes"), std::string::npos);
}

// Other programs may have led to it: the kernel said it for a reason.
TEST(Boot, ASplatThatTheProgramAloneDoesNotShowIsAFindingThatSaysSo) {
  const auto booted = run(Fault::none, Fault::once);
  ASSERT_EQ(booted.findings.size(), 1U);
  EXPECT_NE(booted.findings[0].detail.find("not seen when it ran alone"), std::string::npos);
  const auto again = run(Fault::none, Fault::splat);
  EXPECT_EQ(again.findings[0].detail.find("not seen"), std::string::npos);
}

TEST(Boot, AStallThatIsNotSeenAgainMayBeTheMachines) {
  const auto booted = run(Fault::none, Fault::stall);
  EXPECT_TRUE(booted.findings.empty());
  EXPECT_EQ(booted.report.modes[2].unconfirmed, "slot delete: WARNING at mmu.c:1 f");
  EXPECT_NE(text_of(booted.report).find("not seen again, so no finding"), std::string::npos);
}

TEST(Boot, WhatIsLeftBehindIsTold) {
  const auto booted = run(Fault::none, Fault::leak);
  ASSERT_EQ(booted.findings.size(), 1U);
  EXPECT_EQ(booted.findings[0].title,
            "modules out: Objects remaining in pte_list_desc (booted, npt=0)");
  EXPECT_NE(booted.findings[0].detail.find("BUG pte_list_desc"), std::string::npos);
  const auto both = run(Fault::leak, Fault::leak);
  EXPECT_TRUE(both.findings.empty());
  EXPECT_EQ(both.report.modes[2].base_fails, 1U);
  EXPECT_TRUE(both.report.modes[2].torn_down);
}

TEST(Boot, AModuleThatThePatchAloneKeepsInUseIsAFinding) {
  const auto booted = run(Fault::none, Fault::stays);
  ASSERT_EQ(booted.findings.size(), 1U);
  EXPECT_NE(booted.findings[0].title.find("delete_module kvm"), std::string::npos);
  // The base's own trouble says nothing of the patch, and is no pass.
  const auto both = run(Fault::stays, Fault::stays);
  EXPECT_TRUE(both.findings.empty());
  EXPECT_NE(both.report.modes[2].broken.find("delete_module"), std::string::npos);
}

TEST(Boot, AKernelThatDoesNotStartTwiceIsAFinding) {
  const auto booted = run(Fault::none, Fault::no_start);
  ASSERT_EQ(booted.findings.size(), 1U);
  EXPECT_EQ(booted.findings[0].title, "KVM does not start with npt=0, the base does");
  // Once, it may be the machine.
  const auto once = run(Fault::none, Fault::no_start_once);
  EXPECT_TRUE(once.findings.empty());
  EXPECT_EQ(once.report.modes[2].programs, 1U);
}

TEST(Boot, WhatTheBaseReportsTooIsNoFinding) {
  const auto booted = run(Fault::splat, Fault::splat);
  EXPECT_TRUE(booted.findings.empty());
  EXPECT_EQ(booted.report.modes[2].base_fails, 1U);
  EXPECT_EQ(booted.report.modes[2].base_finding, "slot delete: WARNING at mmu.c:1 f");
}

TEST(Boot, AKernelThatDoesNotAnswerIsTriedAgainAndNeverAPass) {
  const auto booted = run(Fault::none, Fault::silent_death);
  EXPECT_TRUE(booted.findings.empty());
  EXPECT_EQ(booted.deaths, 2U);
  EXPECT_NE(booted.report.modes[2].broken.find("no answer"), std::string::npos);
  ReviewReport report;
  PatchReport row;
  row.tried = row.step.applies = row.relevant = true;
  row.compiles = true;
  row.programs = 10;
  row.reach.code = row.reach.reached = {{"arch/x86/kvm/mmu/mmu.c", 11, false}};
  report.patches.push_back(row);
  EXPECT_EQ(verdict_of(report), props::Verdict::pass);
  report.patches[0].boot = booted.report;
  EXPECT_EQ(verdict_of(report), props::Verdict::no_verdict);
  EXPECT_NE(reason_of(report).find("not booted: npt=0"), std::string::npos) << reason_of(report);
  report.patches[0].boot = {};
  report.patches[0].boot.asked = true;
  report.patches[0].boot.not_run = "QEMU is not installed";
  EXPECT_EQ(verdict_of(report), props::Verdict::no_verdict);
}

TEST(Boot, ProgramsForSeveralHostsRunOnce) {
  auto one = deletes_a_slot();
  auto other = one;
  one.name = "a.lockstep (amd)";
  other.name = "a.lockstep (intel)";
  other.program.configuration.host.vendor = Vendor::intel;
  const auto plain = without_hosts({one, other});
  ASSERT_EQ(plain.size(), 1U);
  EXPECT_EQ(plain[0].name, "a.lockstep");
}

}  // namespace
}  // namespace lockstep::jobs::review
