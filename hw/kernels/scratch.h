// SPDX-License-Identifier: GPL-2.0-or-later
/// A folder that goes when its user goes.
#pragma once

#include <filesystem>
#include <system_error>

namespace lockstep::hw::kernels {

class Scratch {
 public:
  /// Nothing is made: what an interrupted run left there is removed.
  explicit Scratch(std::filesystem::path path) : path_(std::move(path)) { clear(); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { clear(); }

  const std::filesystem::path& path() const { return path_; }

 private:
  void clear() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }

  std::filesystem::path path_;
};

}  // namespace lockstep::hw::kernels
