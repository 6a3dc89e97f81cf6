// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kvm/host.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace lockstep::hw {
namespace {

constexpr const char* vendor_modules[] = {"kvm_intel", "kvm_amd", "kvm_pvm"};

/// Parameters that change what the MMU does, by module.
constexpr std::pair<const char*, const char*> known_parameters[] = {
    {"kvm", "tdp_mmu"},
    {"kvm", "mmio_caching"},
    {"kvm", "nx_huge_pages"},
    {"kvm", "nx_huge_pages_recovery_ratio"},
    {"kvm", "nx_huge_pages_recovery_period_ms"},
    {"kvm", "eager_page_split"},
    {"kvm", "flush_on_reuse"},
    {"kvm", "force_emulation_prefix"},
    {"kvm", "ignore_msrs"},
    {"kvm", "eager_zap_unsync_children"},
    {"kvm", "parent_ptes_recycle_threshold"},
    {"kvm_intel", "ept"},
    {"kvm_intel", "eptad"},
    {"kvm_intel", "vpid"},
    {"kvm_intel", "unrestricted_guest"},
    {"kvm_intel", "pml"},
    {"kvm_intel", "nested"},
    {"kvm_intel", "allow_smaller_maxphyaddr"},
    {"kvm_amd", "npt"},
    {"kvm_amd", "nested"},
    {"kvm_amd", "sev"},
    {"kvm_pvm", "pvm_native"},
    {"kvm_pvm", "pvm_emul_batch"},
    {"kvm_pvm", "pvm_wrap_single"},
    {"kvm_pvm", "pvf_deny"},
};

std::optional<std::string> first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

void read_cpu(const std::string& path, HostFacts& facts) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || colon + 2 > line.size()) continue;
    const std::string value = line.substr(colon + 2);
    if (line.starts_with("model name") && facts.cpu_model.empty()) facts.cpu_model = value;
    if (line.starts_with("address sizes") && facts.physical_bits == 0) {
      facts.physical_bits = static_cast<unsigned>(std::strtoul(value.c_str(), nullptr, 10));
    }
  }
}

bool is_on(const std::optional<std::string>& value) {
  return value && (*value == "Y" || *value == "1");
}

std::vector<std::pair<std::string, std::string>> listed(const HostFacts& facts) {
  std::vector<std::pair<std::string, std::string>> all = {
      {"kernel", facts.release},
      {"vendor module", facts.vendor_module.empty() ? "none" : facts.vendor_module},
      {"cpu", facts.cpu_model},
      {"physical address bits", std::to_string(facts.physical_bits)},
  };
  all.insert(all.end(), facts.parameters.begin(), facts.parameters.end());
  for (const auto& [name, value] : facts.capabilities) {
    all.emplace_back("KVM_CAP_" + name, std::to_string(value));
  }
  return all;
}

}  // namespace

std::optional<std::string> HostFacts::parameter(const std::string& name) const {
  for (const auto& [key, value] : parameters) {
    if (key == name) return value;
  }
  return std::nullopt;
}

bool HostFacts::tdp() const {
  if (vendor_module == "kvm_intel") return is_on(parameter("kvm_intel.ept"));
  if (vendor_module == "kvm_amd") return is_on(parameter("kvm_amd.npt"));
  return false;
}

std::string HostFacts::hash() const {
  // FNV-1a, 64 bits; NUL separates fields, so that no two lists run together.
  std::uint64_t hash = 0xcbf2'9ce4'8422'2325;
  const auto mix = [&hash](const std::string& text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100'0000'01b3;
    hash *= 0x100'0000'01b3;
  };
  for (const auto& [key, value] : listed(*this)) {
    mix(key);
    mix(value);
  }
  return fmt::format("{:016x}", hash);
}

std::vector<std::pair<std::string, std::string>> HostFacts::provenance() const {
  auto all = listed(*this);
  all.emplace_back("configuration hash", hash());
  return all;
}

HostFacts read_host(const std::string& root) {
  HostFacts facts;
  utsname names{};
  if (::uname(&names) == 0) facts.release = names.release;
  std::error_code ignored;
  for (const char* module : vendor_modules) {
    if (std::filesystem::exists(fmt::format("{}/sys/module/{}", root, module), ignored)) {
      facts.vendor_module = module;
      break;
    }
  }
  for (const auto& [module, parameter] : known_parameters) {
    const auto value =
        first_line(fmt::format("{}/sys/module/{}/parameters/{}", root, module, parameter));
    if (value) facts.parameters.emplace_back(fmt::format("{}.{}", module, parameter), *value);
  }
  read_cpu(root + "/proc/cpuinfo", facts);
  return facts;
}

}  // namespace lockstep::hw
