// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/command.h"

#include <type_traits>

namespace lockstep {

std::optional<unsigned> vcpu_of(const Command& command) {
  return std::visit(
      [](const auto& c) -> std::optional<unsigned> {
        if constexpr (requires { c.vcpu; }) {
          return c.vcpu;
        } else {
          return std::nullopt;
        }
      },
      command);
}

}  // namespace lockstep
