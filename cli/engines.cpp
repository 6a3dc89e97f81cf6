// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/engines.h"

#include <fmt/format.h>

#include <algorithm>

namespace lockstep::cli {

tl::expected<ChosenEngines, std::string> choose_engines(const std::vector<std::string>& asked,
                                                        const props::EngineFactory& make) {
  ChosenEngines chosen;
  chosen.asked = !asked.empty();
  for (const auto& name : asked) {
    if (auto unknown = props::unknown_engine(name)) return tl::unexpected(std::move(*unknown));
    if (std::ranges::find(chosen.names, name) != chosen.names.end()) {
      return tl::unexpected(fmt::format("engine '{}' is named twice", name));
    }
    chosen.names.push_back(name);
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
