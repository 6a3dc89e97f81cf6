// SPDX-License-Identifier: GPL-2.0-or-later
// The answer as a mail.
#include <fmt/format.h>

#include <algorithm>

#include "jobs/review/diff_hunks.h"
#include "jobs/review/report.h"
#include "jobs/wrapped.h"

namespace lockstep::jobs::review {
namespace {

/// Whether the hunk changes one of the lines.
bool touches(const DiffHunk& hunk, const std::vector<Place>& lines) {
  return std::ranges::any_of(hunk.lines, [&](const DiffLine& line) {
    return line.kind != ' ' && std::ranges::find(lines, line.place) != lines.end();
  });
}

std::string quote(const DiffHunk& hunk, std::string& last_file) {
  std::string text;
  if (hunk.file != last_file) {
    for (const auto& line : hunk.file_header) text += "> " + line + "\n";
  }
  last_file = hunk.file;
  text += "> " + hunk.header + "\n";
  for (const auto& line : hunk.lines) text += fmt::format("> {}{}\n", line.kind, line.text);
  return text;
}

std::string answer_to(const PatchReport& row) {
  std::string text;
  std::string last_file;
  std::vector<bool> told(row.findings.size(), false);
  std::vector<bool> said(row.diagnostics.size(), false);
  for (const auto& hunk : diff_hunks(row.step.diff)) {
    std::string beneath;
    for (std::size_t i = 0; i < row.diagnostics.size(); ++i) {
      const auto& diagnostic = row.diagnostics[i];
      const std::vector<Place> at = {{diagnostic.file, diagnostic.line, false}};
      if (said[i] || !touches(hunk, at)) continue;
      said[i] = true;
      beneath += "\n" + wrapped(print(diagnostic), 0);
    }
    for (const auto& fact : row.facts) {
      if (fact.suspect && touches(hunk, {fact.place})) {
        beneath += "\n" + wrapped(fmt::format("Line {}: {}", fact.place.line, fact.text), 0);
      }
    }
    for (std::size_t i = 0; i < row.findings.size(); ++i) {
      if (told[i] || !touches(hunk, row.findings[i].lines)) continue;
      told[i] = true;
      beneath += "\n" + text_of(row.findings[i]);
    }
    if (!beneath.empty()) text += quote(hunk, last_file) + beneath + "\n";
  }
  // What no hunk can be blamed for.
  for (std::size_t i = 0; i < row.diagnostics.size(); ++i) {
    if (!said[i]) text += wrapped(print(row.diagnostics[i]), 0) + "\n";
  }
  for (std::size_t i = 0; i < row.findings.size(); ++i) {
    if (!told[i]) text += text_of(row.findings[i]) + "\n";
  }
  return text;
}

}  // namespace

std::string reply(const ReviewReport& report) {
  std::string text = wrapped(reason_of(report), 0) + "\n";
  for (const auto& row : report.patches) {
    text += wrapped("On: " + row.patch.subject, 0) + "\n";
    if (!row.tried) {
      text += "Not tried: an earlier patch does not apply.\n\n";
      continue;
    }
    if (!row.step.applies) {
      text += wrapped(row.step.why, 0) + "\n";
      continue;
    }
    for (const auto& note : row.step.notes) text += wrapped(note, 0);
    if (!row.step.notes.empty()) text += "\n";
    text += answer_to(row);
    text += text_of_run(row);
  }
  text += wrapped(
      fmt::format("Checked by Lockstep against linux {} (seed {}).", report.release, report.seed),
      0);
  return text;
}

}  // namespace lockstep::jobs::review
