// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/tools.h"

#include <unistd.h>

#include <array>
#include <filesystem>

namespace lockstep::cli {

std::span<const Tool> tools() {
  static constexpr std::array<Tool, 11> all = {{
      {"ccache", "ccache", "fast builds after a clean one"},
      {"clang-format-14", "clang-format-14", "the format check of `./lockstep test`"},
      {"clang-tidy", "clang-tidy", "`ninja tidy`"},
      {"clang++", "clang", "the fuzz targets (preset fuzz)"},
      {"flex", "flex", "hosted engines"},
      {"bison", "bison", "hosted engines"},
      {"bc", "bc", "hosted engines"},
      {"spatch", "coccinelle", "kernel mutants"},
      {"bwrap", "bubblewrap", "reviews of patches that change how a kernel is built"},
      {"qemu-system-x86_64", "qemu-system-x86", "engines that boot a kernel, review --boot"},
      {"cvc5", "cvc5", "a second opinion on proofs"},
  }};
  return all;
}

std::optional<std::string> find_program(std::string_view program, std::string_view path) {
  while (!path.empty()) {
    const auto colon = path.find(':');
    const auto folder = path.substr(0, colon);
    path = colon == std::string_view::npos ? "" : path.substr(colon + 1);
    const auto candidate = std::filesystem::path(folder) / program;
    std::error_code error;
    if (std::filesystem::is_regular_file(candidate, error) &&
        access(candidate.c_str(), X_OK) == 0) {
      return candidate.string();
    }
  }
  return std::nullopt;
}

std::filesystem::path program_with_mutants() {
  std::error_code error;
  auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return {};
  self.replace_filename("lockstep-mutants");
  return access(self.c_str(), X_OK) == 0 ? self : std::filesystem::path();
}

}  // namespace lockstep::cli
