// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>

#include "jobs/review/review.h"
#include "jobs/wrapped.h"

namespace lockstep::jobs::review {
namespace {

/// The first patch of which this is true.
template <class Test>
const PatchReport* first(const ReviewReport& report, Test test) {
  const auto found = std::ranges::find_if(report.patches, test);
  return found == report.patches.end() ? nullptr : &*found;
}

bool fails_to_apply(const PatchReport& row) { return row.tried && !row.step.applies; }
bool fails_to_compile(const PatchReport& row) { return row.compiles == false; }
bool cannot_run(const PatchReport& row) { return !row.cannot_run.empty(); }

std::size_t undeclared(const PatchReport& row) {
  return static_cast<std::size_t>(
      std::ranges::count_if(row.findings, [](const auto& finding) { return !finding.expected; }));
}

/// Why a kernel that was to be booted says nothing; empty if it says something.
std::string not_booted(const PatchReport& row) {
  if (!row.boot.asked) return {};
  if (!row.boot.not_run.empty()) return row.boot.not_run;
  for (const auto& mode : row.boot.modes) {
    if (!mode.broken.empty()) return fmt::format("{}: {}", mode.parameters, mode.broken);
    if (mode.programs == 0) return fmt::format("{}: no program ran", mode.parameters);
  }
  return {};
}

bool ran(const PatchReport& row) { return row.compiles == true && row.programs + row.cases != 0; }

/// Which of several it is.
std::string which(const ReviewReport& report, const PatchReport& row) {
  if (report.patches.size() == 1) return "";
  return fmt::format("patch {} of {}: ", &row - report.patches.data() + 1, report.patches.size());
}

/// The first line; the second too where the first only leads to it.
std::string first_line(const std::string& text) {
  const auto end = text.find('\n');
  if (end == std::string::npos || end == 0 || text[end - 1] != ':') return text.substr(0, end);
  return text.substr(end + 1, text.find('\n', end + 1) - end - 1);
}

/// The whole submission, as a pass or as no verdict.
struct Outcome {
  props::Verdict verdict;
  std::string reason;
};

Outcome without_finding(const ReviewReport& report) {
  std::size_t code = 0;
  std::size_t reached = 0;
  std::uint64_t programs = 0, schedules = 0;
  bool relevant = false;
  for (const auto& row : report.patches) {
    relevant = relevant || row.relevant;
    code += row.reach.code.size();
    reached += row.reach.reached.size();
    programs += row.programs + row.cases;
    schedules += row.schedules.schedules;
  }
  const auto none = props::Verdict::no_verdict;
  if (report.interrupted) return {none, "no verdict: interrupted"};
  if (!relevant) {
    return {none,
            "no verdict: nothing that is compiled into KVM for x86 is touched; the patch applies"};
  }
  if (const auto* row = first(report, [](const auto& p) { return p.relevant && !ran(p); })) {
    const auto why = row->remarks.empty() ? "no program ran" : row->remarks.front();
    return {none, fmt::format("no verdict: {}{}", which(report, *row), why)};
  }
  if (const auto* row = first(report, [](const auto& p) { return !p.cut_short.empty(); })) {
    return {none, fmt::format("no verdict: {}cut short: {}", which(report, *row),
                              first_line(row->cut_short))};
  }
  if (const auto* row = first(report, [](const auto& p) { return p.same_code == false; })) {
    return {none,
            fmt::format("no verdict: {}machine code or constants differ, but no changed line has "
                        "code of its own that could be reached; {} programs as before",
                        which(report, *row), programs)};
  }
  if (const auto* row = first(report, [](const auto& p) { return !not_booted(p).empty(); })) {
    return {none, fmt::format("no verdict: {}not booted: {}", which(report, *row),
                              first_line(not_booted(*row)))};
  }
  if (const auto* row = first(report, [](const auto& p) { return !p.schedules.not_run.empty(); })) {
    return {none, fmt::format("no verdict: {}no schedules: {}", which(report, *row),
                              first_line(row->schedules.not_run))};
  }
  if (code == 0) {
    return {
        props::Verdict::pass,
        fmt::format("pass: compiles to the same machine code; {} programs as before", programs)};
  }
  if (const auto* row = first(
          report, [](const auto& p) { return !p.reach.code.empty() && p.reach.reached.empty(); })) {
    return {none,
            fmt::format("no verdict: {}none of {} changed lines with code was reached by {} "
                        "programs",
                        which(report, *row), row->reach.code.size(), row->programs + row->cases)};
  }
  std::size_t declared = 0;
  for (const auto& row : report.patches) declared += row.findings.size();
  return {
      props::Verdict::pass,
      fmt::format("pass: {} of {} changed lines reached, {} programs{}{}", reached, code, programs,
                  schedules == 0 ? "" : fmt::format(", {} schedules", schedules),
                  declared == 0 ? "" : fmt::format(", {} declared", plural(declared, "change")))};
}

Outcome outcome_of(const ReviewReport& report) {
  const auto fail = props::Verdict::fail;
  if (const auto* row = first(report, fails_to_apply)) {
    return {fail,
            fmt::format("does not apply: {}{}", which(report, *row), first_line(row->step.why))};
  }
  if (const auto* row = first(report, fails_to_compile)) {
    const bool known = !row->diagnostics.empty() && row->diagnostics.front().error;
    return {fail,
            fmt::format("does not compile: {}{}", which(report, *row),
                        known ? print(row->diagnostics.front()) : first_line(row->compile_error))};
  }
  if (const auto* row = first(report, cannot_run)) {
    return {fail, fmt::format("FAIL: {}the patched kernel does not run: {}", which(report, *row),
                              first_line(row->cannot_run))};
  }
  std::size_t findings = 0;
  for (const auto& row : report.patches) findings += undeclared(row);
  if (findings != 0) {
    const auto* row = first(report, [](const auto& p) { return undeclared(p) != 0; });
    const auto found = std::ranges::find(row->findings, false, &ReviewFinding::expected);
    const auto broken =
        found->invariant ? fmt::format(" (invariant {})", *found->invariant) : std::string();
    return {fail, fmt::format("FAIL: {}: {}{}{}", plural(findings, "finding"), which(report, *row),
                              found->title, broken)};
  }
  return without_finding(report);
}

}  // namespace

props::Verdict verdict_of(const ReviewReport& report) { return outcome_of(report).verdict; }
std::string reason_of(const ReviewReport& report) { return outcome_of(report).reason; }

}  // namespace lockstep::jobs::review
