// SPDX-License-Identifier: GPL-2.0-or-later
/// The same programs on base and patched kernel, fresh VMs, step by step: who
/// fails, where they differ, what each costs.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "jobs/corpus_programs.h"
#include "jobs/review/workbench.h"
#include "props/finding.h"
#include "spec/observation.h"
#include "spec/program.h"

namespace lockstep::jobs::review {

/// Both answers are admitted, and they are not the same.
struct Difference {
  std::string program;  ///< its name
  Program met;
  std::size_t step = 0;
  std::string command;
  std::string base;
  std::string patched;
};

/// A counter over the programs that both kernels ran to their ends.
struct Cost {
  std::uint64_t base = 0;
  std::uint64_t patched = 0;
  std::string program;  ///< the one with the largest growth
  std::uint64_t growth = 0;
};

struct PairsResult {
  std::uint64_t programs = 0;
  std::uint64_t skipped = 0;
  std::uint64_t productive = 0;  ///< reached a changed line
  std::uint64_t undecided = 0;   ///< of the programs: cut short where the model says nothing
  std::uint64_t base_fails = 0;  ///< nothing can be said about the patch there
  std::string base_finding;      ///< title of one
  struct Failure {
    std::string program;
    Program met;
    props::Finding finding;
  };
  std::vector<Failure> failures;  ///< of the patched kernel alone
  std::vector<Difference> differences;
  std::map<std::string, Cost> costs;  ///< by the statistic's name
  std::string broken;                 ///< why an engine could not go on
  Program broke_on;                   ///< where it was
};

/// Run them until `deadline`. `reached(index)` hears of each program whether it ran
/// a changed line.
PairsResult run_pairs(Workbench& bench, const std::vector<NamedProgram>& programs,
                      std::chrono::steady_clock::time_point deadline,
                      const std::function<void(std::size_t, bool)>& reached,
                      const std::function<bool()>& stop);

/// Whether the patched kernel shows something else than the base does of the same
/// program, and before it: what follows upon the base's own failure is not the patch's.
bool shows_first(const props::Finding& patched, const props::Finding& base);

/// Whether both kernels answer alike. Of two complaints the kind and the file count: lines,
/// names of functions and offsets in them move with a patch that changes nothing else.
bool same_answer(const Observation& base, const Observation& patched);

/// Whether the engine alone fails the program, and how.
std::optional<props::Finding> fails_on(const Workbench& bench, const std::string& engine,
                                       const Program& program);

}  // namespace lockstep::jobs::review
