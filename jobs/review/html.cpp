// SPDX-License-Identifier: GPL-2.0-or-later
// The answer as one page, for people who read the diff beside it.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "jobs/review/diff_hunks.h"
#include "jobs/review/lines.h"
#include "jobs/review/report.h"

namespace lockstep::jobs::review {
namespace {

constexpr const char* style =
    "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;"
    "color:#1b1b1b;background:#fff}\n"
    "pre{font:13px/1.4 monospace;overflow-x:auto;margin:.5em 0}\n"
    "h1{font-size:1.3em;padding:.5em .7em;border-left:.4em solid}\n"
    "h1.pass{border-color:#2a7a2a}h1.fail{border-color:#b01818}h1.none{border-color:#8a6d00}\n"
    "h2{font-size:1.1em;margin-top:2em;border-top:1px solid #ccc;padding-top:.7em}\n"
    ".diff span{display:block;white-space:pre;padding-left:.4em;border-left:.35em solid #fff}\n"
    ".diff .add{background:#eaf6ea}.diff .del{background:#faecec}\n"
    ".diff .head{color:#666}\n"
    ".diff .ran{border-color:#2a7a2a}.diff .never{border-color:#d98200}\n"
    ".finding{border:1px solid #b01818;border-left-width:.4em;padding:.2em .8em;margin:.7em 0}\n"
    ".declared{border-color:#8a8a8a}\n"
    "@media(prefers-color-scheme:dark){body{color:#e4e4e4;background:#161616}"
    ".diff span{border-color:#161616}.diff .add{background:#17301a}.diff .del{background:#361a1a}"
    ".diff .head{color:#999}}\n";

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out += c;
    }
  }
  return out;
}

bool holds(const std::vector<Place>& places, const Place& place) {
  return std::ranges::find(places, place) != places.end();
}

std::string block(const ReviewFinding& finding) {
  return fmt::format("<div class=\"finding{}\"><pre>{}</pre></div>\n",
                     finding.expected ? " declared" : "", escaped(text_of(finding)));
}

/// One line of the diff, with what became of it.
std::string line_of(const DiffLine& line, const Reach& reach) {
  const auto* const kind = line.kind == '+' ? "add" : line.kind == '-' ? "del" : "same";
  const auto* const ran = line.kind == ' '                   ? ""
                          : holds(reach.reached, line.place) ? " ran"
                          : holds(reach.never, line.place)   ? " never"
                                                             : "";
  return fmt::format("<span class=\"{}{}\">{}{}</span>", kind, ran, line.kind, escaped(line.text));
}

/// The diff with findings beneath the hunks whose lines they run; `told` marks those.
std::string annotated_diff(const PatchReport& row, std::vector<bool>& told) {
  std::string text;
  std::string last_file;
  for (const auto& hunk : diff_hunks(row.step.diff)) {
    text += "<pre class=\"diff\">";
    if (hunk.file != std::exchange(last_file, hunk.file)) {
      for (const auto& line : hunk.file_header) {
        text += fmt::format("<span class=\"head\">{}</span>", escaped(line));
      }
    }
    text += fmt::format("<span class=\"head\">{}</span>", escaped(hunk.header));
    for (const auto& line : hunk.lines) text += line_of(line, row.reach);
    text += "</pre>\n";
    for (std::size_t i = 0; i < row.findings.size(); ++i) {
      const auto& lines = row.findings[i].lines;
      const bool here = std::ranges::any_of(hunk.lines, [&](const DiffLine& line) {
        return line.kind != ' ' && holds(lines, line.place);
      });
      if (told[i] || !here) continue;
      told[i] = true;
      text += block(row.findings[i]);
    }
  }
  return text;
}

}  // namespace

std::string html(const ReviewReport& report) {
  const auto verdict = verdict_of(report);
  const auto* const colour = verdict == props::Verdict::pass   ? "pass"
                             : verdict == props::Verdict::fail ? "fail"
                                                               : "none";
  auto text = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n"
      "<title>{0}</title>\n<style>\n{1}</style></head><body>\n"
      "<h1 class=\"{2}\">{0}</h1>\n<p>linux {3}, seed {4}, {5:.0f} s</p>\n",
      escaped(reason_of(report)), style, colour, escaped(report.release), report.seed,
      report.seconds);
  for (const auto& note : report.notes) text += fmt::format("<p>{}</p>\n", escaped(note));
  std::size_t number = 0;
  for (const auto& row : report.patches) {
    text += fmt::format("<h2>[{}/{}] {}</h2>\n", ++number, report.patches.size(),
                        escaped(row.patch.subject));
    text += fmt::format("<pre>{}</pre>\n", escaped(text_of_patch(row)));
    std::vector<bool> told(row.findings.size(), false);
    if (row.step.applies) {
      if (!row.reach.code.empty()) {
        text +=
            "<p>A green edge marks a changed line that ran, an orange one a line that never "
            "did; lines without an edge have no code.</p>\n";
      }
      text += annotated_diff(row, told);
    }
    for (std::size_t i = 0; i < row.findings.size(); ++i) {
      if (!told[i]) text += block(row.findings[i]);
    }
  }
  return text + "</body></html>\n";
}

}  // namespace lockstep::jobs::review
