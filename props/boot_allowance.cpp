// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/boot_allowance.h"

#include <algorithm>

#include "hw/qemu/names.h"

namespace lockstep::props {

std::chrono::milliseconds boot_allowance(std::span<const std::string> names) {
  constexpr std::chrono::minutes each{3};
  const auto boot = std::ranges::count_if(
      names, [](const std::string& name) { return hw::parse_qemu_name(name).has_value(); });
  return each * boot;
}

}  // namespace lockstep::props
