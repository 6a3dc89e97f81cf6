// SPDX-License-Identifier: GPL-2.0-or-later
// The findings for tools that show them beside code (OASIS SARIF 2.1.0).
#include <fmt/format.h>

#include <algorithm>

#include "jobs/review/report.h"
#include "props/commit.h"
#include "spec/kvm/invariants.h"

namespace lockstep::jobs::review {
namespace {

using nlohmann::json;

json location(const std::string& file, unsigned line, bool removed) {
  json place = {{"physicalLocation",
                 {{"artifactLocation", {{"uri", file}, {"uriBaseId", "SRCROOT"}}},
                  {"region", {{"startLine", std::max(line, 1u)}}}}}};
  // A line that is gone has its number in the base.
  if (removed) place["message"] = {{"text", "removed by the patch; numbered as it was"}};
  return place;
}

std::string rule_of(const ReviewFinding& finding) {
  if (finding.invariant) return fmt::format("invariant-{}", *finding.invariant);
  return std::string(name(finding.kind));
}

json result_of(const ReviewFinding& finding, const PatchReport& row) {
  auto locations = json::array();
  for (const auto& place : finding.lines) {
    locations.push_back(location(place.file, place.line, place.removed));
  }
  json result = {{"ruleId", rule_of(finding)},
                 {"level", finding.expected ? "note" : "error"},
                 {"kind", finding.expected ? "informational" : "fail"},
                 {"message", {{"text", text_of(finding)}}},
                 {"locations", std::move(locations)},
                 {"properties",
                  {{"patch", row.patch.subject},
                   {"kind", name(finding.kind)},
                   {"program", finding.path.string()}}}};
  return result;
}

json rules() {
  auto all = json::array();
  const auto add = [&all](const std::string& id, std::string_view text) {
    all.push_back({{"id", id}, {"shortDescription", {{"text", text}}}});
  };
  add("apply", "the patch does not apply");
  add("compile", "the compiler says so");
  add("run", "the patched kernel does not run, the base does");
  add("behaviour", "the patched kernel shows what the model does not admit, the base does not");
  add("difference", "base and patched kernel answer differently, both admitted");
  add("cost", "the same programs cost the patched kernel more");
  add("schedule", "CPUs of the patched kernel fail in an order that the base stands");
  add("splat", "the patched kernel, booted, reports what the base does not");
  for (const auto& invariant : spec::invariants()) {
    add(fmt::format("invariant-{}", invariant.number), invariant.title);
  }
  return all;
}

json plain_result(const char* rule, const PatchReport& row, const std::string& text) {
  return {{"ruleId", rule},
          {"level", "error"},
          {"kind", "fail"},
          {"message", {{"text", text}}},
          {"properties", {{"patch", row.patch.subject}}}};
}

}  // namespace

json sarif(const ReviewReport& report) {
  auto results = json::array();
  for (const auto& row : report.patches) {
    if (row.tried && !row.step.applies) results.push_back(plain_result("apply", row, row.step.why));
    for (const auto& diagnostic : row.diagnostics) {
      if (!diagnostic.error && !diagnostic.at_patch) continue;
      json result = plain_result("compile", row, diagnostic.text);
      result["level"] = diagnostic.error ? "error" : "warning";
      result["locations"] = {location(diagnostic.file, diagnostic.line, false)};
      results.push_back(std::move(result));
    }
    if (row.compiles == false && row.diagnostics.empty()) {
      results.push_back(plain_result("compile", row, row.compile_error));
    }
    if (!row.cannot_run.empty()) results.push_back(plain_result("run", row, row.cannot_run));
    for (const auto& finding : row.findings) results.push_back(result_of(finding, row));
  }
  const auto verdict = verdict_of(report);
  json invocation = {{"executionSuccessful", verdict != props::Verdict::no_verdict},
                     {"exitCode", props::exit_code(verdict)}};
  // Without findings a tool would read a pass where there is none.
  if (verdict == props::Verdict::no_verdict) {
    invocation["toolExecutionNotifications"] = {
        {{"level", "error"}, {"message", {{"text", reason_of(report)}}}}};
  }
  json tool = {{"driver",
                {{"name", "Lockstep"},
                 {"semanticVersion", "0.0.0-" + std::string(props::lockstep_commit())},
                 {"rules", rules()}}}};
  json run = {
      {"tool", std::move(tool)},
      {"invocations", {std::move(invocation)}},
      {"originalUriBaseIds",
       {{"SRCROOT", {{"description", {{"text", "the kernel tree, linux " + report.release}}}}}}},
      {"results", std::move(results)}};
  return {{"$schema", "https://json.schemastore.org/sarif-2.1.0.json"},
          {"version", "2.1.0"},
          {"runs", {std::move(run)}}};
}

}  // namespace lockstep::jobs::review
