// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/engines.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "cli/terminal.h"
#include "hw/qemu/names.h"

namespace lockstep::cli {
namespace {

/// Lines of a build, on one line of a terminal; elsewhere only that it began.
std::function<void(std::string_view)> show_preparation(const std::string& name) {
  auto line = std::make_shared<ProgressLine>();
  auto told = std::make_shared<bool>(false);
  return [name, line, told](std::string_view text) {
    if (!watched()) {
      if (!*told) fmt::print(stderr, "building {}\n", name);
      *told = true;
      return;
    }
    line->show(fmt::format("building {}: {}", name, text));
  };
}

}  // namespace

tl::expected<ChosenEngines, std::string> choose_engines(const std::vector<std::string>& asked,
                                                        const props::EngineFactory& make) {
  ChosenEngines chosen;
  chosen.asked = !asked.empty();
  for (const auto& name : asked) {
    if (auto unknown = props::unknown_engine(name)) return tl::unexpected(std::move(*unknown));
    for (auto& member : hw::qemu_members(name)) {
      if (std::ranges::find(chosen.names, member) != chosen.names.end()) {
        return tl::unexpected(fmt::format("engine '{}' is named twice", member));
      }
      chosen.names.push_back(std::move(member));
    }
  }
  for (const auto& name : chosen.names) {
    // What the machine lacks shows when the engine is made, as no verdict.
    const auto ready = props::prepare_engine(name, show_preparation(name));
    if (!ready && ready.error().input) return tl::unexpected(ready.error().message);
  }
  if (chosen.asked) return chosen;
  for (const auto name : {"spec", "impl", "kvm"}) {
    if (auto engine = make(name, /*seed=*/0)) {
      chosen.names.emplace_back(name);
    } else {
      chosen.not_run.push_back({name, engine.error().message});
    }
  }
  return chosen;
}

std::string not_run_lines(const ChosenEngines& engines) {
  std::string lines;
  for (const auto& [engine, reason] : engines.not_run) {
    lines += fmt::format("{}: not run: {}\n", engine, reason);
  }
  return lines;
}

}  // namespace lockstep::cli
