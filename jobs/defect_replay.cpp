// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/defect_replay.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "jobs/protocol_schedules.h"
#include "jobs/refinement_programs.h"
#include "jobs/saved_schedules.h"
#include "smt/execution.h"
#include "smt/limited_child.h"

namespace lockstep::jobs {
namespace {

struct TwinOfImpl {
  std::string_view theorem;
  std::string_view defect;
};
constexpr TwinOfImpl twins_of_impl[] = {
    {"permission-check", "walk-without-smep"},
    {"permission-check-smap", "walk-ignores-ac"},
    {"permission-check-32-bit", "nx-in-32-bit"},
    {"permission-path", "last-entry-grants"},
    {"error-code-not-present", "fetch-flag-without-smep"},
    {"error-code-reserved", "nx-in-32-bit"},
    {"reserved-bits-32-bit", "reserved-from-bit-40"},
    {"reserved-bits-pae", "nx-taken-for-granted"},
    {"reserved-bits-4-level", "maxphyaddr-one-more"},
    {"reserved-bits-5-level", "large-as-small"},
    {"quadrant-of-page-table", "quadrant-by-top-bit"},
    {"quadrant-names-guest-entry", "quadrant-lost"},
    {"child-role", "quadrant-of-directory"},
    {"split-keeps-translation", "split-rounds-to-even"},
    {"hugepage-adjust-in-slot", "huge-before-slot"},
};

/// A program of the counterexample's numbers, on impl with the twin's defect.
DefectReplay as_program(std::string_view defect, const std::string& program,
                        const DefectReplayOptions& options) {
  DefectReplay replay;
  replay.kind = ReplayKind::program;
  replay.with = fmt::format("impl, defect {}", defect);
  replay.command = fmt::format("lockstep replay --mutant {}", defect);
  auto broken = replay_with_defect(program, defect, options);
  replay.shows = broken.fails;
  replay.undecided = broken.undecided;
  replay.shown = std::move(broken.shown);
  if (replay.undecided) return replay;
  auto whole = replay_with_defect(program, {}, options);
  replay.mended = whole.passes;
  replay.undecided = whole.undecided;
  if (replay.undecided) replay.shown = std::move(whole.shown);
  return replay;
}

DefectReplay as_schedule(const smt::Theorem& theorem, const smt::Proof& twin,
                         const DefectReplayOptions& options) {
  DefectReplay replay;
  const auto saved = schedule_of(theorem, smt::Side::broken_rule, twin);
  if (!saved) {
    replay.reason = saved.error();
    return replay;
  }
  const auto defect = defect_of_twin(theorem.name);
  replay.kind = ReplayKind::schedule;
  replay.with = fmt::format("system {}, defect {}", defect.system, defect.defect);
  replay.command = "lockstep replay";
  replay.text = print(*saved);
  auto both = replay_both(*saved);
  replay.shows = both.shows;
  replay.mended = both.mended;
  replay.shown = std::move(both.page);
  if (!options.folder.empty()) {
    replay.path = write_schedule(options.folder, theorem.name + ".twin", replay.text);
  }
  return replay;
}

/// The rules of spec/ and impl/ as they are compiled, on the counterexample's numbers.
DefectReplay as_function(const smt::Theorem& theorem, const smt::Proof& twin) {
  DefectReplay replay;
  const auto broken = smt::execute(theorem, smt::Side::broken_rule, twin);
  if (broken.kind != smt::Execution::Kind::formula) {
    replay.reason = broken.text.empty() ? "nothing was executed" : broken.text.front();
    return replay;
  }
  const auto whole = smt::execute(theorem, smt::Side::true_rule, twin);
  replay.kind = ReplayKind::function;
  replay.with = theorem.subject == "refinement"
                    ? "the step as smt/refinement restates it, the twin's defect in it"
                    : "functions of spec and impl, the twin's defect in one";
  replay.shows = broken.refutes;
  replay.mended = whole.kind == smt::Execution::Kind::formula && !whole.refutes;
  return replay;
}

}  // namespace

std::string_view name(ReplayKind kind) {
  static constexpr std::array<std::string_view, 4> names = {"none", "function", "schedule",
                                                            "program"};
  return names[static_cast<std::size_t>(kind)];
}

std::string_view impl_defect_of_twin(std::string_view theorem) {
  for (const auto& twin : twins_of_impl) {
    if (twin.theorem == theorem) return twin.defect;
  }
  return refinement_defect(theorem);
}

ProgramReplay replay_with_defect(const std::string& program, std::string_view defect,
                                 const DefectReplayOptions& options) {
  const int file = memfd_create("program", MFD_CLOEXEC);
  ProgramReplay replay;
  replay.undecided = true;
  replay.shown = "the program cannot be written to memory";
  if (file < 0) return replay;
  const auto size = static_cast<ssize_t>(program.size());
  if (write(file, program.data(), program.size()) == size && lseek(file, 0, SEEK_SET) == 0) {
    std::vector<std::string> words = {
        options.mutants.string(), "replay", "--engine", "spec", "--engine", "impl"};
    if (!defect.empty()) words.insert(words.end(), {"--mutant", std::string(defect)});
    words.emplace_back("-");
    const auto child = smt::run_limited_child(
        [&](int out) {
          std::vector<char*> arguments;
          for (auto& word : words) arguments.push_back(word.data());
          arguments.push_back(nullptr);
          if (dup2(file, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0) _exit(3);
          execv(arguments.front(), arguments.data());
          _exit(3);
        },
        options.limit, options.stop);
    using End = smt::ChildResult::End;
    const bool exited = child.end == End::exited;
    replay.passes = exited && child.status == 0;
    replay.fails = exited && child.status == 1;
    // A death is an answer; an end without a verdict is none.
    replay.undecided = !replay.passes && !replay.fails && child.end != End::killed;
    replay.shown = child.end == End::timed_out ? "the replay ran out of time" : child.output;
  }
  close(file);
  return replay;
}

DefectReplay replay_twin(const smt::Theorem& theorem, const smt::Proof& twin,
                         const std::string& program, const DefectReplayOptions& options) {
  if (std::holds_alternative<smt::ProtocolBody>(theorem.body)) {
    return as_schedule(theorem, twin, options);
  }
  const auto defect = impl_defect_of_twin(theorem.name);
  DefectReplay replay;
  if (program.empty()) {
    replay = as_function(theorem, twin);
    if (replay.reason.empty()) replay.reason = "no program of ours reaches these numbers";
  } else if (defect.empty()) {
    replay = as_function(theorem, twin);
    if (replay.reason.empty()) replay.reason = "impl has no such defect";
  } else if (options.mutants.empty()) {
    replay = as_function(theorem, twin);
    if (replay.reason.empty()) replay.reason = "no program lockstep-mutants beside this one";
  } else {
    replay = as_program(defect, program, options);
  }
  return replay;
}

}  // namespace lockstep::jobs
