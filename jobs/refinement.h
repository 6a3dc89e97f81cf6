// SPDX-License-Identifier: GPL-2.0-or-later
/// The companion of the refinement theorems (smt/refinement): the implementation
/// itself against the model on a small machine, every program up to a number of
/// commands, every invariant after each of them.
///
/// Bounded, and enumerated rather than proved: from the start, with the page-table
/// entries that the alphabet names. Nothing is said of longer programs, of other
/// entries, or of two vCPUs at once.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "props/engine_factory.h"
#include "props/verdict.h"
#include "spec/program.h"

namespace lockstep::jobs {

/// A machine with its commands.
struct SmallMachine {
  std::string name;   ///< lower case with dashes
  std::string setup;  ///< a program that every program begins with
  std::vector<std::string> commands;
};

/// Two vCPUs, two slots of two gfns beside the one of the tables, four mapped
/// pages: under shadow paging in 4-level and 32-bit mode, and two-dimensional.
const std::vector<SmallMachine>& small_machines();

struct RefinementOptions {
  std::vector<SmallMachine> machines = small_machines();
  unsigned depth = 3;  ///< commands of a program
  props::EngineFactory factory = props::make_engine;
  std::filesystem::path failures;           ///< folder for a program that fails; may be empty
  const std::atomic<bool>* stop = nullptr;  ///< not owned; may be null
  std::function<void(std::string_view)> progress;  ///< may be empty
};

struct RefinementRow {
  std::string machine;
  std::size_t commands = 0;       ///< of the alphabet
  std::uint64_t programs = 0;     ///< that ran to their end and were admitted
  std::uint64_t no_programs = 0;  ///< that break a rule of the format
  std::uint64_t steps = 0;        ///< commands executed on impl, the setup's included
  std::map<std::string, std::uint64_t> by_command;  ///< programs with the command, by its words
  props::Verdict verdict = props::Verdict::no_verdict;
  std::string reason;          ///< of a verdict that is no pass
  std::string program;         ///< that is not admitted; a shortest one
  std::filesystem::path path;  ///< where it was saved; may be empty
  std::string shown;           ///< the answers side by side
  double seconds = 0;
};

struct RefinementReport {
  unsigned depth = 0;
  std::vector<RefinementRow> rows;
};

/// Run every program, shorter ones first, until one is not admitted.
RefinementReport refine(const RefinementOptions& options);

/// pass: every row does. The bound is said with it.
props::Verdict verdict_of(const RefinementReport& report);
std::string reason_of(const RefinementReport& report);
std::string text_row(const RefinementReport& report, const RefinementRow& row);
/// The array `refinement` of --json.
nlohmann::json json_rows(const RefinementReport& report);

}  // namespace lockstep::jobs
