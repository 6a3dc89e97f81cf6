// SPDX-License-Identifier: GPL-2.0-or-later
// The answer as the kernel's own test tools read it (Documentation/dev-tools/ktap.rst).
#include <fmt/format.h>

#include <algorithm>

#include "jobs/review/lines.h"
#include "jobs/review/report.h"

namespace lockstep::jobs::review {
namespace {

/// The results of one patch, numbered as they come.
class Results {
 public:
  void add(bool ok, std::string_view name, std::string_view directive = {}) {
    lines_ += fmt::format("  {}ok {} {}{}{}\n", ok ? "" : "not ", ++count_, name,
                          directive.empty() ? "" : " # ", plain(directive));
    all_ok_ = all_ok_ && ok;
  }
  void diagnostic(std::string_view text) {
    for (const auto line : lines_of(text)) lines_ += fmt::format("  # {}\n", line);
  }
  std::string text() const { return fmt::format("  KTAP version 1\n  1..{}\n{}", count_, lines_); }
  bool ok() const { return all_ok_; }

 private:
  /// A directive is one line, and has no second '#'.
  static std::string plain(std::string_view text) {
    std::string out(text);
    std::ranges::replace_if(
        out, [](char c) { return c == '\n' || c == '#'; }, ' ');
    return out;
  }

  std::string lines_;
  unsigned count_ = 0;
  bool all_ok_ = true;
};

void findings(const PatchReport& row, ReviewFinding::Kind kind, Results& results) {
  bool any = false;
  for (const auto& finding : row.findings) {
    if (finding.kind != kind) continue;
    any = true;
    // Above its result, as KTAP wants diagnostics.
    results.diagnostic(text_of(finding));
    results.add(finding.expected, fmt::format("{}: {}", name(kind), finding.title),
                finding.expected ? "XFAIL declared by --expect" : "");
  }
  if (!any) results.add(true, fmt::format("no {} that the base lacks", name(kind)));
}

Results results_of(const PatchReport& row) {
  Results results;
  if (!row.tried) {
    results.add(false, "applies", "ERROR not tried: an earlier patch does not apply");
    return results;
  }
  if (!row.step.applies) results.diagnostic(row.step.why);
  results.add(row.step.applies, "applies");
  if (!row.step.applies) return results;
  if (!row.relevant) {
    results.add(false, "compiles", "ERROR nothing of it is compiled into KVM for x86");
    return results;
  }
  for (const auto& diagnostic : row.diagnostics) results.diagnostic(print(diagnostic));
  results.add(row.compiles == true, "compiles", row.compiles ? "" : "ERROR not tried: interrupted");
  if (row.compiles != true) return results;
  if (!row.cannot_run.empty()) {
    results.diagnostic(row.cannot_run);
    results.add(false, "runs");
    return results;
  }
  results.diagnostic(text_of_run(row));
  const bool ran = row.programs + row.cases != 0;
  results.add(ran && row.cut_short.empty(), "runs",
              !ran                    ? "ERROR no program ran"
              : row.cut_short.empty() ? ""
                                      : "ERROR " + row.cut_short);
  const bool reached = row.reach.code.empty() ? row.same_code == true : !row.reach.reached.empty();
  results.add(reached, "changed lines are reached", reached ? "" : "ERROR none was");
  using Kind = ReviewFinding::Kind;
  for (const auto kind : {Kind::behaviour, Kind::difference, Kind::cost}) {
    findings(row, kind, results);
  }
  if (row.schedules.asked) {
    const auto& not_run = row.schedules.not_run;
    results.add(not_run.empty(), "schedules run", not_run.empty() ? "" : "ERROR " + not_run);
    findings(row, Kind::schedule, results);
  }
  if (!row.boot.asked) return results;
  const bool booted =
      row.boot.not_run.empty() && std::ranges::all_of(row.boot.modes, [](const auto& mode) {
        return mode.broken.empty() && mode.programs != 0;
      });
  results.add(booted, "boots and runs in every mode",
              booted ? "" : "ERROR " + std::string(trimmed(text_of(row.boot))));
  findings(row, Kind::splat, results);
  return results;
}

}  // namespace

std::string ktap(const ReviewReport& report) {
  auto text = fmt::format("KTAP version 1\n1..{}\n", report.patches.size());
  text += fmt::format("# {}\n", reason_of(report));
  text += fmt::format("# linux {}, seed {}\n", report.release, report.seed);
  unsigned number = 0;
  for (const auto& row : report.patches) {
    const auto results = results_of(row);
    text += fmt::format("  # Subtest: {}\n", row.patch.subject) + results.text();
    text += fmt::format("{}ok {} {}\n", results.ok() ? "" : "not ", ++number, row.patch.subject);
  }
  return text;
}

}  // namespace lockstep::jobs::review
