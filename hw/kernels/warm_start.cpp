// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/warm_start.h"

#include <fmt/format.h>

#include <cctype>
#include <fstream>

#include "hw/kernels/cache.h"

namespace lockstep::hw::kernels {
namespace fs = std::filesystem;
namespace {

bool may_continue_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-';
}

/// Every `from` that is a whole path or the start of one becomes `to`.
bool replace_path(std::string& text, const std::string& from, const std::string& to) {
  bool any = false;
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at)) {
    const auto end = at + from.size();
    if (end < text.size() && may_continue_name(text[end])) {
      at = end;
      continue;
    }
    text.replace(at, from.size(), to);
    at += to.size();
    any = true;
  }
  return any;
}

bool records_paths(const fs::path& file) {
  const auto kind = file.extension();
  return kind == ".cmd" || kind == ".d" || file.filename() == "Makefile";
}

}  // namespace

Result<void> start_warm(const fs::path& warm, const fs::path& warm_source, const fs::path& folder,
                        const fs::path& source, const Progress& progress) {
  std::error_code error;
  if (!fs::exists(warm / ".config", error)) return {};
  const auto lock = Lock::take(warm.string() + ".lock", progress);
  if (!lock) return tl::unexpected(lock.error());
  const fs::path fresh = folder.string() + ".new";
  if (auto removed = remove_tree(fresh); !removed) return removed;
  Process copy;
  copy.words = {"cp", "-a", "--reflink=auto", "--", warm.string(), fresh.string()};
  if (const auto copied = run_or_fail(copy); !copied) return tl::unexpected(copied.error());
  fs::remove(fresh / "source", error);
  for (const auto& entry : fs::recursive_directory_iterator(fresh, error)) {
    if (!records_paths(entry.path()) || !entry.is_regular_file(error)) continue;
    auto text = read_file(entry.path());
    if (!text) return tl::unexpected(text.error());
    const bool moved_source = replace_path(*text, warm_source.string(), source.string());
    const bool moved_build = replace_path(*text, warm.string(), folder.string());
    if (!moved_source && !moved_build) continue;
    const auto time = entry.last_write_time(error);
    if (auto written = write_file(entry.path(), *text); !written) return written;
    fs::last_write_time(entry.path(), time, error);
  }
  fs::rename(fresh, folder, error);
  if (error) return machine_error(fmt::format("{}: {}", folder.string(), error.message()));
  return {};
}

}  // namespace lockstep::hw::kernels
