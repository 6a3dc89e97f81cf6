// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

namespace lockstep::hw::kernels {
namespace fs = std::filesystem;
namespace {

const char* set_variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

}  // namespace

Result<Cache> Cache::standard() {
  if (const char* own = set_variable("LOCKSTEP_CACHE")) return Cache(fs::path(own) / "kernels");
  if (const char* xdg = set_variable("XDG_CACHE_HOME")) {
    return Cache(fs::path(xdg) / "lockstep" / "kernels");
  }
  if (const char* home = set_variable("HOME")) {
    return Cache(fs::path(home) / ".cache" / "lockstep" / "kernels");
  }
  return machine_error("no place for kernels: set HOME, XDG_CACHE_HOME or LOCKSTEP_CACHE");
}

fs::path Cache::source(std::string_view version) const {
  return root_ / "source" / fmt::format("linux-{}", version);
}
fs::path Cache::overlay(std::string_view key) const { return root_ / "overlay" / key; }
fs::path Cache::build(std::string_view key) const { return root_ / "build" / key; }
fs::path Cache::images() const { return root_ / "image"; }
fs::path Cache::apt() const { return root_ / "apt"; }

std::uint64_t disk_bytes(const fs::path& path, bool alone) {
  std::uint64_t bytes = 0;
  std::set<std::pair<dev_t, ino_t>> seen;
  const auto count = [&](const fs::path& entry) {
    struct stat status = {};
    if (lstat(entry.c_str(), &status) != 0) return;
    if (!S_ISDIR(status.st_mode) && status.st_nlink > 1) {
      if (alone || !seen.emplace(status.st_dev, status.st_ino).second) return;
    }
    bytes += static_cast<std::uint64_t>(status.st_blocks) * 512;
  };
  std::error_code error;
  if (!fs::exists(fs::symlink_status(path, error))) return 0;
  count(path);
  constexpr auto skip = fs::directory_options::skip_permission_denied;
  for (auto at = fs::recursive_directory_iterator(path, skip, error);
       !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    count(at->path());
  }
  return bytes;
}

Result<void> require_space(const fs::path& path, std::uint64_t bytes, std::string_view what) {
  fs::path there = fs::absolute(path);
  std::error_code error;
  while (!fs::exists(there, error) && there.has_relative_path()) there = there.parent_path();
  struct statvfs room = {};
  if (statvfs(there.c_str(), &room) != 0) {
    return machine_error(fmt::format("{}: {}", there.string(), std::strerror(errno)));
  }
  const std::uint64_t left = std::uint64_t{room.f_bavail} * room.f_frsize;
  if (left >= bytes) return {};
  return machine_error(
      fmt::format("no space: {} needs {}, {} has {} left; free some, or set "
                  "LOCKSTEP_CACHE to a folder on another file system",
                  what, human_bytes(bytes), there.string(), human_bytes(left)));
}

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::pair<double, std::string_view> units[] = {{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}};
  const auto value = static_cast<double>(bytes);
  for (const auto& [size, unit] : units) {
    if (value < size) continue;
    return value < 10 * size ? fmt::format("{:.1f} {}", value / size, unit)
                             : fmt::format("{:.0f} {}", value / size, unit);
  }
  return fmt::format("{} B", bytes);
}

std::string content_key(std::string_view text) {
  std::uint64_t hash = 0xcbf2'9ce4'8422'2325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100'0000'01b3;
  return fmt::format("{:016x}", hash);
}

Result<void> remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return machine_error(fmt::format("{}: {}", path.string(), error.message()));
  return {};
}

Result<void> write_file(const fs::path& path, std::string_view text) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  const fs::path fresh = fmt::format("{}.new.{}", path.string(), getpid());
  std::ofstream file(fresh, std::ios::binary);
  file << text;
  file.close();
  if (!error && file) fs::rename(fresh, path, error);
  if (!file || error) {
    const auto reason = error ? error.message() : std::string(std::strerror(errno));
    fs::remove(fresh, error);
    return machine_error(fmt::format("cannot write {}: {}", path.string(), reason));
  }
  return {};
}

Result<std::string> read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  std::error_code error;
  if (fs::is_directory(path, error)) {
    return input_error(fmt::format("{}: is a folder", path.string()));
  }
  if (file && fs::file_size(path, error) == 0) return std::string();
  if (!file || !(text << file.rdbuf())) {
    return input_error(fmt::format("{}: {}", path.string(), std::strerror(errno)));
  }
  return std::move(text).str();
}

Result<Lock> Lock::take(const fs::path& file, const Progress& progress) {
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  const int fd = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) {
    return machine_error(fmt::format("cannot lock {}: {}", file.string(), std::strerror(errno)));
  }
  Lock lock(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return lock;
  if (progress) progress(fmt::format("waiting for another lockstep in {}", file.string()));
  while (flock(fd, LOCK_EX) != 0) {
    if (errno != EINTR) {
      return machine_error(fmt::format("cannot lock {}: {}", file.string(), std::strerror(errno)));
    }
  }
  return lock;
}

Lock::Lock(Lock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Lock& Lock::operator=(Lock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Lock::~Lock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace lockstep::hw::kernels
