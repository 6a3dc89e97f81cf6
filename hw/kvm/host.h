// SPDX-License-Identifier: GPL-2.0-or-later
/// Facts about this host that decide how KVM translates: for provenance and
/// for `lockstep doctor`.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lockstep::hw {

struct HostFacts {
  std::string release;  ///< uname -r
  /// kvm_intel, kvm_amd or kvm_pvm; empty if none is loaded.
  std::string vendor_module;
  /// "module.parameter" and its value, in a fixed order; unreadable ones absent.
  std::vector<std::pair<std::string, std::string>> parameters;
  std::string cpu_model;
  unsigned physical_bits = 0;  ///< address width, in bits; 0 if unknown
  /// KVM_CHECK_EXTENSION by name; empty until somebody fills it.
  std::vector<std::pair<std::string, int>> capabilities;

  /// Value of "module.parameter", if it was readable.
  std::optional<std::string> parameter(const std::string& name) const;
  /// The vendor module translates with two-dimensional paging.
  bool tdp() const;
  /// 16 hex digits over every fact above: equal hosts have equal hashes.
  std::string hash() const;
  /// All facts and the hash as key and value, in print order.
  std::vector<std::pair<std::string, std::string>> provenance() const;
};

/// Read the facts below `root` ("" for this host: /sys and /proc).
HostFacts read_host(const std::string& root = "");

}  // namespace lockstep::hw
