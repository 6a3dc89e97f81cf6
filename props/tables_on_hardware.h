// SPDX-License-Identifier: GPL-2.0-or-later
/// Shadow tables are page tables of the architecture: those that one engine made
/// for a random program are given, byte for byte, to the guest of another, whose
/// processor walks them.
///
/// What that processor shows is compared with the rules of spec/x86 over the same
/// bytes; where it gets at memory, the model of the program must admit the access.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "props/engine_factory.h"
#include "props/finding.h"
#include "props/model.h"
#include "props/verdict.h"
#include "spec/program.h"

namespace lockstep::props {

struct TablesProgress {
  double seconds = 0;
  std::uint64_t programs = 0;
  std::uint64_t accesses = 0;
  std::size_t findings = 0;
};

struct TablesOptions {
  std::string maker = "impl";     ///< whose tables
  std::string processor = "kvm";  ///< whose processor walks them
  std::uint64_t seed = 1;
  std::chrono::milliseconds budget{10'000};
  std::uint64_t max_programs = 0;  ///< 0: as many as the budget allows
  std::size_t max_findings = 4;    ///< then the run stops
  /// Loads one entry with other rights than the maker gave it, until that was found.
  bool canary = true;
  std::function<void(const TablesProgress&)> progress;  ///< may be empty
  const std::atomic<bool>* stop = nullptr;              ///< not owned; may be null
  /// Of tests; the real ones by default.
  EngineFactory factory;
  ModelFactory models;
};

struct TablesFinding {
  Finding finding;
  Program program;  ///< up to the moment at which the tables were taken
};

struct TablesResult {
  Verdict verdict = Verdict::no_verdict;
  std::string reason;  ///< one line
  std::uint64_t seed = 0;
  double seconds = 0;
  std::uint64_t programs = 0;  ///< whose tables were walked
  std::uint64_t tables = 0;    ///< pages of entries that were loaded
  std::uint64_t accesses = 0;
  std::uint64_t reached_memory = 0;  ///< accesses that the model had to admit
  std::uint64_t faults = 0;          ///< ... that ended in #PF, as the rules say
  std::uint64_t reserved = 0;        ///< ... for a reserved bit: MMIO entries
  bool canary_found = false;
  std::map<std::string, std::uint64_t> skipped;  ///< reason → programs
  std::map<std::string, std::uint64_t> reached;  ///< the processor's own counts
  std::vector<TablesFinding> findings;
};

/// Run; blocks for the budget at most, apart from the last program.
TablesResult run_tables_on_hardware(const TablesOptions& options);

/// Lines for people; ends with a newline.
std::string text_report(const TablesResult& result, std::string_view processor);

}  // namespace lockstep::props
