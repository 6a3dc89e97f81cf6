// SPDX-License-Identifier: GPL-2.0-or-later
/// `lockstep doctor`: what this machine can run, and what to do about the rest.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdlib>
#include <memory>

#include "cli/json_output.h"
#include "cli/tools.h"
#include "cli/verbs.h"
#include "hw/kernels/cache.h"
#include "hw/kernels/source.h"
#include "hw/kernels/tree.h"
#include "hw/kvm/engine.h"
#include "hw/kvm/host.h"
#include "hw/qemu/kernel.h"
#include "hw/qemu/machine.h"
#include "props/commit.h"
#include "props/engine_factory.h"

namespace lockstep::cli {
namespace {

constexpr auto footer =
    "Probes by trying: a tiny guest runs in every paging mode.\n"
    "\n"
    "Exit: 0 if all that `lockstep run` uses by default works here (spec, impl,\n"
    "kvm), 3 if some of it does not; features that KVM lacks here and tools that\n"
    "are not installed are named, and change nothing about the exit code.\n"
    "\n"
    "Examples:\n"
    "  lockstep doctor\n"
    "  lockstep doctor --json -\n";

std::string line(std::string_view key, std::string_view value) {
  return fmt::format("  {:<28} {}\n", key, value);
}

/// Words with commas behind a key, broken before column 72.
std::string lines(std::string_view key, const std::vector<std::string_view>& words) {
  std::string all;
  std::string row;
  for (const auto word : words) {
    if (!row.empty() && row.size() + word.size() > 38) {
      all += line(all.empty() ? key : "", row);
      row.clear();
    }
    row += fmt::format("{}{}", word, word == words.back() ? "" : ", ");
  }
  return all + line(all.empty() ? key : "", row);
}

/// What the probe found, as a page and in the object.
std::string describe_kvm(const hw::KvmProbe& probe, nlohmann::json& object) {
  const auto& platform = probe.platform;
  std::string page = "\nkvm\n";
  page += line("translates with", platform.tdp ? "two-dimensional paging" : "shadow paging");
  page += line("vCPUs at most", std::to_string(platform.max_vcpus));
  page += line("guest MAXPHYADDR at most", fmt::format("{} bits", platform.max_maxphyaddr));
  std::vector<std::string_view> present;
  auto features = nlohmann::json::object();
  for (unsigned i = 0; i < feature_count; ++i) {
    const auto feature = name(static_cast<Feature>(i));
    features[std::string(feature)] = platform.features[i];
    if (platform.features[i]) present.push_back(feature);
  }
  page += lines("works", present);
  auto missing = nlohmann::json::array();
  for (const auto& [feature, reason] : probe.missing) {
    page += line(fmt::format("lacks {}", name(feature)), reason);
    missing.push_back({{"feature", name(feature)}, {"reason", reason}});
  }
  for (const auto& deviation : platform.deviations) page += line("known deviation", deviation);
  object["kvm"] = {{"features", features},
                   {"missing", missing},
                   {"tdp", platform.tdp},
                   {"max_vcpus", platform.max_vcpus},
                   {"max_maxphyaddr", platform.max_maxphyaddr},
                   {"deviations", platform.deviations}};
  return page;
}

/// Kernels that can run in this process: what is in the cache, how to get more.
std::string describe_hosted(nlohmann::json& object) {
  auto kernels = nlohmann::json::array();
  std::string page;
  const auto cache = hw::kernels::Cache::standard();
  if (!cache) return line("hosted", "cannot run: " + cache.error().message);
  for (const auto& version : hw::kernels::cached_versions(*cache)) {
    const auto tree = hw::kernels::find_tree(*cache, version);
    const std::string name = "hosted:" + version;
    const std::string state =
        tree ? fmt::format("ready: source {} in the cache, compiled at first use", tree->release)
             : "cannot run: " + tree.error().message;
    page += line(name, state);
    kernels.push_back({{"name", name}, {"ready", tree.has_value()}});
  }
  if (kernels.empty()) {
    page += line("hosted", "no kernel source yet: ./lockstep kernels fetch 6.12");
  }
  object["hosted"] = std::move(kernels);
  return page;
}

/// Kernels that QEMU can boot.
std::string describe_qemu(nlohmann::json& object) {
  auto kernels = nlohmann::json::array();
  std::string page;
  const auto absent = hw::qemu::lacks_qemu();
  const auto cache = hw::kernels::Cache::standard();
  if (!cache) return line("qemu", "cannot run: " + cache.error().message);
  for (const auto& version : hw::kernels::cached_versions(*cache)) {
    const auto name = "qemu:" + version;
    const auto tree = hw::kernels::find_tree(*cache, version);
    const auto source =
        tree ? hw::kernels::plain_source(*cache, *tree, {}) : tl::unexpected(tree.error());
    const bool ready = absent.empty() && source.has_value();
    std::string state =
        "cannot run: " + (absent.empty() && !source ? source.error().message : absent);
    if (ready) {
      state = hw::qemu::is_built(*cache, *source)
                  ? "ready: its debug kernel is built"
                  : "ready: the first use builds its debug kernel, which takes minutes";
    }
    page += line(name, state);
    kernels.push_back({{"name", name}, {"ready", ready}, {"reason", ready ? "" : state}});
  }
  if (kernels.empty()) {
    page += line("qemu", absent.empty() ? "no kernel source yet: ./lockstep kernels fetch 6.12"
                                        : "cannot run: " + absent);
  }
  object["qemu"] = std::move(kernels);
  return page;
}

std::string describe_host(nlohmann::json& object) {
  std::string page = "\nhost\n";
  auto host = nlohmann::json::object();
  for (const auto& [key, value] : hw::read_host().provenance()) {
    page += line(key, value);
    host[key] = value;
  }
  object["host"] = std::move(host);
  return page;
}

std::string describe_tools(nlohmann::json& object) {
  const char* path = std::getenv("PATH");
  std::string page = "\ntools\n";
  auto all = nlohmann::json::array();
  for (const auto& tool : tools()) {
    const auto found = find_program(tool.program, path != nullptr ? path : "");
    page += line(tool.program, found ? "present"
                                     : fmt::format("absent; without it: no {}; apt-get install {}",
                                                   tool.use, tool.package));
    all.push_back({{"name", tool.program}, {"present", found.has_value()}, {"for", tool.use}});
  }
  object["tools"] = std::move(all);
  return page;
}

int doctor(const JsonOutput& json) {
  const auto started = std::chrono::steady_clock::now();
  if (const auto reason = json.unwritable()) return input_error({}, *reason);
  auto object = nlohmann::json::object();
  std::string page = fmt::format("lockstep {}\n\nengines\n", props::lockstep_commit());
  std::string unusable;
  auto engines = nlohmann::json::array();
  for (const auto engine : props::engine_names()) {
    const auto made = props::make_engine(engine, /*seed=*/0);
    const std::string reason = made ? "" : made.error().message;
    page += line(engine, made ? "ready" : "cannot run: " + reason);
    engines.push_back({{"name", engine}, {"ready", made.has_value()}, {"reason", reason}});
    if (!made) unusable += fmt::format("{}{}", unusable.empty() ? "" : ", ", engine);
  }
  page += describe_hosted(object);
  page += describe_qemu(object);
  if (const auto probe = hw::probe_kvm()) page += describe_kvm(*probe, object);
  page += describe_host(object);
  page += describe_tools(object);

  const auto verdict = unusable.empty() ? props::Verdict::pass : props::Verdict::no_verdict;
  const auto reason = unusable.empty() ? "" : "the default run lacks " + unusable;
  page += fmt::format("\n{}\n", reason.empty() ? "ready: ./lockstep run" : reason);
  fmt::print(json.page(), "{}", page);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  object.update(base_object(verdict, seconds.count(), reason));
  object["engines"] = std::move(engines);
  return json.write(object, verdict);
}

}  // namespace

void add_doctor(CLI::App& app, int& exit) {
  auto* verb = app.add_subcommand("doctor", "Say what this machine can run, and what to do");
  const auto json = std::make_shared<JsonOutput>();
  verb->footer(footer);
  json->add_to(*verb);
  verb->callback([json, &exit] { exit = doctor(*json); });
}

}  // namespace lockstep::cli
