// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "hw/kernels/build.h"

namespace lockstep::hw::kernels {
namespace fs = std::filesystem;
namespace {

/// What the .config was made from. It is written when that went well, so that its
/// own time says when.
constexpr const char* stamp_name = "lockstep.config";
/// kbuild's list of the Kconfig files that it read, relative to the source.
constexpr const char* kconfig_list = "include/config/auto.conf.cmd";

/// kconfig asks a compiler what it can: another one makes other symbols.
std::string compiler_version() {
  Process process;
  process.words = {"gcc", "--version"};
  const auto outcome = run(process);
  return outcome ? outcome->out.substr(0, outcome->out.find('\n')) : "";
}

/// Whether a Kconfig file changed since: make would then ask a person for the
/// values of new symbols.
bool kconfig_changed(const fs::path& folder, const fs::path& source, fs::file_time_type since) {
  const auto list = read_file(folder / kconfig_list);
  if (!list) return false;
  std::error_code error;
  constexpr std::string_view blanks = " \t\n\\";
  for (std::string_view rest = *list; !rest.empty();) {
    const auto start = std::min(rest.find_first_not_of(blanks), rest.size());
    const auto end = std::min(rest.find_first_of(blanks, start), rest.size());
    const auto word = rest.substr(start, end - start);
    rest.remove_prefix(end);
    if (word.find("Kconfig") == std::string_view::npos) continue;
    const auto time = fs::last_write_time(source / word, error);
    if (error || time > since) return true;
  }
  return false;
}

}  // namespace

Result<void> Build::configure(const Progress& progress) {
  const auto wishes = merge_fragments(flavour_.fragments);
  if (!wishes) return tl::unexpected(wishes.error());
  const auto text = fmt::format("# {}\n{}", compiler_version(), write_fragment(*wishes));
  const fs::path stamp = folder_ / stamp_name;
  const fs::path config_file = folder_ / ".config";
  std::error_code error;
  const auto before = read_file(stamp);
  const bool holds = before && *before == text && fs::exists(config_file, error) &&
                     !kconfig_changed(folder_, source_.path, fs::last_write_time(stamp, error));
  if (!holds) {
    if (progress) progress(fmt::format("configuring linux {}", source_.tree.release));
    fs::remove(stamp, error);
    const fs::path wanted = folder_ / "lockstep.config.wanted";
    if (auto written = write_file(wanted, text); !written) return written;
    auto made =
        run_make({"allnoconfig"}, {fmt::format("KCONFIG_ALLCONFIG={}", wanted.string())}, progress);
    if (!made) return made;
  }
  auto config = read_file(config_file);
  if (!config) return tl::unexpected(config.error());
  config_ = std::move(*config);
  if (holds) return {};
  if (const auto refused = refused_wishes(*wishes, config_, source_.path); !refused.empty()) {
    return input_error(fmt::format("linux {} cannot be configured as wanted:\n{}",
                                   source_.tree.release, fmt::join(refused, "\n")));
  }
  return write_file(stamp, text);
}

}  // namespace lockstep::hw::kernels
