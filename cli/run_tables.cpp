// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/run_tables.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/interrupt.h"
#include "cli/terminal.h"
#include "props/engine_factory.h"
#include "props/save.h"
#include "props/tables_on_hardware.h"

namespace lockstep::cli {

int run_tables(const TablesRun& run, const JsonOutput& json) {
  props::TablesOptions options;
  options.seed = run.seed;
  options.budget = run.budget;
  options.stop = &stop_on_interrupt();
  for (const auto& engine : run.engines) {
    if (const auto unknown = props::unknown_engine(engine)) {
      return input_error(json.target(), *unknown);
    }
    if (engine == "spec") {
      return input_error(json.target(), "spec has no processor: --engines impl,kvm");
    }
    if (engine != options.maker) options.processor = engine;
  }
  ProgressLine line;
  const auto prepared = props::prepare_engine(
      options.processor, [&line](std::string_view text) { line.show(std::string(text)); });
  if (!prepared && prepared.error().input) {
    return input_error(json.target(), prepared.error().message);
  }
  options.progress = [&line](const props::TablesProgress& progress) {
    line.show(fmt::format("{:.0f} s  tables of {} programs  {} accesses  {} findings",
                          progress.seconds, progress.programs, progress.accesses,
                          progress.findings));
  };
  const auto result = props::run_tables_on_hardware(options);
  line.clear();
  fmt::print(json.page(), "{}", text_report(result, options.processor));
  auto findings = nlohmann::json::array();
  for (const auto& found : result.findings) {
    const auto path = props::save(run.failures, props::file_stem(found.finding),
                                  annotated(found.program, found.finding, {}));
    const std::string shown = path ? path->string() : "";
    fmt::print(json.page(), "  {}\n", path ? shown : "not saved: " + path.error());
    findings.push_back(finding_object(found.finding, shown));
  }
  fmt::print(json.page(), "{}: {}\n", headline(result.verdict), result.reason);
  auto object = base_object(result.verdict, result.seconds, result.reason);
  object["seed"] = run.seed;
  object["property"] = "tables-on-hardware";
  object["findings"] = std::move(findings);
  object["engines"] = {{{"name", options.processor},
                        {"commands", result.accesses},
                        {"cases", result.programs},
                        {"skipped", result.skipped},
                        {"reached", result.reached},
                        {"loosenesses", nlohmann::json::object()}}};
  object["accesses"] = result.accesses;
  object["reached_memory"] = result.reached_memory;
  object["reserved"] = result.reserved;
  object["canary"] = result.canary_found;
  return json.write(object, result.verdict);
}

}  // namespace lockstep::cli
