// SPDX-License-Identifier: GPL-2.0-or-later
#include "smt/solver.h"

#include <algorithm>
#include <sstream>

#include "smt/solver_process.h"

namespace lockstep::smt {
namespace {

/// What the child said: a word, then a reason or the model, a line a variable.
Answer parse(const std::string& text, const std::vector<Bool>& terms) {
  std::istringstream lines(text);
  std::string word;
  Answer answer;
  std::getline(lines, word);
  if (word == "unsat") answer.kind = Answer::Kind::unsat;
  if (word == "memory") answer.kind = Answer::Kind::memory;
  if (word != "sat") {
    std::getline(lines, answer.reason);
    return answer;
  }
  std::string name;
  std::uint64_t value = 0;
  while (lines >> name >> value) answer.model[name] = value;
  const bool true_model =
      std::ranges::all_of(terms, [&](const Bool& term) { return holds(term, answer.model); });
  answer.kind = true_model ? Answer::Kind::sat : Answer::Kind::failed;
  if (!true_model) answer.reason = "the solver's model does not satisfy the terms";
  return answer;
}

}  // namespace

Answer check(const std::vector<Bool>& terms, const Limits& limits) {
  Answer answer;
  if (solver_version().empty()) {
    answer.kind = Answer::Kind::absent;
    answer.reason = std::string("built without Z3: install ") + solver_package;
    return answer;
  }
  static SolverProcess process;
  const auto child = process.ask(terms, limits);
  switch (child.end) {
    case ChildResult::End::exited:
      answer = parse(child.output, terms);
      break;
    case ChildResult::End::timed_out:
      answer.kind = Answer::Kind::timeout;
      break;
    case ChildResult::End::interrupted:
      answer.kind = Answer::Kind::interrupted;
      break;
    case ChildResult::End::killed:
      answer.reason = "the solver died of signal " + std::to_string(child.status);
      break;
    case ChildResult::End::not_started:
      answer.reason = "no child process could be started";
      break;
  }
  answer.cpu_seconds = child.cpu_seconds;
  return answer;
}

}  // namespace lockstep::smt
