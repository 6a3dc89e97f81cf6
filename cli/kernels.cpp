// SPDX-License-Identifier: GPL-2.0-or-later
/// `lockstep kernels`: kernel sources in the cache, fetched and removed.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <memory>

#include "cli/json_output.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "hw/kernels/apt_index.h"
#include "hw/kernels/fetch.h"
#include "hw/kernels/inventory.h"
#include "spec/text_suggest.h"

namespace lockstep::cli {
namespace {

namespace kernels = hw::kernels;

constexpr auto footer =
    "Sources come from Debian's linux-source packages, through the archives that\n"
    "apt is set up with here; apt checks the signatures. They are kept in\n"
    "$XDG_CACHE_HOME/lockstep or ~/.cache/lockstep (LOCKSTEP_CACHE: elsewhere) and\n"
    "take about 1.7 GB each; nothing is asked. `remove` also takes the overlays,\n"
    "build folders and images of the version. A tree of your own needs no fetch:\n"
    "name its path where a version may stand; nothing writes there.\n"
    "\n"
    "Exit: 0, or 2 for a version that does not exist, 3 if apt, the network or\n"
    "the disk let it down.\n"
    "\n"
    "Examples:\n"
    "  lockstep kernels\n"
    "  lockstep kernels fetch 6.12 7.2\n"
    "  lockstep kernels remove 6.12\n"
    "  lockstep kernels list --json -\n";

struct Options {
  std::string action = "list";
  std::vector<std::string> versions;
  JsonOutput json;
};

/// What the verb came to, so far.
struct Report {
  std::optional<kernels::KernelError> error;
  nlohmann::json object = nlohmann::json::object();
  std::string page;

  void fail(const kernels::KernelError& failure) {
    if (!error) error = failure;
  }
};

std::string size_or_dash(std::uint64_t bytes) {
  return bytes == 0 ? "-" : kernels::human_bytes(bytes);
}

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

void list_cached(const kernels::Cache& cache, Report& report) {
  const auto inventory = kernels::take_inventory(cache);
  auto all = nlohmann::json::array();
  report.page += fmt::format("{}\n", cache.root().string());
  constexpr auto row = "  {:<22} {:<12} {:>8} {:>8}  {}\n";
  if (inventory.kernels.empty()) {
    report.page += "  empty\n";
  } else {
    report.page += fmt::format(row, "version", "release", "source", "builds", "package");
  }
  for (const auto& kernel : inventory.kernels) {
    report.page +=
        fmt::format(row, kernel.version, or_dash(kernel.release), size_or_dash(kernel.source_bytes),
                    size_or_dash(kernel.made_bytes), or_dash(kernel.package));
    all.push_back({{"version", kernel.version},
                   {"release", kernel.release},
                   {"package", kernel.package},
                   {"source_bytes", kernel.source_bytes},
                   {"made_bytes", kernel.made_bytes}});
  }
  report.object["cache"] = cache.root().string();
  report.object["kernels"] = std::move(all);
  report.object["index_bytes"] = inventory.other_bytes;
}

void list_available(const kernels::Cache& cache, const kernels::Progress& progress,
                    Report& report) {
  const auto index = kernels::read_apt_index(cache, /*refresh=*/false, progress);
  auto all = nlohmann::json::array();
  report.page += "\nto fetch\n";
  if (!index) {
    // The cache was listed all the same: no reason to fail.
    report.page += fmt::format("  nobody knows: {}\n", index.error().message);
    report.object["unavailable"] = index.error().message;
  } else {
    for (const auto& package : index->packages) {
      report.page +=
          fmt::format("  {:<8} {:>8}  {} {}\n", package.version,
                      kernels::human_bytes(package.bytes), package.debian_version, package.suite);
      all.push_back({{"version", package.version},
                     {"package", fmt::format("{} {}", package.debian_version, package.suite)},
                     {"bytes", package.bytes}});
    }
    for (const auto& warning : index->warnings) report.page += fmt::format("  {}\n", warning);
    report.object["warnings"] = index->warnings;
  }
  report.object["available"] = std::move(all);
}

void list(const kernels::Cache& cache, const Options&, const kernels::Progress& progress,
          Report& report) {
  list_cached(cache, report);
  list_available(cache, progress, report);
}

void fetch(const kernels::Cache& cache, const Options& options, const kernels::Progress& progress,
           Report& report) {
  auto all = nlohmann::json::array();
  for (const auto& version : options.versions) {
    const auto fetched = kernels::fetch(cache, version, progress);
    if (!fetched) {
      report.fail(fetched.error());
      break;
    }
    const auto bytes = kernels::disk_bytes(fetched->tree.path);
    report.page += fmt::format("{:<8} linux {}, {}{}, {}\n", version, fetched->tree.release,
                               fetched->was_there ? "was there, " : "",
                               fetched->package.empty() ? "of unknown origin" : fetched->package,
                               kernels::human_bytes(bytes));
    all.push_back({{"version", version},
                   {"release", fetched->tree.release},
                   {"package", fetched->package},
                   {"path", fetched->tree.path.string()},
                   {"was_there", fetched->was_there},
                   {"source_bytes", bytes}});
  }
  report.object["kernels"] = std::move(all);
}

void remove(const kernels::Cache& cache, const Options& options, const kernels::Progress& progress,
            Report& report) {
  auto all = nlohmann::json::array();
  for (const auto& version : options.versions) {
    const auto freed = kernels::remove_kernel(cache, version, progress);
    if (!freed) {
      report.fail(freed.error());
      break;
    }
    report.page += fmt::format("{:<8} removed, {} free\n", version, kernels::human_bytes(*freed));
    all.push_back({{"version", version}, {"freed_bytes", *freed}});
  }
  report.object["removed"] = std::move(all);
}

struct Action {
  std::string_view name;
  bool takes_versions;
  void (*run)(const kernels::Cache&, const Options&, const kernels::Progress&, Report&);
};

constexpr std::array<Action, 3> actions = {
    {{"list", false, list}, {"fetch", true, fetch}, {"remove", true, remove}}};

std::string unknown_action(std::string_view word) {
  std::array<std::string_view, actions.size()> names;
  for (std::size_t i = 0; i < actions.size(); ++i) names[i] = actions[i].name;
  const auto near = spec::text::nearest(word, names);
  return fmt::format("nothing to do with kernels by the name '{}'; valid: {}{}", word,
                     fmt::join(names, ", "),
                     near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
}

props::Verdict verdict_of(const Report& report) {
  if (!report.error) return props::Verdict::pass;
  return report.error->cause == kernels::KernelError::Cause::input ? props::Verdict::input_error
                                                                   : props::Verdict::no_verdict;
}

int run_action(const Action& action, const Options& options) {
  const auto started = std::chrono::steady_clock::now();
  const auto cache = kernels::Cache::standard();
  Report report;
  if (cache) {
    ProgressLine line;
    action.run(
        *cache, options, [&line](std::string_view text) { line.show(text); }, report);
  } else {
    report.fail(cache.error());
  }
  fmt::print(options.json.page(), "{}", report.page);
  if (report.error) fmt::print(stderr, "lockstep: {}\n", report.error->message);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  const auto verdict = verdict_of(report);
  report.object.update(
      base_object(verdict, seconds.count(), report.error ? report.error->message : ""));
  return options.json.write(report.object, verdict);
}

int kernels_verb(const Options& options) {
  const auto& json = options.json;
  if (const auto reason = json.unwritable()) return input_error({}, *reason);
  for (const auto& action : actions) {
    if (action.name != options.action) continue;
    if (action.takes_versions == options.versions.empty()) {
      return input_error(
          json.target(),
          fmt::format("kernels {}: {}", action.name,
                      action.takes_versions ? "name a version, as 6.12" : "takes no version"));
    }
    return run_action(action, options);
  }
  return input_error(json.target(), unknown_action(options.action));
}

}  // namespace

void add_kernels(CLI::App& app, int& exit) {
  auto* verb = app.add_subcommand("kernels", "List, fetch and remove kernel sources");
  const auto options = std::make_shared<Options>();
  verb->footer(footer);
  verb->add_option("ACTION", options->action, "list (without one), fetch or remove");
  verb->add_option("VERSION", options->versions, "As 6.12");
  options->json.add_to(*verb);
  verb->callback([options, &exit] { exit = kernels_verb(*options); });
}

}  // namespace lockstep::cli
