// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/open_engines.h"

#include <fmt/format.h>
#include <utility>

namespace lockstep::props {

Result<std::vector<std::unique_ptr<Engine>>> open_engines(std::span<const std::string> names,
                                                          const EngineFactory& factory,
                                                          std::uint64_t seed) {
  std::vector<std::unique_ptr<Engine>> engines;
  for (const auto& name : names) {
    auto engine = factory(name, seed);
    if (!engine) {
      return tl::unexpected(EngineError{fmt::format("{}: {}", name, engine.error().message)});
    }
    engines.push_back(std::move(*engine));
  }
  return engines;
}

}  // namespace lockstep::props
