// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "jobs/review/lines.h"
#include "jobs/wrapped.h"
#include "spec/kvm/invariants.h"

namespace lockstep::jobs::review {
namespace {

constexpr std::size_t most_places = 8;
constexpr std::size_t most_facts = 8;
constexpr std::size_t most_lines = 60;  ///< of a schedule

/// What stands out in the diff, suspects marked.
std::string facts(const PatchReport& row) {
  std::string text;
  std::size_t told = 0;
  for (const auto& fact : row.facts) {
    if (!fact.suspect && ++told > most_facts) continue;
    const auto line = fmt::format("{}:{}{}: {}", fact.place.file, fact.place.line,
                                  fact.place.removed ? " (as it was)" : "", fact.text);
    text += (fact.suspect ? "  >> " : "     ") + std::string(trimmed(wrapped(line, 5))) + "\n";
  }
  if (told > most_facts) text += fmt::format("     and {} more\n", told - most_facts);
  return text.empty() ? text : "  read in the diff, not run\n" + text;
}

/// "FILE:12-14, 20 (removed)": a file a line.
std::string places(const std::vector<Place>& all, std::size_t indent) {
  std::string text;
  std::size_t told = 0;
  for (std::size_t i = 0; i < all.size() && told < most_places;) {
    std::size_t j = i;
    while (j + 1 < all.size() && all[j + 1].file == all[i].file &&
           all[j + 1].removed == all[i].removed && all[j + 1].line == all[j].line + 1) {
      ++j;
    }
    text += fmt::format("{:{}}{}:{}{}{}\n", "", indent, all[i].file, all[i].line,
                        j == i ? "" : fmt::format("-{}", all[j].line),
                        all[i].removed ? " (as it was)" : "");
    ++told;
    i = j + 1;
    if (told == most_places && i < all.size()) text += fmt::format("{:{}}...\n", "", indent);
  }
  return text;
}

/// A schedule whose turns do not become fewer is longer than a mail: how it begins and ends.
std::string shortened(std::string_view page) {
  const auto lines = lines_of(page);
  std::string text;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const bool left_out = i >= most_lines / 2 && i + most_lines / 2 < lines.size();
    if (!left_out) {
      text += fmt::format("    {}\n", lines[i]);
    } else if (i == most_lines / 2) {
      text += fmt::format("    ... {} more; the file has them all\n", lines.size() - most_lines);
    }
  }
  return text;
}

/// What would be seen if something were wrong there.
std::string power(const PatchReport::Power& power) {
  const auto measured = power.detected.size() + power.missed.size();
  if (measured + power.unmeasured.size() == 0) {
    return "  power     no seeded defect stands in the functions that it touches\n";
  }
  auto text = fmt::format("  power     {} of {} seeded defects of the touched functions detected\n",
                          power.detected.size(), measured);
  if (!power.missed.empty()) {
    text += wrapped(fmt::format("not detected: {}", fmt::join(power.missed, ", ")), 4);
  }
  if (!power.unmeasured.empty()) {
    text += wrapped(fmt::format("not measured: lockstep mutants --kernel ... {}",
                                fmt::join(power.unmeasured, " ")),
                    4);
  }
  return text;
}

std::string applied(const PatchReport& row) {
  if (!row.tried) return "  applies   not tried\n";
  if (!row.step.applies) {
    return "  applies   no\n" + wrapped(row.step.why, 4);
  }
  std::string text = "  applies   yes\n";
  for (const auto& note : row.step.notes) text += wrapped(note, 4);
  return text;
}

std::string compiled(const PatchReport& row) {
  if (!row.step.applies) return "";
  if (!row.relevant) return "  compiles  not tried: nothing of it is compiled into KVM for x86\n";
  if (!row.compiles) return "";
  // Elsewhere a warning may be as old as the file: nothing is known of the base's.
  const auto warnings = std::ranges::count_if(row.diagnostics, [](const Diagnostic& diagnostic) {
    return !diagnostic.error && diagnostic.at_patch;
  });
  std::string text =
      *row.compiles
          ? fmt::format("  compiles  yes{}, {:.1f} s\n",
                        warnings == 0 ? ""
                                      : ", with " + plural(static_cast<std::uint64_t>(warnings),
                                                           "new warning"),
                        row.build_seconds)
          : std::string("  compiles  no\n");
  for (const auto& diagnostic : row.diagnostics) {
    text += fmt::format("{} ", diagnostic.at_patch ? "  >>" : "    ") +
            std::string(trimmed(wrapped(print(diagnostic), 5))) + "\n";
  }
  if (row.diagnostics.empty() && !*row.compiles) text += wrapped(row.compile_error, 4);
  return text;
}

nlohmann::json boot_object(const BootReport& boot) {
  if (!boot.asked) return nullptr;
  auto modes = nlohmann::json::array();
  for (const auto& mode : boot.modes) {
    modes.push_back({{"parameters", mode.parameters},
                     {"programs", mode.programs},
                     {"skipped", mode.skipped},
                     {"undecided", mode.undecided},
                     {"unconfirmed", mode.unconfirmed},
                     {"torn_down", mode.torn_down},
                     {"base_fails", mode.base_fails},
                     {"base_finding", mode.base_finding},
                     {"broken", mode.broken},
                     {"boot_seconds", mode.boot_seconds},
                     {"reached", mode.reached}});
  }
  return {{"not_run", boot.not_run},
          {"modes", std::move(modes)},
          {"build_seconds", boot.build_seconds},
          {"run_seconds", boot.run_seconds}};
}

nlohmann::json schedules_object(const ScheduleReport& report) {
  if (!report.asked) return nullptr;
  return {{"not_run", report.not_run},         {"masked", report.masked},
          {"unconfirmed", report.unconfirmed}, {"schedules", report.schedules},
          {"cpu_seconds", report.cpu_seconds}, {"build_seconds", report.build_seconds}};
}

}  // namespace

std::string text_of(const ReviewFinding& finding) {
  std::string text = wrapped(fmt::format("{}: {}{}", name(finding.kind), finding.title,
                                         finding.expected ? " (declared)" : ""),
                             0);
  if (finding.seen.step && !finding.seen.command.empty()) {
    text += wrapped(fmt::format("at step {}: {}", *finding.seen.step + 1, finding.seen.command), 2);
  }
  for (const auto& side : sides_of(finding)) text += wrapped(side, 2);
  if (!finding.detail.empty()) text += wrapped(finding.detail, 2);
  if (finding.invariant) {
    for (const auto& invariant : spec::invariants()) {
      if (invariant.number != *finding.invariant) continue;
      text += wrapped(
          fmt::format("invariant {}: {} ({})", invariant.number, invariant.title, invariant.source),
          2);
    }
  }
  if (!finding.lines.empty()) {
    text += "  changed lines that it runs:\n" + places(finding.lines, 4);
  }
  text += shortened(finding.page);
  if (finding.kind == ReviewFinding::Kind::schedule && !finding.path.empty()) {
    text += fmt::format("  schedule: {}\n", finding.path.string());
  } else if (!finding.path.empty()) {
    text += fmt::format("  program: {}\n", finding.path.string());
    const auto program = print(finding.program);
    for (const auto line : lines_of(program)) {
      // Provenance stands in the file.
      if (line.starts_with('#')) continue;
      text += fmt::format("    {}\n", line);
    }
  }
  return text;
}

std::string text_of_run(const PatchReport& row) {
  std::string text;
  if (row.compiles != true) return text;
  if (!row.cannot_run.empty()) {
    return "  runs      no\n" + wrapped(row.cannot_run, 4);
  }
  text += fmt::format(
      "  ran       {} on base and patched; {} more ({} commands)\n"
      "            on patched, {:.1f} s\n",
      plural(row.programs, "program"), row.cases, row.commands, row.run_seconds);
  const auto& reach = row.reach;
  if (reach.code.empty()) {
    text += row.same_code == false
                ? "  reached   no changed line has code of its own; what is compiled differs\n"
                : "  reached   no changed line has code in this build\n";
  } else {
    text += fmt::format("  reached   {} of {} changed lines with code\n", reach.reached.size(),
                        reach.code.size());
    if (!reach.never.empty()) text += "    never:\n" + places(reach.never, 6);
  }
  text += text_of(row.schedules);
  text += power(row.power);
  text += text_of(row.boot);
  for (const auto& remark : row.remarks) text += wrapped(remark, 4);
  return text;
}

std::string text_of_patch(const PatchReport& row) {
  return applied(row) + compiled(row) + facts(row) + text_of_run(row);
}

std::string text_report(const ReviewReport& report) {
  std::string text = wrapped(reason_of(report), 0);
  text += fmt::format(
      "linux {}, {}, seed {}, {:.0f} s\n", report.release,
      report.patches.size() == 1 ? "1 patch" : fmt::format("{} patches", report.patches.size()),
      report.seed, report.seconds);
  for (const auto& note : report.notes) text += wrapped(note, 0);
  std::size_t number = 0;
  for (const auto& row : report.patches) {
    ++number;
    text += "\n" +
            wrapped(fmt::format("[{}/{}] {}", number, report.patches.size(), row.patch.subject), 0);
    text += text_of_patch(row);
    for (const auto& finding : row.findings) {
      text += fmt::format("\n>> {}", text_of(finding));
    }
  }
  return text;
}

nlohmann::json json_findings(const ReviewReport& report) {
  auto all = nlohmann::json::array();
  for (const auto& row : report.patches) {
    for (const auto& finding : row.findings) {
      nlohmann::json lines = nlohmann::json::array();
      for (const auto& place : finding.lines) {
        lines.push_back({{"file", place.file}, {"line", place.line}, {"removed", place.removed}});
      }
      nlohmann::json sides = nlohmann::json::object();
      for (const auto& side : finding.seen.sides) sides[side.engine] = side.answer;
      all.push_back({{"engine", "patched"},
                     {"kind", name(finding.kind)},
                     {"invariant", finding.invariant ? nlohmann::json(*finding.invariant)
                                                     : nlohmann::json(nullptr)},
                     {"title", finding.title},
                     {"detail", finding.detail},
                     {"program", finding.path.string()},
                     {"new", true},
                     {"expected", finding.expected},
                     {"patch", row.patch.subject},
                     {"sides", std::move(sides)},
                     {"admitted", finding.seen.admitted},
                     {"lines", std::move(lines)}});
    }
  }
  return all;
}

nlohmann::json json_patches(const ReviewReport& report) {
  auto rows = nlohmann::json::array();
  for (const auto& row : report.patches) {
    auto diagnostics = nlohmann::json::array();
    for (const auto& diagnostic : row.diagnostics) {
      diagnostics.push_back({{"file", diagnostic.file},
                             {"line", diagnostic.line},
                             {"error", diagnostic.error},
                             {"text", diagnostic.text},
                             {"at_patch", diagnostic.at_patch}});
    }
    std::vector<std::string> never;
    for (const auto& place : row.reach.never) {
      never.push_back(fmt::format("{}:{}{}", place.file, place.line, place.removed ? "-" : ""));
    }
    auto facts = nlohmann::json::array();
    for (const auto& fact : row.facts) {
      facts.push_back({{"file", fact.place.file},
                       {"line", fact.place.line},
                       {"removed", fact.place.removed},
                       {"text", fact.text},
                       {"suspect", fact.suspect}});
    }
    rows.push_back({{"subject", row.patch.subject},
                    {"origin", row.patch.origin},
                    {"applies", row.step.applies},
                    {"why", row.step.why},
                    {"notes", row.step.notes},
                    {"compiles", row.compiles ? nlohmann::json(*row.compiles) : nlohmann::json()},
                    {"diagnostics", std::move(diagnostics)},
                    {"facts", std::move(facts)},
                    {"changed_lines", row.reach.code.size()},
                    {"reached_lines", row.reach.reached.size()},
                    {"never_reached", never},
                    {"findings", row.findings.size()},
                    {"power",
                     {{"detected", row.power.detected},
                      {"missed", row.power.missed},
                      {"unmeasured", row.power.unmeasured}}},
                    {"schedules", schedules_object(row.schedules)},
                    {"boot", boot_object(row.boot)},
                    {"remarks", row.remarks},
                    {"programs", row.programs},
                    {"cases", row.cases},
                    {"commands", row.commands},
                    {"build_seconds", row.build_seconds},
                    {"run_seconds", row.run_seconds}});
  }
  return rows;
}

}  // namespace lockstep::jobs::review
