// SPDX-License-Identifier: GPL-2.0-or-later
/// Owners of kernel resources: a file descriptor and a memory mapping.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace lockstep::hw {

/// Owns one file descriptor; closes it when it goes.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// Owns one mapping; unmaps it when it goes.
class Mapping {
 public:
  Mapping() = default;
  /// mmap() with these arguments; empty, with errno set, where that fails.
  Mapping(std::size_t size, int protection, int flags, int fd, off_t offset = 0) {
    void* const at = ::mmap(nullptr, size, protection, flags, fd, offset);
    if (at != MAP_FAILED) bytes_ = {static_cast<std::byte*>(at), size};
  }
  Mapping(Mapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Mapping() {
    if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
  }

  /// Give the mapping up, to an owner that knows its address.
  std::span<std::byte> release() { return std::exchange(bytes_, {}); }
  std::span<std::byte> bytes() const { return bytes_; }
  std::byte* data() const { return bytes_.data(); }
  std::size_t size() const { return bytes_.size(); }
  explicit operator bool() const { return !bytes_.empty(); }

 private:
  std::span<std::byte> bytes_;
};

}  // namespace lockstep::hw
