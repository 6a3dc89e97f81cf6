// SPDX-License-Identifier: GPL-2.0-or-later
/// The table of speeds that Lockstep must reach: each row is a ratio, measured in
/// one run, beside its goal.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "props/verdict.h"

namespace lockstep::bench {

/// Of the repetitions of one row.
struct Ratio {
  double min = 0;
  double median = 0;
  double max = 0;
};

/// At least one value.
Ratio summarize(std::vector<double> values);

struct Row {
  std::string name;
  std::string what;  ///< which quotient this is, with its unit if it has one
  double goal = 0;
  bool at_most = false;        ///< the goal is an upper bound, not a lower one
  std::vector<double> ratios;  ///< one a repetition; empty if it could not run
  std::string absent;          ///< why it could not; empty if it did
  std::string note;            ///< what else was seen, for people; may be empty
};

/// The median reaches the goal. False of a row that did not run.
bool holds(const Row& row);

/// FAIL if a row that ran misses its goal; no verdict if one did not run.
props::Verdict verdict_of(const std::vector<Row>& rows);
/// The verdict in a line.
std::string reason_of(const std::vector<Row>& rows);

/// A table of 72 columns.
std::string text(const std::vector<Row>& rows);
/// The array `rows` of --json.
nlohmann::json json_rows(const std::vector<Row>& rows);

struct Options {
  unsigned repetitions = 5;
  /// Divides the size of the work: tests want rows in milliseconds.
  unsigned scale = 1;
  std::function<void(std::string_view)> progress;  ///< one line at a time; may be empty
};

/// One row, or several that share their measurement.
struct Bench {
  std::string_view name;
  std::string_view text;
  std::vector<Row> (*run)(const Options& options);
};

/// All of them, in the table's order.
const std::vector<Bench>& benches();

/// Repeat a measurement of one quotient. An error is a row that is absent.
/// Google Benchmark runs and counts the repetitions.
Row repeat(Row row, const Options& options,
           const std::function<tl::expected<double, std::string>()>& quotient);

}  // namespace lockstep::bench
