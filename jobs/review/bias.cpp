// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/bias.h"

#include <fmt/format.h>

#include "hw/kernels/cache.h"
#include "props/command_kind.h"

namespace lockstep::jobs::review {
namespace {

/// Fewer say nothing.
constexpr std::uint64_t enough_of_a_shape = 6;
constexpr std::uint64_t enough_that_reached = 8;

std::string shape_of(const Program& program) {
  const auto& configuration = program.configuration;
  const auto& host = configuration.host;
  const auto word = [](const std::optional<bool>& value) {
    return value ? static_cast<int>(*value) : 2;
  };
  return fmt::format("{} {} {} {}", static_cast<int>(configuration.paging),
                     static_cast<int>(configuration.mmu),
                     static_cast<int>(host.vendor.value_or(Vendor::amd)), word(host.tdp_mmu));
}

std::set<std::string> kinds_of(const Program& program) {
  std::set<std::string> kinds;
  for (const auto& step : program.steps) kinds.emplace(props::command_kind(step.command));
  return kinds;
}

}  // namespace

void Bias::learn(const Program& program, bool reached) {
  auto& shape = shapes_[shape_of(program)];
  ++learned_;
  ++shape.seen;
  if (!reached) return;
  ++reached_;
  ++shape.reached;
  for (const auto& kind : kinds_of(program)) ++kinds_[kind];
}

bool Bias::wants(const Program& program) const {
  if (reached_ == 0) return true;
  const auto sometimes = [&program] {
    const auto key = hw::kernels::content_key(print(program));
    return static_cast<unsigned char>(key.back()) % rarely == 0;
  };
  const auto shape = shapes_.find(shape_of(program));
  if (shape != shapes_.end() && shape->second.seen >= enough_of_a_shape &&
      shape->second.reached == 0) {
    return sometimes();
  }
  if (reached_ < enough_that_reached) return true;
  const auto kinds = kinds_of(program);
  for (const auto& [kind, count] : kinds_) {
    if (count == reached_ && !kinds.contains(kind)) return sometimes();
  }
  return true;
}

}  // namespace lockstep::jobs::review
