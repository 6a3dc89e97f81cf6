// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/run_report.h"

#include <fmt/format.h>
#include <algorithm>
#include <map>
#include <set>

namespace lockstep::jobs {
namespace {

using nlohmann::json;
using props::CampaignFinding;
using props::CampaignResult;
using props::EngineTally;

/// Of paths that are calls of a hosted kernel to functions without effect.
constexpr std::string_view stub_prefix = "stub ";

std::string indented(std::string_view text, std::string_view by) {
  std::string result;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    result += by;
    result += line;
    result += '\n';
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return result;
}

void add_finding(std::string& text, std::size_t number, const CampaignFinding& finding,
                 const CampaignResult& result) {
  std::string engines;
  for (const auto& engine : result.engines) engines += " --engine " + engine.name;
  text += fmt::format("\nfinding {}: {} ({})\n", number, finding.finding.title,
                      name(finding.finding.kind));
  text += fmt::format("  engine {}, seed {}, case {}, met {} time{}; {}, {}\n",
                      finding.finding.engine, result.seed, finding.case_index, finding.times,
                      finding.times == 1 ? "" : "s", finding.shrunk ? "shrunk" : "not shrunk",
                      finding.confirmed ? "seen again on a fresh VM" : "not confirmed");
  if (finding.sequence > 1) {
    text += fmt::format("  needs the whole sequence of {} programs\n", finding.sequence);
  }
  text += indented(side_by_side(finding.finding), "  ");
  text += fmt::format("\n{}\n", indented(print(finding.program), "    "));
  text += fmt::format("  replay: lockstep replay {}{}\n", finding.path.string(), engines);
}

void add_engines(std::string& text, const CampaignResult& result) {
  text += fmt::format("\n{:<8} {:>12} {:>12} {:>10} {:>9}\n", "engine", "commands", "commands/s",
                      "cases", "skipped");
  for (const auto& engine : result.engines) {
    std::uint64_t skipped = 0;
    for (const auto& [reason, count] : engine.skipped) skipped += count;
    text += fmt::format(
        "{:<8} {:>12} {:>12.0f} {:>10} {:>9}\n", engine.name, engine.commands,
        result.case_seconds > 0 ? static_cast<double>(engine.commands) / result.case_seconds : 0.0,
        engine.cases, skipped);
    for (const auto& [reason, count] : engine.skipped) {
      text += fmt::format("{:<8}   skipped {}: {}\n", "", count, reason);
    }
    for (const auto& deviation : engine.deviations) {
      text += fmt::format("{:<8}   deviation applied: {}\n", "", deviation);
    }
  }
}

/// One row a name, one column an engine.
void add_table(std::string& text, std::string_view title, const CampaignResult& result,
               const std::vector<std::string>& rows,
               std::map<std::string, std::uint64_t> EngineTally::*counts) {
  if (rows.empty()) return;
  text += fmt::format("\n{:<24}", title);
  for (const auto& engine : result.engines) text += fmt::format(" {:>11}", engine.name);
  text += '\n';
  for (const auto& row : rows) {
    text += fmt::format("  {:<22}", row);
    for (const auto& engine : result.engines) {
      const auto found = (engine.*counts).find(row);
      text += found == (engine.*counts).end() ? fmt::format(" {:>11}", "-")
                                              : fmt::format(" {:>11}", found->second);
    }
    text += '\n';
  }
}

std::vector<std::string> names_of(const CampaignResult& result,
                                  std::map<std::string, std::uint64_t> EngineTally::*counts,
                                  const std::vector<std::string_view>& first) {
  std::vector<std::string> rows(first.begin(), first.end());
  std::set<std::string> known(rows.begin(), rows.end());
  for (const auto& engine : result.engines) {
    for (const auto& [row, count] : engine.*counts) {
      // A line for all of them stands below; the object names each.
      if (row.starts_with(stub_prefix)) continue;
      if (known.insert(row).second) rows.push_back(row);
    }
  }
  return rows;
}

/// Which hosts the programs had: what was never drawn was never checked.
void add_shares(std::string& text, const EngineTally& engine) {
  constexpr std::string_view prefix = "drawn ";
  const auto all = engine.reached.find("drawn programs");
  if (all == engine.reached.end()) return;
  text += fmt::format("\nof {} programs, {} had:", all->second, engine.name);
  const char* separator = " ";
  for (const auto& [name, count] : engine.reached) {
    if (!name.starts_with(prefix) || name == all->first) continue;
    text += fmt::format("{}{} {} %", separator, name.substr(prefix.size()),
                        (100 * count + all->second / 2) / all->second);
    separator = ", ";
  }
  text += '\n';
}

void add_reach(std::string& text, const CampaignResult& result) {
  add_table(text, "reached", result, names_of(result, &EngineTally::reached, props::reach_names()),
            &EngineTally::reached);
  add_table(text, "looseness needed", result, names_of(result, &EngineTally::loosenesses, {}),
            &EngineTally::loosenesses);
  for (const auto& engine : result.engines) {
    const auto stubs =
        std::count_if(engine.reached.begin(), engine.reached.end(),
                      [](const auto& row) { return row.first.starts_with(stub_prefix); });
    if (stubs == 0) continue;
    text += fmt::format("\n{} called {} functions that do nothing (names: --json)\n", engine.name,
                        stubs);
  }
  for (const auto& engine : result.engines) add_shares(text, engine);
  for (const auto& engine : result.engines) {
    if (engine.never_reached.empty()) continue;
    text += fmt::format("\nnever reached by {}:", engine.name);
    const char* separator = " ";
    for (const auto& path : engine.never_reached) {
      text += separator;
      text += path;
      separator = ", ";
    }
    text += '\n';
  }
}

}  // namespace

std::string text_finding(const props::Finding& finding, const Program& program,
                         const std::string& path) {
  std::string text = fmt::format("{} ({})\n", finding.title, name(finding.kind));
  text += indented(side_by_side(finding), "  ");
  text += fmt::format("\n{}", indented(print(program), "    "));
  if (!path.empty()) text += fmt::format("\n  replay: lockstep replay {}\n", path);
  return text;
}

std::string text_report(const CampaignResult& result) {
  std::string text = fmt::format("{}: {}\n", headline(result.verdict), result.reason);
  if (result.verdict == props::Verdict::input_error) return text;
  for (std::size_t i = 0; i < result.findings.size(); ++i) {
    add_finding(text, i + 1, result.findings[i], result);
  }
  text += fmt::format("\nseed {}, {:.1f} s, {} cases, {} discarded, {} undecided{}\n", result.seed,
                      result.seconds, result.cases, result.discards, result.undecided,
                      result.interrupted ? ", interrupted" : "");
  if (result.discards != 0) text += "first discard: " + result.first_discard + "\n";
  if (result.undecided != 0) text += "first undecided: " + result.first_undecided + "\n";
  if (result.canary.asked) {
    text += result.canary.found ? fmt::format("canary found after {} cases\n", result.canary.cases)
                                : fmt::format("canary NOT found: {}\n", result.canary.why);
  }
  add_engines(text, result);
  add_reach(text, result);
  return text;
}

json json_report(const CampaignResult& result) {
  json findings = json::array();
  for (const auto& finding : result.findings) {
    json sides = json::array();
    for (const auto& side : finding.finding.sides) {
      sides.push_back({{"engine", side.engine}, {"answer", side.answer}, {"odd", side.odd}});
    }
    findings.push_back({{"engine", finding.finding.engine},
                        {"kind", name(finding.finding.kind)},
                        {"invariant", nullptr},
                        {"title", finding.finding.title},
                        {"program", finding.path.string()},
                        {"new", true},
                        {"command", finding.finding.command},
                        {"sides", std::move(sides)},
                        {"admitted", finding.finding.admitted},
                        {"spec_suspect", finding.finding.spec_suspect},
                        {"case", finding.case_index},
                        {"times", finding.times},
                        {"shrunk", finding.shrunk},
                        {"confirmed", finding.confirmed},
                        {"sequence", finding.sequence}});
  }
  json engines = json::array();
  for (const auto& engine : result.engines) {
    engines.push_back({{"name", engine.name},
                       {"commands", engine.commands},
                       {"cases", engine.cases},
                       {"skipped", engine.skipped},
                       {"reached", engine.reached},
                       {"loosenesses", engine.loosenesses},
                       {"never_reached", engine.never_reached},
                       {"deviations", engine.deviations},
                       {"provenance", json(engine.provenance)}});
  }
  return {{"verdict", name(result.verdict)},
          {"exit", exit_code(result.verdict)},
          {"seconds", result.seconds},
          {"reason", result.reason},
          {"seed", result.seed},
          {"interrupted", result.interrupted},
          {"cases", result.cases},
          {"discards", result.discards},
          {"undecided", result.undecided},
          {"canary",
           {{"asked", result.canary.asked},
            {"found", result.canary.found},
            {"cases", result.canary.cases}}},
          {"findings", std::move(findings)},
          {"engines", std::move(engines)}};
}

}  // namespace lockstep::jobs
