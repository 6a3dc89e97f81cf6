// SPDX-License-Identifier: GPL-2.0-or-later
/// What the verb `prove` makes of results, and that a broken rule is named.
#include "jobs/prove.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "smt/second_solver.h"

namespace lockstep::jobs {
namespace {

namespace fs = std::filesystem;
using smt::Formula;
using smt::Result;
using smt::Side;

const smt::Word x = smt::Word::variable("x");

template <typename P>
struct Small {
  static smt::FormulaOf<P> formula(Side side, std::uint64_t end) {
    const typename P::Word x = P::word("x");
    const typename P::Word bound = side == Side::true_rule ? end : 9;
    return {.precondition = x < bound,
            .claim = side == Side::true_rule ? x != 7 : x != 8,
            .shown = {{"x", x}}};
  }
};
/// The twin's numbers say that x is below 8: no counterexample of theirs.
template <typename P>
struct Disagreeing : Small<P> {
  static smt::FormulaOf<P> formula(Side side, std::uint64_t end) {
    auto formula = Small<P>::formula(side, end);
    if (std::is_same_v<P, smt::Concrete>) formula.claim = true;
    return formula;
  }
};

template <template <typename> typename Text>
smt::FormulaBody both(std::uint64_t end) {
  return {[end](Side side) { return Text<smt::Symbolic>::formula(side, end); },
          [end](Side side) { return Text<smt::Concrete>::formula(side, end); }};
}

/// "x is not 7", or in the twin "x is not 8", of numbers below `end`.
smt::Theorem small(std::string name, std::uint64_t end, std::string program = "") {
  smt::Theorem theorem;
  theorem.name = std::move(name);
  theorem.statement = "a small number is not 7";
  theorem.twin = "speaks of 8";
  theorem.body = both<Small>(end);
  if (!program.empty()) {
    theorem.program = [program](const smt::Assignment&) { return program; };
  }
  return theorem;
}

class Prove : public testing::Test {
 protected:
  void SetUp() override {
    if (smt::solver_version().empty()) GTEST_SKIP() << "built without " << smt::solver_package;
    folder_ = fs::temp_directory_path() / ("lockstep-prove-test-" + std::to_string(getpid()));
    options_.failures = folder_ / "failures";
    options_.second_opinion = false;
  }
  void TearDown() override {
    std::error_code error;
    fs::remove_all(folder_, error);
  }
  ProveReport run(std::vector<smt::Theorem> theorems) {
    options_.theorems = std::move(theorems);
    auto report = prove(options_);
    EXPECT_TRUE(report) << report.error();
    return report ? *report : ProveReport{};
  }

  fs::path folder_;
  ProveOptions options_;
};

constexpr auto passing =
    "lockstep 1\ntitle  a page\nconfig paging=4-level\nslot 0 add gpa=0x0 size=0x400000\n"
    "map 0x0 gpa=0x200000 rwxu\nv0 cpl3 read 0x0 -> value 0xcccccc00000200b8\n";
constexpr auto failing =
    "lockstep 1\ntitle  a page\nconfig paging=4-level\nslot 0 add gpa=0x0 size=0x400000\n"
    "map 0x0 gpa=0x200000 rwxu\nv0 cpl3 read 0x0 -> value 0x1\n";

TEST_F(Prove, PassesIfTheRuleHoldsAndTheTwinDoesNot) {
  const auto report = run({small("holds", 7, passing)});
  EXPECT_EQ(verdict_of(report), props::Verdict::pass) << reason_of(report);
  ASSERT_EQ(report.rows.size(), 1u);
  EXPECT_EQ(report.rows[0].twin.program.verdict, props::Verdict::pass);
  EXPECT_EQ(report.rows[0].twin.proof.story, std::vector<std::string>{"x = 0x8"});
}

TEST_F(Prove, FailsAndNamesARefutedTheorem) {
  const auto report = run({small("holds", 7), small("does-not-hold", 8, failing)});
  EXPECT_EQ(verdict_of(report), props::Verdict::fail);
  EXPECT_EQ(reason_of(report), "does-not-hold: refuted");
  const auto text = text_row(report.rows[1]) + text_details(report.rows[1]);
  EXPECT_TRUE(text.starts_with(">> does-not-hold")) << text;
  EXPECT_NE(text.find("x = 0x7"), text.npos) << text;
  EXPECT_NE(text.find("replayed on spec and impl: FAIL"), text.npos) << text;
  EXPECT_TRUE(fs::exists(folder_ / "failures/does-not-hold.lockstep"));
  EXPECT_EQ(json_findings(report).size(), 1u);
}

TEST_F(Prove, FailsIfATwinIsNotRefuted) {
  auto theorem = small("weak", 7);
  theorem.body = smt::FormulaBody{
      [](Side) -> Formula { return {.precondition = x < 7, .claim = x < 8, .shown = {}}; }, {}};
  const auto report = run({theorem});
  EXPECT_EQ(verdict_of(report), props::Verdict::fail);
  EXPECT_EQ(reason_of(report), "weak: its twin is proved");
}

TEST_F(Prove, FailsIfTheProgramOfATwinDoesNotPass) {
  for (const char* program : {failing, "lockstep 1\nnonsense\n"}) {
    const auto report = run({small("holds", 7, program)});
    EXPECT_EQ(verdict_of(report), props::Verdict::fail);
    EXPECT_EQ(reason_of(report), "holds: the program of its twin does not pass");
  }
}

TEST_F(Prove, SaysThatAProgramDoesNotShowARefutedRule) {
  const auto report = run({small("does-not-hold", 8, passing)});
  EXPECT_EQ(verdict_of(report), props::Verdict::fail);
  const auto text = text_details(report.rows[0]);
  EXPECT_NE(text.find("the program does not show it"), text.npos) << text;
  const auto shows = run({small("does-not-hold", 8, failing)});
  EXPECT_EQ(text_details(shows.rows[0]).find("the program does not show it"), std::string::npos);
}

TEST_F(Prove, SaysThatAProgramIsNotOfTheNumbers) {
  auto scenario = small("scenario", 7, passing);
  scenario.scenario = true;
  const auto report = run({scenario, small("numbers", 7, passing), small("without", 7)});
  EXPECT_EQ(verdict_of(report), props::Verdict::pass) << reason_of(report);
  constexpr auto said = "a program on the same rule, not of these numbers";
  EXPECT_NE(text_twin(report.rows[0]).find(said), std::string::npos);
  EXPECT_EQ(text_twin(report.rows[1]).find(said), std::string::npos);
  const auto summary = text_summary(report);
  EXPECT_NE(summary.find("programs that spec and impl pass: 1 of the numbers, 1 on the same rule"),
            summary.npos)
      << summary;
  EXPECT_EQ(json_rows(report)[0]["scenario"], true);
}

TEST_F(Prove, ExecutesTheCounterexampleOfATwin) {
  const auto report = run({small("holds", 7)});
  const auto& execution = report.rows[0].twin.execution;
  EXPECT_EQ(execution.kind, smt::Execution::Kind::formula);
  EXPECT_TRUE(execution.refutes);
  EXPECT_EQ(execution.text, std::vector<std::string>{"x = 0x8"});
  EXPECT_NE(text_twin(report.rows[0]).find("executed on these numbers: the claim is false"),
            std::string::npos);
  EXPECT_EQ(json_rows(report)[0]["twin"]["executed"], "formula");
}

TEST_F(Prove, FailsIfACounterexampleIsNoneWhenExecuted) {
  auto theorem = small("holds", 7);
  theorem.body = both<Disagreeing>(7);
  const auto report = run({theorem});
  EXPECT_EQ(verdict_of(report), props::Verdict::fail);
  EXPECT_EQ(reason_of(report), "holds: its twin's counterexample is none when executed");
  EXPECT_EQ(json_rows(report)[0]["twin"]["executed"], nullptr);
}

TEST_F(Prove, IsNoVerdictIfNothingWasClaimed) {
  const auto report = run({small("vacuous", 0)});
  EXPECT_EQ(report.rows[0].rule.proof.result, Result::vacuous);
  EXPECT_EQ(verdict_of(report), props::Verdict::no_verdict);
}

TEST_F(Prove, IsNoVerdictIfTimeRunsOut) {
  options_.limits.time = std::chrono::milliseconds(1);
  const auto report = run({small("holds", 7)});
  EXPECT_EQ(verdict_of(report), props::Verdict::no_verdict);
  EXPECT_EQ(reason_of(report), "holds: timeout: no answer on the precondition in time");
}

TEST_F(Prove, IsNoVerdictIfAReplayDoesNotEnd) {
  options_.replay_limit = std::chrono::milliseconds(0);
  const auto report = run({small("holds", 7, passing)});
  EXPECT_EQ(report.rows[0].rule.proof.result, Result::proved);
  EXPECT_EQ(verdict_of(report), props::Verdict::no_verdict);
  EXPECT_EQ(reason_of(report), "holds: the replay: the replay ran out of time");
  EXPECT_TRUE(json_findings(report).empty());
}

TEST_F(Prove, IsNoVerdictIfAReplayWithTheDefectDoesNotEnd) {
  auto report = run({small("holds", 7, passing)});
  auto& replay = report.rows[0].twin.replay;
  replay = {.kind = ReplayKind::program,
            .with = "impl, defect any",
            .shows = true,
            .mended = false,
            .undecided = true,
            .reason = {},
            .text = {},
            .path = {},
            .command = {},
            .shown = "the replay ran out of time"};
  EXPECT_EQ(verdict_of(report), props::Verdict::no_verdict);
  EXPECT_EQ(reason_of(report), "holds: the replay with the defect: the replay ran out of time");
  replay.undecided = false;
  EXPECT_EQ(verdict_of(report), props::Verdict::fail);
}

TEST(DefectReplay, AnEndWithoutVerdictIsNone) {
  const auto ends = [](const char* program, DefectReplayOptions options) {
    options.mutants = program;
    return replay_with_defect("lockstep 1\n", "any", options);
  };
  EXPECT_TRUE(ends("/bin/true", {}).passes);
  EXPECT_TRUE(ends("/bin/false", {}).fails);
  EXPECT_TRUE(ends("/nowhere", {}).undecided);
  DefectReplayOptions none;
  none.limit = std::chrono::milliseconds(0);
  const auto late = ends("/bin/true", none);
  EXPECT_TRUE(late.undecided);
  EXPECT_EQ(late.shown, "the replay ran out of time");
}

TEST_F(Prove, ReplaysProgramsOnOtherEngines) {
  options_.engines = {"impl"};
  options_.engines_asked = true;
  const auto report = run({small("holds", 7, passing)});
  EXPECT_EQ(verdict_of(report), props::Verdict::pass) << reason_of(report);
  EXPECT_NE(text_summary(report).find("  on impl: 1 pass, 0 FAIL, 0 not comparable"),
            std::string::npos);
  EXPECT_NE(text_twin(report.rows[0]).find("replayed on impl: pass"), std::string::npos);
  EXPECT_EQ(json_rows(report)[0]["twin"]["engines"][0]["replay"], "pass");
}

/// KVM may answer otherwise than the manual where the model admits it.
TEST_F(Prove, OtherEnginesAreJudgedByTheModelAlone) {
  options_.engines = {"impl"};
  const auto report = run({small("holds", 7, failing)});
  EXPECT_EQ(report.rows[0].twin.program.verdict, props::Verdict::fail);
  ASSERT_EQ(report.rows[0].twin.program.others.size(), 1u);
  EXPECT_EQ(report.rows[0].twin.program.others[0].verdict, props::Verdict::pass);
}

TEST_F(Prove, IsNoVerdictIfAnEngineThatWasAskedForCannotRun) {
  options_.engines = {"hosted:/nowhere"};
  auto report = run({small("holds", 7, passing)});
  EXPECT_EQ(verdict_of(report), props::Verdict::pass) << "nobody asked for it";
  EXPECT_NE(text_summary(report).find("0 pass, 0 FAIL, 1 not comparable"), std::string::npos);
  options_.engines_asked = true;
  report = run({small("holds", 7, passing)});
  EXPECT_EQ(verdict_of(report), props::Verdict::no_verdict);
  EXPECT_TRUE(reason_of(report).starts_with("hosted:/nowhere: ")) << reason_of(report);
}

TEST_F(Prove, FailsIfAnotherEngineContradictsTheProgram) {
  auto report = run({small("holds", 7, passing)});
  report.rows[0].twin.program.others = {{"kvm", props::Verdict::fail, "read 0x1"}};
  EXPECT_EQ(verdict_of(report), props::Verdict::fail);
  EXPECT_EQ(reason_of(report), "holds: the program of its twin does not pass");
  EXPECT_NE(text_details(report.rows[0]).find("replayed on kvm: FAIL"), std::string::npos);
}

TEST_F(Prove, ReportsWhatSpeaksOfAMachineOfFixedSizeAsBounded) {
  auto theorem = small("holds", 7);
  theorem.bound = 1;
  const auto report = run({theorem});
  EXPECT_EQ(verdict_of(report), props::Verdict::pass) << reason_of(report);
  EXPECT_NE(text_row(report.rows[0]).find("bounded(1)"), std::string::npos);
  EXPECT_EQ(json_rows(report)[0]["bound"], 1);
  EXPECT_NE(text_summary(report).find("0 proved, 1 bounded"), std::string::npos);
}

TEST_F(Prove, NamesWhatTheSecondSolverDidNotDecide) {
  auto report = run({small("holds", 7)});
  report.second_solver = "/usr/bin/cvc5";
  report.second_wanted = true;
  report.rows[0].unconfirmed = 1;
  EXPECT_NE(text_summary(report).find("no second opinion: holds"), std::string::npos);
}

TEST_F(Prove, DumpsEveryQueryForOtherSolvers) {
  options_.dump = folder_ / "dump";
  run({small("holds", 7)});
  for (const char* query : {"precondition", "claim", "twin"}) {
    const auto path = options_.dump / ("holds." + std::string(query) + ".smt2");
    std::ifstream file(path);
    std::string first;
    std::getline(file, first);
    EXPECT_EQ(first, "; Theorem holds: a small number is not 7") << path;
  }
}

TEST_F(Prove, AsksTheSecondSolver) {
  if (smt::second_solver_path().empty()) GTEST_SKIP() << "no cvc5";
  options_.second_opinion = true;
  const auto report = run({small("holds", 7)});
  EXPECT_EQ(report.rows[0].agreed, 1u);
  EXPECT_NE(text_summary(report).find("cvc5: 1 of 1 unsatisfiable answers confirmed"),
            std::string::npos);
}

TEST(ProveReport, SaysWhichPackageIsMissing) {
  ProveReport report;
  report.asked = 2;
  TheoremRow row;
  row.theorem.name = "any";
  row.rule.proof.absent = true;
  row.rule.proof.reason = "built without Z3: install libz3-dev";
  report.rows.push_back(row);
  EXPECT_EQ(verdict_of(report), props::Verdict::no_verdict);
  EXPECT_EQ(reason_of(report), "built without Z3: install libz3-dev");
}

TEST(ProveReport, ContradictionIsNoVerdict) {
  ProveReport report;
  report.asked = 1;
  report.solver = "Z3 4";
  TheoremRow row;
  row.theorem.name = "any";
  row.rule.proof.result = Result::proved;
  row.twin.proof.result = Result::refuted;
  row.contradicted = true;
  report.rows.push_back(row);
  EXPECT_EQ(verdict_of(report), props::Verdict::no_verdict);
  EXPECT_EQ(reason_of(report), "any: cvc5 contradicts Z3 4");
}

/// Whoever asked for a second opinion and got none, for no limit's sake, has no proof yet.
TEST(ProveReport, ASecondSolverThatDiesIsNoVerdict) {
  ProveReport report;
  report.asked = 1;
  TheoremRow row;
  row.theorem.name = "any";
  row.rule.proof.result = Result::proved;
  row.twin.proof.result = Result::refuted;
  row.twin.execution.refutes = true;
  row.twin.replay.kind = ReplayKind::function;
  row.twin.replay.shows = row.twin.replay.mended = true;
  row.unconfirmed = 1;
  report.rows.push_back(row);
  EXPECT_EQ(verdict_of(report), props::Verdict::pass) << "time alone is no contradiction";
  report.rows[0].second_failed = "claim: it died of signal 11";
  EXPECT_EQ(verdict_of(report), props::Verdict::no_verdict);
  EXPECT_EQ(reason_of(report), "any: cvc5 gave no answer: claim: it died of signal 11");
}

TEST(ChooseTheorems, ByNameAndBySubject) {
  const auto all = choose_theorems({});
  ASSERT_TRUE(all);
  const auto subject = choose_theorems({"permissions"});
  ASSERT_TRUE(subject);
  EXPECT_GT(subject->size(), 1u);
  EXPECT_LT(subject->size(), all->size());
  const auto wrong = choose_theorems({"permission-chek"});
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().find("did you mean 'permission-check'?"), std::string::npos);
}

TEST(ChooseTheorems, RefinementOnlyByName) {
  const auto all = choose_theorems({});
  const auto refinement = choose_theorems({"refinement"});
  ASSERT_TRUE(all && refinement);
  EXPECT_EQ(refinement->size(), 104u);
  for (const auto& theorem : *all) EXPECT_NE(theorem.subject, "refinement") << theorem.name;
}

TEST(Theorems, AreNamedOnceAndSayWhatTheyStandOn) {
  auto all = choose_theorems({});
  ASSERT_TRUE(all);
  const auto refinement = choose_theorems({"refinement"});
  ASSERT_TRUE(refinement);
  all->insert(all->end(), refinement->begin(), refinement->end());
  std::set<std::string> names;
  for (const auto& theorem : *all) {
    EXPECT_TRUE(names.insert(theorem.name).second) << theorem.name;
    EXPECT_LE(theorem.name.size(), 36u) << theorem.name;
    for (const auto& field :
         {theorem.subject, theorem.statement, theorem.source, theorem.kernels, theorem.twin}) {
      EXPECT_FALSE(field.empty()) << theorem.name;
    }
  }
}

}  // namespace
}  // namespace lockstep::jobs
