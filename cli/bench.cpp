// SPDX-License-Identifier: GPL-2.0-or-later
/// `lockstep bench`: the speeds that Lockstep must reach, measured.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <memory>

#include "bench/table.h"
#include "cli/json_output.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "spec/text_suggest.h"

namespace lockstep::cli {
namespace {

struct Options {
  std::vector<std::string> names;
  unsigned repetitions = 5;
  bool list = false;
  JsonOutput json;
};

constexpr auto footer =
    "Each row is a quotient of two things measured in turn, in one run, with its\n"
    "least, median and greatest value. The median is held against the goal. What\n"
    "else runs on the machine is in the figures: leave it alone for a while.\n"
    "\n"
    "Exit: 0 if every row reaches its goal, 1 FAIL if one that ran misses it, 2\n"
    "wrong usage, 3 no verdict: a row could not run.\n"
    "\n"
    "Examples:\n"
    "  lockstep bench\n"
    "  lockstep bench --list\n"
    "  lockstep bench side-by-side mapped-pages --repetitions 9\n"
    "  lockstep bench --json bench.json\n";

int run(const Options& options) {
  const auto& json = options.json;
  if (const auto reason = json.unwritable()) return input_error({}, *reason);
  std::vector<std::string_view> valid;
  for (const auto& bench : bench::benches()) valid.push_back(bench.name);
  for (const auto& name : options.names) {
    if (std::ranges::find(valid, name) != valid.end()) continue;
    const auto near = spec::text::nearest(name, valid);
    return input_error(json.target(),
                       fmt::format("no bench '{}'; valid: {}{}", name, fmt::join(valid, ", "),
                                   near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
  }
  if (options.list) {
    auto names = nlohmann::json::array();
    for (const auto& bench : bench::benches()) {
      fmt::print(json.page(), "{:<14} {}\n", bench.name, bench.text);
      names.push_back({{"name", bench.name}, {"text", bench.text}});
    }
    auto object = base_object(props::Verdict::pass, 0);
    object["benches"] = std::move(names);
    return json.write(object, props::Verdict::pass);
  }
  const auto started = std::chrono::steady_clock::now();
  ProgressLine line;
  bench::Options work;
  work.repetitions = options.repetitions;
  work.progress = [&line](std::string_view text) { line.show(std::string(text)); };
  std::vector<bench::Row> rows;
  for (const auto& bench : bench::benches()) {
    if (!options.names.empty() &&
        std::ranges::find(options.names, bench.name) == options.names.end()) {
      continue;
    }
    for (auto& row : bench.run(work)) rows.push_back(std::move(row));
  }
  line.clear();
  const auto verdict = bench::verdict_of(rows);
  const auto reason = bench::reason_of(rows);
  fmt::print(json.page(), "{}: {}\n\n{}", props::headline(verdict), reason, bench::text(rows));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  auto object = base_object(verdict, seconds.count(), reason);
  object["rows"] = bench::json_rows(rows);
  return json.write(object, verdict);
}

}  // namespace

void add_bench(CLI::App& app, int& exit) {
  auto* verb = app.add_subcommand("bench", "Measure the speeds that Lockstep must reach");
  const auto options = std::make_shared<Options>();
  verb->footer(footer);
  verb->add_option("NAME", options->names, "Which rows (default: all)");
  verb->add_option("--repetitions", options->repetitions, "Of each row")
      ->type_name("N")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  verb->add_flag("--list", options->list, "Only name the rows");
  options->json.add_to(*verb);
  verb->callback([options, &exit] { exit = run(*options); });
}

}  // namespace lockstep::cli
