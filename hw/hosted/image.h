// SPDX-License-Identifier: GPL-2.0-or-later
/// A kernel image in this process: KVM of one tree, linked at a fixed address
/// (hw/hosted/boundary.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hw/hosted/boundary.h"
#include "hw/kvm/fd.h"
#include "spec/engine.h"

namespace lockstep::hw::hosted {

/// One loadable part of the image, in memory.
struct ImageSegment {
  std::uint64_t address = 0;  ///< where it stands
  std::uint64_t bytes = 0;    ///< there; zero beyond what the file has
  std::span<const std::byte> file;
  bool writable = false;
  bool executable = false;
};

/// An image that is mapped. Images at different addresses may coexist; the
/// same file twice does not, because the addresses are taken.
class Image {
 public:
  /// Map a static ELF executable (x86-64, below 2 GiB) and fill its imports
  /// with symbols of this process. No code of the image runs. The error names
  /// the file and what is wrong with it.
  static Result<std::unique_ptr<Image>> load(const std::filesystem::path& file);
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;
  ~Image();

  /// What the image exports.
  const hosted_image& boundary() const { return *boundary_; }
  /// Make it as it was when it was mapped; whatever it had allocated is lost.
  Result<void> reset();

  /// Memory of the image that its own code writes.
  std::vector<std::span<std::byte>> writable() const;

  bool contains(std::uint64_t address) const { return address - begin_ < end_ - begin_; }
  /// "kvm_mmu_zap_all+0x12"; the bare address where no symbol covers it.
  std::string symbol_of(std::uint64_t ip) const;
  /// The symbol without definition whose addresses (HOSTED_ABSENT_SYMBOLS) include this
  /// one; null if none's do.
  const char* absent_symbol(std::uint64_t address) const;
  /// Address of a symbol, by name.
  std::optional<std::uint64_t> address_of(std::string_view name) const;
  /// Names behind `prefix` and addresses of the symbols that begin with it.
  std::vector<std::pair<std::string, std::uint64_t>> symbols_with(std::string_view prefix) const;
  const std::filesystem::path& file() const { return path_; }

 private:
  struct Symbol {
    std::uint64_t address = 0;
    std::uint64_t bytes = 0;
    std::string_view name;  ///< in file_
  };

  Image() = default;
  Result<void> read_headers();
  Result<void> read_symbols();
  Result<void> map();
  Result<void> protect(bool open);
  void fill();
  Result<void> bind_imports();
  EngineError bad(std::string_view what) const;
  template <typename T>
  const T* at(std::uint64_t offset, std::uint64_t count = 1) const;

  std::filesystem::path path_;
  Mapping file_;
  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
  bool mapped_ = false;
  std::vector<ImageSegment> segments_;
  std::vector<Symbol> symbols_;  ///< by address
  const hosted_image* boundary_ = nullptr;
};

}  // namespace lockstep::hw::hosted
