// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/reduce.h"

#include <algorithm>
#include <utility>

#include "props/death.h"
#include "props/shrink.h"

namespace lockstep::props {
namespace {

using Clock = std::chrono::steady_clock;
constexpr unsigned most_tries = 8;
constexpr unsigned most_meetings = 20;

Program cut_after(Program program, const Finding& finding) {
  if (finding.step && *finding.step + 1 < program.steps.size()) {
    program.steps.resize(*finding.step + 1);
  }
  return program;
}

class Reducer {
 public:
  Reducer(const Finding& finding, const ReduceSetup& setup)
      : finding_(finding),
        setup_(setup),
        everywhere_(setup.tester),
        deadline_(Clock::now() + setup.budget) {}

  bool fails(Tester& tester, std::span<const Program> programs, Outcome& outcome) {
    const bool alone = tester.engines().size() < everywhere_.engines().size();
    for (unsigned tries = real_threads(tester, programs.back()) ? most_meetings : 1; tries != 0;
         --tries) {
      outcome = tester.run(programs);
      if (outcome.finding && same_failure(*outcome.finding, finding_, alone)) return true;
      if (over()) break;
    }
    return false;
  }
  /// Nobody decides how the threads of such a block meet.
  static bool real_threads(const Tester& tester, const Program& program) {
    const auto& engines = tester.engines();
    return std::find(engines.begin(), engines.end(), "kvm") != engines.end() &&
           std::any_of(program.steps.begin(), program.steps.end(),
                       [](const Step& step) { return step.thread.has_value(); });
  }
  bool fails(Tester& tester, const Program& program) {
    Outcome outcome;
    return fails(tester, std::span<const Program>(&program, 1), outcome);
  }

  /// The quickest engine that shows the failure alone; all of them otherwise.
  Tester quickest(const Program& program) {
    for (const auto& name : fastest_first(setup_.tester.engines)) {
      if (setup_.tester.engines.size() == 1) break;
      auto alone = setup_.tester;
      alone.engines = {name};
      Tester tester(std::move(alone));
      if (fails(tester, program)) return tester;
    }
    return Tester(setup_.tester);
  }

  Reduced single(const Program& program) {
    Reduced reduced;
    reduced.finding = finding_;
    auto tester = quickest(program);
    auto smaller = search(tester, program);
    Outcome outcome;
    reduced.confirmed = confirm(smaller.program, outcome);
    if (!reduced.confirmed && tester.engines().size() == 1) {
      // Another engine led away from what this one shows.
      smaller = search(everywhere_, program);
      reduced.confirmed = confirm(smaller.program, outcome);
    }
    reduced.shrunk = smaller.tried > 0;
    if (reduced.confirmed) {
      reduced.finding = *outcome.finding;
      reduced.programs = {cut_after(std::move(smaller.program), reduced.finding)};
    } else {
      reduced.shrunk = false;
      reduced.programs = {program};
    }
    return reduced;
  }

  /// The failure needs what earlier programs left behind.
  Reduced sequence(std::vector<Program> programs) {
    Reduced reduced;
    reduced.finding = finding_;
    Outcome outcome;
    if (!fails(everywhere_, programs, outcome)) {
      reduced.finding.detail += reduced.finding.detail.empty() ? "" : "\n";
      reduced.finding.detail +=
          "not seen again, neither alone on a fresh VM nor after the programs before it";
      reduced.programs = std::move(programs);
      return reduced;
    }
    reduced.confirmed = true;
    drop_programs(programs);
    reduced.shrunk = true;
    if (fails(everywhere_, programs, outcome)) reduced.finding = *outcome.finding;
    reduced.finding.detail += reduced.finding.detail.empty() ? "" : "\n";
    reduced.finding.detail += "not on a fresh VM: only after the programs that are saved before it";
    reduced.programs = std::move(programs);
    return reduced;
  }

  /// Real machines have moods: one pass does not acquit.
  bool alone_fails(const Program& program) {
    for (unsigned tries = 0; tries < most_tries && !over(); ++tries) {
      if (fails(everywhere_, program)) return true;
    }
    return false;
  }

 private:
  bool over() const { return Clock::now() >= deadline_ || (setup_.stop && setup_.stop()); }

  Shrunk search(Tester& tester, const Program& program) {
    return shrink(
        program, [&](const Program& candidate) { return fails(tester, candidate); }, deadline_,
        setup_.stop);
  }

  bool confirm(const Program& program, Outcome& outcome) {
    Tester fresh(setup_.tester);
    return fails(fresh, std::span<const Program>(&program, 1), outcome);
  }

  /// Chunks of earlier programs that the failure does not need.
  void drop_programs(std::vector<Program>& programs) {
    auto chunk = programs.size() - 1;
    while (chunk > 0) {
      bool dropped = false;
      for (std::size_t end = programs.size() - 1; end > 0 && !over();) {
        const auto begin = end > chunk ? end - chunk : 0;
        auto fewer = programs;
        fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(begin),
                    fewer.begin() + static_cast<std::ptrdiff_t>(end));
        Outcome outcome;
        if (fails(everywhere_, fewer, outcome) && everywhere_.ran() == fewer.size()) {
          programs = std::move(fewer);
          dropped = true;
        }
        end = begin;
      }
      if (over()) return;
      if (!dropped || chunk > programs.size() - 1) {
        chunk = std::min(chunk / 2, programs.size() - 1);
      }
    }
  }

  const Finding& finding_;
  const ReduceSetup& setup_;
  Tester everywhere_;
  Clock::time_point deadline_;
};

}  // namespace

Reduced reduce(const Program& program, const Finding& finding, const ReduceSetup& setup,
               const std::function<std::vector<Program>()>& history) {
  Reducer reducer(finding, setup);
  const auto cut = cut_after(program, finding);
  if (reducer.alone_fails(cut)) return reducer.single(cut);
  auto programs = history();
  if (programs.empty()) programs.push_back(cut);
  programs.back() = cut;
  return reducer.sequence(std::move(programs));
}

}  // namespace lockstep::props
