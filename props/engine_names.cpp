// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>

#include "hw/hosted/open.h"
#include "hw/qemu/names.h"
#include "props/engine_factory.h"
#include "spec/text_suggest.h"

namespace lockstep::props {
const std::vector<std::string_view>& engine_names() {
  static const std::vector<std::string_view> names = {"impl", "kvm", "spec"};
  return names;
}

std::optional<std::string> unknown_engine(std::string_view name) {
  const auto& names = engine_names();
  if (std::find(names.begin(), names.end(), name) != names.end()) return std::nullopt;
  if (hw::parse_hosted_name(name)) return std::nullopt;
  if (hw::parse_qemu_name(name)) return std::nullopt;
  if (name.starts_with("hosted")) return hw::bad_hosted_name(name);
  if (name.starts_with("qemu")) {
    return fmt::format(
        "'{}' is no engine that boots a kernel; write qemu:6.1 or qemu:./TREE, for one MMU mode "
        "qemu-tdp-mmu:6.1, qemu-direct:6.1 or qemu-shadow:6.1",
        name);
  }
  const auto nearest = spec::text::nearest(name, names);
  auto message = fmt::format("unknown engine '{}'; valid: hosted:VERSION, qemu:VERSION, {}", name,
                             fmt::join(names, ", "));
  if (!nearest.empty()) message += fmt::format("; did you mean '{}'?", nearest);
  return message;
}

std::vector<std::string> fastest_first(std::vector<std::string> names) {
  const auto rank = [](const std::string& name) {
    if (name == "impl") return 0;
    if (name == "spec") return 1;
    if (name.starts_with("qemu")) return 4;
    return name.starts_with("hosted") ? 2 : 3;
  };
  std::stable_sort(names.begin(), names.end(),
                   [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return names;
}

}  // namespace lockstep::props
