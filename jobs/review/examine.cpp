// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/examine.h"

#include <fmt/format.h>

#include <algorithm>

#include "jobs/review/bias.h"
#include "jobs/review/pairs.h"
#include "jobs/review/search.h"
#include "props/commit.h"
#include "props/save.h"

namespace lockstep::jobs::review {
namespace {

using Clock = std::chrono::steady_clock;

/// Random programs that tell which of them reach the changed lines.
constexpr std::uint64_t scouts = 400;
/// More than this share, and more than so many, is a cost that somebody must mean.
constexpr double most_growth = 0.02;
constexpr std::uint64_t least_growth = 16;

class Examiner {
 public:
  Examiner(Workbench& bench, const ExamineOptions& options, PatchReport& row)
      : bench_(bench), options_(options), row_(row) {}

  void run() {
    const auto begun = Clock::now();
    const auto part = [&](double share) {
      return begun + std::chrono::duration_cast<Clock::duration>(options_.budget * share);
    };
    say("corpus on base and patched");
    const auto corpus = corpus_programs(options_.corpus);
    auto pairs = run_pairs(
        bench_, corpus, part(0.35),
        [&](std::size_t i, bool hit) { bias_.learn(corpus[i].program, hit); }, stopper());
    row_.programs += pairs.programs;
    if (!pairs.broken.empty() && cannot_run(pairs)) return;
    take(pairs, corpus.size());
    if (row_.findings.empty()) scout(part(0.5));
    if (!stopped() && row_.cannot_run.empty()) look(part(0.95) - Clock::now());
    bench_.forget_reached();
    finish();
  }

 private:
  bool stopped() const { return options_.stop != nullptr && options_.stop->load(); }
  std::function<bool()> stopper() const {
    return [this] { return stopped(); };
  }
  void say(std::string_view line) const {
    if (options_.progress) options_.progress(line);
  }

  /// An engine broke: the patch's doing if the base alone runs that program.
  bool cannot_run(const PairsResult& pairs) {
    props::Tester base(bench_.setup({Workbench::base_name}));
    const auto alone = base.run(pairs.broke_on);
    if (!alone.broken.empty()) {
      row_.cut_short = "the base cannot run: " + alone.reason;
      row_.remarks.push_back(row_.cut_short);
      return true;
    }
    props::Tester patched(bench_.setup({Workbench::patched_name}));
    const auto changed = patched.run(pairs.broke_on);
    if (!changed.broken.empty()) {
      row_.cannot_run = changed.reason;
      return true;
    }
    row_.cut_short = pairs.broken;
    row_.remarks.push_back("cut short: " + pairs.broken);
    return false;
  }

  void scout(Clock::time_point deadline) {
    say("random programs on base and patched");
    const auto programs = random_programs(bench_, 1'000'000'000, scouts);
    const auto pairs = run_pairs(
        bench_, programs, deadline,
        [&](std::size_t i, bool hit) { bias_.learn(programs[i].program, hit); }, stopper());
    row_.programs += pairs.programs;
    if (!pairs.broken.empty() && cannot_run(pairs)) return;
    take(pairs, programs.size());
  }

  void look(Clock::duration left) {
    SearchOptions search;
    search.budget = std::chrono::duration_cast<std::chrono::milliseconds>(left);
    // What is known already answers the question; the rest is for a second defect.
    if (!row_.findings.empty())
      search.budget = std::min(search.budget, std::chrono::milliseconds(4'000));
    if (search.budget.count() < 500) search.budget = std::chrono::milliseconds(500);
    search.failures = options_.failures;
    search.jobs = options_.jobs;
    search.progress = options_.progress;
    search.stop = options_.stop;
    const auto found = lockstep::jobs::review::search(bench_, bias_, search);
    row_.cases += found.cases;
    row_.commands += found.commands;
    if (found.masked != 0) {
      row_.remarks.push_back(fmt::format("{} finding{} that the base shows too, as: {}",
                                         found.masked, found.masked == 1 ? "" : "s",
                                         found.masked_title));
    }
    if (!found.unconfirmed.empty()) {
      row_.remarks.push_back("not seen again, so no finding: " + found.unconfirmed);
    }
    if (!found.broken.empty()) {
      row_.cut_short = "the search: " + found.broken;
      row_.remarks.push_back("the search was cut short: " + found.broken);
    }
    for (const auto& failure : found.failures) add_failure(failure);
  }

  void take(const PairsResult& pairs, std::size_t all) {
    if (pairs.programs + pairs.skipped < all && pairs.failures.empty() && !stopped()) {
      row_.remarks.push_back(
          fmt::format("time was up after {} of {} programs", pairs.programs + pairs.skipped, all));
    }
    if (pairs.undecided != 0) {
      row_.remarks.push_back(
          fmt::format("{} program{} up to a step of which the model says nothing", pairs.undecided,
                      pairs.undecided == 1 ? "" : "s"));
    }
    if (pairs.base_fails != 0) {
      row_.remarks.push_back(fmt::format("{} program{} on which the base fails itself, as: {}",
                                         pairs.base_fails, pairs.base_fails == 1 ? "" : "s",
                                         pairs.base_finding));
    }
    for (const auto& failure : pairs.failures) add_failure(failure);
    for (const auto& difference : pairs.differences) add_difference(difference);
    if (pairs.failures.empty()) {
      for (const auto& [name, cost] : pairs.costs) add_cost(name, cost);
    }
  }

  bool known(const std::string& title) const {
    return std::ranges::any_of(row_.findings, [&](const auto& f) { return f.title == title; });
  }

  void add_failure(const PairsResult::Failure& failure) {
    if (known(failure.finding.title)) return;
    say("shrinking " + failure.finding.title);
    ReviewFinding made;
    made.kind = ReviewFinding::Kind::behaviour;
    made.program = reduce_failure(bench_, failure, std::chrono::milliseconds(6'000), stopper());
    bench_.forget_reached();
    // Both kernels and the model beside each other; the patched one stands out.
    props::Tester all(bench_.setup({"spec", Workbench::base_name, Workbench::patched_name}));
    const auto seen = all.run(made.program);
    made.lines = bench_.reached_now();
    made.seen = seen.finding.value_or(failure.finding);
    made.title = made.seen.title;
    made.detail = made.seen.detail;
    std::string told = made.title + "\n" + made.detail;
    for (const auto& side : made.seen.sides) told += "\n" + side.answer + "\n" + side.why;
    made.invariant = invariant_in(told);
    save(made);
    if (!known(made.title)) row_.findings.push_back(std::move(made));
  }

  void add_difference(const Difference& difference) {
    ReviewFinding made;
    made.kind = ReviewFinding::Kind::difference;
    const auto word = difference.command.substr(0, difference.command.find(" 0x"));
    made.title = fmt::format("{}: another answer than the base's, both admitted", word);
    if (known(made.title)) return;
    made.detail =
        fmt::format("{}, step {}: {}", difference.program, difference.step + 1, difference.command);
    made.program = difference.met;
    made.seen.step = difference.step;
    made.seen.sides = {{"base", difference.base, "", false},
                       {"patched", difference.patched, "", true}};
    made.seen.engine = Workbench::patched_name;
    made.seen.title = made.title;
    save(made);
    row_.findings.push_back(std::move(made));
  }

  void add_cost(const std::string& name, const Cost& cost) {
    if (cost.patched <= cost.base) return;
    const auto growth = cost.patched - cost.base;
    if (growth < least_growth ||
        static_cast<double>(growth) < most_growth * static_cast<double>(cost.base)) {
      return;
    }
    ReviewFinding made;
    made.kind = ReviewFinding::Kind::cost;
    made.title = fmt::format("{} grows", name.substr(name.find(' ') + 1));
    if (known(made.title)) return;
    made.detail = fmt::format("largest in {}: {} more", cost.program, cost.growth);
    made.seen.sides = {{"base", std::to_string(cost.base), "", false},
                       {"patched", std::to_string(cost.patched), "", true}};
    made.seen.engine = Workbench::patched_name;
    made.seen.title = made.title;
    row_.findings.push_back(std::move(made));
  }

  void save(ReviewFinding& made) const {
    auto finding = made.seen;
    finding.engine = Workbench::patched_name;
    const auto program = props::annotated(
        made.program, finding,
        {fmt::format("lockstep {}, review of: {}", props::lockstep_commit(), row_.patch.subject)});
    auto stem = props::file_stem(finding);
    const auto saved = props::save(options_.failures, stem, program);
    if (saved) {
      made.path = *saved;
      made.program = program;
    } else {
      row_.remarks.push_back(saved.error());
    }
  }

  void finish() {
    row_.reach = bench_.reach();
    for (auto& finding : row_.findings) {
      for (const auto& expected : options_.expected) {
        const bool declared =
            finding.title.find(expected) != std::string::npos || expected == name(finding.kind);
        finding.expected = finding.expected || declared;
      }
    }
  }

  Workbench& bench_;
  const ExamineOptions& options_;
  PatchReport& row_;
  Bias bias_;
};

}  // namespace

void examine(Workbench& bench, const ExamineOptions& options, PatchReport& row) {
  Examiner(bench, options, row).run();
}

}  // namespace lockstep::jobs::review
