// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/build/flavour.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>

#include "hw/kernels/config.h"

namespace lockstep::hw::hosted {
namespace {

/// What the kernel itself checks of locks, RCU and sleeping.
constexpr std::string_view lockdep_fragment =
    "CONFIG_PROVE_LOCKING=y\n"
    "CONFIG_DEBUG_SPINLOCK=y\n"
    "CONFIG_DEBUG_ATOMIC_SLEEP=y\n"
    "CONFIG_TRACE_IRQFLAGS=y\n"
    "CONFIG_DEBUG_INFO_DWARF4=y\n";

/// Calls before every access, told apart as plain, marked and atomic: the kernel's own
/// race detector has the compiler and its headers make them. Locks have names, unlocks
/// and sections of RCU are calls, too.
constexpr std::string_view schedule_fragment =
    "CONFIG_KCSAN=y\n"
    "# CONFIG_KCSAN_SELFTEST is not set\n"
    "# CONFIG_KCSAN_WEAK_MEMORY is not set\n";

/// What the compiler adds: GCC's AddressSanitizer, with the process' runtime: fake stacks and
/// globals would need its constructors.
std::vector<std::string> instrumentation_flags(std::string_view flavour) {
  if (flavour == "release" || flavour == "lockdep" || is_scheduled(flavour)) return {};
  // A block that ends in a call must come back to where it is counted.
  if (flavour == "coverage") return {"-fsanitize-coverage=trace-pc", "-fno-optimize-sibling-calls"};
  return {"-fsanitize=address", "--param=asan-use-after-return=0", "--param=asan-globals=0",
          "--param=asan-stack=0"};
}

/// The kernel tells where sections of RCU end, and counts who must not be preempted: so it
/// is known where no reader is left. A schedule tells it by lockdep's calls.
constexpr std::string_view grace_fragment =
    "CONFIG_NR_CPUS=4\n"
    "CONFIG_RCU_EXPERT=y\n"
    "CONFIG_RCU_STRICT_GRACE_PERIOD=y\n";

}  // namespace

bool is_scheduled(std::string_view flavour) {
  return flavour == "asan+schedule" || flavour == "tsan";
}

const std::vector<std::string_view>& flavour_names() {
  static const std::vector<std::string_view> names = {"release",       "asan", "lockdep",
                                                      "asan+schedule", "tsan", "coverage"};
  return names;
}

std::filesystem::path shim_folder() {
  return std::filesystem::path(LOCKSTEP_SOURCE_DIR) / "hw/hosted/kernel";
}

kernels::Result<kernels::Flavour> make_flavour(std::string_view name) {
  const auto& names = flavour_names();
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    return kernels::input_error(fmt::format("unknown flavour '{}' of the hosted engine; valid: {}",
                                            name, fmt::join(names, ", ")));
  }
  auto fragment = kernels::hosted_fragment();
  if (!fragment) return tl::unexpected(fragment.error());
  kernels::Flavour flavour;
  flavour.name = std::string("hosted-") + std::string(name);
  flavour.fragments = {*std::move(fragment)};
  if (name == "lockdep" || is_scheduled(name)) flavour.fragments.emplace_back(lockdep_fragment);
  flavour.fragments.emplace_back(is_scheduled(name) ? schedule_fragment : grace_fragment);
  // User code calls into the image and back: stacks are aligned as it expects.
  flavour.cflags = {"-mpreferred-stack-boundary=4",
                    "-ffunction-sections",
                    "-fdata-sections",
                    "-g1",
                    "-include",
                    (shim_folder() / "prelude.h").string()};
  if (is_scheduled(name)) flavour.cflags.emplace_back("-DHOSTED_SCHEDULE");
  for (auto& flag : instrumentation_flags(name)) flavour.cflags.push_back(std::move(flag));
  return flavour;
}

std::vector<std::string> shim_flags(std::string_view flavour) {
  std::vector<std::string> flags = {fmt::format("-DHOSTED_FLAVOUR=\"{}\"", flavour),
                                    "-Wno-missing-prototypes", "-Wno-missing-declarations",
                                    "-Wno-declaration-after-statement", "-Wno-unused-function"};
  if (is_scheduled(flavour)) {
    // The shim announces by itself.
    flags.emplace_back("-fno-sanitize=thread");
    if (flavour == "tsan") flags.emplace_back("-DHOSTED_RACES");
  }
  return flags;
}

}  // namespace lockstep::hw::hosted
