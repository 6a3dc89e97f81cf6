// SPDX-License-Identifier: GPL-2.0-or-later
/// `lockstep list`: what there is to run, and what a report's words mean.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <memory>

#include "cli/corpus.h"
#include "cli/json_output.h"
#include "cli/verbs.h"
#include "hw/kernels/cache.h"
#include "hw/kernels/source.h"
#include "hw/kernels/tree.h"
#include "hw/qemu/kernel.h"
#include "hw/qemu/machine.h"
#include "jobs/hosted_scenarios.h"
#include "jobs/looseness_evidence.h"
#include "jobs/prove.h"
#include "props/campaign.h"
#include "props/engine_factory.h"
#include "props/schedule/system.h"
#include "spec/kvm/invariants.h"
#include "spec/kvm/machine.h"
#include "spec/text_suggest.h"

namespace lockstep::cli {
namespace {

struct Item {
  std::string name;
  std::string text;
};

std::string qemu_state(const hw::kernels::Cache& cache, const std::string& version) {
  if (const auto reason = hw::qemu::lacks_qemu(); !reason.empty()) {
    return "does not run here: " + reason;
  }
  const auto tree = hw::kernels::find_tree(cache, version);
  const auto source =
      tree ? hw::kernels::plain_source(cache, *tree, {}) : tl::unexpected(tree.error());
  if (!source) return "does not run here: " + source.error().message;
  return fmt::format(
      "a debug kernel, booted in each MMU mode; {}",
      hw::qemu::is_built(cache, *source) ? "built" : "its first use builds it: minutes");
}

std::vector<Item> engines() {
  std::vector<Item> items;
  for (const auto name : props::engine_names()) {
    const auto engine = props::make_engine(name, /*seed=*/0);
    items.push_back(
        {std::string(name), engine ? "runs here" : "does not run here: " + engine.error().message});
  }
  if (const auto cache = hw::kernels::Cache::standard()) {
    for (const auto& version : hw::kernels::cached_versions(*cache)) {
      items.push_back({"hosted:" + version, "the kernel's own KVM, compiled at first use"});
    }
    for (const auto& version : hw::kernels::cached_versions(*cache)) {
      items.push_back({"qemu:" + version, qemu_state(*cache, version)});
    }
  }
  items.push_back({"hosted:PATH", "the KVM of a kernel tree, compiled at first use"});
  return items;
}

std::vector<Item> properties() {
  return {{"side-by-side",
           "random programs on engines, every answer judged by a model of its own (run)"},
          {"page-walk-matrix",
           "every page-table flag, access and paging register: the walk of spec and of impl "
           "(run --property page-walk-matrix)"},
          {"failed-allocations",
           "random programs, again for each allocation of a hosted kernel: it fails, user space "
           "asks again, nothing else may change (run --property failed-allocations)"},
          {"parallel",
           "random programs with parallel blocks: some order of the atomic steps of their "
           "commands must explain what is shown (run --property parallel)"},
          {"schedules",
           "systems of threads (list systems) under random walks and PCT, with detectors of "
           "races, deadlocks and use after free; of a hosted kernel's CPUs, too (run --property "
           "schedules [--engines hosted:6.1])"},
          {"schedules-exhaustive",
           "the same, every program of two threads and two commands each, every schedule of at "
           "most three preemptions (run --property schedules-exhaustive)"},
          {"tables-on-hardware",
           "shadow tables that impl made, loaded into a real vCPU's CR3: what its processor shows "
           "agrees with the rules over the same bytes, and the model admits what it gets at (run "
           "--property tables-on-hardware [--engines impl,kvm])"},
          {"canary", "a seeded lie that each run must find before its pass counts (run)"}};
}

std::vector<Item> loosenesses() {
  std::vector<Item> items;
  for (unsigned i = 0; i < spec::looseness_count; ++i) {
    const auto looseness = static_cast<spec::Looseness>(i);
    const auto& evidence = jobs::looseness_evidence()[i];
    items.push_back({std::string(spec::name(looseness)),
                     fmt::format("{}\n    needed by corpus/{}; must not hide {}",
                                 spec::reason(looseness), evidence.program, evidence.mutant)});
  }
  return items;
}

std::vector<Item> invariants() {
  std::vector<Item> items;
  for (const auto& invariant : spec::invariants()) {
    items.push_back({std::to_string(invariant.number), std::string(invariant.title)});
  }
  return items;
}

std::vector<Item> paths() {
  std::vector<Item> items;
  for (const auto name : props::reach_names()) items.push_back({std::string(name), ""});
  return items;
}

std::vector<Item> programs() {
  std::vector<Item> items;
  for (auto& entry : corpus(source_tree())) {
    items.push_back({entry.path.string(), entry.wrong.empty() ? entry.title : entry.wrong});
  }
  return items;
}

/// All that `prove` knows by name, those of refinement last.
std::vector<Item> theorems() {
  std::vector<Item> items;
  for (const auto& names : {std::vector<std::string>{}, {"refinement"}}) {
    const auto all = jobs::choose_theorems(names);
    if (!all) continue;
    for (const auto& theorem : *all) {
      items.push_back(
          {theorem.name, fmt::format("{}: {}\n    source: {}\n    kernels: {}", theorem.subject,
                                     theorem.statement, theorem.source, theorem.kernels)});
    }
  }
  return items;
}

std::vector<Item> scheduled_systems() {
  std::vector<Item> items;
  for (const auto& system : props::schedule::systems()) {
    items.push_back({std::string(system.name), fmt::format("{}. Runs {}. Holds: {}.", system.title,
                                                           system.runs, system.property)});
  }
  for (const auto& scenario : jobs::hosted_scenarios()) {
    items.push_back({std::string(scenario.name),
                     fmt::format("{}. Runs a hosted kernel, each thread a CPU. Holds: {}.",
                                 scenario.title, scenario.property)});
  }
  return items;
}

struct Topic {
  std::string_view name;
  std::string_view text;
  std::vector<Item> (*items)();
};

constexpr std::array<Topic, 8> topics = {{
    {"properties", "what `run` checks", properties},
    {"theorems", "what `prove` proves for all inputs", theorems},
    {"invariants", "what holds inside an MMU between two commands; see explain", invariants},
    {"systems", "threads that run under controlled schedules", scheduled_systems},
    {"engines", "what can execute a program", engines},
    {"corpus", "programs that come with the source", programs},
    {"loosenesses", "where the model admits more than one answer, and why", loosenesses},
    {"paths", "what a run says that it reached", paths},
}};

struct Options {
  std::string topic;
  JsonOutput json;
};

constexpr auto footer =
    "Topics: properties, theorems, invariants, systems, engines, corpus,\n"
    "loosenesses, paths; without one, all that there are.\n"
    "\n"
    "Exit: 0, or 2 for an unknown topic.\n"
    "\n"
    "Examples:\n"
    "  lockstep list corpus\n"
    "  lockstep list loosenesses --json -\n";

std::string unknown_topic(std::string_view word) {
  std::array<std::string_view, topics.size()> names;
  for (std::size_t i = 0; i < topics.size(); ++i) names[i] = topics[i].name;
  const auto near = spec::text::nearest(word, names);
  return fmt::format("nothing to list by the name '{}'; valid: {}{}", word, fmt::join(names, ", "),
                     near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
}

int list(const Options& options) {
  const auto& json = options.json;
  const auto started = std::chrono::steady_clock::now();
  if (const auto reason = json.unwritable()) return input_error({}, *reason);
  if (options.topic.empty()) {
    for (const auto& topic : topics) fmt::print(json.page(), "{:<12} {}\n", topic.name, topic.text);
  }
  auto listed = nlohmann::json::object();
  bool known = options.topic.empty();
  for (const auto& topic : topics) {
    if (!options.topic.empty() && topic.name != options.topic) continue;
    known = true;
    if (options.topic.empty() && json.target().empty()) continue;
    auto items = nlohmann::json::array();
    for (const auto& [name, text] : topic.items()) {
      items.push_back({{"name", name}, {"text", text}});
      if (options.topic.empty()) continue;
      fmt::print(json.page(), "{}\n{}", name, text.empty() ? "" : fmt::format("    {}\n", text));
    }
    listed[std::string(topic.name)] = std::move(items);
  }
  if (!known) return input_error(json.target(), unknown_topic(options.topic));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  auto object = base_object(props::Verdict::pass, seconds.count());
  object["list"] = std::move(listed);
  return json.write(object, props::Verdict::pass);
}

}  // namespace

void add_list(CLI::App& app, int& exit) {
  auto* verb = app.add_subcommand("list", "List properties, engines, the corpus, and more");
  const auto options = std::make_shared<Options>();
  verb->footer(footer);
  verb->add_option("TOPIC", options->topic, "What to list");
  options->json.add_to(*verb);
  verb->callback([options, &exit] { exit = list(*options); });
}

}  // namespace lockstep::cli
