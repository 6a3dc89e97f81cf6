// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/overlay.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace lockstep::hw::kernels {
namespace fs = std::filesystem;
namespace {

/// Folders that kbuild only reads lists from when it compiles KVM.
constexpr std::array<std::string_view, 9> lists_only = {
    "Documentation/", "drivers/", "sound/",  "samples/",      "rust/",
    "LICENSES/",      "net/",     "debian/", "tools/testing/"};
/// The same, but headers are included from them.
constexpr std::array<std::string_view, 3> headers_only = {"fs/", "crypto/", "block/"};
/// What kbuild makes within a source tree without a .cmd file beside it.
constexpr std::array<std::string_view, 5> made_folders = {"include/config/", "include/generated/",
                                                          "arch/x86/include/generated/",
                                                          ".tmp_versions/", ".git/"};

template <std::size_t size>
bool below(std::string_view relative, const std::array<std::string_view, size>& folders) {
  return std::ranges::any_of(folders,
                             [relative](auto folder) { return relative.starts_with(folder); });
}

std::string_view file_name(std::string_view relative) {
  return relative.substr(relative.find_last_of('/') + 1);
}

bool is_list(std::string_view name) {
  return name.starts_with("Kconfig") || name.starts_with("Makefile") || name.starts_with("Kbuild");
}

/// kbuild records the command of everything that it makes.
bool made_by_kbuild(const fs::path& file, std::string_view relative) {
  const auto name = file_name(relative);
  if (relative == ".config" || relative == ".config.old" || below(relative, made_folders))
    return true;
  if (name.starts_with('.') && name.ends_with(".cmd")) return true;
  if (name.ends_with(".o") || name.ends_with(".a")) return true;
  const auto record = file.parent_path() / fmt::format(".{}.cmd", name);
  return access(record.c_str(), F_OK) == 0;
}

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_size == b.st_size && a.st_mode == b.st_mode && a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
         a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

tl::unexpected<KernelError> failed(const fs::path& path) {
  return machine_error(fmt::format("{}: {}", path.string(), std::strerror(errno)));
}

Result<void> place(const fs::path& from, const struct stat& status, const fs::path& to,
                   Share share) {
  struct stat there = {};
  const bool exists = lstat(to.c_str(), &there) == 0;
  if (exists && (same_file(status, there) || S_ISLNK(status.st_mode))) return {};
  if (exists && unlink(to.c_str()) != 0) return failed(to);
  std::error_code error;
  if (S_ISLNK(status.st_mode)) {
    fs::copy_symlink(from, to, error);
  } else if (share == Share::link) {
    if (link(from.c_str(), to.c_str()) != 0) return failed(to);
  } else if (fs::copy_file(from, to, error)) {
    const std::array<timespec, 2> times = {status.st_atim, status.st_mtim};
    if (utimensat(AT_FDCWD, to.c_str(), times.data(), 0) != 0) return failed(to);
  }
  if (error) return machine_error(fmt::format("{}: {}", to.string(), error.message()));
  return {};
}

class Mirror {
 public:
  Mirror(const fs::path& origin, const fs::path& target, Share share,
         const std::set<std::string>& own)
      : origin_(origin), target_(target), share_(share), own_(own) {}

  Result<void> fill() { return fill_folder(""); }
  Result<void> sweep() {
    std::error_code error;
    for (auto at = fs::recursive_directory_iterator(target_, error);
         !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
      if (at->is_directory(error) && !at->is_symlink(error)) continue;
      const auto relative = at->path().lexically_relative(target_).string();
      if (own_.contains(relative) || kept_.contains(relative)) continue;
      if (unlink(at->path().c_str()) != 0) return failed(at->path());
    }
    return {};
  }

 private:
  Result<void> fill_folder(const std::string& relative) {
    std::error_code error;
    bool made = false;
    for (auto at = fs::directory_iterator(origin_ / relative, error);
         !error && at != fs::directory_iterator(); at.increment(error)) {
      const auto name = relative + at->path().filename().string();
      struct stat status = {};
      if (lstat(at->path().c_str(), &status) != 0) return failed(at->path());
      if (S_ISDIR(status.st_mode)) {
        if (below(name + "/", made_folders)) continue;
        if (auto filled = fill_folder(name + "/"); !filled) return filled;
        continue;
      }
      if (!S_ISREG(status.st_mode) && !S_ISLNK(status.st_mode)) continue;
      if (own_.contains(name) || !build_reads(name) || made_by_kbuild(at->path(), name)) continue;
      if (!made) fs::create_directories(target_ / relative, error);
      if (error)
        return machine_error(fmt::format("{}: {}", (target_ / relative).string(), error.message()));
      made = true;
      if (auto placed = place(at->path(), status, target_ / name, share_); !placed) return placed;
      kept_.insert(name);
    }
    if (error)
      return machine_error(fmt::format("{}: {}", (origin_ / relative).string(), error.message()));
    return {};
  }

  const fs::path& origin_;
  const fs::path& target_;
  Share share_;
  const std::set<std::string>& own_;
  std::set<std::string> kept_;
};

}  // namespace

bool build_reads(std::string_view relative) {
  const auto name = file_name(relative);
  if (is_list(name)) return true;
  if (below(relative, lists_only)) return false;
  if (relative.starts_with("arch/") && !relative.starts_with("arch/x86/")) return false;
  if (below(relative, headers_only)) return name.ends_with(".h");
  return true;
}

Result<void> mirror_tree(const fs::path& origin, const fs::path& target, Share share,
                         const std::set<std::string>& own) {
  Mirror mirror(origin, target, share, own);
  if (auto filled = mirror.fill(); !filled) return filled;
  return mirror.sweep();
}

}  // namespace lockstep::hw::kernels
