// SPDX-License-Identifier: GPL-2.0-or-later
/// Property `page-walk-matrix`: every legal combination of page-table flags,
/// access and paging registers, once through the spec's walk and once through
/// the implementation's. Stateless: no TLB and no shadow pages take part. The
/// names and the printing follow what readers know from kvm-unit-tests.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "props/page_walk_matrix_answer.h"
#include "props/page_walk_matrix_case.h"
#include "spec/program.h"

namespace lockstep::props {

struct MatrixProgress {
  std::uint64_t cases = 0;  ///< legal cases passed so far, compared or not
  std::size_t mismatches = 0;
  std::string_view block;
};

struct MatrixOptions {
  /// Compare every Nth legal case only (deterministic); 0 and 1: all. A prime
  /// meets every value of every dimension.
  std::uint64_t every = 1;
  /// First case to compare, below `every`: shards (k, n) cover the matrix.
  std::uint64_t first = 0;
  /// Mismatches kept in full; all are counted.
  std::size_t keep = 8;
  /// Some times a second, from the calling thread. May be empty.
  std::function<void(const MatrixProgress&)> progress = {};
  /// Set to stop early. Not owned; may be null.
  const std::atomic<bool>* stop = nullptr;
  /// Of tests: change the implementation's answer. Must be a pure function.
  std::function<void(const MatrixCase&, WalkAnswer&)> lie = {};
};

struct MatrixMismatch {
  MatrixCase which;
  BothAnswers answers;
  /// "test 4-level maxphyaddr=40 pte.p pde.p user fetch: FAIL: spec ..., impl ...".
  std::string line;
  /// Level by level; see dump().
  std::string dump;
  /// The case for any engine, with what the spec demands.
  Program program;
};

/// What one block of the matrix covered.
struct MatrixDimension {
  std::string name;
  std::string text;    ///< the flags and lists of the block; see describe()
  unsigned flags = 0;  ///< that take both values
  std::uint64_t legal = 0;
  std::uint64_t compared = 0;
};

struct MatrixResult {
  std::uint64_t legal = 0;     ///< legal cases
  std::uint64_t compared = 0;  ///< compared; fewer if sampled or stopped
  std::uint64_t mismatched = 0;
  bool stopped = false;  ///< before the end: `legal` is a part
  double seconds = 0;
  std::vector<MatrixDimension> dimensions;
  std::vector<MatrixMismatch> mismatches;  ///< the first ones
};

/// Run. Never throws of its own; single-threaded.
MatrixResult run_page_walk_matrix(const MatrixOptions& options = {});

/// The page for people: dimensions, rules, counts, rate, mismatches and the
/// dump of the first. Ends with a newline.
std::string text_report(const MatrixResult& result);

}  // namespace lockstep::props
