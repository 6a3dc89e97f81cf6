// SPDX-License-Identifier: GPL-2.0-or-later
/// Where kernels are kept between runs: sources, overlays with a patch, build
/// folders and images. All of it may be removed at any time; it comes back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "hw/kernels/error.h"
#include "hw/kernels/process.h"

namespace lockstep::hw::kernels {

class Cache {
 public:
  explicit Cache(std::filesystem::path root) : root_(std::move(root)) {}

  /// $LOCKSTEP_CACHE/kernels, else below $XDG_CACHE_HOME/lockstep, else below
  /// ~/.cache/lockstep. An error if none of the three variables is set.
  static Result<Cache> standard();

  const std::filesystem::path& root() const { return root_; }
  /// Pristine tree of a version such as "6.1"; need not exist.
  std::filesystem::path source(std::string_view version) const;
  /// A copy of a tree with a patch; need not exist.
  std::filesystem::path overlay(std::string_view key) const;
  /// What kbuild made; need not exist.
  std::filesystem::path build(std::string_view key) const;
  /// Linked images of the hosted engine, named by whoever links them.
  std::filesystem::path images() const;
  /// Downloads and apt's own state.
  std::filesystem::path apt() const;

 private:
  std::filesystem::path root_;
};

/// Bytes on disk below the path; 0 if it is not there. A file with several
/// names counts only for the tree where it stands if `alone`.
std::uint64_t disk_bytes(const std::filesystem::path& path, bool alone = false);

/// An error unless the file system of `path` (which need not exist yet) has
/// `bytes` left for this user; `what` names what needs them.
Result<void> require_space(const std::filesystem::path& path, std::uint64_t bytes,
                           std::string_view what);

/// "1.6 GB", as Debian counts: powers of ten.
std::string human_bytes(std::uint64_t bytes);

/// 16 hex digits of FNV-1a over the text: names a folder by what went into it.
std::string content_key(std::string_view text);

/// Remove a file or folder, whole. An error names what could not be removed.
Result<void> remove_tree(const std::filesystem::path& path);

/// Write a file by way of another name, so that it is there whole or not at all.
Result<void> write_file(const std::filesystem::path& path, std::string_view text);
/// The whole file. An error names it.
Result<std::string> read_file(const std::filesystem::path& path);

/// An exclusive flock(2) on a file, held as long as the object lives, so that no
/// two Lockstep processes build in the same folder at once.
class Lock {
 public:
  /// Wait for it; tells `progress` if that takes waiting. Makes the file and its
  /// folders.
  static Result<Lock> take(const std::filesystem::path& file, const Progress& progress);

  Lock(Lock&& other) noexcept;
  Lock& operator=(Lock&& other) noexcept;
  ~Lock();

 private:
  explicit Lock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace lockstep::hw::kernels
