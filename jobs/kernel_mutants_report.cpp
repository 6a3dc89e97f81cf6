// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "jobs/kernel_mutants.h"
#include "jobs/wrapped.h"

namespace lockstep::jobs {
namespace {

using State = MutantRow::State;

bool undetected(const MutantRow& row) {
  return row.state == State::ran && !row.detected && row.reached.value_or(false);
}

/// Undetected without a word on why.
bool missed(const MutantRow& row) { return undetected(row) && row.why_not.empty(); }

struct Counts {
  std::size_t ran = 0, reached = 0, detected = 0, missed = 0, absent = 0, refused = 0, excused = 0,
              no_verdict = 0;
  std::size_t unmeasured = 0;  ///< not detected, and nobody knows whether they were reached
};

Counts count(const KernelMutantsReport& report) {
  Counts counts;
  for (const auto& row : report.rows) {
    counts.absent += row.state == State::absent ? 1 : 0;
    counts.refused += row.state == State::refused ? 1 : 0;
    counts.no_verdict += row.state == State::no_verdict ? 1 : 0;
    if (row.state != State::ran) continue;
    ++counts.ran;
    counts.reached += row.reached.value_or(false) ? 1 : 0;
    counts.detected += row.detected ? 1 : 0;
    counts.missed += missed(row) ? 1 : 0;
    counts.excused += undetected(row) && !missed(row) ? 1 : 0;
    counts.unmeasured += !row.reached && !row.detected && row.why_not.empty() ? 1 : 0;
  }
  return counts;
}

double median_seconds(const KernelMutantsReport& report) {
  std::vector<double> all;
  for (const auto& row : report.rows) {
    if (row.detected) all.push_back(row.cpu_seconds);
  }
  if (all.empty()) return 0;
  const auto middle = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
  std::nth_element(all.begin(), middle, all.end());
  return *middle;
}

std::string_view answer(const std::optional<bool>& value) {
  return !value ? "?" : *value ? "yes" : "no";
}

/// Undetected first, then what was not reached, then detected, then what did not run.
int rank(const MutantRow& row) {
  if (row.state == State::no_verdict) return 7;
  if (row.state == State::refused) return 5;
  if (row.state == State::absent) return 6;
  if (missed(row)) return 0;
  if (undetected(row)) return 1;
  if (row.detected) return 4;
  return row.reached ? 2 : 3;
}

std::string_view group(int rank) {
  constexpr std::string_view titles[] = {"reached, not detected",
                                         "reached, cannot be detected yet",
                                         "not reached",
                                         "no line to measure",
                                         "detected",
                                         "does not apply or compile",
                                         "absent from this kernel",
                                         "no verdict"};
  return titles[rank];
}

}  // namespace

props::Verdict verdict_of(const KernelMutantsReport& report) {
  const auto counts = count(report);
  if (counts.missed != 0) return props::Verdict::fail;
  if (report.interrupted || counts.no_verdict + counts.unmeasured + counts.refused != 0 ||
      counts.reached == 0) {
    return props::Verdict::no_verdict;
  }
  return props::Verdict::pass;
}

std::string reason_of(const KernelMutantsReport& report) {
  const auto counts = count(report);
  auto text = fmt::format("{} of {} mutants reached, {} detected", counts.reached, counts.ran,
                          counts.detected);
  if (counts.missed != 0) text += fmt::format(", {} reached and not detected", counts.missed);
  if (counts.unmeasured != 0) {
    text += fmt::format(", {} not detected and perhaps not reached", counts.unmeasured);
  }
  if (counts.excused != 0) text += fmt::format(", {} cannot be yet", counts.excused);
  if (counts.refused != 0) text += fmt::format(", {} cannot be built", counts.refused);
  if (counts.no_verdict != 0) text += fmt::format(", {} without a verdict", counts.no_verdict);
  if (report.interrupted) text += "; interrupted";
  return text;
}

std::string text_report(const KernelMutantsReport& report) {
  const auto counts = count(report);
  std::string text =
      fmt::format("{}: {}\n", props::headline(verdict_of(report)), reason_of(report));
  text += fmt::format("{} ({}), {:.0f} s; median of detection {:.1f} CPU s\n", report.engine,
                      report.engine == "impl" ? report.release : "linux " + report.release,
                      report.seconds, median_seconds(report));
  if (counts.absent + counts.refused != 0) {
    text += fmt::format("{} absent from this kernel, {} do not apply or compile\n", counts.absent,
                        counts.refused);
  }
  if (!report.base_findings.empty()) {
    text += "\nThe kernel without a mutant fails too; this detects nothing:\n";
    for (const auto& title : report.base_findings) text += fmt::format("  {}\n", title);
  }
  std::vector<const MutantRow*> rows;
  for (const auto& row : report.rows) rows.push_back(&row);
  std::ranges::stable_sort(rows, {}, [](const MutantRow* row) { return rank(*row); });
  int last = -1;
  for (const auto* row : rows) {
    if (rank(*row) != last) {
      last = rank(*row);
      text += fmt::format("\n{:<42} {:>7} {:>8} {:>7}\n", group(last), "reached", "CPU s", "cases");
    }
    if (row->state == State::ran) {
      text += fmt::format("  {:<40} {:>7} {:>8.1f} {:>7}\n", row->name, answer(row->reached),
                          row->cpu_seconds, row->cases);
    } else {
      text += fmt::format("  {}\n", row->name);
    }
    if (!row->finding.empty()) {
      text +=
          wrapped(fmt::format("{}{}{}", row->kind, row->kind.empty() ? "" : ": ", row->finding), 6);
    }
    if (row->strategy == "schedules" && row->limit_seconds > 0) {
      text += fmt::format("      of at most {:.0f} CPU s: the budget once a system\n",
                          row->limit_seconds);
    }
    if (row->why_not.empty()) continue;
    if (row->detected) text += "      though its file says that it cannot be\n";
    if (row->state == State::ran && !row->detected) text += wrapped(row->why_not, 6);
  }
  return text;
}

nlohmann::json json_rows(const KernelMutantsReport& report) {
  constexpr std::string_view states[] = {"absent", "refused", "ran", "no-verdict"};
  auto rows = nlohmann::json::array();
  for (const auto& row : report.rows) {
    nlohmann::json object = {{"name", row.name},
                             {"title", row.title},
                             {"engine", report.engine},
                             {"state", states[static_cast<unsigned>(row.state)]},
                             {"detected", row.detected},
                             {"strategy", row.strategy},
                             {"why_not", row.why_not},
                             {"kind", row.kind},
                             {"finding", row.finding},
                             {"program", row.program.string()},
                             {"steps", row.steps},
                             {"cpu_seconds", row.cpu_seconds},
                             {"limit_seconds", row.limit_seconds},
                             {"build_seconds", row.build_seconds},
                             {"cases", row.cases}};
    object["reached"] = row.reached ? nlohmann::json(*row.reached) : nlohmann::json();
    rows.push_back(std::move(object));
  }
  return rows;
}

}  // namespace lockstep::jobs
