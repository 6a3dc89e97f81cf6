// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/qemu/names.h"

#include <fmt/format.h>

#include <algorithm>

namespace lockstep::hw {
namespace {

constexpr std::string_view prefix = "qemu";
constexpr std::array<std::string_view, 3> mode_names = {"tdp-mmu", "direct", "shadow"};

bool is_kernel(std::string_view text) {
  if (text.find('/') != std::string_view::npos) return true;
  const bool digits =
      std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
  return digits && text.find('.') != std::string_view::npos && text.front() != '.' &&
         text.back() != '.' && text.find("..") == std::string_view::npos;
}

}  // namespace

std::string_view kvm_parameters(QemuMode mode) {
  return mode == QemuMode::direct ? "tdp_mmu=0" : "";
}

std::string_view kvm_amd_parameters(QemuMode mode) {
  return mode == QemuMode::shadow ? "npt=0" : "npt=1";
}

std::optional<QemuName> parse_qemu_name(std::string_view name) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  const auto colon = name.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  QemuName made{std::nullopt, std::string(name.substr(colon + 1))};
  if (made.kernel.empty() || !is_kernel(made.kernel)) return std::nullopt;
  if (colon == 0) return made;
  const auto* const mode = std::ranges::find(mode_names, name.substr(1, colon - 1));
  if (name.front() != '-' || mode == mode_names.end()) return std::nullopt;
  made.mode = static_cast<QemuMode>(mode - mode_names.begin());
  return made;
}

std::string qemu_name(QemuMode mode, std::string_view kernel) {
  return fmt::format("{}-{}:{}", prefix, mode_names[static_cast<std::size_t>(mode)], kernel);
}

std::vector<std::string> qemu_members(std::string_view name) {
  const auto parsed = parse_qemu_name(name);
  if (!parsed || parsed->mode) return {std::string(name)};
  std::vector<std::string> members;
  for (const auto mode : qemu_modes) members.push_back(qemu_name(mode, parsed->kernel));
  return members;
}

bool same_qemu_kernel(std::string_view a, std::string_view b) {
  const auto one = parse_qemu_name(a);
  const auto other = parse_qemu_name(b);
  return one && other && one->kernel == other->kernel && one->mode && other->mode &&
         one->mode != other->mode;
}

}  // namespace lockstep::hw
