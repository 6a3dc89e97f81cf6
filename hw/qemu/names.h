// SPDX-License-Identifier: GPL-2.0-or-later
/// Engines that boot a kernel, by their command-line names: "qemu:6.1" stands for
/// one engine in each of KVM's MMU modes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::hw {

/// Each hides what another shows.
enum class QemuMode : std::uint8_t {
  tdp_mmu,  ///< npt=1: nested page tables by the TDP MMU
  direct,   ///< npt=1 tdp_mmu=0: nested page tables as direct shadow pages
  shadow    ///< npt=0: shadow paging
};
inline constexpr std::array<QemuMode, 3> qemu_modes = {QemuMode::tdp_mmu, QemuMode::direct,
                                                       QemuMode::shadow};

/// What the modules are loaded with.
std::string_view kvm_parameters(QemuMode mode);
std::string_view kvm_amd_parameters(QemuMode mode);

struct QemuName {
  /// None: every mode.
  std::optional<QemuMode> mode;
  std::string kernel;  ///< a version, or the path of a kernel tree
  bool operator==(const QemuName&) const = default;
};

/// None if it is not the name of such an engine.
std::optional<QemuName> parse_qemu_name(std::string_view name);

/// "qemu-shadow:6.1".
std::string qemu_name(QemuMode mode, std::string_view kernel);

/// The engines that a name stands for: three for "qemu:6.1", else the name itself.
std::vector<std::string> qemu_members(std::string_view name);

/// Whether both names are of one kernel in different modes: a program that only some
/// modes can run is run by those.
bool same_qemu_kernel(std::string_view a, std::string_view b);

}  // namespace lockstep::hw
