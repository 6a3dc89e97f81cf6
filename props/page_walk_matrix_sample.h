// SPDX-License-Identifier: GPL-2.0-or-later
/// Random cases of the page-walk matrix on a whole engine (real KVM first of
/// all), as programs that the model judges.
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
#include "props/page_walk_matrix_case.h"
#include "props/page_walk_matrix_program.h"
#include "props/verdict.h"
#include "spec/program.h"

namespace lockstep::props {

struct MatrixSampleProgress {
  double seconds = 0;
  std::uint64_t cases = 0;
  std::size_t findings = 0;
};

struct MatrixSampleOptions {
  std::string engine = "kvm";
  std::uint64_t seed = 1;
  std::chrono::milliseconds budget{10'000};
  std::uint64_t max_programs = 0;                             ///< 0: as many as the budget allows
  std::size_t batch = matrix_batch;                           ///< cases of one program
  std::size_t max_findings = 8;                               ///< then the sample stops
  std::function<void(const MatrixSampleProgress&)> progress;  ///< may be empty
  const std::atomic<bool>* stop = nullptr;                    ///< not owned; may be null
  /// Of tests; the real ones by default.
  EngineFactory factory;
  ModelFactory models;
};

struct MatrixSampleFinding {
  Finding finding;
  /// "test 4-level ...: FAIL: TITLE"; the case that failed, alone or in a batch.
  std::string line;
  /// The case alone if that shows it too, otherwise the whole batch.
  Program program;
  bool alone = false;
};

struct MatrixSampleResult {
  Verdict verdict = Verdict::no_verdict;
  std::string reason;  ///< one line
  std::uint64_t seed = 0;
  std::uint64_t cases = 0;  ///< whose observation the model admitted
  std::uint64_t programs = 0;
  double seconds = 0;
  bool tdp = false;                              ///< how the engine translated
  std::map<std::string, std::uint64_t> skipped;  ///< reason → cases
  std::map<std::string, std::uint64_t> blocks;   ///< block → cases
  std::map<std::string, std::uint64_t> reached;  ///< the engine's own counts
  std::vector<MatrixSampleFinding> findings;
};

/// Run; blocks for the budget at most, apart from the last program.
MatrixSampleResult run_page_walk_sample(const MatrixSampleOptions& options);

/// Lines for people; ends with a newline.
std::string text_report(const MatrixSampleResult& result, std::string_view engine);

}  // namespace lockstep::props
